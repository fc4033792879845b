#!/usr/bin/env python3
"""A dump with a thread that owns a lock of every kind and a waiter for each: the debugger names owners and waiters, and the
waiters' stacks read as on Windows."""
import re

import harness
from harness import GUEST

WAITS = {
    "WaitForFastMutex": ("nt!ExpAcquireFastMutexContended", "nt!ExAcquireFastMutex"),
    "WaitForGuardedMutex": ("nt!ExpAcquireFastMutexContended", "nt!KeAcquireGuardedMutex"),
    "WaitForPushLock": ("nt!ExfAcquirePushLockExclusiveEx", "nt!ExAcquirePushLockExclusiveEx"),
    "WaitForResource": ("nt!ExpWaitForResource", "nt!ExAcquireResourceExclusiveLite"),
    "WaitForMutex": (),
}
REASONS = {"WaitForFastMutex": "WrFastMutex", "WaitForGuardedMutex": "WrGuardedMutex", "WaitForPushLock": "WrPushLock",
           "WaitForResource": "WrResource", "WaitForMutex": "Executive"}


class Locks(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = harness.Sandbox()
        cls.addClassCleanup(cls.shared.close)
        cls.dump = cls.shared.root / "memory.dmp"
        result = cls.shared.run("run", "--cpus", "1", "--dump", cls.dump, GUEST / "blocked.sys")
        if result.returncode != harness.EXIT_BUGCHECK:
            raise AssertionError(f"no dump: {result.stdout}{result.stderr}")

    def ask(self, *commands):
        return self.bugcheck("debug", "-c", "; ".join(commands), self.dump, expect=0, timeout=60).stdout

    def test_waiters_have_windows_frames_and_reasons(self):
        threads = re.findall(r"\b(ffff[0-9a-f]{12})\b", self.ask("!mex.lt 4"))
        stacks = [self.ask(f"!mex.t {address}") for address in dict.fromkeys(threads)]
        for routine, frames in WAITS.items():
            mine = [text for text in stacks if f"blocked!{routine}" in text]
            self.assertEqual(len(mine), 1, routine + "\n" + "\n".join(stacks))
            frames = ("nt!KiSwapThread", "nt!KiCommitThreadWait", "nt!KeWaitForSingleObject", *frames, f"blocked!{routine}",
                      "nt!PspSystemThreadStartup", "nt!KiStartSystemThread")
            self.assertRegex(mine[0], "(?s)" + ".*".join(re.escape(frame) for frame in frames))
            self.assertIn(REASONS[routine], mine[0])

    def test_locks_names_owner_and_waiter(self):
        text = self.ask("!locks")
        self.assertRegex(text, r"(?m)^Resource @ blocked!Resource \([0-9a-f]{16}\) +Exclusively owned$")
        self.assertIn("NumberOfExclusiveWaiters = 1", text)
        owner = re.search(r"Thread: ([0-9a-f]{16})-01<\*>", text)
        waiter = re.search(r"Threads waiting: ([0-9a-f]{16})$", text, re.MULTILINE)
        self.assertTrue(owner and waiter, text)
        self.assertIn("blocked!DriverEntry", self.ask(f"!mex.t {owner.group(1)}"))
        self.assertIn("blocked!WaitForResource", self.ask(f"!mex.t {waiter.group(1)}"))
        self.assertRegex(text, r"(?m)^\d+ total locks, [1-9]\d* locks currently held$")

    def test_locks_names_the_other_kinds(self):
        text = self.ask("!locks -v -a")
        for kind in ("fast mutex", "guarded mutex", "push lock"):
            self.assertRegex(text, rf"(?m)^ +[0-9a-f]{{16}} holds {kind} .*, taken by blocked!DriverEntry")
            self.assertRegex(text, rf"(?m)^ +[0-9a-f]{{16}} waits for {kind} .*, wanted by blocked!WaitFor")


if __name__ == "__main__":
    harness.main()
