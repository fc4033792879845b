#!/usr/bin/env python3
"""A sample of samples/bugchecks earns its bug check: code, parameters by kind, stack, blamed driver, bucket.

usage: bugcheck_samples_test.py ROW       one row of samples/bugchecks/expected.tsv (its columns: README.md there)
       bugcheck_samples_test.py --table   every row has a sample and makes sense, every sample has a row
"""
import fnmatch
import json
import re
import sys
import types
import unittest

import harness

FOLDER = harness.SOURCE / "samples" / "bugchecks"
COLUMNS = ["sample", "code", "p1", "p2", "p3", "p4", "module", "frames", "bucket", "cpus", "options"]
PARAMETERS = ["p1", "p2", "p3", "p4"]
EXCEPTIONS = [0x1E, 0x3B, 0x7E]  # parameter 2 is the instruction
SLOW_HOST = ["--timeout", "300s"]  # a busy host must not turn a crash into a hang

POOLS = {"nonpaged-pool": "NonPagedPool", "paged-pool": "PagedPool", "special-pool": "SpecialPool"}
USAGES = {**POOLS, "unloaded-image": "UnloadedImage", "system-pte": "SystemPtes", "user": "User",
          "not-canonical": "NotCanonical", "prcb": "Pcr"}
IO_TYPES = {"irp": ("_IRP", 6), "driver-object": ("_DRIVER_OBJECT", 4), "device-object": ("_DEVICE_OBJECT", 3),
            "file-object": ("_FILE_OBJECT", 5)}
DISPATCHER_TYPES = {"thread": ("_KTHREAD", 6), "process": ("_KPROCESS", 3)}
PLACES = {"trap-frame": ("_KTRAP_FRAME", "Rip"), "exception-record": ("_EXCEPTION_RECORD", "ExceptionAddress"),
          "context": ("_CONTEXT", "Rip")}
OTHER_KINDS = ["any", "nonzero", "small", "image-code", "image-data", "kernel-code", "kernel-data", "pageable", "pool",
               "stack", "system", "object-type"]
KINDS = [*USAGES, *IO_TYPES, *DISPATCHER_TYPES, *PLACES, *OTHER_KINDS]


class TableError(Exception):
    pass


def parse_row(number, line):
    fields = line.split("\t")
    if len(fields) == len(COLUMNS) - 1:
        fields.append("")
    if len(fields) != len(COLUMNS):
        raise TableError(f"expected.tsv:{number}: {len(fields)} fields, {len(COLUMNS)} expected")
    row = types.SimpleNamespace(**dict(zip(COLUMNS, fields)), number=number)
    row.driver = row.sample.partition("@")[0]
    try:
        row.code_value = int(row.code, 16)
        row.cpu_list = [int(value) for value in row.cpus.split(",")]
    except ValueError as error:
        raise TableError(f"expected.tsv:{number}: {error}") from None
    for name in PARAMETERS:
        for alternative in getattr(row, name).split("|"):
            for part in alternative.split(","):
                if not (re.fullmatch(r"0x[0-9A-Fa-f]+|=p[1-4]", part) or part in KINDS):
                    raise TableError(f"expected.tsv:{number}: {name}: {part!r} is neither a value nor a kind")
    for name in ("module", "frames", "bucket"):
        if not getattr(row, name):
            raise TableError(f"expected.tsv:{number}: {name} is empty")
    return row


def read_table():
    rows = []
    for number, line in enumerate((FOLDER / "expected.tsv").read_text(encoding="utf-8").splitlines(), 1):
        if line and not line.startswith(("#", "sample\t")):
            rows.append(parse_row(number, line))
    return rows


class Table(unittest.TestCase):
    def test_every_row_has_a_sample_and_every_sample_a_row(self):
        rows = read_table()
        names = [row.sample for row in rows]
        self.assertEqual(sorted(names), sorted(set(names)), "a row twice")
        self.assertEqual({row.driver for row in rows}, {path.stem for path in FOLDER.glob("*.c")})

    def test_every_sample_says_what_it_does_wrong(self):
        for path in sorted(FOLDER.glob("*.c")):
            self.assertTrue(path.read_text(encoding="utf-8").startswith("/*"), path.name)

    def test_a_broken_row_is_refused(self):
        good = ["x", "0xD1", "any", "0x2", "0x0|0x1", "image-code,pageable", "self", "nt!*", "*", "2", ""]
        self.assertEqual(parse_row(1, "\t".join(good)).code_value, 0xD1)
        for column, value in ((1, "D1h"), (2, "anything"), (6, ""), (9, "two")):
            with self.assertRaises(TableError):
                parse_row(1, "\t".join(good[:column] + [value] + good[column + 1:]))
        with self.assertRaises(TableError):
            parse_row(1, "\t".join(good[:5]))


class Dump:
    """Questions to `bugcheck debug` about one dump."""

    def __init__(self, test, path):
        self.test, self.path, self.answers = test, path, {}

    def ask(self, command, may_fail=False):
        if command not in self.answers:
            result = self.test.bugcheck("debug", "--json", "-y", harness.GUEST / "bugchecks", "-c", command, self.path,
                                        timeout=300)
            try:
                self.answers[command] = json.loads(result.stdout)["commands"][0]
            except (ValueError, LookupError):
                self.test.fail(f"{command}: no answer\n{result.stdout}\n{result.stderr}")
        answer = self.answers[command]
        if answer["failed"] and not may_fail:
            self.test.fail(f"{command} failed: {answer['output']}")
        return answer

    def address(self, value):
        return self.ask(f"!address {value:x}")["facts"]

    def field(self, record, value, field):
        """A field of a record at `value`, as a number; None where it cannot be read."""
        answer = self.ask(f"dt nt!{record} {value:x} {field}", may_fail=True)
        for line in answer["output"]:
            match = re.search(rf"\b{re.escape(field)}\s*: (0x[0-9a-f`]+|0n-?\d+|-?\d+)", line)
            if match:
                text = match.group(1).replace("`", "")
                return int(text[2:]) if text.startswith("0n") else int(text, 0)
        return None

    def is_code(self, value):
        return self.address(value)["Usage"] == "Image" and ", code" in self.address(value).get("Section", "")


def in_image(facts, kernel, code):
    return (facts["Usage"] == "Image" and (facts.get("Module") == "nt") == kernel
            and (", code" in facts.get("Section", "")) == code)


def is_object_type(dump, value):
    name = dump.ask(f"dt nt!_OBJECT_TYPE {value:x} Name", may_fail=True)
    return any(re.search(r'Name\s*: .*"[A-Za-z]+"', line) for line in name["output"])


def has_kind(dump, value, kind):
    if kind in ("any", "nonzero", "small"):
        return kind == "any" or (value != 0 if kind == "nonzero" else value < 0x10000)
    if kind in IO_TYPES:
        return dump.field(IO_TYPES[kind][0], value, "Type") == IO_TYPES[kind][1]
    if kind in DISPATCHER_TYPES:
        record, number = DISPATCHER_TYPES[kind]
        header = dump.ask(f"dt -r1 nt!{record} {value:x} Header", may_fail=True)["output"]
        return any(re.search(rf"\bType\s*: (0x)?0*{number:x}( |$)", line) for line in header)
    if kind in PLACES:
        record, field = PLACES[kind]
        place = dump.field(record, value, field)
        return place is not None and dump.is_code(place)
    if kind == "object-type":
        return is_object_type(dump, value)
    facts = dump.address(value)
    if kind in USAGES:
        return facts["Usage"] == USAGES[kind]
    return {"image-code": lambda: in_image(facts, False, True), "image-data": lambda: in_image(facts, False, False),
            "kernel-code": lambda: in_image(facts, True, True), "kernel-data": lambda: in_image(facts, True, False),
            "pageable": lambda: "pageable" in facts.get("Section", ""), "pool": lambda: facts["Usage"] in POOLS.values(),
            "stack": lambda: facts["Usage"] in ("Stack", "DpcStack"),
            "system": lambda: facts["Usage"] not in ("User", "NotCanonical")}[kind]()


class Sample(harness.SystemTest):
    row = None

    def matches(self, dump, parameters, index):
        value = parameters[index]

        def holds(part):
            if part.startswith("=p"):
                return value == parameters[int(part[2]) - 1]
            return value == int(part, 16) if part.startswith("0x") else has_kind(dump, value, part)

        wanted = getattr(self.row, PARAMETERS[index])
        return any(all(holds(part) for part in alternative.split(",")) for alternative in wanted.split("|"))

    def own(self, pattern):
        return re.sub(r"\bself(?=!|$)", self.row.driver, pattern)

    def check_stack(self, names, story):
        rest = iter([name.partition("+0x")[0] for name in names])
        for pattern in self.own(self.row.frames).split():
            self.assertTrue(any(fnmatch.fnmatchcase(name, pattern) for name in rest),
                            f"no frame {pattern} (in this order) among {names}\n{story}")

    def check_dump(self, dump, parameters, story):
        facts = dump.ask("!analyze -v")["facts"]
        module = f"{self.row.driver}.sys" if self.row.module == "self" else self.row.module
        self.assertEqual(facts.get("IMAGE_NAME", "").lower(), module.lower(), f"the blamed image\n{story}")
        bucket = facts.get("FAILURE_BUCKET_ID", "")
        pattern = re.sub(r"(?<![A-Za-z0-9])self(?=!)", self.row.driver, self.own(self.row.bucket))
        self.assertTrue(fnmatch.fnmatchcase(bucket, pattern), f"bucket {bucket}, expected {pattern}\n{story}")
        self.assertTrue(facts.get("IN_PLAIN_WORDS") or facts.get("BUGCHECK_TEXT"), f"no explanation\n{story}")
        if self.row.code_value in EXCEPTIONS:  # the frames that dispatched it are not where it happened
            self.assertIn(f"({parameters[1]:016x})", facts.get("FAULTING_IP", ""), story)
        self.check_stack([line[2] for line in dump.ask("!analyze -v")["tables"][-1]["rows"]], story)

    def check(self, cpus):
        driver = harness.GUEST / "bugchecks" / f"{self.row.driver}.sys"
        verdict = self.verdict(driver, "--cpus", cpus, *SLOW_HOST, *self.row.options.split(),
                               expect=harness.EXIT_BUGCHECK, timeout=500)
        crash = verdict["bugcheck"]
        dump = Dump(self, self.sandbox.root / "memory.dmp")
        story = "\n".join([json.dumps(crash, indent=1), *dump.ask("!analyze -v")["output"]])
        parameters = [int(value, 16) for value in crash["parameters"]]
        self.assertEqual(int(crash["code"], 16), self.row.code_value, story)
        for index, name in enumerate(PARAMETERS):
            self.assertTrue(self.matches(dump, parameters, index),
                            f"{name} is {parameters[index]:#x}, expected {getattr(self.row, name)}\n{story}")
        self.check_dump(dump, parameters, story)

    def test_sample(self):
        for cpus in self.row.cpu_list:
            with self.subTest(cpus=cpus):
                self.check(cpus)
        self.assert_nothing_left_behind()


def load(argument):
    if argument == "--table":
        return unittest.defaultTestLoader.loadTestsFromTestCase(Table)
    rows = [row for row in read_table() if row.sample == argument]
    if len(rows) != 1:
        sys.exit(f"expected.tsv has {len(rows)} rows {argument!r}")
    Sample.row = rows[0]
    return unittest.defaultTestLoader.loadTestsFromTestCase(Sample)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if unittest.TextTestRunner(verbosity=2).run(load(sys.argv[1])).wasSuccessful() else 1)
