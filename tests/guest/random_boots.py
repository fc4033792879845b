#!/usr/bin/env python3
"""Boots a machine with a random number of processors and runs the whole guest suite in it, one driver after the other in a
random order, so that what one leaves behind meets the next. Half of the machines have a PCI bus with a device, for the tests that
need them. Prints its seed.

usage: random_boots.py --boots N [--cpus-at-most M] [--seed S]
"""
import argparse
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import harness  # noqa: E402


class Boot:
    def __init__(self, cpus, devices):
        self.sandbox = harness.Sandbox()
        self.machine = self.sandbox.root / "state/bugcheck/machines/default"
        self.trouble = []
        self.drivers = 0
        self.expect("up", "--cpus", cpus, *(word for device in devices for word in ("--device", device)))

    def expect(self, *arguments):
        """One command of the program; a failure is kept. Returns whether it succeeded."""
        try:
            result = self.sandbox.run(*arguments, timeout=300)
        except AssertionError as error:  # no end
            self.trouble.append(str(error))
            return False
        if result.returncode != 0:
            self.trouble.append(f"bugcheck {' '.join(map(str, arguments))}: exit status {result.returncode}\n"
                                f"{result.stdout}{result.stderr}")
        return result.returncode == 0

    def run_driver(self, driver):
        name = driver.stem
        if self.expect("sc", "create", name, "type=", "kernel", "binPath=", driver) and self.expect("sc", "start", name):
            self.await_result()
            self.expect("sc", "stop", name)
            self.expect("sc", "delete", name)
        return not self.trouble

    def await_result(self):
        """Some drivers run their tests in a thread, which goes on when DriverEntry is over."""
        self.drivers += 1
        end = time.monotonic() + 300
        while (text := self.console()).count("[test] done: ") < self.drivers and "*** STOP" not in text:
            if time.monotonic() > end:
                self.trouble.append("the tests have not ended after 300 s")
                return
            time.sleep(0.02)

    def console(self):
        return "".join(log.read_text(errors="replace") for log in sorted(self.machine.rglob("console*")))

    def close(self):
        """Stops the machine; returns its console."""
        try:
            status = self.sandbox.run("status").stdout
            self.sandbox.run("down")
        except AssertionError as error:
            status = str(error)
        text = self.console()
        if self.trouble:
            self.trouble.append(f"status: {status}\n{text[-6000:]}")
        self.sandbox.close()
        return text


def one_boot(cpus, devices, drivers):
    """(trouble, tests that passed)"""
    boot = Boot(cpus, devices)
    for driver in drivers:
        if boot.trouble or not boot.run_driver(driver):
            break
    console = boot.close()
    passed = re.findall(r"\[test\] done: (\d+) passed, 0 failed", console)
    if not boot.trouble and len(passed) != len(drivers):
        wrong = "\n".join(re.findall(r"^\[test\] (?:FAIL |\S+:\d+: ).*$", console, re.MULTILINE))
        boot.trouble.append(f"{len(drivers)} drivers ran, {len(passed)} told success\n{wrong}\n{console[-3000:]}")
    return boot.trouble, sum(int(count) for count in passed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--boots", type=int, required=True)
    parser.add_argument("--cpus-at-most", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    if not harness.guest_suites():
        sys.exit(f"no guest tests in {harness.GUEST}")
    print(f"seed {options.seed}, {len(harness.guest_suites())} drivers")
    chance = random.Random(options.seed)
    failures = 0
    for boot in range(options.boots):
        cpus = chance.randint(1, options.cpus_at_most)
        devices = chance.choice(([], ["edu"]))
        drivers = harness.guest_suites(devices)
        order = chance.sample(drivers, len(drivers))
        trouble, passed = one_boot(cpus, devices, order)
        print(f"boot {boot}: {cpus} processors{', edu' if devices else ''}: {passed} tests passed{', FAILED' if trouble else ''}", flush=True)
        if trouble:
            failures += 1
            print("order: " + " ".join(driver.stem for driver in order), *trouble, sep="\n", flush=True)
    print(f"{options.boots} boots, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
