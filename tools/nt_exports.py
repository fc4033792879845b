#!/usr/bin/env python3
"""Generates from data/nt_exports.tsv what drivers link with, and what the kernel's loader tells missing imports apart by.

usage: nt_exports.py TABLE --def FILE | --inc FILE | --irql FILE
"""
import sys


def read_table(path):
    """Yields (name, kind, irql_min, irql_max, note); the IRQLs are None where the documentation gives none."""
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        fields = line.rstrip("\n").split("\t")
        if line.startswith(("#", "name\t")):
            continue
        if len(fields) != 5 or fields[1] not in ("func", "data"):
            sys.exit(f"{path}:{number}: not a line of this table")
        low, high = (int(field) if field else None for field in fields[2:4])
        yield fields[0], fields[1], low, high, fields[4]


def module_definition(rows):
    """A .def for llvm-dlltool: every name that a Windows kernel exports, so that any driver links."""
    return "LIBRARY ntoskrnl.exe\nEXPORTS\n" + "".join(
        f"  {name}{' CONSTANT' if kind == 'data' else ''}\n" for name, kind, *_ in rows)


def inc(rows):
    """NT_DOCUMENTED_EXPORT("Name") lines in ascending byte order; define the macro, then include."""
    names = sorted(row[0] for row in rows)
    return ("// Generated from data/nt_exports.tsv by tools/nt_exports.py.\n" +
            "".join(f'NT_DOCUMENTED_EXPORT("{name}")\n' for name in names))


def irql(rows):
    """NT_DDI_IRQL("Name", min, max) lines in ascending byte order, of the calls whose IRQL is documented."""
    documented = sorted((name, low, high) for name, kind, low, high, _ in rows if kind == "func" and high is not None)
    return ("// Generated from data/nt_exports.tsv by tools/nt_exports.py.\n" +
            "".join(f'NT_DDI_IRQL("{name}", {low or 0}, {high})\n' for name, low, high in documented))


def main():
    if len(sys.argv) != 4 or sys.argv[2] not in FORMS:
        sys.exit(__doc__)
    rows = list(read_table(sys.argv[1]))
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        out.write(FORMS[sys.argv[2]](rows))


FORMS = {"--def": module_definition, "--inc": inc, "--irql": irql}

if __name__ == "__main__":
    main()
