#!/usr/bin/env python3
"""Runs loader_fuzz.sys (tests/guest/loader_fuzz_guest_test.cpp) with a random seed, which it prints.

usage: run_loader_fuzz.py --images N [--seed S] loader_fuzz.sys
"""
import argparse
import random

import run_guest_tests


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("driver")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.images} images", flush=True)
    run_guest_tests.run(options.driver, options.cpus, {"loader_fuzz.txt": f"{options.seed} {options.images}\n"},
                        timeout=120 + options.images // 5)


if __name__ == "__main__":
    main()
