#!/usr/bin/env python3
"""Joins what is known of each kernel export and fails where the facts disagree.

Four facts, each written once: the export directory of ntoskrnl.exe, the records that NT_EXPORT leaves in its .ntexp
section, the manual page (`///` lines) above each NT_EXPORT, and the tests in the sources. Writes exports.json and
exports.md.

usage: exports.py --image NTOSKRNL.EXE --source DIR [--json FILE] [--markdown FILE] [--lenient]
"""
import argparse
import fnmatch
import json
import pathlib
import re
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import nt_exports  # noqa: E402

RECORD = struct.Struct("<64sBBBB60s")
FIDELITIES = ("full", "partial", "stub")
LEVELS = {0: "PASSIVE_LEVEL", 1: "APC_LEVEL", 2: "DISPATCH_LEVEL", 12: "DIRQL", 13: "CLOCK_LEVEL", 14: "IPI_LEVEL",
          15: "HIGH_LEVEL"}
HEADINGS = ("IRQL:", "Differs from NT:", "Source:")


class PeError(Exception):
    pass


class Pe:
    """As much of a PE32+ image as the table needs; every read is bounded by the file."""

    def __init__(self, data):
        self.data = data
        nt = self.unpack("<I", 0x3C)[0]
        if self.slice(nt, 4) != b"PE\0\0":
            raise PeError("not a PE image")
        _, count, _, _, _, optional_size, _ = self.unpack("<HHIIIHH", nt + 4)
        optional = nt + 24
        if self.unpack("<H", optional)[0] != 0x20B:
            raise PeError("not PE32+")
        self.export_rva, self.export_size = self.unpack("<II", optional + 112)
        self.sections = []
        for index in range(count):
            at = optional + optional_size + 40 * index
            name, size, rva, raw_size, raw = struct.unpack("<8sIIII", self.slice(at, 24))
            self.sections.append((name.rstrip(b"\0").decode("ascii", "replace"), rva, size, raw, raw_size))

    def slice(self, offset, size):
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise PeError(f"truncated at {offset:#x}")
        return self.data[offset:offset + size]

    def unpack(self, form, offset):
        return struct.unpack(form, self.slice(offset, struct.calcsize(form)))

    def offset(self, rva):
        for _, start, size, raw, raw_size in self.sections:
            if start <= rva < start + min(max(size, 1), raw_size):
                return raw + rva - start
        raise PeError(f"RVA {rva:#x} lies in no section")

    def string(self, rva):
        start = self.offset(rva)
        end = self.data.find(b"\0", start, start + 512)
        if end < 0:
            raise PeError(f"unterminated string at RVA {rva:#x}")
        return self.data[start:end].decode("ascii", "replace")

    def export_names(self):
        if self.export_rva == 0:
            return []
        names_count, = self.unpack("<I", self.offset(self.export_rva) + 24)
        names_rva, = self.unpack("<I", self.offset(self.export_rva) + 32)
        start = self.offset(names_rva)
        return [self.string(rva) for rva in self.unpack(f"<{names_count}I", start)]

    def records(self):
        for name, _, size, raw, raw_size in self.sections:
            if name != ".ntexp":
                continue
            data = self.slice(raw, min(size, raw_size))
            for at in range(0, len(data) - RECORD.size + 1, RECORD.size):
                fields = RECORD.unpack_from(data, at)
                if fields[0].strip(b"\0"):
                    yield fields


def read_records(pe, problem):
    records = {}
    for raw_name, low, high, fidelity, _, raw_tests in pe.records():
        name = raw_name.split(b"\0")[0].decode("ascii", "replace")
        if fidelity >= len(FIDELITIES):
            problem(name, f"record with fidelity {fidelity}")
            continue
        if name in records:
            problem(name, "two records")
        tests = raw_tests.split(b"\0")[0].decode("ascii", "replace").split()
        records[name] = {"name": name, "irql_min": low, "irql_max": high, "fidelity": FIDELITIES[fidelity], "tests": tests}
    return records


MACRO = re.compile(r"^\s*NT_EXPORT(?:_DATA)?\(\s*(\w+)")


def read_pages(source):
    """name -> (summary, {heading: text}, where), from the /// lines right above each NT_EXPORT."""
    pages = {}
    for path in sorted(source.glob("kernel/**/*.cpp")):
        page = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = line.strip()
            if text.startswith("///"):
                page.append(text[3:].strip())
                continue
            match = MACRO.match(line)
            if match:
                pages[match.group(1)] = (*parse_page(page), f"{path.relative_to(source)}:{number}")
            if text and not text.startswith("//"):
                page = []
    return pages


def parse_page(lines):
    """(summary, {heading: text}). Headings may stand anywhere, several on one line or broken across two."""
    parts = re.split(r"(?:^|(?<=\s))(IRQL|Differs from NT|Source|Parameters|Returns):", " ".join(lines))
    headings = {f"{name}:": text.strip() for name, text in zip(parts[1::2], parts[2::2])}
    return parts[0].strip(), headings


TEST = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P|NT_TEST)\(\s*(\w+)\s*,\s*(\w+)", re.MULTILINE)


def read_tests(source):
    tests = set()
    for folder in ("kernel", "drivers", "tests"):
        for path in source.glob(f"{folder}/**/*_test.cpp"):
            tests.update(f"{suite}.{name}" for suite, name in TEST.findall(path.read_text(encoding="utf-8")))
    for path in source.glob("tests/system/*_test.py"):
        suite = None
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"class (\w+)\(|    def (test_\w+)\(", line)
            if match and match.group(1):
                suite = match.group(1)
            elif match and suite:
                tests.add(f"{suite}.{match.group(2)}")
    return tests


def read_overrides(path):
    overrides = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith(("#", "name\t")) or not line:
            continue
        fields = line.split("\t")
        if len(fields) != 4 or not fields[3].strip():
            sys.exit(f"{path}:{number}: four fields expected, the last a reason")
        overrides[fields[0]] = (int(fields[1]), int(fields[2]))
    return overrides


def irql_text(low, high):
    if (low, high) == (0, 15):
        return "any"
    name = LEVELS.get(high, str(high))
    if low == high:
        return name
    return f"<= {name}" if low == 0 else f"{LEVELS.get(low, low)} .. {name}"


def check_record(record, documented, overrides, page, tests, problem):
    name = record["name"]
    actual = (record["irql_min"], record["irql_max"])
    kind, low, high = documented.get(name, ("private", None, None))
    if name in overrides:
        if overrides[name] != actual:
            problem(name, f"IRQL {actual}, but irql_overrides.tsv says {overrides[name]}")
    elif kind != "data" and low is not None and (low, high) != actual:
        problem(name, f"IRQL {irql_text(*actual)}, but the documentation says {irql_text(low, high)} (irql_overrides.tsv?)")
    if page is None:
        problem(name, "no manual page (/// lines above NT_EXPORT)")
    else:
        summary, headings, _ = page
        if not summary:
            problem(name, "manual page without a summary")
        for heading in HEADINGS:
            if not headings.get(heading):
                problem(name, f"manual page without '{heading}'")
        differs = headings.get("Differs from NT:", "").rstrip(".").lower()
        if record["fidelity"] != "full" and differs in ("", "none", "nothing"):
            problem(name, f"{record['fidelity']}, but 'Differs from NT:' gives no reason")
    if record["fidelity"] != "stub" and not record["tests"]:
        problem(name, "not a stub, but names no test")
    for pattern in record["tests"]:
        if not fnmatch.filter(tests, pattern):
            problem(name, f"test pattern '{pattern}' matches no test")


def markdown(records, documented, pages):
    counts = {level: sum(r["fidelity"] == level for r in records) for level in FIDELITIES}
    lines = ["# Exports of ntoskrnl.exe", "",
             "Generated by tools/exports.py; do not edit. IRQL: where the call is allowed. Documented IRQLs are Microsoft's",
             "(windows-driver-docs-ddi, CC BY 4.0).", "",
             f"{len(records)} exports: {counts['full']} full, {counts['partial']} partial, {counts['stub']} stubs.", "",
             "| Export | IRQL | Fidelity | Differs from NT | Tests |", "|---|---|---|---|---|"]
    for record in records:
        name = record["name"]
        page = pages.get(name)
        differs = page[1].get("Differs from NT:", "") if page else ""
        differs = "" if differs.rstrip(".").lower() in ("none", "nothing") else differs.replace("|", "\\|")
        irql = "data" if documented.get(name, ("",))[0] == "data" else irql_text(record["irql_min"], record["irql_max"])
        private = "" if name in documented else " (ours alone)"
        lines.append(f"| {name}{private} | {irql} | {record['fidelity']} | {differs} | {' '.join(record['tests'])} |")
    return "\n".join(lines) + "\n"


def write_if_different(path, text):
    path = pathlib.Path(path)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--source", required=True, type=pathlib.Path)
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    parser.add_argument("--lenient", action="store_true", help="report disagreements, but do not fail")
    options = parser.parse_args()

    problems = []

    def problem(name, text):
        problems.append(f"{name}: {text}")

    try:
        pe = Pe(pathlib.Path(options.image).read_bytes())
        exports = set(pe.export_names())
        records = read_records(pe, problem)
    except (OSError, PeError) as error:
        sys.exit(f"exports.py: cannot read {options.image}: {error}")
    data = options.source / "data"
    documented = {row[0]: row[1:4] for row in nt_exports.read_table(data / "nt_exports.tsv")}
    overrides = read_overrides(data / "irql_overrides.tsv")
    pages = read_pages(options.source)
    tests = read_tests(options.source)

    for name in sorted(exports - records.keys()):
        problem(name, "exported, but has no record (NT_EXPORT)")
    for name in sorted(records.keys() - exports):
        problem(name, "has a record, but is not exported")
    ordered = sorted(records.values(), key=lambda record: record["name"])
    for record in ordered:
        check_record(record, documented, overrides, pages.get(record["name"]), tests, problem)
        page = pages.get(record["name"])
        record["irql"] = irql_text(record["irql_min"], record["irql_max"])
        record["summary"] = page[0] if page else ""
        record["differs"] = page[1].get("Differs from NT:", "") if page else ""
        record["source"] = page[2].split(":")[0] if page else ""

    if options.json:
        write_if_different(options.json, json.dumps({"exports": ordered}, indent=1) + "\n")
    if options.markdown:
        write_if_different(options.markdown, markdown(ordered, documented, pages))
    for line in problems:
        print(f"{'warning' if options.lenient else 'error'}: export {line}", file=sys.stderr)
    if problems and not options.lenient:
        sys.exit(f"exports.py: {len(problems)} disagreements")


if __name__ == "__main__":
    main()
