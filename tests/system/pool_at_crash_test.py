#!/usr/bin/env python3
"""Damage in the pool that had nothing to do with the crash is found at the crash and told by the debugger."""
import re

import harness

SAMPLES = harness.GUEST / "bugchecks"


class PoolAtCrash(harness.SystemTest):
    def crash(self, sample, commands, folder=SAMPLES):
        dump = self.sandbox.root / "memory.dmp"
        self.verdict(folder / f"{sample}.sys", "--cpus", "2", expect=harness.EXIT_BUGCHECK)
        return self.bugcheck("debug", "-c", commands, dump, expect=0).stdout

    def test_an_overrun_is_named_though_the_crash_is_another(self):
        text = self.crash("pool_overrun_then_crash", "!poolval; .echo ANALYSIS; !analyze -v")
        poolval, _, analysis = text.partition("ANALYSIS")
        self.assertRegex(poolval, r"The kernel looked at [1-9]\d* pages of blocks when it crashed; \d+ were left out: 1 damaged\.")
        self.assertIn("(d1)", analysis)
        for part in (poolval, analysis):
            self.assertRegex(part, r"the header behind the block is damaged: \S+, tag Over, 0x64 bytes, "
                                   r"allocated at pool_overrun_then_crash[!+]")
            self.assertIn("7878787878787878 stands there", part)

    def test_each_kind_of_damage_is_named(self):
        text = self.crash("pool_damage", "!poolval", harness.GUEST)
        self.assertIn("3 damaged.", text)
        self.assertRegex(text, r"the bytes behind the block were overwritten: \S+, tag Bhnd, 0x64 bytes, allocated at pool_damage")
        self.assertRegex(text, r"the bytes behind the block were overwritten: \S+, tag Page, 0x10c8 bytes, allocated at pool_damage")
        self.assertRegex(text, r"the block was written to after its free: \S+, tag Free, 0x64 bytes, allocated at pool_damage")

    def test_whole_pools_are_not_accused(self):
        text = self.crash("caught_too_high", "!poolval; !analyze -v")
        self.assertRegex(text, r"The kernel looked at [1-9]\d* pages of blocks when it crashed; \d+ were left out: 0 damaged\.")
        self.assertIsNone(re.search("The pool was damaged", text))


if __name__ == "__main__":
    harness.main()
