#!/usr/bin/env python3
"""docs/writing-a-driver-test.md, followed word by word: files are written and commands run as the page has them, in order, by one
shell. Then the template project examples/driver-with-tests, as an outside project against the same installation."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree

import harness

PAGE = harness.SOURCE / "docs/writing-a-driver-test.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text):
    """(language, what is said behind it, content) of each fenced block."""
    return [(m.group(1), m.group(2).strip(), m.group(3)) for m in BLOCK.finditer(text)]


class Guide(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.environment = {k: v for k, v in self.sandbox.environment.items() if not k.startswith("BUGCHECK_")}
        self.checkout = self.sandbox.root / "checkout"
        self.checkout.mkdir()
        (self.checkout / "build").symlink_to(harness.BUILD)

    def shell(self, script):
        return subprocess.run(["bash", "-c", script], cwd=self.checkout, env=self.environment, capture_output=True, text=True)

    def install(self):
        prefix = pathlib.Path(self.environment["HOME"]) / "bugcheck"
        done = self.shell(f'cmake --install build --prefix "{prefix}"')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.environment["PATH"] = f"{prefix}/bin:{os.environ['PATH']}"
        return prefix

    def test_every_command_of_the_page(self):
        script, commands, failing = ["set -e"], 0, 0
        for language, said, content in blocks(PAGE.read_text()):
            if language == "sh":
                commands += 1
                if said == "fails":
                    failing += 1
                    script.append(f"if {{ {content} }} > first.log 2>&1; then cat first.log; echo it should have failed; exit 1; fi")
                else:
                    script.append(content)
            else:
                self.assertTrue(said, f"a block of {language} without a file name")
                script.append(f"cat > '{said}' <<'END_OF_FILE'\n{content}END_OF_FILE")
        self.assertGreaterEqual(commands, 4)
        self.assertEqual(failing, 1)
        done = self.shell("\n".join(script))
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        project = pathlib.Path(self.environment["HOME"]) / "length"
        first = (project / "first.log").read_text()
        self.assertIn("SYSTEM_SERVICE_EXCEPTION", first)
        self.assertIn("length.sys", first)
        self.assertRegex(first, r"50% tests passed, 1 tests failed out of 2")
        suite = xml.etree.ElementTree.parse(project / "results.xml").getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("2", "0"))

    def test_template_project(self):
        self.install()
        project = self.sandbox.root / "template"
        shutil.copytree(harness.SOURCE / "examples/driver-with-tests", project)
        done = self.shell(f"cd {project} && bugcheck test --junit results.xml .")
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        suite = xml.etree.ElementTree.parse(project / "results.xml").getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("3", "0"))
        workflow = (project / ".github/workflows/test.yml").read_text()
        self.assertIn("bugcheck test --junit results.xml .", workflow)
        # The machine's own words when the driver is broken: the reset forgets to answer.
        source = project / "driver/counter.c"
        source.write_text(source.read_text().replace("InterlockedExchange(&Counter->Value, 0)", "Counter->Value"))
        done = self.shell(f"cd {project} && bugcheck test -R AddsAndResets .")
        self.assertEqual(done.returncode, 1, done.stdout)

    def test_what_cannot_be_tested_says_why(self):
        self.install()
        empty = self.sandbox.root / "empty"
        empty.mkdir()
        done = self.shell(f"bugcheck test {empty}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no CMakeLists.txt", done.stderr)
        self.assertEqual(self.shell("bugcheck test").returncode, 2)


if __name__ == "__main__":
    harness.main()
