#!/usr/bin/env python3
"""What can be wrong around a run: no QEMU, too little memory, places that cannot be written, a full disk. One line, an exit
status, nothing left behind."""
import os
import pathlib
import shutil
import subprocess
import unittest

import harness
from harness import GUEST


class BadMachines(harness.SystemTest):
    def tearDown(self):
        self.assert_nothing_left_behind()

    def fails(self, *arguments, says, status=(harness.EXIT_INTERNAL, harness.EXIT_USAGE), environment=None):
        result = self.bugcheck(*arguments, environment=environment)
        self.assertIn(result.returncode, status, result.stdout + result.stderr)
        self.assert_one_line_error(result)
        self.assertRegex(result.stderr, says)

    def test_no_qemu(self):
        environment = dict(self.sandbox.environment, PATH="/nonexistent")
        self.fails("run", GUEST / "good.sys", says="(?i)qemu", environment=environment)

    def test_too_little_memory(self):
        self.fails("run", "--memory", "4M", GUEST / "good.sys", says="(?i)memory")

    def test_memory_that_is_no_size(self):
        self.fails("run", "--memory", "plenty", GUEST / "good.sys", says="(?i)memory", status=(harness.EXIT_USAGE,))

    def test_processors_out_of_range(self):
        for cpus in ("0", "33", "six"):
            with self.subTest(cpus=cpus):
                self.fails("run", "--cpus", cpus, GUEST / "good.sys", says="(?i)cpus|processor", status=(harness.EXIT_USAGE,))

    def test_usage(self):
        for arguments in ((), ("run",), ("run", "--no-such-option", "x.sys"), ("nonsense",)):
            with self.subTest(arguments=arguments):
                result = self.bugcheck(*arguments)
                self.assertEqual(result.returncode, harness.EXIT_USAGE, result.stdout + result.stderr)
                self.assertTrue(result.stderr.strip() or result.stdout.strip())

    def test_drive_that_is_no_folder(self):
        path = self.sandbox.root / "a-file"
        path.write_text("")
        self.fails("run", "--drive-c", path, GUEST / "good.sys", says="a-file")

    def test_dump_path_that_cannot_be_written(self):
        path = self.sandbox.root / "absent" / "memory.dmp"
        self.fails("run", "--dump", path, GUEST / "spinlock.sys", says="memory.dmp",
                   status=(harness.EXIT_INTERNAL, harness.EXIT_USAGE))

    def test_disk_full_while_the_dump_is_written(self):
        folder = self.sandbox.root / "small"
        folder.mkdir()
        # A name space of its own lets an ordinary user mount a small tmpfs too.
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
            self.addCleanup(subprocess.run, ["umount", str(folder)], check=False)
        else:
            self.skipTest("mounting a tmpfs needs root")
        dump = folder / "memory.dmp"
        result = self.bugcheck("run", "--dump", dump, GUEST / "spinlock.sys", expect=harness.EXIT_INTERNAL)
        self.assertRegex(result.stderr, r"(?m)^bugcheck: .*memory\.dmp.*: .*(space|full)")
        self.assertEqual([str(p) for p in folder.iterdir()], [], "a partial dump stays behind")


if __name__ == "__main__":
    harness.main()
