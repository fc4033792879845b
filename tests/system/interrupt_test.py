#!/usr/bin/env python3
"""Ctrl-C, a killed QEMU, two machines at once: nothing stays behind, nobody is disturbed."""
import os
import re
import signal
import time
import unittest

import harness
from harness import GUEST


class Interrupt(harness.SystemTest):
    def wait_for_qemu(self, deadline=20):
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            # Not the accelerator's probe, which comes first and is short.
            found = [text for text in self.sandbox.processes() if re.search(r"qemu-system\S* -name bugcheck ", text)]
            if found:
                return int(found[0].split()[0])
            time.sleep(0.02)
        self.fail("QEMU did not start")

    def test_signals_end_the_run_and_the_machine(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for delay in (0.0, 0.05, 0.5):
                with self.subTest(signal=number.name, delay=delay):
                    process = self.sandbox.start("run", "--timeout", "60s", GUEST / "entry_hang.sys")
                    self.wait_for_qemu()
                    time.sleep(delay)
                    process.send_signal(number)
                    out, err = process.communicate(timeout=20)
                    self.assertNotEqual(process.returncode, 0, out + err)
                    self.assert_nothing_left_behind()

    def test_a_qemu_that_dies_is_told(self):
        process = self.sandbox.start("run", "--timeout", "60s", GUEST / "entry_hang.sys")
        pid = self.wait_for_qemu()
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, harness.EXIT_INTERNAL, out + err)
        self.assertRegex(err, r"(?mi)^bugcheck: .*(qemu|machine)")
        self.assert_nothing_left_behind()

    def test_two_at_once(self):
        first = self.sandbox.start("run", "--dump", self.sandbox.root / "a.dmp", GUEST / "spinlock.sys")
        second = self.sandbox.start("run", "--dump", self.sandbox.root / "b.dmp", GUEST / "good.sys")
        out, err = first.communicate(timeout=120)
        self.assertEqual(first.returncode, harness.EXIT_BUGCHECK, out + err)
        out, err = second.communicate(timeout=120)
        self.assertEqual(second.returncode, harness.EXIT_CLEAN, out + err)
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
