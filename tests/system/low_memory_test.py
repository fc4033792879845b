#!/usr/bin/env python3
"""Allocations of the kernel fail on purpose while the low_memory sample asks for all kinds of things: the kernel survives, and
what it refused it has given back.

usage: low_memory_test.py [--seeds N]
"""
import argparse
import random
import re
import sys
import unittest

from harness import GUEST, Sandbox

SEEDS = 2


class LowMemory(unittest.TestCase):
    def setUp(self):
        self.sandbox = Sandbox()
        self.addCleanup(self.sandbox.close)

    def run_with(self, options, cpus):
        console = self.sandbox.root / "console.log"
        run = self.sandbox.run("run", "--cpus", cpus, "--timeout", "110s", "--boot-options", options, "--console", console,
                               GUEST / "low_memory.sys")
        text = console.read_text(errors="replace")
        story = f"{options}, {cpus} processors\n{run.stdout}\n{run.stderr}\n{text[-4000:]}"
        self.assertEqual(run.returncode, 0, story)
        injected = re.search(r"pool faults: (\d+) allocations failed on purpose, at (\d+) call sites", text)
        calls = re.search(r"low_memory: (\d+) calls succeeded, (\d+) were refused", text)
        self.assertTrue(injected and calls, story)
        print(f"{options}, {cpus} processors: {injected.group(0)}; {calls.group(0)}", flush=True)
        return [int(n) for n in (*injected.groups(), *calls.groups())]

    def test_each_call_site_fails_once(self):
        injected, sites, succeeded, refused = self.run_with("fail-pool=1", 2)
        self.assertEqual(injected, sites)
        self.assertGreater(sites, 10)
        self.assertGreater(refused, 10)
        self.assertGreater(succeeded, 500)

    def test_one_allocation_in_some_fails(self):
        for _ in range(SEEDS):
            seed = random.SystemRandom().randrange(1, 1 << 31)
            injected, _sites, succeeded, refused = self.run_with(f"fail-pool={random.choice((3, 10, 40))} fail-pool-seed={seed}", 4)
            self.assertGreater(injected, 20)
            self.assertGreater(succeeded + refused, 500)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options, rest = parser.parse_known_args()
    SEEDS = options.seeds
    unittest.main(argv=[sys.argv[0], *rest])
