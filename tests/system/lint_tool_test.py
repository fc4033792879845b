#!/usr/bin/env python3
"""The layering and size checks find what they promise to find."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness


class LintTools(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-lint-"))
        self.addCleanup(shutil.rmtree, self.root)

    def check(self, tool, files):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run("git init -q . && git add -A", shell=True, cwd=self.root, check=True)
        return subprocess.run([sys.executable, harness.SOURCE / "tools" / tool, self.root], capture_output=True, text=True)

    def test_layering_lets_lower_layers_be_included(self):
        result = self.check("check_layering.py", {
            "kernel/mm/a.cpp": '#include "ke/ke.h"\n#include "nt/ntos.h"\n#include "rtl/rtl.h"\n#include "mm/mm.h"\n',
            "host/commands/k.cpp": '#include "host/debug/target.h"\n#include <vector>\n'})
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_layering_refuses_higher_layers(self):
        for name, text in (("kernel/ke/a.cpp", '#include "ps/ps.h"'), ("kernel/ob/a.cpp", '#include "io/io.h"'),
                           ("kernel/rtl/a.cpp", '#include "ke/ke.h"'), ("host/formats/pe/a.cpp", '#include "host/debug/target.h"'),
                           ("host/base/a.h", '#include "formats/pe/image.h"')):
            with self.subTest(name):
                result = self.check("check_layering.py", {name: text + "\n"})
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertIn("not below it" if "rtl" not in name else "rtl may use only ktl", result.stdout)
                shutil.rmtree(self.root / name.split("/")[0])

    def test_sizes_refuse_long_files_and_functions(self):
        body = "void Long(int a) {\n" + "  a++;\n" * 120 + "}\n"
        for files, text in (({"host/a.cpp": "int a;\n" * 601}, "601 lines"), ({"host/a.h": "int a;\n" * 251}, "251 lines"),
                            ({"host/a.cpp": body}, "function of 122 lines, at most 100")):
            with self.subTest(text):
                result = self.check("check_sizes.py", files)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertIn(text, result.stdout)
                shutil.rmtree(self.root / "host")

    def test_sizes_accept_tables_and_short_functions(self):
        table = "constexpr int kTable[] = {\n" + "    1,\n" * 300 + "};\nvoid Short(int a) {\n  a++;\n}\n"
        self.assertEqual(self.check("check_sizes.py", {"host/a.cpp": table}).returncode, 0)

    def test_headings_of_manual_pages_begin_lines(self):
        sys.path.insert(0, str(harness.SOURCE / "tools"))
        self.addCleanup(sys.path.pop, 0)
        import lint
        self.assertTrue(lint.HEADING_INSIDE.match("/// Closes it. IRQL: PASSIVE_LEVEL. Differs from NT: none."))
        self.assertTrue(lint.HEADING_INSIDE.match("/// IRQL: PASSIVE_LEVEL. Differs from NT: none."))
        for line in ("/// IRQL: <= APC_LEVEL.", "/// Differs from NT: none.", "  // at what IRQL: see above"):
            self.assertFalse(lint.HEADING_INSIDE.match(line), line)


if __name__ == "__main__":
    harness.main()
