#!/usr/bin/env python3
"""The case study's own driver, taken verbatim out of seed.md, built as its author would, crashes as it did there."""
import re
import subprocess

import harness

SEED = harness.SHARED / "seed.md"

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(CaseStudy LANGUAGES C)
set(BUGCHECK_GUEST_DIR ${{CMAKE_BINARY_DIR}}/guest)
set(BUGCHECK_DRIVER_LIB "{guest}/ntoskrnl_import.lib")
list(APPEND CMAKE_MODULE_PATH "{source}/cmake")
include(BugcheckPe)
bugcheck_add_driver(TestDriver SOURCES TestDriver.c)
"""


class CaseStudy(harness.SystemTest):
    def build(self):
        code = re.search(r"^```c\n(.*?)^```", SEED.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE).group(1)
        project = self.sandbox.root / "project"
        project.mkdir()
        (project / "TestDriver.c").write_text(code, encoding="utf-8")
        (project / "CMakeLists.txt").write_text(PROJECT.format(source=harness.SOURCE, guest=harness.GUEST))
        for command in (["cmake", "-G", "Ninja", "-S", project, "-B", project / "build", "-DCMAKE_C_COMPILER=clang-19"],
                        ["cmake", "--build", project / "build"]):
            result = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return project / "build" / "guest" / "TestDriver.sys"

    def test_it_crashes_as_in_the_case_study(self):
        driver = self.build()
        drive = self.sandbox.root / "drive"
        for folder in ("Temp", "Temp2"):
            (drive / folder).mkdir(parents=True)
        for cpus in (2, 6):
            with self.subTest(cpus=cpus):
                verdict = self.verdict(driver, "--cpus", cpus, "--drive-c", drive, expect=harness.EXIT_BUGCHECK)
                harness.check_spinlock_crash(self, verdict)
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    if not SEED.exists():
        harness.skip(f"{SEED} is not there (set BUGCHECK_SHARED)")
    harness.main()
