#!/usr/bin/env python3
"""Boots the whole guest suite again and again, each time with a random number of processors; prints its seed.

usage: random_boots.py --boots N [--cpus-at-most M] [--seed S]
"""
import argparse
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import harness  # noqa: E402

RUNNER = pathlib.Path(__file__).with_name("run_guest_tests.py")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--boots", type=int, required=True)
    parser.add_argument("--cpus-at-most", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    drivers = sorted(harness.GUEST.glob("*_guest_tests.sys"))
    if not drivers:
        sys.exit(f"no guest tests in {harness.GUEST}")
    print(f"seed {options.seed}")
    chance = random.Random(options.seed)
    failures = 0
    for boot in range(options.boots):
        cpus, driver = chance.randint(1, options.cpus_at_most), chance.choice(drivers)
        result = subprocess.run([sys.executable, "-B", RUNNER, "--cpus", str(cpus), driver], capture_output=True, text=True)
        print(f"boot {boot}: {cpus} processors, {driver.stem}: {'passed' if result.returncode == 0 else 'FAILED'}", flush=True)
        if result.returncode != 0:
            failures += 1
            print(result.stdout[-6000:], result.stderr, sep="\n", flush=True)
    print(f"{options.boots} boots, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
