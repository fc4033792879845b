"""What the system tests share: a sandbox to run the program in, and checks that it leaves nothing behind."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ.get("BUGCHECK_BUILD", "build")).resolve()
SOURCE = pathlib.Path(os.environ.get("BUGCHECK_SOURCE", pathlib.Path(__file__).parents[2])).resolve()
SHARED = pathlib.Path(os.environ.get("BUGCHECK_SHARED", SOURCE.parent / "shared"))
PROGRAM = pathlib.Path(os.environ.get("BUGCHECK_PROGRAM", BUILD / "bin" / "bugcheck"))
GUEST = BUILD / "guest"

EXIT_CLEAN, EXIT_INTERNAL, EXIT_USAGE, EXIT_BUGCHECK, EXIT_HANG, EXIT_NOT_LOADED, EXIT_LEFT_BEHIND = range(7)
SKIPPED = 77

# Suites of guest tests that need a device of the machine's, as tests/guest/CMakeLists.txt says.
NEEDS_DEVICE = {"pci_guest_tests": "edu"}


def guest_suites(devices=()):
    """The guest test drivers that a machine with these devices can run."""
    return [suite for suite in sorted(GUEST.glob("*_guest_tests.sys")) if NEEDS_DEVICE.get(suite.stem) in (None, *devices)]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


class Sandbox:
    """A folder with its own state, run-time and temporary directories; every process started in it can be found."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-test-"))
        self.environment = dict(os.environ)
        for variable, name in (("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run"), ("XDG_CACHE_HOME", "cache"),
                               ("TMPDIR", "tmp"), ("HOME", "home")):
            (self.root / name).mkdir(mode=0o700)
            self.environment[variable] = str(self.root / name)
        self.environment.pop("_NT_SYMBOL_PATH", None)
        self.before_shm = self.shared_memory_files()

    def start(self, *arguments, environment=None, **options):
        # A core dump of a failing program would be a file left behind that is none of its doing.
        return subprocess.Popen([str(PROGRAM), *map(str, arguments)], env=environment or self.environment,
                                cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                text=True, errors="replace", **options)

    def run(self, *arguments, timeout=120, environment=None):
        process = self.start(*arguments, environment=environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{arguments}: no end after {timeout} s\n{out}\n{err}")
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def shared_memory_files(self):
        try:
            return {name for name in os.listdir("/dev/shm") if "bugcheck" in name}
        except OSError:
            return set()

    def processes(self):
        """Processes whose environment names this sandbox."""
        found = []
        marker = f"XDG_STATE_HOME={self.root}/state".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                if marker in pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                    command = pathlib.Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    if command:
                        found.append(f"{entry} {command[:200]}")
            except OSError:
                pass
        return found

    def left_behind(self):
        """What a finished command left: processes (given a second to end), files for run time only, sockets."""
        for _ in range(20):
            processes = self.processes()
            if not processes:
                break
            time.sleep(0.05)
        left = [f"process {text}" for text in processes]
        for folder in ("run", "tmp"):
            left += [f"file {path}" for path in (self.root / folder).rglob("*") if not path.is_dir()]
        left += [f"socket {path}" for path in self.root.rglob("*") if path.is_socket()]
        left += [f"shared memory {name}" for name in self.shared_memory_files() - self.before_shm
                 if not self.in_use(name)]
        return left

    @staticmethod
    def in_use(name):
        """Whether some process (another test's) still has that shared memory file open."""
        target = f"/dev/shm/{name}"
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if any(os.readlink(link) == target for link in pathlib.Path("/proc", entry, "fd").iterdir()):
                        return True
                except OSError:
                    pass
        return False

    def close(self):
        for text in self.processes():
            try:
                os.kill(int(text.split()[0]), signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.root, ignore_errors=True)


class SystemTest(unittest.TestCase):
    """One sandbox a test; the test fails when something stays behind after it."""

    longMessage = True

    def setUp(self):
        if not PROGRAM.exists():
            self.fail(f"{PROGRAM} has not been built")
        self.sandbox = Sandbox()
        self.addCleanup(self.sandbox.close)

    def bugcheck(self, *arguments, expect=None, **options):
        result = self.sandbox.run(*arguments, **options)
        if expect is not None:
            self.assertEqual(result.returncode, expect,
                             f"bugcheck {' '.join(map(str, arguments))}\n--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}")
        return result

    def verdict(self, driver, *options, expect, timeout=120):
        """Runs a driver; returns the verdict of --json."""
        path = self.sandbox.root / "verdict.json"
        path.unlink(missing_ok=True)
        self.result = self.bugcheck("run", "--json", path, "--dump", self.sandbox.root / "memory.dmp", *options, driver,
                                    expect=expect, timeout=timeout)
        return json.loads(path.read_text(encoding="utf-8"))

    def assert_one_line_error(self, result):
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertRegex(lines[0], r"^bugcheck: .+: .+")

    def assert_nothing_left_behind(self):
        self.assertEqual(self.sandbox.left_behind(), [])


def check_spinlock_crash(test, verdict):
    """0xD1 (A, 2, 8, A): pageable code, executed at DISPATCH_LEVEL where it is not resident."""
    crash = verdict["bugcheck"]
    test.assertEqual(int(crash["code"], 16), 0xD1, verdict)
    first, irql, access, instruction = (int(value, 16) for value in crash["parameters"])
    test.assertEqual((irql, access), (2, 8), verdict)
    test.assertEqual(first, instruction, verdict)
    test.assertGreater(first, 0xFFFF800000000000, verdict)
    test.assertEqual(crash["driver"].lower(), "hostfs.sys", verdict)


def main():
    unittest.main(verbosity=2, warnings="ignore")
