#!/usr/bin/env python3
"""Pageable memory leaves by itself when free pages run low (boot option low-pages), keeps its contents, and stays where it is before."""
import re

import harness

LOW_PAGES = 6000  # as in drivers/pressure.c


class Pressure(harness.SystemTest):
    def test_paged_pool_and_code_leave_under_pressure(self):
        for cpus in (1, 4):
            console = self.sandbox.root / f"console{cpus}.log"
            self.bugcheck("run", "--cpus", cpus, "--memory", "64M", "--timeout", "100s", "--boot-options", f"low-pages={LOW_PAGES}",
                          "--console", console, harness.GUEST / "pressure.sys", expect=harness.EXIT_CLEAN)
            text = console.read_text(errors="replace")
            found = re.search(r"pressure: (\d+) pages gone before, (\d+) after, code (\w+), (\d+) pages available", text)
            self.assertTrue(found, text)
            before, after, code, available = found.groups()
            self.assertEqual(int(before), 0, text)
            self.assertGreater(int(after), 100, text)
            self.assertEqual(code, "gone", text)
            self.assertGreaterEqual(int(available), LOW_PAGES)
            self.assertIn("pressure: 0 words wrong, the code answers 7", text)


if __name__ == "__main__":
    harness.main()
