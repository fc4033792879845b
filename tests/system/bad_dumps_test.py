#!/usr/bin/env python3
"""The debugger and damaged files: truncated and corrupted dumps, PDBs that do not fit or are damaged. One line or a warning
and partial answers; never a crash, never a hang."""
import random
import shutil
import unittest

import harness
from harness import GUEST

COMMANDS = "!mex.di; !mex.tl -t; !mex.running; k; lm"


class BadDumps(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = harness.Sandbox()
        cls.addClassCleanup(cls.shared.close)
        cls.dump = cls.shared.root / "memory.dmp"
        result = cls.shared.run("run", "--cpus", "2", "--dump", cls.dump, GUEST / "spinlock.sys")
        if result.returncode != harness.EXIT_BUGCHECK:
            raise AssertionError(f"no dump to damage: {result.stdout}{result.stderr}")

    def debug(self, dump, *options):
        result = self.bugcheck("debug", "-c", COMMANDS, *options, dump, timeout=60)
        self.assertGreaterEqual(result.returncode, 0, f"killed by a signal: {result.stderr}")
        self.assertNotIn("terminate called", result.stderr)
        return result

    def write(self, data, name="damaged.dmp"):
        path = self.sandbox.root / name
        path.write_bytes(data)
        return path

    def test_no_dump(self):
        for data in (b"", b"PAGE", b"PAGEDU64", b"\0" * 0x2000, b"no dump at all\n" * 1000):
            with self.subTest(data=data[:10]):
                result = self.debug(self.write(data))
                self.assertNotEqual(result.returncode, 0)
                self.assert_one_line_error(result)

    def test_truncated(self):
        data = self.dump.read_bytes()
        for size in (0x800, 0x2000, 0x3000, len(data) // 4, len(data) // 2, len(data) - 1):
            with self.subTest(size=size):
                result = self.debug(self.write(data[:size]))
                self.assertTrue(result.returncode != 0 or result.stderr.strip() or result.stdout.strip())

    def test_corrupted(self):
        data = self.dump.read_bytes()
        seed = 20260101
        generator = random.Random(seed)
        for run in range(12):
            with self.subTest(seed=seed, run=run):
                damaged = bytearray(data)
                # Half of the runs spoil the header and the bitmap, half the memory.
                limit = 0x4000 if run % 2 == 0 else len(damaged)
                for _ in range(200):
                    damaged[generator.randrange(8, limit)] = generator.randrange(256)
                self.debug(self.write(damaged))

    def test_symbols_that_do_not_fit_are_refused(self):
        folder = self.sandbox.root / "symbols"
        folder.mkdir()
        # The name fits, GUID and age do not.
        shutil.copy(GUEST / "good.pdb", folder / "ntkrnlmp.pdb")
        result = self.bugcheck("debug", "-c", "lm", "-y", folder, self.dump, timeout=60)
        self.assertIn("ntkrnlmp.pdb", result.stdout + result.stderr)
        self.assertRegex(result.stdout + result.stderr, "(?i)mismatch|does not match|GUID")

    def test_damaged_symbols(self):
        folder = self.sandbox.root / "symbols"
        folder.mkdir()
        data = (GUEST / "ntkrnlmp.pdb").read_bytes()
        generator = random.Random(7)
        for size in (0, 20, 4096, len(data) // 3, len(data) - 4096):
            with self.subTest(size=size):
                (folder / "ntkrnlmp.pdb").write_bytes(data[:size])
                self.debug(self.dump, "-y", folder)
        for run in range(6):
            with self.subTest(run=run):
                damaged = bytearray(data)
                for _ in range(500):
                    damaged[generator.randrange(64, len(damaged))] = generator.randrange(256)
                (folder / "ntkrnlmp.pdb").write_bytes(damaged)
                self.debug(self.dump, "-y", folder)


if __name__ == "__main__":
    harness.main()
