#!/usr/bin/env python3
"""tools/setup: no apt when nothing is missing; a clear error when it may not install; what it would call otherwise."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness


class Setup(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-setup-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "tools").mkdir()
        shutil.copy(harness.SOURCE / "tools/setup", self.root / "tools/setup")
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for name in ("dirname", "env"):
            (self.bin / name).symlink_to(shutil.which(name))
        self.tool("id", 'echo "${FAKE_UID:-0}"')
        self.tool("dpkg-query", 'case "$3" in here) echo installed ;; *) exit 1 ;; esac')
        self.tool("apt-get", f'echo "$*" "frontend=$DEBIAN_FRONTEND" >> {self.root}/apt.log')
        self.tool("apt-cache", '[ "$3" != unknown ]')

    def tool(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, packages, **environment):
        (self.root / "tools/packages.txt").write_text("\n".join(packages) + "\n")
        result = subprocess.run(["/bin/sh", self.root / "tools/setup"], env={"PATH": str(self.bin), **environment},
                                capture_output=True, text=True)
        log = self.root / "apt.log"
        calls = log.read_text().splitlines() if log.exists() else []
        return result, calls

    def test_no_apt_when_nothing_is_missing(self):
        result, calls = self.setup(["here"])
        self.assertEqual((result.returncode, result.stdout, calls), (0, "", []))

    def test_installs_only_what_is_missing(self):
        result, calls = self.setup(["here", "absent"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(calls), 1)
        self.assertIn("install -y --no-install-recommends absent frontend=noninteractive", calls[0])

    def test_updates_the_lists_when_a_name_is_unknown(self):
        result, calls = self.setup(["unknown"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([call.split()[3] for call in calls], ["update", "install"])

    def test_uses_sudo_when_not_root(self):
        self.tool("sudo", f'echo sudo >> {self.root}/apt.log; exec "$@"')
        result, calls = self.setup(["absent"], FAKE_UID="1000")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(calls[0], "sudo")

    def test_says_so_without_root_and_sudo(self):
        result, calls = self.setup(["absent"], FAKE_UID="1000")
        self.assertEqual(calls, [])
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"^setup: packages are missing, and only root or sudo .* absent\n$")


if __name__ == "__main__":
    harness.main()
