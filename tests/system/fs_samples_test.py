#!/usr/bin/env python3
"""samples/ramfs and samples/fsfilter: a file system over the cache manager, and a filter above every file system."""
import shutil

import harness


class FileSystemSamples(harness.SystemTest):
    def test_ramfs_and_fsfilter(self):
        drive = self.sandbox.root / "C"
        drive.mkdir()
        for name in ("ramfs.sys", "fsfilter.sys"):
            shutil.copy(harness.GUEST / name, drive / name)
        for cpus in (1, 4):
            console = self.sandbox.root / f"console{cpus}.log"
            self.bugcheck("run", "--cpus", cpus, "--timeout", "100s", "--console", console, "--drive-c", drive,
                          harness.GUEST / "fs_samples.sys", expect=harness.EXIT_CLEAN)
            text = console.read_text(errors="replace")
            self.assertIn("[test] done: 3 passed, 0 failed", text)
            self.assertEqual(text.count("ramfs: mounted"), 2, text)
            self.assertEqual(text.count("ramfs: dismounted"), 2, text)
            self.assertIn("fsfilter: attached to a file system of \\FileSystem\\hostfs", text)
            self.assertIn("fsfilter: attached to a file system of \\Driver\\ramfs", text)
            self.assertIn("fsfilter: create \\through_the_filter.txt", text)
            self.assertRegex(text, r"fsfilter: detached after [1-9]\d* creates")
            self.assertFalse((drive / "through_the_filter.txt").exists())


if __name__ == "__main__":
    harness.main()
