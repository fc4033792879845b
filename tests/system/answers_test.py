#!/usr/bin/env python3
"""What the debugger says of the spin-lock sample's dump: the case study's answers, from a dump of a moment ago."""
import re
import unittest

import harness
from harness import GUEST


class Answers(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = harness.Sandbox()
        cls.addClassCleanup(cls.shared.close)
        cls.dump = cls.shared.root / "memory.dmp"
        result = cls.shared.run("run", "--cpus", "6", "--dump", cls.dump, GUEST / "spinlock.sys")
        if result.returncode != harness.EXIT_BUGCHECK:
            raise AssertionError(f"no dump: {result.stdout}{result.stderr}")

    def ask(self, *commands):
        result = self.bugcheck("debug", "-c", "; ".join(commands), self.dump, expect=0, timeout=60)
        return result.stdout

    def test_di(self):
        text = self.ask("!mex.di")
        self.assertRegex(text, r"Windows 10 Kernel Version 22621 MP \(6 procs\) Free x64")
        self.assertRegex(text, r"Bugcheck: D1 \(([0-9A-F]+), 2, 8, \1\)")

    def test_tl_counts_both_threads_as_running(self):
        text = self.ask("!mex.tl -t")
        # Column widths grow with what is in them.
        self.assertEqual(len(re.findall(r"(?m)^PID +Address +Name +!! Rn Ry Bk Lc IO Er$", text)), 2, text)
        self.assertRegex(text, r"(?m)^0x0 +0n0 +[0-9a-f]{16} Idle +\. +6 ")
        self.assertRegex(text, r"(?m)^0x4 +0n4 +[0-9a-f]{16} System +[0-9.]+ +[2-6] ")

    def threads(self):
        text = self.ask("!mex.running")
        rows = re.findall(r"(?m)^System +4 ([0-9a-f]{16}) ", text)
        # The two that fight; a worker of the kernel may have been running beside them.
        self.assertGreaterEqual(len(rows), 2, text)
        return rows

    def test_one_thread_spins_and_one_crashed(self):
        stacks = [self.ask(f"!mex.t {address}") for address in self.threads()]
        spinning = [text for text in stacks if "nt!KxWaitForSpinLockAndAcquire" in text]
        crashed = [text for text in stacks if "nt!KeBugCheckEx" in text]
        self.assertEqual((len(spinning), len(crashed)), (1, 1), "\n".join(stacks))
        for frame in ("nt!KeAcquireSpinLockRaiseToDpc", "spinlock!", "nt!PspSystemThreadStartup", "nt!KiStartSystemThread"):
            self.assertIn(frame, spinning[0])
        for frame in ("nt!KiPageFault", "hostfs!", "nt!ZwCreateFile", "spinlock!", "nt!PspSystemThreadStartup"):
            self.assertIn(frame, crashed[0])

    def test_analyze_tells_the_story(self):
        text = self.ask("!analyze -v")
        for part in ("DRIVER_IRQL_NOT_LESS_OR_EQUAL", "ZwCreateFile", "DISPATCH_LEVEL", "PASSIVE_LEVEL", "spin lock",
                     "hostfs", "25"):
            self.assertIn(part, text)

    def test_bugcheck_and_registers(self):
        self.assertIn("D1", self.ask(".bugcheck"))
        self.assertRegex(self.ask("r"), r"rip=[0-9a-f]{16}")
        self.assertRegex(self.ask("lm"), r"(?i)hostfs")


if __name__ == "__main__":
    harness.main()
