#!/usr/bin/env python3
"""Devices made from outside: a bus with children, a filter over them, sleep and wake; a device for one run."""
import subprocess
import unittest

import harness
from harness import GUEST


class Devices(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.sandbox.run, "down")
        self.console = self.sandbox.root / "state/bugcheck/machines/default/console.log"

    def shell(self, *commands, expect=0):
        result = subprocess.run([str(harness.PROGRAM), "shell"], input="\n".join(commands) + "\n",
                                env=self.sandbox.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout

    def up(self, *drivers):
        self.bugcheck("up", "--cpus", "2", expect=0)
        for driver in drivers:
            self.bugcheck("sc", "create", driver, "type=", "kernel", "binPath=", GUEST / f"{driver}.sys", expect=0)

    def test_bus_with_filtered_children(self):
        self.up("toybus", "filter")
        text = self.shell(r"devnode map TOYBUS\Widget filter", r"devnode add ROOT\Toybus toybus", "devnode")
        self.assertRegex(text, r"ROOT\\TOYBUS\\0000 \(toybus\): started\n")
        self.assertEqual(len(self.children(text)), 2, text)
        self.assertEqual(text.count("(filter): started"), 2)
        self.assertIn("RUNNING", self.bugcheck("sc", "query", "filter", expect=0).stdout)

        child = self.children(text)[0]
        text = self.shell(f"devnode restart {child}", f"devnode eject {child}", "devnode")
        self.assertEqual(len(self.children(text)), 1, text)
        console = self.console.read_text()
        for minor in (0x0, 0x5, 0x4, 0x1, 0x2):  # start, query stop, stop, query remove, remove
            self.assertIn(f"filter: plug and play request 0x{minor:x}\n", console)

        text = self.shell(r"devnode remove ROOT\TOYBUS\0000", "devnode")
        self.assertNotIn("TOYBUS", text)
        for service in ("toybus", "filter"):  # both were unloaded with their last device
            self.assertIn("STOPPED", self.bugcheck("sc", "query", service, expect=0).stdout)

    def test_surprise_removal_of_a_bus_takes_its_children(self):
        self.up("toybus")
        self.shell(r"devnode add ROOT\Toybus toybus")
        text = self.shell(r"devnode surprise-remove ROOT\TOYBUS\0000", "devnode")
        self.assertNotIn("TOYBUS", text)

    def test_kept_device_comes_back(self):
        self.up("toybus")
        self.shell(r"devnode add ROOT\Toybus toybus")
        self.bugcheck("down", expect=0)
        self.bugcheck("up", "--cpus", "2", expect=0)
        self.assertIn(r"ROOT\TOYBUS\0000 (toybus): started", self.shell("devnode"))

    def test_kept_device_beside_a_bus_that_the_machine_has(self):
        self.bugcheck("up", "--cpus", "2", "--device", "edu", expect=0)
        self.bugcheck("sc", "create", "toybus", "type=", "kernel", "binPath=", GUEST / "toybus.sys", expect=0)
        self.bugcheck("devnode", "add", r"ROOT\Toybus", "toybus", expect=0)
        for _ in range(2):
            self.bugcheck("down", expect=0)
            self.bugcheck("up", "--cpus", "2", "--device", "edu", expect=0)
            text = self.bugcheck("devnode", expect=0).stdout
            self.assertIn(r"ROOT\TOYBUS\0000 (toybus): started", text)
            self.assertEqual(text.count(r"ROOT\PNP0A08"), 1, text)

    def test_sleep_and_wake(self):
        self.up("toybus")
        self.assertIn("asleep (S3)", self.shell(r"devnode add ROOT\Toybus toybus", "power sleep", "power"))
        self.shell("power sleep", expect=1)  # it sleeps
        self.assertIn("working (S0)", self.shell("power wake"))
        lines = [line for line in self.console.read_text().splitlines() if line.startswith("toybus: child")]
        self.assertEqual(lines, ["toybus: child 0: S3", "toybus: child 1: S3", "toybus: child 0: S0",
                                 "toybus: child 1: S0"])

    def test_device_without_a_driver_has_problem_28(self):
        self.up()
        self.assertIn("problem 28", self.shell(r"devnode add ROOT\Nobody", expect=1))

    def test_commands_without_the_shell(self):
        self.up("toybus")
        added = self.bugcheck("devnode", "add", r"ROOT\Toybus", "toybus", expect=0).stdout
        self.assertEqual(added, "ROOT\\TOYBUS\\0000: started\n")
        self.assertEqual(len(self.children(self.bugcheck("devnode", expect=0).stdout)), 2)
        self.assertIn("working (S0)", self.bugcheck("power", expect=0).stdout)
        self.assertIn("System", self.bugcheck("proc", "list", expect=0).stdout)
        self.assertIn("usage: devnode", self.bugcheck("devnode", "--help", expect=0).stdout)
        self.assertIn("usage: power", self.bugcheck("power", "off", expect=2).stderr)
        self.bugcheck("devnode", "remove", r"ROOT\TOYBUS\0000", expect=0)
        self.bugcheck("down", expect=0)
        self.assertIn("is not up", self.bugcheck("devnode", expect=1).stderr)

    def run_with_device(self, driver, expect):
        return self.bugcheck("run", "--cpus", "2", "--devnode", r"ROOT\Anything", "--console", self.sandbox.root / "run.log",
                             GUEST / driver, expect=expect)

    def test_a_run_with_a_device(self):
        self.run_with_device("filter.sys", harness.EXIT_CLEAN)
        console = (self.sandbox.root / "run.log").read_text()
        for minor in (0x0, 0x2):  # start, remove
            self.assertIn(f"filter: plug and play request 0x{minor:x}\n", console)

    def test_a_run_with_a_device_that_the_driver_does_not_serve(self):
        result = self.run_with_device("nothing.sys", harness.EXIT_NOT_LOADED)
        self.assertRegex(result.stdout + result.stderr, r"does not start the device ROOT\\ANYTHING\\0000: problem \d+")

    @staticmethod
    def children(text):
        return [line.split()[0] for line in text.splitlines() if line.strip().startswith("TOYBUS\\WIDGET\\")]


if __name__ == "__main__":
    harness.main()
