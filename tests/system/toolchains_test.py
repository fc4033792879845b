#!/usr/bin/env python3
"""Images of other tool chains and with other linker options load, work and unload; so do three drivers linked by a forwarder."""
import unittest

import harness
from harness import GUEST


class Toolchains(harness.SystemTest):
    def runs(self, variant, discarded="gone"):
        image = GUEST / f"toolchain_{variant}.sys"
        console = self.sandbox.root / "console.log"
        self.verdict(image, "--cpus", 2, "--console", console, expect=harness.EXIT_CLEAN)
        lines = [line[line.index("toolchain"):] for line in console.read_text(errors="replace").splitlines() if "toolchain " in line]
        self.assertEqual(lines, [f"toolchain {variant}: good", f"toolchain {variant}: discarded section is {discarded}"])

    def test_clang_for_msvc(self):
        self.runs("msvc")

    def test_clang_for_mingw(self):
        self.runs("clang_mingw")

    @unittest.skipUnless((GUEST / "toolchain_gcc_mingw.sys").exists(), "x86_64-w64-mingw32-gcc was not there at build time")
    def test_gcc_for_mingw(self):
        self.runs("gcc_mingw")

    def test_stack_cookies(self):
        self.runs("cookie")

    def test_control_flow_guard(self):
        self.runs("cfg")

    def test_integrity_check(self):
        self.runs("integrity")

    def test_big_sections(self):
        self.runs("big")

    def test_resources(self):
        self.runs("resources")

    def test_export_forwarding_between_drivers(self):
        self.addCleanup(self.sandbox.run, "down")
        self.bugcheck("up", "--cpus", "2", expect=0)
        for name in ("exporter", "forwarder", "importer"):
            self.bugcheck("sc", "create", name, "type=", "kernel", "binPath=", GUEST / f"{name}.sys", expect=0)
        self.assertNotEqual(self.bugcheck("sc", "start", "importer").returncode, 0)
        for name in ("exporter", "forwarder", "importer"):
            self.bugcheck("sc", "start", name, expect=0)
        console = self.sandbox.root / "state/bugcheck/machines/default/console.log"
        self.assertIn("toolchain forwarded: the answer is 42", console.read_text(errors="replace"))
        for name in ("importer", "forwarder", "exporter"):
            self.bugcheck("sc", "stop", name, expect=0)
        self.bugcheck("down", expect=0)


if __name__ == "__main__":
    harness.main()
