#!/usr/bin/env python3
"""Allocations of the kernel fail on purpose while drivers ask for all kinds of things: the kernel survives, does not hang, and what it
refused it has given back.

usage: low_memory_test.py [--seeds N] [--suites]

--suites: also runs the guest suites, to see which call sites they reach that no failure reached.
"""
import argparse
import pathlib
import random
import re
import struct
import sys
import unittest

import harness
from harness import GUEST, Sandbox

sys.path.insert(0, str(harness.SOURCE / "tools"))
import exports  # noqa: E402

SEEDS = 2
SUITES = False
ALLOCATORS = re.compile(r"ExAllocatePool\w*")
# Caches of the file system, which is a driver; the names of the last fifty unloaded drivers, which are kept.
NOT_COUNTED = {"Hosf", "MmUd"}
# Work that has to wait makes one more worker thread, for a minute.
MAY_COME = {"Thre": 2}


def tag_text(value):
    return struct.pack("<I", int(value, 16)).decode("latin-1")


def call_sites():
    """RVAs that the kernel's calls of ExAllocatePool... return to."""
    pe = exports.Pe((GUEST / "ntoskrnl.exe").read_bytes())
    names = pe.offset(pe.export_rva)
    _, functions, name_table, ordinals = pe.unpack("<IIII", names + 20)[0], *pe.unpack("<III", names + 28)
    targets = set()
    for index, name in enumerate(pe.export_names()):
        if ALLOCATORS.fullmatch(name):
            ordinal, = pe.unpack("<H", pe.offset(ordinals) + 2 * index)
            targets.add(pe.unpack("<I", pe.offset(functions) + 4 * ordinal)[0])
    sites = set()
    for name, rva, size, raw, raw_size in pe.sections:
        code = pe.slice(raw, min(size, raw_size))
        # The pool's own code hands its caller's address on.
        if name.startswith(".") and name != ".text" or name.startswith("POOL"):
            continue
        at = code.find(b"\xe8")
        while 0 <= at <= len(code) - 5:
            behind = rva + at + 5
            if behind + struct.unpack_from("<i", code, at + 1)[0] in targets:
                sites.add(behind)
            at = code.find(b"\xe8", at + 1)
    return sites


class Run:
    """One boot with a driver; what its console says."""

    def __init__(self, test, driver, options, cpus, drive_c=None, any_end=False):
        sandbox = Sandbox()
        test.addCleanup(sandbox.close)
        console = sandbox.root / "console.log"
        files = []
        if drive_c:
            folder = sandbox.root / "C"
            folder.mkdir()
            for path in drive_c:
                (folder / pathlib.Path(path).name).write_bytes(pathlib.Path(path).read_bytes())
            files = ["--drive-c", folder]
        run = sandbox.run("run", "--cpus", cpus, "--timeout", "280s", "--boot-options", options, "--console", console, *files,
                          driver, timeout=400)
        text = console.read_text(errors="replace") if console.exists() else ""
        self.story = f"{options}, {cpus} processors\n{run.stdout}\n{run.stderr}\n{text[-4000:]}"
        if not any_end:
            test.assertEqual(run.returncode, harness.EXIT_CLEAN, self.story)
        counts = re.findall(r"pool faults: (\d+) allocations failed on purpose, at (\d+) call sites of (\d+) reached", text)
        test.assertTrue(counts, self.story)
        self.injected, self.failed_sites, self.reached_sites = map(int, counts[-1])
        found = {int(site, 16): int(count) for site, count in re.findall(r"pool site: nt\+0x([0-9a-f]+) (\d+)", text)}
        boot = dict(re.findall(r"pool site: boot\+0x([0-9a-f]+) (\d+)", text))
        self.boot_sites, self.boot_failed = len(boot), sum(count != "0" for count in boot.values())
        self.sites = set(found)
        self.failed = {site for site, count in found.items() if count}
        calls = re.search(r"(?:starve|low_memory): (\d+) calls succeeded, (\d+) were refused(?:, (\d+) for another)?", text)
        self.succeeded, self.refused, self.others = (int(n or 0) for n in calls.groups()) if calls else (0, 0, 0)
        self.left = {tag_text(tag): int(count) for tag, count in re.findall(r"starve: tag ([0-9a-f]{8}): (-?\d+) more", text)}
        self.wrong = re.findall(r"starve: .* wrong", text)
        if not any_end:
            print(f"{pathlib.Path(driver).stem}, {options}, {cpus} processors: {self.injected} allocations failed, at {self.failed_sites} "
                  f"call sites of {self.reached_sites} reached; {self.succeeded} calls succeeded, {self.refused} were refused", flush=True)


class LowMemory(unittest.TestCase):
    def sample(self, options, cpus):
        return Run(self, GUEST / "low_memory.sys", options, cpus)

    def starve(self, options, cpus):
        return Run(self, GUEST / "starve.sys", options, cpus, drive_c=[GUEST / "nothing.sys"])

    def check_leaks(self, run, without_failures):
        self.assertEqual(run.wrong, [], run.story)
        leaks = {tag: count for tag, count in run.left.items()
                 if tag not in NOT_COUNTED and count > without_failures.left.get(tag, 0) + MAY_COME.get(tag, 0)}
        self.assertEqual(leaks, {}, run.story)

    def test_the_sample_survives_each_failure_once(self):
        run = self.sample("fail-pool=1", 2)
        self.assertGreater(run.failed_sites, 10)
        self.assertGreater(run.refused, 10)
        self.assertGreater(run.succeeded, 500)

    def test_each_way_to_each_call_site_fails_once(self):
        quiet = self.starve("watch-pool=1", 2)
        self.assertEqual((quiet.injected, quiet.refused), (0, 0), quiet.story)
        run = self.starve("fail-pool=1", 2)
        exist = call_sites()
        print(f"of the file system {run.boot_failed} call sites of {run.boot_sites} reached failed", flush=True)
        self.assertGreaterEqual(run.boot_failed, 8)
        self.assertEqual(run.boot_failed, run.boot_sites)
        print(f"the kernel has {len(exist)} call sites; {len(run.failed & exist)} of them failed, and "
              f"{len(run.failed - exist)} that allocate pages or call through pointers", flush=True)
        self.assertEqual(run.failed, run.sites, run.story)  # whatever was reached has failed
        self.assertLessEqual(quiet.sites, run.failed)
        self.assertGreater(len(run.failed & exist), 110)
        self.assertGreater(run.injected, run.failed_sites)  # on more than one way
        self.assertEqual(run.others, 0, run.story)
        self.check_leaks(run, quiet)

    def test_one_allocation_in_some_fails(self):
        quiet = self.starve("watch-pool=1", 4)
        for _ in range(SEEDS):
            seed = random.SystemRandom().randrange(1, 1 << 31)
            run = self.starve(f"fail-pool={random.choice((3, 10, 40))} fail-pool-seed={seed}", 4)
            self.assertGreater(run.injected, 0)  # one in 40 of some 800: that none fails has a probability of e^-20
            self.assertGreater(run.succeeded + run.refused, 200)
            self.check_leaks(run, quiet)

    def test_what_the_guest_suites_reach(self):
        if not SUITES:
            self.skipTest("--suites")
        failed = self.starve("fail-pool=1", 2).failed
        reached = set()
        for suite in harness.guest_suites():
            run = Run(self, suite, "watch-pool=1", 2, any_end=True)
            reached |= run.sites
            print(f"{suite.stem}: {len(run.sites)} call sites, never failed: "
                  f"{' '.join(f'nt+{site:#x}' for site in sorted(run.sites - failed))}", flush=True)
        print(f"the guest suites reach {len(reached)} call sites, {len(reached & failed)} of them have failed", flush=True)
        self.assertGreater(len(reached & failed), 0.75 * len(reached))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--suites", action="store_true")
    options, rest = parser.parse_known_args()
    SEEDS, SUITES = options.seeds, options.suites
    unittest.main(argv=[sys.argv[0], *rest])
