#!/usr/bin/env python3
"""Generates from data/bugchecks.tsv: the C++ list bugcheck_names.inc, and docs/generated/bugchecks.md.

usage: bugchecks.py TABLE --inc FILE | --markdown FILE
"""
import sys


def read_table(path):
    rows = []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.rstrip("\n")
        if not line or line.startswith(("#", "code\t")):
            continue
        fields = line.split("\t")
        if len(fields) != 6:
            sys.exit(f"{path}:{number}: {len(fields)} fields, 6 expected")
        rows.append((int(fields[0], 16), fields[1], fields[2:]))
    codes = [row[0] for row in rows]
    if codes != sorted(set(codes)):
        sys.exit(f"{path}: codes must be unique and ascending")
    return rows


def inc(rows):
    """BUGCHECK_CODE(code, "NAME", "p1", "p2", "p3", "p4") lines, ascending by code; define the macro, then include."""
    lines = ["// Generated from data/bugchecks.tsv by tools/bugchecks.py."]
    for code, name, parameters in rows:
        lines.append(f'BUGCHECK_CODE(0x{code:X}, "{name}", ' + ", ".join(f'"{p}"' for p in parameters) + ")")
    return "\n".join(lines) + "\n"


def markdown(rows):
    lines = ["# Bug checks", "",
             "Generated from `data/bugchecks.tsv`; do not edit. Codes and names: Microsoft's windows-driver-docs, CC BY 4.0.",
             "", "| Code | Name | 1 | 2 | 3 | 4 |", "|---|---|---|---|---|---|"]
    for code, name, parameters in rows:
        lines.append(f"| 0x{code:X} | {name} | " + " | ".join(parameters) + " |")
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 4 or sys.argv[2] not in ("--inc", "--markdown"):
        sys.exit(__doc__)
    rows = read_table(sys.argv[1])
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        out.write(inc(rows) if sys.argv[2] == "--inc" else markdown(rows))


if __name__ == "__main__":
    main()
