#!/usr/bin/env python3
"""Every lint as one list, one pass or fail a line.

usage: lint.py --build DIR [--only NAME...]     NAME: format, layering, sizes, headers, tidy, markers, headings
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[1]

GUEST_TARGET = "--target=x86_64-pc-windows-msvc"


def tracked(*patterns):
    out = subprocess.run(["git", "-C", str(SOURCE), "ls-files", *patterns], capture_output=True, text=True, check=True)
    return [name for name in out.stdout.splitlines() if (SOURCE / name).exists()]


def run(command, **options):
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, **options)


def parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [text for text in pool.map(function, items) if text]


def check_format(_):
    """Layout of all C++ sources is clang-format's; C samples keep the WDK's brace style."""
    names = [name for name in tracked("*.cpp", "*.h") if not name.startswith(("third_party/", "include/nt/"))]
    result = run(["clang-format-19", "--dry-run", "--Werror", *names]) if names else None
    if not result or result.returncode == 0:
        return []
    return sorted({line.split(":")[0] + ": not laid out by clang-format" for line in result.stderr.splitlines()
                   if "error:" in line})


def check_layering(_):
    return run([sys.executable, "tools/check_layering.py", "."]).stdout.splitlines()[:-1]


def check_sizes(_):
    lines = run([sys.executable, "tools/check_sizes.py", "."]).stdout.splitlines()[:-1]
    return [line for line in lines if not line.startswith("note:")]


HEADING_INSIDE = re.compile(r"^///.*\S (IRQL|Differs from NT|Source): ")


def check_headings(_):
    """The headings of a manual page begin lines, where a reader looks for them."""
    return [f"{name}:{number}: a heading inside a line: {line.strip()}"
            for name in tracked("kernel/**/*.cpp", "kernel/**/*.h", "drivers/**/*.cpp")
            for number, line in enumerate((SOURCE / name).read_text().splitlines(), 1) if HEADING_INSIDE.match(line)]


MARKER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def check_markers(_):
    found = []
    for name in tracked("*.cpp", "*.h", "*.c", "*.S", "*.py", "*.cmake", "*.md"):
        if name in ("tools/lint.py", "data/bugchecks.tsv"):
            continue
        for number, line in enumerate((SOURCE / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MARKER.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


def commands(build):
    """source -> compile command (list), of host code from CMake, of guest code from the fragments beside its objects."""
    table = {}
    database = build / "compile_commands.json"
    if database.exists():
        for entry in json.loads(database.read_text()):
            table[os.path.realpath(entry["file"])] = entry.get("arguments") or split(entry["command"])
    for fragment in (build / "pe").rglob("*.obj.json"):
        text = fragment.read_text().strip().rstrip(",")
        if text:
            entry = json.loads(text)
            table[os.path.realpath(entry["file"])] = entry["arguments"]
    return table


def split(command):
    import shlex
    return shlex.split(command)


def compiler_flags(arguments):
    """The command's flags alone: no launcher, compiler, input, output or dependency options."""
    start = next((at for at, word in enumerate(arguments) if "clang" in os.path.basename(word)), 0) + 1
    flags, skip = [], False
    for word in arguments[start:]:
        if skip:
            skip = False
        elif word in ("-o", "-c", "-MF", "-MT", "-MQ", "-MJ"):
            skip = word != "-c"
        elif word in ("-MD", "-MMD") or word.endswith((".cpp", ".c", ".S", ".obj", ".o")):
            continue
        else:
            flags.append(word)
    return flags


def check_tidy(build):
    table = commands(build)
    names = [name for name in tracked("kernel/**/*.cpp", "host/**/*.cpp", "drivers/**/*.cpp") if os.path.realpath(SOURCE / name) in table and
             "/testdata/" not in name]  # written to look like NT's own sources

    def one(name):
        flags = compiler_flags(table[os.path.realpath(SOURCE / name)])
        extra = ["--checks=-readability-identifier-naming"] if name.endswith("_exports.cpp") else []
        result = run(["clang-tidy-19", "--quiet", *extra, name, "--", *flags, "-Wno-everything"])
        if result.returncode == 0:
            return ""
        lines = [line for line in result.stdout.splitlines() if ": error:" in line]
        return "\n".join(lines or [f"{name}: clang-tidy failed: {result.stderr.strip()[-300:]}"])

    return parallel(one, names)


def check_headers(build):
    """Each header compiles alone, included twice, with the flags of some source of the same folder: of its own one, else of
    its module, the flags of the side (guest or host) that the module is for before those of its tests."""
    by_folder = {}  # folder: its sources' different flags

    def foreign(item):
        return (GUEST_TARGET in item[1]) == item[0].startswith(str(SOURCE / "host"))

    for source, arguments in sorted(commands(build).items(), key=foreign):
        if source.endswith(".cpp") and source.startswith(str(SOURCE)):
            parts = pathlib.Path(source).relative_to(SOURCE).parts
            for key in {parts[:-1], parts[:2]}:
                flags = compiler_flags(arguments)
                if flags not in by_folder.setdefault(key, []):
                    by_folder[key].append(flags)

    def one(name):
        parts = pathlib.Path(name).parts
        candidates = next((by_folder[key] for key in (parts[:-1], parts[:2]) if key in by_folder), None) or \
                     [flags for key in by_folder if key[0] == parts[0] for flags in by_folder[key][:1]]
        if not candidates:
            return ""
        text = f'#include "{SOURCE / name}"\n#include "{SOURCE / name}"\n'
        for flags in candidates:
            result = run(["clang++-19", *flags, "-fsyntax-only", "-Wno-everything", "-x", "c++", "-"], input=text)
            if result.returncode == 0:
                return ""
        first = next((line for line in result.stderr.splitlines() if "error:" in line), result.stderr[:200])
        return f"{name}: does not compile alone: {first}"

    names = [name for name in tracked("kernel/**/*.h", "host/**/*.h", "boot/**/*.h", "drivers/**/*.h")]
    return parallel(one, names)


CHECKS = {"format": check_format, "layering": check_layering, "sizes": check_sizes, "markers": check_markers,
          "headings": check_headings, "headers": check_headers, "tidy": check_tidy}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--only", nargs="*", choices=sorted(CHECKS), default=list(CHECKS))
    options = parser.parse_args()
    failed = False
    for name in options.only:
        problems = CHECKS[name](options.build.resolve())
        failed |= bool(problems)
        print(f"{'FAIL' if problems else 'pass'} {name}" + (f" ({len(problems)})" if problems else ""), flush=True)
        for problem in problems:
            print("  " + problem.replace("\n", "\n  "))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
