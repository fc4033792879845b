#!/usr/bin/env python3
"""The table of bug checks (data/bugchecks.tsv, data/bugcheck_kinds.tsv) as code and as documentation.

usage: bugchecks.py TABLE OPTION FILE, OPTION one of
  --inc       BUGCHECK_CODE(code, "NAME", "p1", "p2", "p3", "p4"), ascending: host code
  --texts     BUGCHECK_TEXT(code, "what it means", "what to ask the debugger") for codes that have one
  --kinds     BUGCHECK_KIND(code, parameter, value, "bucket", "text"), ascending by code
  --names     BUGCHECK_NAME(code, "NAME") for codes that the kernel raises
  --header    #define NAME code: kernel code
  --markdown  docs/generated/bugchecks.md
       bugchecks.py TABLE --check-kernel    every code that kernel/ raises has a row
       bugchecks.py TABLE --check-samples   every row that is raised has a sample, or says why not
"""
import collections
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[1]
SAMPLES = SOURCE / "samples" / "bugchecks"
COLUMNS = ["code", "name", "p1", "p2", "p3", "p4", "raised_by", "show", "differs", "no_sample", "text"]
PARAMETERS = ["p1", "p2", "p3", "p4"]
Kind = collections.namedtuple("Kind", "code parameter value bucket text")


class Row(collections.namedtuple("Row", COLUMNS)):
    @property
    def parameters(self):
        return [self.p1, self.p2, self.p3, self.p4]


def lines_of(path, width, header="code"):
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith(("#", f"{header}\t")):
            continue
        fields = line.split("\t")
        if len(fields) != width:
            sys.exit(f"{path}:{number}: {len(fields)} fields, {width} expected")
        yield number, fields


def read_table(path):
    rows = []
    for number, fields in lines_of(path, len(COLUMNS)):
        row = Row(int(fields[0], 16), *fields[1:])
        if row.raised_by and not (row.text and row.show and all(row.parameters)):
            sys.exit(f"{path}:{number}: {row.name} is raised, so it needs text, show and four parameters")
        rows.append(row)
    codes = [row.code for row in rows]
    if codes != sorted(set(codes)):
        sys.exit(f"{path}: codes must be unique and ascending")
    return rows


def read_kinds(path, rows):
    kinds = [Kind(int(f[0], 16), int(f[1]), int(f[2], 16), f[3], f[4]) for _, f in lines_of(path, 5)]
    keys = [(kind.code, kind.parameter, kind.value) for kind in kinds]
    if keys != sorted(set(keys)) or not {kind.code for kind in kinds} <= {row.code for row in rows}:
        sys.exit(f"{path}: kinds must be unique, ascending and of codes in the table")
    return kinds


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def inc(rows, _):
    return [f"BUGCHECK_CODE(0x{row.code:X}, {quoted(row.name)}, {', '.join(map(quoted, row.parameters))})" for row in rows]


def texts(rows, _):
    return [f"BUGCHECK_TEXT(0x{row.code:X}, {quoted(row.text)}, {quoted(row.show)})" for row in rows if row.text]


def kind_lines(_, kinds):
    return [f"BUGCHECK_KIND(0x{k.code:X}, {k.parameter}, 0x{k.value:X}, {quoted(k.bucket)}, {quoted(k.text)})" for k in kinds]


def names(rows, _):
    return [f"BUGCHECK_NAME(0x{row.code:X}, {quoted(row.name)})" for row in rows if row.raised_by]


def header(rows, _):
    lines = ["#pragma once"]
    for row in rows:
        # The status codes among them have their names from <ntstatus.h>.
        if row.raised_by and not row.name.startswith("STATUS_"):
            lines += [f"#ifndef {row.name}", f"#define {row.name} ((ULONG)0x{row.code:X})", "#endif"]
    return lines


def samples_by_code():
    samples = collections.defaultdict(list)
    for line in (SAMPLES / "expected.tsv").read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if line and not line.startswith(("#", "sample\t")) and len(fields) > 1:
            samples[int(fields[1], 16)].append(fields[0])
    return samples


def section(row, kinds, samples):
    lines = [f"## 0x{row.code:X} {row.name}", "", row.text, "", "| | parameter |", "|---|---|"]
    lines += [f"| {i} | {text} |" for i, text in enumerate(row.parameters, 1)]
    lines += ["", f"- Raised by: {row.raised_by}", f"- Ask the debugger: `!analyze -v; {row.show}`"]
    if samples:
        links = [f"[{name}](../../samples/bugchecks/{name.partition('@')[0]}.c)" for name in samples]
        lines.append(f"- {'Sample' if len(links) == 1 else 'Samples'}: {', '.join(links)}")
    if row.no_sample:
        lines.append(f"- {'' if samples else 'No sample: '}{row.no_sample}")
    lines.append(f"- Windows: {row.differs or 'the same'}")
    own = [kind for kind in kinds if kind.code == row.code]
    if own:
        lines += ["", f"| parameter {own[0].parameter} | |", "|---|---|"]
        lines += [f"| 0x{kind.value:X} | {kind.text} |" for kind in own]
    return lines + [""]


def markdown(rows, kinds):
    samples = samples_by_code()
    raised = [row for row in rows if row.raised_by]
    lines = ["# Bug checks", "",
             "Generated from `data/bugchecks.tsv`, `data/bugcheck_kinds.tsv` and `samples/bugchecks/expected.tsv`; do not edit.",
             "Codes and names, and the rules of 0xC4 and 0xC9: after Microsoft's windows-driver-docs, CC BY 4.0.", "",
             f"{len(raised)} codes that this kernel raises come first, each with the sample that earns it and what to ask the",
             "debugger of its dump (ARG1 to ARG4 are the parameters). The other documented codes follow as a list.", ""]
    for row in raised:
        lines += section(row, kinds, samples[row.code])
    others = [row for row in rows if not row.raised_by]
    lines += ["## Codes that this kernel does not raise", "", "| Code | Name | Why not |", "|---|---|---|"]
    lines += [f"| 0x{row.code:X} | {row.name} | {row.no_sample} |" for row in others if row.no_sample]
    lines += ["", "| Code | Name | 1 | 2 | 3 | 4 |", "|---|---|---|---|---|---|"]
    lines += [f"| 0x{row.code:X} | {row.name} | " + " | ".join(row.parameters) + " |" for row in others if not row.no_sample]
    return lines


def constants(files):
    """kName -> codes of `constexpr ULONG kName = 0x..`, over all files."""
    found = collections.defaultdict(set)
    for text in files.values():
        for name, value in re.findall(r"\b(k[A-Z]\w*) = (0x[0-9A-Fa-f]+)\b", text):
            found[name].add(int(value, 16))
    return found


def call_sites(files):
    """(file, expression of the code) of every place that raises a bug check."""
    for path, text in files.items():
        if path.suffix == ".S":
            for block in re.findall(r"((?:^[^\n]*\n){1,8})\s*call KiBugCheckDispatch", text, re.MULTILINE):
                values = re.findall(r"mov ecx, (0x[0-9A-Fa-f]+)", block)
                if values:
                    yield path, values[-1]
            continue
        for match in re.finditer(r"\b(?:KeBugCheckEx|KeBugCheck|KiBugCheckDispatch)\(\s*([^,;{]+?)\s*[,)](?!\s*\{)", text):
            yield path, match.group(1)
        for match in re.finditer(r"KiBugCheckData\[0\] = ([^;,]+)[;,]", text):
            yield path, match.group(1)


def codes_of(expression, by_name, known_constants):
    codes = set()
    for word in re.findall(r"\w+", expression):
        if word in by_name:
            codes.add(by_name[word])
        elif re.fullmatch(r"0x[0-9A-Fa-f]+", word):
            codes.add(int(word, 16))
        else:
            codes |= known_constants.get(word, set())
    return codes


def check_kernel(rows):
    files = {path: path.read_text(encoding="utf-8") for pattern in ("*.cpp", "*.h", "*.S")
             for path in sorted((SOURCE / "kernel").rglob(pattern)) if not path.stem.endswith("_guest_test")}
    files = {path: re.sub(r"//[^\n]*", "", text) for path, text in files.items()}
    by_name = {row.name: row.code for row in rows}
    by_code = {row.code: row for row in rows}
    known = constants(files)
    for path, expression in call_sites(files):
        # Declarations and calls that pass somebody else's code on.
        if re.fullmatch(r"0|(ULONG )?(code|Code|BugCheckCode)|CodeOfKernelSection\(instruction\)", expression):
            continue
        codes = codes_of(expression, by_name, known)
        if not codes:
            yield f"{path.relative_to(SOURCE)}: cannot tell which bug check {expression!r} is"
        for code in sorted(codes):
            if code not in by_code or not by_code[code].raised_by:
                yield f"{path.relative_to(SOURCE)}: 0x{code:X} has no row with raised_by in data/bugchecks.tsv"


def check_samples(rows):
    samples = samples_by_code()
    for row in rows:
        if row.raised_by and not samples[row.code] and not row.no_sample:
            yield f"0x{row.code:X} {row.name}: no sample in samples/bugchecks, and no_sample does not say why"
    for code in sorted(set(samples) - {row.code for row in rows if row.raised_by}):
        yield f"samples/bugchecks/expected.tsv: 0x{code:X} has no row with raised_by in data/bugchecks.tsv"


CHECKS = {"--check-kernel": check_kernel, "--check-samples": check_samples}
OUTPUTS = {"--inc": inc, "--texts": texts, "--kinds": kind_lines, "--names": names, "--header": header, "--markdown": markdown}


def main():
    if len(sys.argv) == 3 and sys.argv[2] in CHECKS:
        complaints = list(CHECKS[sys.argv[2]](read_table(sys.argv[1])))
        print("\n".join(complaints))
        sys.exit(1 if complaints else 0)
    if len(sys.argv) != 4 or sys.argv[2] not in OUTPUTS:
        sys.exit(__doc__)
    rows = read_table(sys.argv[1])
    kinds = read_kinds(pathlib.Path(sys.argv[1]).with_name("bugcheck_kinds.tsv"), rows)
    lines = OUTPUTS[sys.argv[2]](rows, kinds)
    if sys.argv[2] != "--markdown":
        lines.insert(0, "// Generated from data/bugchecks.tsv and data/bugcheck_kinds.tsv by tools/bugchecks.py.")
    pathlib.Path(sys.argv[3]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
