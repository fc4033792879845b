#!/usr/bin/env python3
"""The spin-lock sample again and again, with 2 and with 6 processors: always exit 3 and 0xD1 (A, 2, 8, A).

usage: repeat_test.py --runs N
"""
import argparse
import collections
import sys
import time
import unittest

import harness


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    times = collections.defaultdict(list)

    class Repeat(harness.SystemTest):
        def test_always_the_same_bug_check(self):
            for cpus in (2, 6):
                for run in range(options.runs):
                    with self.subTest(cpus=cpus, run=run):
                        start = time.monotonic()
                        verdict = self.verdict(harness.GUEST / "spinlock.sys", "--cpus", cpus, expect=harness.EXIT_BUGCHECK)
                        times[cpus].append(time.monotonic() - start)
                        harness.check_spinlock_crash(self, verdict)
            self.assert_nothing_left_behind()

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Repeat)
    good = unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful()
    for cpus, seconds in times.items():
        seconds.sort()
        print(f"{cpus} processors: {len(seconds)} runs, median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
