#!/usr/bin/env python3
"""Runs a driver of stress tests (tests/stress/nt_stress.h) with a random seed, which it prints. --cpus any: 2, 4, 8 or 16
processors, as the seed has it.

usage: run_stress_tests.py --cpus N|any [--milliseconds M] [--seed S] DRIVER.sys
"""
import argparse
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "guest"))
import run_guest_tests  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", required=True)
    parser.add_argument("--milliseconds", type=int, default=200, help="guest time of each test")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    parser.add_argument("driver")
    options = parser.parse_args()
    cpus = random.Random(options.seed).choice((2, 4, 8, 16)) if options.cpus == "any" else int(options.cpus)
    print(f"seed {options.seed}, {cpus} processors, {options.milliseconds} ms a test", flush=True)
    run_guest_tests.run(options.driver, cpus, {"nt_stress.txt": f"{options.seed} {options.milliseconds}\n"},
                        timeout=60 + 60 * options.milliseconds // 1000)


if __name__ == "__main__":
    main()
