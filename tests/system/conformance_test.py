#!/usr/bin/env python3
"""The guest tests of the modules are the conformance suite: their drivers execute at least 8,000 checks, each module its share.

usage: conformance_test.py
"""
import re

import harness

# Module: the fewest checks that its driver executes on one processor.
LEAST = {"io": 1000, "ob": 300, "ps": 30, "cm": 500, "se": 1000, "rtl": 10000, "ex": 10000}
TOTAL = 8000


class Conformance(harness.SystemTest):
    def checks(self, module):
        console = self.sandbox.root / f"{module}.log"
        self.verdict(harness.GUEST / f"{module}_module_guest_tests.sys", "--cpus", 1, "--timeout", "120s", "--console", console,
                     expect=harness.EXIT_CLEAN, timeout=200)
        done = re.search(r"\[test\] done: (\d+) passed, 0 failed, (\d+) checks", console.read_text(errors="replace"))
        self.assertIsNotNone(done, module)
        return int(done.group(2))

    def test_enough_checks(self):
        counts = {module: self.checks(module) for module in LEAST}
        print("checks: " + ", ".join(f"{module} {count}" for module, count in counts.items()) + f", total {sum(counts.values())}")
        for module, least in LEAST.items():
            self.assertGreaterEqual(counts[module], least, counts)
        self.assertGreaterEqual(sum(counts.values()), TOTAL, counts)


if __name__ == "__main__":
    harness.main()
