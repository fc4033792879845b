#!/usr/bin/env python3
"""Programs started from outside, and what samples/procmon hears of them; samples/regguard keeps the registry."""
import re
import subprocess
import unittest

import harness
from harness import GUEST


class Processes(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.sandbox.run, "down")
        self.console = self.sandbox.root / "state/bugcheck/machines/default/console.log"
        self.bugcheck("up", "--cpus", "2", expect=0)

    def shell(self, *lines):
        """The output of each command."""
        result = subprocess.run([str(harness.PROGRAM), "shell"], input="".join(line + "\n" for line in lines),
                                env=self.sandbox.environment, cwd=self.sandbox.root, capture_output=True, text=True,
                                timeout=300)
        return result.stdout + result.stderr

    def driver(self, name):
        self.bugcheck("sc", "create", name, "type=", "kernel", "binPath=", GUEST / f"{name}.sys", expect=0)
        self.bugcheck("sc", "start", name, expect=0)
        self.addCleanup(self.sandbox.run, "sc", "stop", name)

    def said(self, prefix):
        return [line.strip() for line in self.console.read_text(errors="replace").splitlines() if prefix in line]

    def test_life_of_a_program(self):
        pid = int(self.shell("proc start notepad.exe C:\\a.txt"))
        self.assertEqual(pid % 4, 0)
        child = int(self.shell(f"proc start child.exe --parent {pid} --session 3 --as user"))
        listing = self.shell("proc list")
        self.assertRegex(listing, rf"(?m)^\s*{pid}\s+4\s+0\s+1\s+notepad\.exe$")
        self.assertRegex(listing, rf"(?m)^\s*{child}\s+{pid}\s+3\s+1\s+child\.exe$")
        thread = int(self.shell(f"proc thread {child}"))
        self.assertNotIn(thread, (pid, child))
        self.assertRegex(self.shell("proc list"), rf"(?m)^\s*{child}\s+{pid}\s+3\s+2\s+child\.exe$")
        self.assertEqual(self.shell(f"proc status {child}"), "0x00000103\n")
        self.assertEqual(self.shell(f"proc stop {child} 7"), "")
        self.assertEqual(self.shell(f"proc status {child}"), "0x00000007\n")
        self.assertNotIn("child.exe", self.shell("proc list"))
        self.assertIn("0xC000000B", self.shell(f"proc stop {child}"))  # STATUS_INVALID_CID
        self.assertIn("0xC000000B", self.shell("proc start x.exe --parent 99992"))
        self.assertIn("proc start", self.shell("proc start x.exe --as nobody"))
        self.shell(f"proc stop {pid}")
        self.assertIn("notepad.exe", self.shell("dir \\Windows\\System32"))

    def test_handles_are_inherited(self):
        self.driver("inherit")
        giver = int(self.shell("proc start giver.exe"))
        heir = int(self.shell(f"proc start heir.exe --parent {giver} --inherit"))
        grandchild = int(self.shell(f"proc start grandchild.exe --inherit --parent {heir}"))
        stranger = int(self.shell(f"proc start stranger.exe --parent {giver}"))
        lines = self.said("inherit:")
        # SYNCHRONIZE, OBJ_INHERIT; a new handle takes the first free place.
        self.assertEqual(len(lines), 3, lines)
        for line, name in zip(lines, ("heir", "grandchild")):
            self.assertRegex(line, rf"inherit: {name}\.exe found 2 same 2 access 100000 attributes 2 next 0000000000000004$")
        self.assertRegex(lines[2], r"inherit: stranger\.exe found 0 same 0 .* next 0000000000000004$")
        for pid in (giver, heir, grandchild, stranger):
            self.assertEqual(self.shell(f"proc stop {pid}"), "")
        self.bugcheck("sc", "stop", "inherit", expect=0)
        left = [line for line in self.said("inherit: event")]
        self.assertEqual(len(left), 2)
        for line in left:
            self.assertRegex(line, r"has 0 references left$")

    def test_a_monitor_hears_in_order(self):
        self.driver("procmon")
        pid = int(self.shell("proc start watched.exe one two --session 2 --as user"))
        self.shell(f"proc stop {pid}")
        lines = [line for line in self.said("procmon:") if re.search(rf"\b{pid}\b", line)]
        text = "\n".join(lines)
        expected = [rf"process {pid} created by 4: watched.exe one two",
                    rf"{pid} is watched.exe, .*\\Windows\\System32\\watched.exe, session 2, level 2000, administrator 0, platform 2",
                    rf"thread \d+ of process {pid} created",
                    rf"image .*\\watched.exe in process {pid}, user, current process {pid}",
                    rf"image .*\\ntdll.dll in process {pid}, user, current process {pid}",
                    rf"thread \d+ of process {pid} ends",
                    rf"process {pid} ends"]
        self.assertEqual(len(lines), len(expected), text)
        for line, pattern in zip(lines, expected):
            self.assertRegex(line, pattern, text)
        administrator = int(self.shell("proc start admin.exe --as administrator"))
        self.assertRegex("\n".join(self.said("procmon:")),
                         rf"{administrator} is admin.exe, .*level 3000, administrator 1, platform 2")
        self.driver("good")
        self.assertRegex("\n".join(self.said("procmon:")), r"image .*good\.sys in process 0, system")

    def test_a_monitor_forbids_and_protects(self):
        self.driver("procmon")
        self.assertIn("0xC0000906", self.shell("proc start forbidden.exe"))  # STATUS_VIRUS_INFECTED
        self.assertNotIn("forbidden", self.shell("proc list"))
        pid = int(self.shell("proc start protected.exe"))
        self.shell(f"proc stop {pid}")
        self.assertIn(f"PROCESS_TERMINATE taken from a handle to {pid}", "\n".join(self.said("procmon:")))

    def test_a_guarded_key_stays(self):
        self.driver("regguard")
        self.assertIn("set c0000022, delete value c0000022, delete key c0000022, beside 00000000, refused 3",
                      "\n".join(self.said("regguard:")))


if __name__ == "__main__":
    unittest.main()
