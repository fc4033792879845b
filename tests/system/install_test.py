#!/usr/bin/env python3
"""`make install`, then an outside project with find_package(Bugcheck) builds a driver and runs it with the installed
program, with nothing of the build tree in sight."""
import os
import shutil
import subprocess
import unittest

import harness


class Install(harness.SystemTest):
    def command(self, *arguments, **options):
        result = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, cwd=self.sandbox.root, **options)
        self.assertEqual(result.returncode, 0, f"{arguments}\n{result.stdout}\n{result.stderr}")
        return result.stdout

    def test_outside_project(self):
        prefix = self.sandbox.root / "a prefix"
        self.command("cmake", "--install", harness.BUILD, "--prefix", prefix)
        for name in ("bin/bugcheck", "share/bugcheck/guest/ntoskrnl.exe", "share/bugcheck/guest/hostfs.sys",
                     "share/bugcheck/guest/boot.elf", "share/bugcheck/lib/ntoskrnl.lib",
                     "lib/cmake/Bugcheck/BugcheckConfig.cmake"):
            self.assertTrue((prefix / name).exists(), f"{name} was not installed")
        for path in prefix.rglob("*.cmake"):
            self.assertNotIn(str(harness.SOURCE), path.read_text(), path)

        project = self.sandbox.root / "hello-driver"
        shutil.copytree(harness.SOURCE / "examples/hello-driver", project)
        build = project / "build"
        self.command("cmake", "-G", "Ninja", "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
        self.command("cmake", "--build", build)
        log = self.sandbox.root / "console.log"
        environment = {k: v for k, v in self.sandbox.environment.items() if not k.startswith("BUGCHECK_")}
        out = self.command(prefix / "bin/bugcheck", "run", "--console", log, build / "hello.sys", env=environment)
        self.assertIn("hello: my registry key is \\Registry\\Machine\\System\\CurrentControlSet\\Services\\",
                      log.read_text(errors="replace"), out)
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
