#!/usr/bin/env python3
"""Debugger commands about pool, objects and I/O on the dumps of sample drivers, where the right answers are known."""
import re

import harness

SAMPLES = harness.GUEST / "bugchecks"


class CrashCommands(harness.SystemTest):
    def crash(self, sample, *options):
        self.verdict(SAMPLES / f"{sample}.sys", "--cpus", 2, "--timeout", "300s", *options, expect=harness.EXIT_BUGCHECK,
                     timeout=500)

    def ask(self, *commands):
        return self.bugcheck("debug", "-y", SAMPLES, "-c", "; ".join(commands), self.sandbox.root / "memory.dmp", expect=0,
                             timeout=300).stdout

    def parameter(self, number):
        arguments = re.search(r"Arguments (.+)", self.ask(".bugcheck")).group(1).split()
        return arguments[number - 1].replace("`", "")

    def test_irp_pool_and_devices(self):
        self.crash("completed_cancelable")
        irp = self.parameter(1)
        text = self.ask(f"!irp {irp}")
        self.assertIn("It can be cancelled: by completed_cancelable!Cancel.", text)
        device = re.search(r"INTERNAL_DEVICE_CONTROL, 0.* device ([0-9a-f]{16})", text).group(1)
        self.assertIn(r"\Driver\completed_cancelable", text)
        text = self.ask(f"!devobj {device}")
        driver = re.search(r"Driver: ([0-9a-f]{16}) \(\\Driver\\completed_cancelable\)", text).group(1)
        text = self.ask(f"!drvobj {driver} 2")
        self.assertIn("[0f] completed_cancelable!Dispatch", text)
        self.assertIn(device, text)
        self.assertIn("Driver", self.ask(f"!object {driver}"))
        text = self.ask(f"!pool {irp}")
        self.assertRegex(text, rf"(?m)^\*[0-9a-f]{{16}} size: .*\(Allocated\) +\*Irp")
        self.assertIn("Allocated at nt!IoAllocateIrp", text)
        self.assertIn("every header fits its neighbours", self.ask(f"!poolval {irp}"))
        self.assertIn("no IRP", self.ask(f"!irp {device}"))
        self.assertRegex(self.ask("!poolused 0 Irp*"), r"(?m)^Irp +\d")

    def test_memory_in_large(self):
        self.crash("manual_crash")
        text = self.ask("!vm", "!memusage")
        physical = int(re.search(r"Physical Memory: +([\d,]+) ", text).group(1).replace(",", ""))
        counted = sum(int(row.replace(",", "")) for row in re.findall(r"(?m)^[A-Z]\w+ +([\d,]+) +[\d.]+ [KMG]?B$", text))
        self.assertGreaterEqual(counted, physical)
        self.assertIn("PagedPool", self.ask("!address"))
        self.assertIn("STATUS_ACCESS_VIOLATION", self.ask("!error c0000005"))
        self.assertIn("ERROR_ACCESS_DENIED", self.ask("!error 5"))
        self.assertRegex(self.ask("?? sizeof(_LIST_ENTRY)"), r"0x10\b")
        self.assertRegex(self.ask("?? ((_KTHREAD*)@$thread)->Header.Type"), r"(?i)0x0?6\b")
        self.assertIn("MANUALLY_INITIATED_CRASH (e2)", self.ask(".lastevent"))
        self.assertIn("Driver Verifier is off", self.ask("!verifier"))

    def test_registers_of_the_exception(self):
        self.crash("pageable_at_dispatch")
        text = self.ask(".ecxr", "k")
        self.assertIn("pageable_at_dispatch!PageableRoutine", text)
        self.assertNotIn("KiPageFault", text)

    def test_freed_pages_are_said_to_be_none(self):
        self.crash("read_freed_pages")
        self.assertIn("NonPagedPool", self.ask(f"!pool {self.parameter(1)}"))

    def test_unloaded_drivers(self):
        self.crash("thread_after_unload", "--after-unload", "60s")
        self.assertIn("thread_after_unload.sys", self.ask("lm u"))
        self.assertIn("UnloadedImage", self.ask(f"!address {self.parameter(1)}"))


if __name__ == "__main__":
    harness.main()
