#!/usr/bin/env python3
"""A live dump (0x161) is taken while the driver works; the machine goes on to a clean end, and the dump can be read."""
import harness


class LiveDump(harness.SystemTest):
    def test_the_machine_goes_on(self):
        for cpus in (1, 4):
            with self.subTest(cpus=cpus):
                dump = self.sandbox.root / "live.dmp"
                verdict = self.verdict(harness.GUEST / "good.sys", "--cpus", cpus, "--live-dump", dump, "--timeout", "300s",
                                       expect=harness.EXIT_CLEAN, timeout=500)
                self.assertEqual(verdict["outcome"], "clean")
                text = self.bugcheck("debug", "-c", ".bugcheck; !mex.tl; ~0s; k; !analyze -v", dump, expect=0, timeout=300).stdout
                self.assertIn("LIVE_SYSTEM_DUMP (161)", text)
                self.assertIn("System", text)
                self.assertIn("nt!", text)
                self.assertEqual(int.from_bytes(dump.read_bytes()[0x34:0x38], "little"), cpus)
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
