#!/usr/bin/env python3
"""Measures what the project promises about speed and memory, with QEMU's own floor in the same run, and prints a table.

Each time is the median of several runs, from fork to the end of the process. Limits are stated for a 2-core machine under TCG.

usage: bench.py --build DIR [--runs N] [--json FILE]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
QUESTIONS = "!mex.di; !mex.tl -t; !mex.running; !analyze -v"
# What `run` starts QEMU with, less the devices: the floor is the same machine with nothing in it.
MACHINE = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M",
           "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off,auto-kernel-cmdline=off,x-option-roms=off",
           "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256M", "-smp", "6",
           "-device", "isa-debug-exit,iobase=0x501,iosize=4"]


def peak_resident(pid):
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
        return int(match.group(1)) / 1024 if match else 0
    except OSError:
        return 0


class Bench:
    def __init__(self, build, runs):
        self.build, self.runs = build, runs
        self.program = build / "bin/bugcheck"
        self.guest = build / "guest"
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-bench-", dir=build))
        self.environment = dict(os.environ)
        for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
            folder = self.work / variable
            folder.mkdir(mode=0o700)
            self.environment[variable] = str(folder)
        self.rows = []

    def timed(self, command, expect=(0,), runs=None, prepare=None):
        """Runs a command several times: median seconds."""
        seconds = []
        for _ in range(runs or self.runs):
            if prepare:
                prepare()
            start = time.monotonic()
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       env=self.environment)
            _, error = process.communicate()
            seconds.append(time.monotonic() - start)
            if process.returncode not in expect:
                raise RuntimeError(f"{' '.join(map(str, command))}: exit status {process.returncode}\n"
                                   f"{error.decode(errors='replace')}")
        return statistics.median(seconds)

    def resident(self, command):
        """Peak resident sizes in MB of one run of a command: the program's own, and that of the QEMU it started."""
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.environment)
        own = qemu = 0
        while process.poll() is None:
            own = max(own, peak_resident(process.pid))
            try:
                children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            except OSError:
                children = []
            qemu = max([qemu, *(peak_resident(child) for child in children)])
            time.sleep(0.002)
        return own, qemu

    def row(self, what, value, limit, unit, note="", higher_is_better=False):
        verdict = "" if limit is None else ("ok" if (value >= limit if higher_is_better else value <= limit) else "missed")
        self.rows.append({"what": what, "value": value, "limit": limit, "unit": unit, "verdict": verdict, "note": note})

    def failed(self, what, error):
        self.rows.append({"what": what, "value": None, "limit": None, "unit": "", "verdict": "missed",
                          "note": f"not measured: {str(error).splitlines()[0]}"})

    def floor(self):
        elf = self.work / "floor.elf"
        subprocess.run(["clang-19", "--target=x86_64-elf", "-c", SOURCE / "tests/bench/floor.S", "-o", self.work / "floor.o"], check=True)
        subprocess.run(["ld.lld-19", "-m", "elf_x86_64", "-static", "-z", "max-page-size=4096", "--build-id=none", "-T",
                        SOURCE / "boot/stub.ld", self.work / "floor.o", "-o", elf], check=True)
        seconds = self.timed(["qemu-system-x86_64", *MACHINE, "-kernel", elf], expect=(1,), runs=3 * self.runs)
        self.row("bare QEMU microvm, 6 processors: start and exit", seconds, None, "s", "the floor")
        return seconds

    def wine(self):
        """Seconds that Wine's `sc start` of the same driver takes in a prepared prefix, or None where it is not installed."""
        if not shutil.which("wine"):
            return None
        environment = dict(self.environment, WINEPREFIX=str(self.work / "wine"), WINEDEBUG="-all", DISPLAY="")
        driver = self.guest / "spinlock.sys"
        subprocess.run(["wine", "sc", "create", "bench", "type=", "kernel", f"binPath=Z:{driver}"], env=environment,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        seconds = []
        for _ in range(3):
            start = time.monotonic()
            subprocess.run(["wine", "sc", "start", "bench"], env=environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
            seconds.append(time.monotonic() - start)
            subprocess.run(["wine", "sc", "stop", "bench"], env=environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
        return statistics.median(seconds)

    def crash(self, floor, wine):
        dump, verdict = self.work / "memory.dmp", self.work / "verdict.json"
        command = [self.program, "run", "--cpus", "6", "--dump", dump, "--json", verdict, self.guest / "spinlock.sys"]
        self.timed(command, expect=(3,), runs=1)  # the accelerator probe and cold caches are not what is measured
        entries = []
        collect = lambda: self.collect(verdict, entries, dump)  # noqa: E731
        seconds = self.timed(command, expect=(3,), prepare=collect)
        collect()
        if entries:
            entry = statistics.median(entries)
            self.row("launch to DriverEntry", entry, 5 * floor, "s", f"{entry / floor:.1f} x the floor, limit 5 x")
            self.row("launch to DriverEntry, against Wine's sc start", entry, 0.5 * (wine or 0.38), "s",
                     f"{entry / (wine or 0.38):.2f} x " + (f"{wine:.2f} s measured here" if wine else "0.38 s measured elsewhere: wine is not installed") + ", limit 0.5 x")
        else:
            self.failed("launch to DriverEntry", "the verdict has no time for it")
        self.row("bugcheck run spinlock.sys, dump written", seconds, 1.0, "s")
        own, qemu = self.resident(command)
        self.row("QEMU: peak resident size, 256 MB configured", qemu, 120, "MB", "of the whole run, DriverEntry and after")
        self.row("bugcheck run: peak resident size", own, 60, "MB", "with the guest's pages that it mapped to write the dump")
        question = [self.program, "debug", "-c", QUESTIONS, dump]
        answer = subprocess.run(list(map(str, question)), env=self.environment, capture_output=True, text=True, check=True).stdout
        if "spinlock called ZwCreateFile" not in answer:
            raise RuntimeError(f"the debugger's answer does not name the fault:\n{answer}")
        self.row(f"debug -c '{QUESTIONS}'", self.timed(question), 0.3, "s")
        self.row("debugger: peak resident size", self.resident(question)[0], 150, "MB")

    def collect(self, verdict, entries, dump):
        """Takes the time to DriverEntry that the last run reported, and removes its dump: to replace a file takes longer."""
        if not verdict.exists():
            return
        launch = json.loads(verdict.read_text()).get("seconds", {}).get("launch_to_driver_entry")
        if launch:
            entries.append(launch)
        dump.unlink(missing_ok=True)

    def dump_rate(self):
        """A full dump of a machine whose memory is filled, against cp of the same file, which is then in the cache as guest memory
        is. Both take far longer than a process takes to start; they alternate, so that a busy host slows both, and each finds the
        disk idle: what the other wrote is flushed first."""
        dump, verdict, copy = self.work / "full.dmp", self.work / "full.json", self.work / "copy.dmp"
        command = [self.program, "run", "--timeout", "300s", "--cpus", "2", "--memory", "512M", "--dump-type", "full", "--dump", dump,
                   "--json", verdict, self.guest / "fill_memory.sys"]
        times = []
        for _ in range(5):
            self.timed(command, expect=(3,), runs=1)
            written = json.loads(verdict.read_text())["seconds"]["dump"]
            self.flush(dump)
            start = time.monotonic()
            subprocess.run(["cp", dump, copy], check=True)
            times.append((written, time.monotonic() - start))
            size = dump.stat().st_blocks * 512 / 1e6
            self.flush(copy)
            copy.unlink()
            dump.unlink()
        written, copied = sorted(times, key=lambda pair: pair[1] / pair[0])[len(times) // 2]
        self.row("dump writing against cp of the same bytes", copied / written, 0.8, "x",
                 f"{size / written:.0f} MB/s against {size / copied:.0f} MB/s, {size:.0f} MB and holes", higher_is_better=True)

    @staticmethod
    def flush(path):
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    def corrected(self):
        """Each run has a new folder as C:. They are removed at the end: file systems are slow where much was just deleted."""
        seconds = []
        for index in range(self.runs):
            drive = self.work / f"drive{index}"
            drive.mkdir()
            seconds.append(self.timed([self.program, "run", "--cpus", "6", "--drive-c", drive, self.guest / "spinlock_fixed.sys"], runs=1))
            moved = len(list((drive / "Temp2").iterdir()))
            if moved != 1000:
                raise RuntimeError(f"spinlock_fixed.sys moved {moved} files of 1000")
        self.row("bugcheck run spinlock_fixed.sys: 1000 files written and moved", statistics.median(seconds), 2.0, "s",
                 f"{min(seconds):.2f} to {max(seconds):.2f} s")

    def lock_bench(self, *options):
        """Runs the lock_bench driver: {what: number} of the lines that it prints."""
        log = self.work / "console.log"
        self.timed([self.program, "run", "--timeout", "300s", *options, "--console", log, self.guest / "lock_bench.sys"], runs=1)
        text = log.read_text(errors="replace")
        if "lock_bench: ERROR" in text:
            raise RuntimeError(re.search(r"lock_bench: ERROR.*", text).group(0))
        return {what: int(number) for what, number in re.findall(r"lock_bench: (.+?) = (\d+)", text)}

    def guest_instructions(self):
        """Guest instructions of uncontended pairs and of switches, counted under -icount on one processor."""
        counts = self.lock_bench("--cpus", "1", "--accel", "icount")
        if "pair plain" not in counts:
            raise RuntimeError("lock_bench printed no count")
        self.row("guest: uncontended spin lock pair beyond two CR8 writes", counts.pop("pair plain") - 2, 16, "instructions")
        for what, count in counts.items():
            kind, _, name = what.partition(" ")
            if kind == "pair":
                self.row(f"guest: uncontended pair, {name}", count, None, "instructions")
            elif kind == "instructions":
                self.row(f"guest: {name}", count, None, "instructions", "on one processor")

    def guest_contention(self):
        """Hand-over and fairness between the machine's processors, often more than the host has: one that the host does not run while
        it stands in no queue misses rounds of every lock."""
        for cpus in (1, 2, 4, 8):
            values = self.lock_bench("--cpus", cpus)
            for name in ("plain", "queued", "shared exclusively", "shared shared"):
                fairness = values[f"contended {name} fairness per mille"] / 1000
                self.row(f"guest, {cpus} processors: {name}, hand-over", values[f"contended {name} hand-over ns"] / 1000, None, "us",
                         f"fairness {fairness:.2f}")
            for name in ("event ping-pong", "DPC latency"):
                self.row(f"guest, {cpus} processors: {name}", values[f"ns {name}"] / 1000, None, "us",
                         "on one processor" if cpus == 1 else "between two processors")

    def fault_bench(self, *options):
        """Runs the fault_bench driver: {what: number} of the lines that it prints."""
        log = self.work / "console.log"
        self.timed([self.program, "run", "--timeout", "300s", *options, "--console", log, self.guest / "fault_bench.sys"], runs=1)
        text = log.read_text(errors="replace")
        costs = {what: int(cost) for what, cost in re.findall(r"fault_bench: (.+?) = (\d+)", text)}
        if not costs or "fault_bench: ERROR" in text:
            raise RuntimeError("".join(re.findall(r"fault_bench: ERROR.*", text)) or "fault_bench printed no cost")
        return costs

    def page_faults(self):
        """What a touch of a page that is not there costs, by where the page comes from."""
        for what, cost in self.fault_bench("--cpus", "2").items():
            self.row(f"guest, 2 processors: page fault, {what}", cost / 1000, None, "us")

    def exceptions(self):
        """Guest instructions of raising and catching, beside a plain call."""
        for what, cost in self.fault_bench("--cpus", "1", "--accel", "icount").items():
            if what.startswith("instructions "):
                self.row(f"guest: {what.removeprefix('instructions ')}", cost, None, "instructions")

    def native_locks(self):
        """The kernel's lock algorithms on the host, beside other libraries' locks."""
        program = self.build / "bin/native_lock_bench"
        output = subprocess.run([program, "--json", "--milliseconds", "2000"], capture_output=True, text=True, check=True).stdout
        locks = {lock["lock"]: lock for lock in json.loads(output)}
        limit = locks["pthread_spin_lock"]["pair"]
        for name, lock in locks.items():
            self.row(f"native: uncontended pair, {name}", lock["pair"], limit if name == "plain" else None, "ns",
                     "goal: no slower than pthread_spin_lock" if name == "plain" else "")
        for name, lock in locks.items():
            for result in lock["contended"]:
                text = f"native, {result['threads']} threads: {name}"
                if name == "queued":
                    self.row(f"{text}, fairness", result["fairness"], 0.8, "x", "slowest / fastest", higher_is_better=True)
                self.row(f"{text}, hand-over", result["hand_over"] / 1000, None, "us", f"fairness {result['fairness']:.2f}")

    def pool(self):
        """Pairs of allocation and free a second, in a guest driver, plain and with what Driver Verifier adds."""
        log = self.work / "console.log"
        for verifier in ("none", "special_pool", "pool"):
            self.timed([self.program, "run", "--cpus", "8", "--timeout", "120s", "--verifier", verifier, "--console", log,
                        self.guest / "pool_bench.sys"], runs=1)
            with_it = "" if verifier == "none" else f", --verifier {verifier}"
            rates = {}
            for size, processors, rate in re.findall(r"pool_bench: (\d+) bytes, (\d+) processors?: (\d+) pairs",
                                                     log.read_text(errors="replace")):
                self.row(f"pool, {size} bytes, {processors} processor(s){with_it}", int(rate), None, "pairs/s")
                rates[int(size), int(processors)] = int(rate)
            for size, processors in rates:
                if verifier == "none" and processors != 1 and rates.get((size, 1)):
                    self.row(f"pool, {size} bytes, {processors} processors against 1", rates[size, processors] / rates[size, 1], 0.9,
                             "x", "of all pairs together", higher_is_better=True)

    def kit(self):
        """A test through libbugcheck from boot to unload, and what one control code costs it."""
        output = subprocess.run([self.build / "bin/kit_bench", self.guest / "ioctl_server.sys"], env=self.environment,
                                capture_output=True, text=True, check=True).stdout
        values = json.loads(output)
        self.row("kit: boot, load, 1000 control codes, unload", values["test_seconds"], 1.0, "s", "2 processors")
        self.row("kit: round trip of a control code", values["round_trip_us"], 150, "us", "host to driver and back, median")
        self.row("kit: one of 200 control codes on their way together", values["batched_us"], 20, "us")

    def print_table(self):
        print(f"\n| what | reached | goal | ok? | note |\n|---|---|---|---|---|")
        for row in self.rows:
            digits = 0 if row["unit"] in ("MB", "instructions") else 3
            text = "-" if row["value"] is None else f"{row['value']:.{digits}f} {row['unit']}"
            limit = "" if row["limit"] is None else f"{row['limit']:.{digits}f} {row['unit']}"
            print(f"| {row['what']} | {text} | {limit} | {row['verdict']} | {row['note']} |")
        goals = [row for row in self.rows if row["verdict"]]
        print(f"\n{sum(row['verdict'] == 'ok' for row in goals)} of {len(goals)} goals reached; "
              f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    bench = Bench(options.build.resolve(), options.runs)
    try:
        floor = bench.floor()
        wine = bench.wine()
        if wine:
            bench.row("Wine: sc start of the same driver", wine, None, "s", "for comparison")
        for name, part in (("the spin-lock sample", lambda: bench.crash(floor, wine)), ("the corrected sample", bench.corrected),
                           ("dump writing", bench.dump_rate), ("guest instructions", bench.guest_instructions),
                           ("guest contention", bench.guest_contention), ("page faults", bench.page_faults), ("exceptions", bench.exceptions),
                           ("native locks", bench.native_locks), ("pool", bench.pool),
                           ("the kit", bench.kit)):
            try:
                part()
            except (RuntimeError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                print(error, file=sys.stderr)
                bench.failed(name, error)
        bench.print_table()
        if options.json:
            options.json.write_text(json.dumps(bench.rows, indent=1) + "\n")
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
