#!/usr/bin/env python3
"""Driver Verifier's options and sub-codes (data/verifier_options.tsv, data/verifier_rules.tsv) as code and documentation.

usage: verifier.py OPTIONS_TABLE --options FILE    VERIFIER_OPTION(bit, "name", "title", standard, there): code
       verifier.py OPTIONS_TABLE --markdown FILE   docs/generated/verifier.md
       verifier.py OPTIONS_TABLE --check           every sub-code of bug checks 0xC4, 0xC9 and 0xE6 has a row; one that is
                                                   raised has a sample, one that is not says why
"""
import collections
import pathlib
import sys

import bugchecks

SOURCE = pathlib.Path(__file__).resolve().parents[1]
CODES = {0xC4: "a driver broke a rule", 0xC9: "I/O verification", 0xE6: "DMA checking"}
AUTOMATIC = "automatic"
Option = collections.namedtuple("Option", "bit name title list checks rest")
Rule = collections.namedtuple("Rule", "code value option why_not")


def read(path, record):
    width = len(record._fields)
    return [record(*fields) for _, fields in bugchecks.lines_of(path, width, header=record._fields[0])]


def read_options(path):
    options = [option._replace(bit=int(option.bit, 16)) for option in read(path, Option)]
    if [o.bit for o in options] != sorted({o.bit for o in options}) or any(not (o.checks or o.rest) for o in options):
        sys.exit(f"{path}: bits must be unique and ascending, and each option must say what it does or why not")
    return options


def read_rules():
    return [rule._replace(code=int(rule.code, 16), value=int(rule.value, 16))
            for rule in read(SOURCE / "data/verifier_rules.tsv", Rule)]


def kinds():
    rows = bugchecks.read_table(SOURCE / "data/bugchecks.tsv")
    return {(kind.code, kind.value): kind.text for kind in bugchecks.read_kinds(SOURCE / "data/bugcheck_kinds.tsv", rows)
            if kind.code in CODES and kind.parameter == 1}


def samples():
    """(code, first parameter) -> samples that earn it."""
    found = collections.defaultdict(list)
    for line in (SOURCE / "samples/bugchecks/expected.tsv").read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if not line.startswith(("#", "sample\t")) and len(fields) > 2 and fields[2].startswith("0x"):
            found[int(fields[1], 16), int(fields[2], 16)].append(fields[0])
    return found


def option_lines(options):
    yield "// Generated from data/verifier_options.tsv by tools/verifier.py."
    for o in options:
        flags = f"{'true' if o.list == 'standard' else 'false'}, {'true' if o.checks else 'false'}"
        yield f"VERIFIER_OPTION(0x{o.bit:X}u, {bugchecks.quoted(o.name)}, {bugchecks.quoted(o.title)}, {flags})"


def rule_line(rule, texts, earned):
    links = [f"[{name}](../../samples/bugchecks/{name.partition('@')[0]}.c)" for name in earned[rule.code, rule.value]]
    return f"| 0x{rule.value:X} | {texts[rule.code, rule.value]} | {rule.option} | {', '.join(links)} |"


def markdown(options):
    rules, texts, earned = read_rules(), kinds(), samples()
    raised = [rule for rule in rules if not rule.why_not]
    yield from ["# Driver Verifier", "",
                "Generated from `data/verifier_options.tsv`, `data/verifier_rules.tsv`, `data/bugcheck_kinds.tsv` and",
                "`samples/bugchecks/expected.tsv`; do not edit. The rules' texts: after Microsoft's windows-driver-docs, CC BY 4.0.", "",
                "`bugcheck run --verifier NAME,NAME DRIVER.sys`, `verifier NAMES DRIVER.sys` on a machine that is up; `standard` is what",
                "verifier /standard turns on. `!verifier` shows what is on and what was counted.", "",
                "## Options", "", "| flag | name | option | what is checked | what is not |", "|---|---|---|---|---|"]
    for o in options:
        standard = " (standard)" if o.list == "standard" else ""
        yield f"| 0x{o.bit:X} | `{o.name}`{standard} | {o.title} | {o.checks or 'not here'} | {o.rest} |"
    yield from ["", f"The automatic checks come with every option. {len(raised)} of {len(rules)} documented sub-codes are raised, each by",
                "the sample beside it; the others follow with the reason.", ""]
    for code, title in CODES.items():
        yield from [f"## 0x{code:X}: {title}", "", "| parameter 1 | rule | option | sample |", "|---|---|---|---|"]
        yield from (rule_line(rule, texts, earned) for rule in raised if rule.code == code)
        yield ""
    yield from ["## Not raised", "", "| bug check | parameter 1 | rule | why not |", "|---|---|---|---|"]
    yield from (f"| 0x{r.code:X} | 0x{r.value:X} | {texts[r.code, r.value]} | {r.why_not} |" for r in rules if r.why_not)


def complaints(options):
    rules, texts, earned = read_rules(), kinds(), samples()
    keys = [(rule.code, rule.value) for rule in rules]
    if keys != sorted(set(keys)):
        yield "data/verifier_rules.tsv: rules must be unique and ascending"
    for code, value in sorted(set(keys) ^ set(texts)):
        yield f"0x{code:X}/0x{value:X} is in one of data/verifier_rules.tsv and data/bugcheck_kinds.tsv only"
    names = {option.name for option in options if option.checks} | {AUTOMATIC}
    for rule in rules:
        where = f"0x{rule.code:X}/0x{rule.value:X}"
        if not rule.why_not and not set(rule.option.split(",")) <= names:
            yield f"{where}: {rule.option!r} is no option that this kernel has"
        if bool(earned[rule.code, rule.value]) == bool(rule.why_not):
            yield f"{where}: {'not raised, and a sample earns it' if rule.why_not else 'raised, and no sample earns it'}"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    options = read_options(sys.argv[1])
    if sys.argv[2] == "--check":
        found = list(complaints(options))
        print("\n".join(found))
        sys.exit(1 if found else 0)
    if len(sys.argv) != 4 or sys.argv[2] not in ("--options", "--markdown"):
        sys.exit(__doc__)
    lines = option_lines(options) if sys.argv[2] == "--options" else markdown(options)
    pathlib.Path(sys.argv[3]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
