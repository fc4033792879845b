#!/usr/bin/env python3
"""Runs a driver of guest tests (tests/guest/nt_test.h), prints its lines, fails on failures and on silence.

usage: run_guest_tests.py --cpus N [--device NAME] DRIVER.sys
"""
import argparse
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import harness  # noqa: E402


def run(driver, cpus, files=None, timeout=60, devices=()):
    """One boot with these files (name: text) in C:; exits with a message unless every test passed. timeout: seconds."""
    if not pathlib.Path(driver).exists():
        sys.exit(f"{driver} has not been built")
    sandbox = harness.Sandbox()
    try:
        log = sandbox.root / "console.log"
        drive_c = []
        if files:
            folder = sandbox.root / "C"
            folder.mkdir()
            for name, text in files.items():
                (folder / name).write_text(text)
            drive_c = ["--drive-c", folder]
        result = sandbox.run("run", "--cpus", cpus, "--timeout", f"{timeout}s", "--console", log, "--dump",
                             sandbox.root / "memory.dmp", *drive_c, *[word for name in devices for word in ("--device", name)], driver, timeout=timeout + 60)
        console = log.read_text(errors="replace") if log.exists() else ""
        lines = [line[line.index("[test]"):] for line in console.splitlines() if "[test]" in line]
        print("\n".join(lines))
        done = re.search(r"\[test\] done: (\d+) passed, (\d+) failed", "\n".join(lines))
        if result.returncode != 0 or not done or done.group(2) != "0" or done.group(1) == "0":
            print(f"exit status {result.returncode}\n{result.stdout}\n{result.stderr}\n{console[-4000:]}")
            sys.exit("the tests failed" if done else "the tests came to no end")
    finally:
        sandbox.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", default="2")
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("driver")
    options = parser.parse_args()
    run(options.driver, options.cpus, devices=options.device)


if __name__ == "__main__":
    main()
