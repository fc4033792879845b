#!/usr/bin/env python3
"""The host side against the tiny kernel (tests/boot/tiny_kernel): every way a machine can end, and the default machine's
commands, without needing more of a kernel than a hundred lines."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import harness  # noqa: E402
from harness import GUEST  # noqa: E402

KERNEL = ("--kernel", GUEST / "tiny_kernel.exe")
DRIVER = GUEST / "good.sys"


class Run(harness.SystemTest):
    def tearDown(self):
        self.assert_nothing_left_behind()

    def play(self, part, *options, expect):
        path = self.sandbox.root / "verdict.json"
        self.result = self.bugcheck("run", *KERNEL, "--boot-options", f"play={part}", "--json", path, *options, DRIVER,
                                    expect=expect)
        return json.loads(path.read_text(encoding="utf-8"))

    def test_clean(self):
        for cpus in (1, 6):
            verdict = self.play("serve", "--cpus", cpus, expect=harness.EXIT_CLEAN)
            self.assertEqual(verdict["outcome"], "clean")

    def test_crash_gives_a_dump(self):
        dump = self.sandbox.root / "m.dmp"
        for kind, number in (("kernel", 5), ("full", 1)):
            verdict = self.play("start_crash", "--dump", dump, "--dump-type", kind, expect=harness.EXIT_BUGCHECK)
            self.assertEqual(verdict["bugcheck"]["code"], "0xD1")
            data = dump.read_bytes()
            self.assertEqual(data[:8], b"PAGEDU64")
            self.assertEqual(int.from_bytes(data[0xF98:0xF9C], "little"), number)
            self.assertEqual(len(data), verdict["dump_bytes"])
            self.assertEqual(int.from_bytes(data[0xFA0:0xFA8], "little"), len(data))

    def test_crash_with_a_drive_puts_the_dump_on_c_too(self):
        drive = self.sandbox.root / "drive"
        drive.mkdir()
        dump = self.sandbox.root / "m.dmp"
        self.play("start_crash", "--drive-c", drive, "--dump", dump, expect=harness.EXIT_BUGCHECK)
        self.assertEqual((drive / "Windows/MEMORY.DMP").read_bytes(), dump.read_bytes())
        self.play("start_crash", "--drive-c", drive, expect=harness.EXIT_BUGCHECK)
        self.assertTrue((drive / "Windows/MEMORY.DMP").exists())

    def test_hang_is_ended_by_an_nmi(self):
        begin = time.monotonic()
        verdict = self.play("start_hang", "--timeout", "500ms", expect=harness.EXIT_HANG)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual(verdict["outcome"], "hang")
        self.assertTrue(pathlib.Path(verdict["dump"]).exists())

    def test_refusal(self):
        verdict = self.play("start_fail", expect=harness.EXIT_NOT_LOADED)
        self.assertEqual(verdict["status"], "0xC0000001")
        self.assert_one_line_error(self.result)

    def test_reset_and_lies_are_told(self):
        for part, says in (("reset", "(?i)reset"), ("liar", "protocol")):
            with self.subTest(part=part):
                verdict = self.play(part, expect=harness.EXIT_INTERNAL)
                self.assertRegex(verdict["message"], says)
                self.assert_one_line_error(self.result)

    def test_a_machine_that_does_not_boot_can_be_interrupted(self):
        process = self.sandbox.start("run", *KERNEL, "--boot-options", "play=mute", DRIVER)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        self.assertEqual(process.returncode, harness.EXIT_INTERNAL, out + err)
        self.assertIn("interrupted", err)

    def test_a_killed_program_takes_its_machine_along(self):
        process = self.sandbox.start("run", *KERNEL, "--boot-options", "play=start_hang", DRIVER)
        time.sleep(0.5)
        process.kill()
        process.communicate(timeout=10)
        for _ in range(40):
            if not self.sandbox.processes():
                break
            time.sleep(0.05)
        self.assertEqual(self.sandbox.processes(), [])
        subprocess.run(["rm", "-rf", *map(str, (self.sandbox.root / "tmp").iterdir())], check=True)  # nobody could

    def test_a_kernel_that_is_none(self):
        path = self.sandbox.root / "kernel.exe"
        path.write_bytes(b"MZ" + bytes(1000))
        result = self.bugcheck("run", "--kernel", path, DRIVER, expect=harness.EXIT_INTERNAL)
        self.assert_one_line_error(result)


class DefaultMachine(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.sandbox.run, "down")

    def up(self, expect=harness.EXIT_CLEAN):
        return self.bugcheck("up", *KERNEL, expect=expect)

    def state(self):
        return json.loads(self.bugcheck("status", "--json").stdout)

    def test_up_twice_down_twice(self):
        self.assertEqual(self.bugcheck("status").returncode, 1)
        self.up()
        self.assertIn("already up", self.up(expect=harness.EXIT_INTERNAL).stderr)
        self.assertEqual(self.bugcheck("status").returncode, 0)
        self.bugcheck("down", expect=0)
        result = self.bugcheck("down", expect=harness.EXIT_INTERNAL)
        self.assert_one_line_error(result)
        self.assert_nothing_left_behind()

    def test_sc_brings_a_driver_of_this_host(self):
        self.up()
        for words in (("type=", "kernel", "binPath=", DRIVER), ("type=kernel", f"binPath={DRIVER}")):
            result = self.bugcheck("sc", "create", "TestDrv", *words, expect=0)
            self.assertEqual(result.stdout, "[SC] CreateService SUCCESS\n")
        drive = pathlib.Path(self.state()["drive_c"])
        self.assertEqual((drive / "Windows/System32/drivers/good.sys").read_bytes(), DRIVER.read_bytes())
        self.assertIn("FAILED 1060:", self.bugcheck("sc.exe", "start", "Nobody", expect=1).stdout)

    def test_sc_usage(self):
        self.up()
        for words in ((), ("nonsense", "x"), ("start",), ("create",), ("create", "x"), ("create", "x", "type=", "own", "binPath=", "x")):
            with self.subTest(words=words):
                self.assertEqual(self.bugcheck("sc", *words).returncode, harness.EXIT_USAGE)

    def test_crash_is_remembered(self):
        self.up()
        shell = subprocess.run([harness.PROGRAM, "shell"], input="dir\ncrash\ndir\n", env=self.sandbox.environment, text=True,
                               capture_output=True, timeout=60)
        self.assertEqual(shell.returncode, harness.EXIT_BUGCHECK, shell.stdout + shell.stderr)
        self.assertIn("MANUALLY_INITIATED_CRASH", shell.stdout)
        result = self.bugcheck("status", expect=harness.EXIT_BUGCHECK)
        self.assertIn("0xE2", result.stdout)
        dumps = list((self.sandbox.root / "state").rglob("MEMORY.DMP"))
        self.assertEqual(len(dumps), 1)
        self.assertEqual(dumps[0].read_bytes()[:8], b"PAGEDU64")
        self.assertIn("not up", self.bugcheck("sc", "query", expect=1).stderr)
        self.assert_nothing_left_behind()
        self.up()

    def test_a_killed_supervisor_leaves_no_machine_and_no_obstacle(self):
        self.up()
        os.kill(self.state()["supervisor"], signal.SIGKILL)
        for _ in range(40):
            if not self.sandbox.processes():
                break
            time.sleep(0.05)
        self.assertEqual(self.sandbox.processes(), [])
        self.assertIn("killed", self.bugcheck("status").stdout)
        self.up()

    def test_a_killed_qemu_is_told(self):
        self.up()
        os.kill(self.state()["qemu"], signal.SIGKILL)
        for _ in range(40):
            if not self.sandbox.processes():
                break
            time.sleep(0.05)
        self.assertIn("QEMU ended", self.bugcheck("status", expect=1).stdout)

    def test_sigterm_shuts_down(self):
        self.up()
        os.kill(self.state()["supervisor"], signal.SIGTERM)
        for _ in range(100):
            if not self.sandbox.processes():
                break
            time.sleep(0.05)
        self.assertEqual(self.bugcheck("status").stdout, "the default machine is down\n")
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
