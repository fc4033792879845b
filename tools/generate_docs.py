#!/usr/bin/env python3
"""Writes docs/generated from what is built, or checks that it is up to date.

usage: generate_docs.py --build DIR --write | --check [--only exports|commands|bugchecks|verifier]
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[1]


def page_of(tool, table):
    with tempfile.NamedTemporaryFile("r", suffix=".md") as out:
        subprocess.run([sys.executable, SOURCE / "tools" / tool, SOURCE / "data" / table, "--markdown", out.name], check=True)
        return pathlib.Path(out.name).read_text(encoding="utf-8")


def bugchecks(_):
    return page_of("bugchecks.py", "bugchecks.tsv")


def verifier(_):
    return page_of("verifier.py", "verifier_options.tsv")


def exports(build):
    return (build / "generated/exports.md").read_text(encoding="utf-8")


def commands(build):
    result = subprocess.run([build / "bin/bugcheck", "debug", "--list-commands"], capture_output=True, text=True)
    if result.returncode != 0 or not result.stdout:
        raise OSError(f"bugcheck debug --list-commands: exit status {result.returncode}: {result.stderr.strip()}")
    return result.stdout


PAGES = {"exports": exports, "commands": commands, "bugchecks": bugchecks, "verifier": verifier}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=sorted(PAGES), action="append")
    options = parser.parse_args()
    if options.write == options.check:
        parser.error("one of --write and --check")
    failed = False
    for name in options.only or PAGES:
        path = SOURCE / "docs/generated" / f"{name}.md"
        try:
            text = PAGES[name](options.build.resolve())
        except OSError as error:
            failed = True
            print(f"{name}: cannot be generated: {error}")
            continue
        if options.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            failed = True
            print(f"{path.relative_to(SOURCE)} is out of date: make docs")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
