#!/usr/bin/env python3
"""tools/exports.py finds each disagreement that it promises to find: kernels of a few lines, linked here."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

GOOD = """
#include "nt/export.h"
/// Reads the state of an event.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReadStateEvent.
NT_EXPORT(KeReadStateEvent, nt::AtMost(2), Full, "KeEvent.Read*");
extern "C" long KeReadStateEvent(void*) { return 0; }
extern "C" void Entry() {}
"""
TESTS = "NT_TEST(KeEvent, ReadTellsTheState) {}\n"


class ExportsTool(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-exports-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "kernel").mkdir()
        shutil.copytree(harness.SOURCE / "data", self.root / "data")
        (self.root / "data/irql_overrides.tsv").write_text("name\tirql_min\tirql_max\treason\n")
        (self.root / "kernel/event_guest_test.cpp").write_text(TESTS)

    def check(self, source, replace=()):
        for old, new in replace:
            self.assertIn(old, source)
            source = source.replace(old, new)
        code = self.root / "kernel/event_exports.cpp"
        code.write_text(source)
        subprocess.run(["clang++-19", "--target=x86_64-pc-windows-msvc", "-std=c++20", "-ffreestanding", "-fms-extensions",
                        f"-I{harness.SOURCE}/kernel", "-c", code, "-o", self.root / "k.obj"], check=True)
        subprocess.run(["lld-link-19", self.root / "k.obj", "/driver", "/subsystem:native", "/nodefaultlib", "/entry:Entry",
                        f"/out:{self.root}/k.exe"], check=True)
        return self.tool(self.root / "k.exe")

    def tool(self, image):
        return subprocess.run([sys.executable, harness.SOURCE / "tools/exports.py", "--image", image, "--source", self.root,
                               "--json", self.root / "e.json", "--markdown", self.root / "e.md"], capture_output=True, text=True)

    def assert_found(self, result, text):
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(text, result.stderr)

    def test_a_kernel_without_disagreement_gives_the_table(self):
        result = self.check(GOOD)
        self.assertEqual(result.returncode, 0, result.stderr)
        table = json.loads((self.root / "e.json").read_text())["exports"]
        self.assertEqual([(e["name"], e["irql"], e["fidelity"]) for e in table],
                         [("KeReadStateEvent", "<= DISPATCH_LEVEL", "full")])
        self.assertIn("| KeReadStateEvent | <= DISPATCH_LEVEL | full |", (self.root / "e.md").read_text())

    def test_an_export_without_a_record(self):
        extra = '__pragma(comment(linker, "/export:Naked"))\nextern "C" long Naked() { return 0; }\n'
        self.assert_found(self.check(GOOD + extra), "Naked: exported, but has no record")

    def test_a_record_without_an_export(self):
        result = self.check(GOOD, [("NT_EXPORT(", "NT_EXPORT_RECORD(")])
        self.assert_found(result, "KeReadStateEvent: has a record, but is not exported")

    def test_an_irql_that_is_not_the_documented_one(self):
        self.assert_found(self.check(GOOD, [("AtMost(2)", "AnyIrql()")]), "but the documentation says <= DISPATCH_LEVEL")

    def test_a_reviewed_override_is_taken(self):
        (self.root / "data/irql_overrides.tsv").write_text("KeReadStateEvent\t0\t15\tonly reads a field\n")
        result = self.check(GOOD, [("AtMost(2)", "AnyIrql()")])
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_missing_heading(self):
        self.assert_found(self.check(GOOD, [("/// Source: WDK wdm/KeReadStateEvent.\n", "")]), "manual page without 'Source:'")

    def test_a_missing_page(self):
        self.assert_found(self.check(GOOD.replace("///", "//")), "manual page without a summary")

    def test_a_stub_without_a_reason(self):
        self.assert_found(self.check(GOOD, [("Full", "Stub")]), "gives no reason")

    def test_a_pattern_that_matches_no_test(self):
        self.assert_found(self.check(GOOD, [("KeEvent.Read*", "KeEvent.Write*")]), "matches no test")

    def test_an_image_that_is_cut_short(self):
        self.check(GOOD)
        data = (self.root / "k.exe").read_bytes()
        for size in (0, 10, 100, 300, 600):
            (self.root / "cut.exe").write_bytes(data[:size])
            result = self.tool(self.root / "cut.exe")
            self.assertNotEqual(result.returncode, 0)
            self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    harness.main()
