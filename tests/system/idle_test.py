#!/usr/bin/env python3
"""A machine that waits takes under 5 % of a host core, however many processors it has: the processor time of its processes
against the time that passed."""
import os
import sys
import time
import unittest

import harness

SETTLE, MEASURE = 2.0, 5.0  # seconds
MOST = 0.05


def processor_seconds(pids):
    """User and system time that these processes have used; ended ones count as none."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Idle(harness.SystemTest):
    def test_a_waiting_machine_costs_little(self):
        for cpus in (1, 8):
            with self.subTest(cpus=cpus):
                self.bugcheck("up", "--cpus", cpus, expect=0)
                try:
                    time.sleep(SETTLE)
                    pids = [text.split()[0] for text in self.sandbox.processes()]
                    self.assertTrue(pids, "no process of the machine was found")
                    start, before = time.monotonic(), processor_seconds(pids)
                    time.sleep(MEASURE)
                    used, passed = processor_seconds(pids) - before, time.monotonic() - start
                finally:
                    self.bugcheck("down", expect=0)
                print(f"{cpus} processors: {100 * used / passed:.2f} % of a host core", file=sys.stderr)
                self.assertLess(used / passed, MOST)


if __name__ == "__main__":
    harness.main()
