#!/usr/bin/env python3
"""Runs a libFuzzer target for a time on seeds made from what the build has; prints its seed; keeps what it finds.

usage: run_fuzz.py PROGRAM --kind pe|pdb|dump|isf --seconds N
"""
import argparse
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
import harness  # noqa: E402


def dump_header(kind):
    header = bytearray(b"PAGE" * 0x800)
    header[:8] = b"PAGEDU64"
    struct.pack_into("<IIQ", header, 8, 15, 22621, 0x1AD000)
    struct.pack_into("<III", header, 0x30, 0x8664, 2, 0xD1)
    struct.pack_into("<IIQQQ", header, 0x88, 1, 0, 4, 1, 4)
    struct.pack_into("<I", header, 0xF98, kind)
    return bytes(header)


def bitmap_dump(signature):
    summary = bytearray(0x1000)
    summary[:8] = signature + b"DUMP"
    struct.pack_into("<QQQ", summary, 0x20, 0x3000, 3, 64)
    struct.pack_into("<Q", summary, 0x38, 0b10011)
    return dump_header(5) + bytes(summary) + bytes(3 * 0x1000)


def seeds(kind):
    if kind == "pe":
        yield from (path.read_bytes() for path in sorted(harness.GUEST.glob("*.sys")) if path.stat().st_size < 200000)
    elif kind == "pdb":
        yield from (path.read_bytes() for path in sorted(harness.GUEST.glob("*.pdb")) if path.stat().st_size < 300000)
    elif kind == "dump":
        yield dump_header(1) + bytes(4 * 0x1000)
        yield bitmap_dump(b"SDMP")
        yield bitmap_dump(b"FDMP")
        yield dump_header(4) + bytes(0x4000)
    else:
        yield (b'{"metadata":{"format":"6.2.0","windows":{"pdb":{"GUID":"0123456789ABCDEF0123456789ABCDEF","age":1,'
               b'"database":"ntkrnlmp.pdb","machine_type":34404}}},"base_types":{"unsigned long":{"endian":"little",'
               b'"kind":"int","signed":false,"size":4}},"user_types":{"_A":{"kind":"struct","size":8,"fields":{"B":{'
               b'"offset":0,"type":{"kind":"array","count":2,"subtype":{"kind":"base","name":"unsigned long"}}}}}},'
               b'"enums":{},"symbols":{"KeBugCheckEx":{"address":4096}}}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--kind", choices=("pe", "pdb", "dump", "isf"), required=True)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    if not options.program.exists():
        sys.exit(f"{options.program} has not been built")
    corpus = pathlib.Path(tempfile.mkdtemp(prefix="bugcheck-fuzz-"))
    found = harness.BUILD / "fuzz-findings" / options.program.name
    found.mkdir(parents=True, exist_ok=True)
    try:
        for index, data in enumerate(seeds(options.kind)):
            (corpus / f"seed{index}").write_bytes(data)
        seed = random.randrange(1, 2**31)
        print(f"{options.program.name}: seed {seed}, {options.seconds} s", flush=True)
        result = subprocess.run([options.program, f"-seed={seed}", f"-max_total_time={options.seconds}", "-timeout=10",
                                 "-rss_limit_mb=2048", "-max_len=300000", "-print_final_stats=1", f"-artifact_prefix={found}/",
                                 corpus], capture_output=True, text=True, errors="replace")
        print(result.stderr[-3000:] if result.returncode else "\n".join(result.stderr.splitlines()[-6:]))
        if result.returncode != 0:
            sys.exit(f"the finding is in {found}")
    finally:
        shutil.rmtree(corpus, ignore_errors=True)


if __name__ == "__main__":
    main()
