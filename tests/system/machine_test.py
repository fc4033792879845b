#!/usr/bin/env python3
"""The default machine: up, sc as sc.exe, shell, down; its C: and registry outlive it; it can crash and be started again."""
import subprocess
import unittest

import harness
from harness import GUEST


class DefaultMachine(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.sandbox.run, "down")
        self.drive = self.sandbox.root / "state/bugcheck/machines/default/C"

    def up(self):
        self.bugcheck("up", "--cpus", "2", expect=0)

    def down(self):
        self.bugcheck("down", expect=0)
        self.assert_nothing_left_behind()

    def test_life_of_a_service(self):
        self.up()
        self.bugcheck("status", expect=0)
        self.bugcheck("sc", "create", "GoodOne", "type=", "kernel", "binPath=", GUEST / "good.sys", expect=0)
        again = self.bugcheck("sc", "create", "GoodOne", "type=", "kernel", "binPath=", GUEST / "good.sys")
        self.assertNotEqual(again.returncode, 0)
        self.bugcheck("sc", "start", "GoodOne", expect=0)
        self.assertIn("RUNNING", self.bugcheck("sc", "query", "GoodOne", expect=0).stdout)
        self.assertNotEqual(self.bugcheck("sc", "start", "GoodOne").returncode, 0)
        self.bugcheck("sc", "stop", "GoodOne", expect=0)
        self.assertIn("STOPPED", self.bugcheck("sc", "query", "GoodOne", expect=0).stdout)
        self.bugcheck("sc", "delete", "GoodOne", expect=0)
        self.assertNotEqual(self.bugcheck("sc", "query", "GoodOne").returncode, 0)
        self.down()
        self.assertEqual(self.bugcheck("status").returncode, 1)

    def test_services_outlive_the_machine(self):
        self.up()
        self.bugcheck("sc", "create", "Kept", "type=", "kernel", "binPath=", GUEST / "good.sys", expect=0)
        self.down()
        self.up()
        self.assertIn("STOPPED", self.bugcheck("sc", "query", "Kept", expect=0).stdout)
        self.bugcheck("sc", "start", "Kept", expect=0)
        self.bugcheck("sc", "stop", "Kept", expect=0)
        self.down()

    def test_errors_of_sc(self):
        result = self.bugcheck("sc", "query", "x")
        self.assertNotEqual(result.returncode, 0)
        self.assert_one_line_error(result)
        self.up()
        for arguments in (("start", "Nobody"), ("stop", "Nobody"), ("delete", "Nobody"),
                          ("create", "Odd", "type=", "kernel", "binPath=", self.sandbox.root / "absent.sys")):
            with self.subTest(arguments=arguments):
                result = self.bugcheck("sc", *arguments)
                self.assertNotEqual(result.returncode, 0)
                self.assert_one_line_error(result)
        self.down()

    def test_shell(self):
        self.up()
        (self.drive / "note.txt").write_text("written by the host\n")
        result = subprocess.run([str(harness.PROGRAM), "shell"], input="driverquery\ndir C:\\\ntype C:\\note.txt\nexit\n",
                                env=self.sandbox.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        for text in ("ntoskrnl.exe", "hostfs.sys", "note.txt", "written by the host"):
            self.assertIn(text, result.stdout)
        self.down()

    def test_a_crash_leaves_a_dump_and_a_new_start_works(self):
        self.up()
        self.bugcheck("sc", "create", "Spin", "type=", "kernel", "binPath=", GUEST / "spinlock.sys", expect=0)
        self.bugcheck("sc", "start", "Spin")
        for _ in range(100):
            if self.bugcheck("status").returncode == 3:
                break
        self.assertEqual(self.bugcheck("status").returncode, 3)
        dump = self.drive / "Windows/MEMORY.DMP"
        self.assertEqual(dump.read_bytes()[:8], b"PAGEDU64")
        self.up()
        self.bugcheck("status", expect=0)
        self.down()


if __name__ == "__main__":
    harness.main()
