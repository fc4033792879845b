#!/usr/bin/env python3
"""Settings of the kernel in the registry count from the next boot on: ThreadDpcEnable, DpcTimeout."""
import harness


class KernelSettings(harness.SystemTest):
    def threaded_dpc_irql(self, *options):
        console = self.sandbox.root / "console.log"
        self.verdict(harness.GUEST / "kernel_settings.sys", "--cpus", 2, "--console", console, *options,
                     expect=harness.EXIT_CLEAN)
        lines = [line for line in console.read_text().splitlines() if "threaded DPC at IRQL" in line]
        self.assertEqual(len(lines), 1, lines)
        return int(lines[0].rsplit(" ", 1)[1])

    def test_they_count_from_the_next_boot_on(self):
        folder = self.sandbox.root / "c"
        folder.mkdir()
        drive = ["--drive-c", folder]
        self.assertEqual(self.threaded_dpc_irql(*drive), 0)
        self.assertEqual(self.threaded_dpc_irql(*drive), 2)
        crash = self.verdict(harness.GUEST / "bugchecks" / "endless_dpc.sys", "--cpus", 2, "--timeout", "300s", *drive,
                             expect=harness.EXIT_BUGCHECK, timeout=400)
        self.assertEqual([int(value, 16) for value in crash["bugcheck"]["parameters"]], [0, 0x81, 0x80, 0])


if __name__ == "__main__":
    harness.main()
