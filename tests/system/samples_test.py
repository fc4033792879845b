#!/usr/bin/env python3
"""Each sample has the outcome that the top of its source announces: exit status, verdict, dump, nothing left behind."""
import unittest

import harness
from harness import GUEST


class Samples(harness.SystemTest):
    def tearDown(self):
        self.assert_nothing_left_behind()

    def test_good_is_clean(self):
        for cpus in (1, 2, 6):
            with self.subTest(cpus=cpus):
                verdict = self.verdict(GUEST / "good.sys", "--cpus", cpus, expect=harness.EXIT_CLEAN)
                self.assertEqual(verdict["outcome"], "clean")
                self.assertEqual(verdict["left_behind"], [])
                self.assertFalse((self.sandbox.root / "memory.dmp").exists())

    def test_servers_without_programs_are_clean(self):
        for name in ("ioctl_server.sys", "cancel_queue.sys"):  # tests/kit has their programs
            with self.subTest(name=name):
                self.assertEqual(self.verdict(GUEST / name, expect=harness.EXIT_CLEAN)["left_behind"], [])

    def test_edu_runs_its_device(self):
        console = self.sandbox.root / "console.log"
        verdict = self.verdict(GUEST / "edu.sys", "--device", "edu", "--console", console, expect=harness.EXIT_CLEAN)
        self.assertEqual(verdict["left_behind"], [])
        self.assertIn("edu: started: line interrupts", console.read_text())

    def test_unknown_device_is_a_usage_error(self):
        result = self.sandbox.run("run", "--device", "toaster", GUEST / "edu.sys")
        self.assertEqual(result.returncode, harness.EXIT_USAGE)
        self.assertIn("--device: there is no 'toaster'; there are: edu", result.stderr)

    def test_spinlock_stops_the_machine(self):
        verdict = self.verdict(GUEST / "spinlock.sys", expect=harness.EXIT_BUGCHECK)
        self.assertEqual(verdict["outcome"], "bugcheck")
        harness.check_spinlock_crash(self, verdict)
        dump = (self.sandbox.root / "memory.dmp").read_bytes()[:0x1000]
        self.assertEqual(dump[:8], b"PAGEDU64")
        self.assertEqual(int.from_bytes(dump[0x38:0x3C], "little"), 0xD1)

    def test_spinlock_fixed_moves_all_files(self):
        drive = self.sandbox.root / "drive"
        drive.mkdir()
        verdict = self.verdict(GUEST / "spinlock_fixed.sys", "--drive-c", drive, expect=harness.EXIT_CLEAN)
        self.assertEqual(verdict["left_behind"], [])
        self.assertEqual(sorted(p.name for p in (drive / "Temp").iterdir()), [])
        moved = {p.name: p for p in (drive / "Temp2").iterdir()}
        self.assertEqual(set(moved), {f"moved_{n}.txt" for n in range(1000)})
        for path in moved.values():
            self.assertEqual(path.read_bytes(), b"One line of a report.\r\n" * 100)

    def test_hang_names_the_threads(self):
        verdict = self.verdict(GUEST / "hang.sys", "--timeout", "6s", "--keep-running", "1s", expect=harness.EXIT_HANG)
        self.assertEqual(verdict["outcome"], "hang")
        self.assertGreaterEqual(len(verdict["threads"]), 2, verdict)
        self.assertTrue((self.sandbox.root / "memory.dmp").exists())

    def test_entry_hang(self):
        verdict = self.verdict(GUEST / "entry_hang.sys", "--timeout", "4s", expect=harness.EXIT_HANG)
        self.assertEqual(verdict["outcome"], "hang")

    def test_load_failure_gives_the_status(self):
        verdict = self.verdict(GUEST / "load_failure.sys", expect=harness.EXIT_NOT_LOADED)
        self.assertEqual(verdict["outcome"], "not_loaded")
        self.assertEqual(int(verdict["status"], 16), 0xC0000182)
        self.assertIn("STATUS_DEVICE_CONFIGURATION_ERROR", self.result.stdout + self.result.stderr)

    def test_missing_import_names_them_all(self):
        verdict = self.verdict(GUEST / "missing_import.sys", expect=harness.EXIT_NOT_LOADED)
        self.assertEqual(verdict["outcome"], "not_loaded")
        text = self.result.stdout + self.result.stderr + str(verdict)
        for name in ("KeInventQuantum", "IoSummonDevice"):
            self.assertIn(name, text)

    def test_cxx_exceptions_are_refused_with_the_reason(self):
        verdict = self.verdict(GUEST / "cxx_exceptions.sys", expect=harness.EXIT_NOT_LOADED)
        self.assertEqual((verdict["outcome"], verdict["missing_imports"]), ("not_loaded", []))
        self.assertIn("C++ exceptions are not supported in kernel mode", self.result.stdout + self.result.stderr)
        self.assertIn("ntoskrnl.exe!_CxxThrowException", self.result.stdout + self.result.stderr)

    def test_raised_irql_is_told(self):
        verdict = self.verdict(GUEST / "raised_irql.sys", expect=harness.EXIT_BUGCHECK)
        self.assertEqual(verdict["outcome"], "bugcheck")

    def test_leaky_is_told_what_it_left(self):
        verdict = self.verdict(GUEST / "leaky.sys", "--keep-running", "1s", expect=harness.EXIT_LEFT_BEHIND)
        text = " ".join(verdict["left_behind"]).lower()
        for what in ("thread", "device", "pool"):
            self.assertIn(what, text)


if __name__ == "__main__":
    harness.main()
