#!/usr/bin/env python3
"""Checks that no source includes a header of a layer above its own (docs/architecture.md has the picture).

usage: check_layering.py SOURCE_DIR
"""
import pathlib
import re
import sys

# Layers, lowest first; folders in one set may not include each other.
KERNEL = [{"ktl"}, {"arch"}, {"hal"}, {"kd"}, {"ke"}, {"mm"}, {"ob"}, {"se"}, {"ps"}, {"ex"}, {"etw", "wmi", "pcw"}, {"cm"}, {"io"}, {"cc"}, {"fsrtl"}, {"vf"}, {"init"}]
HOST = [{"base"}, {"formats"}, {"boot"}, {"debug", "dump", "qemu"}, {"commands", "run"}, {"bin"}]
# The hand-off between host and guest, which both sides include.
HAND_OFF = {"boot/control.h", "boot/client.h", "boot/loader_block.h"}
# Includes across or against the layers that are meant, each with its reason.
ALLOWED = {
    ("kd", "ke"): "the control server is a thread, and the debugger's data block names ke's lists",
    ("ke", "mm"): "page faults are handed to mm",
    ("mm", "ob"): "sections are objects",
    ("mm", "ex"): "mm starts the pools",
    ("ob", "ex"): "objects whose last reference goes at raised IRQL are deleted by a worker thread",
}
KERNEL_ANYWHERE = {"rtl", "nt", "boot"}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([\w./-]+)[">]', re.MULTILINE)


def rank(layers, folder):
    return next((index for index, layer in enumerate(layers) if folder in layer), None)


def kernel_problem(folder, target):
    if folder in ("init", "nt", "rtl") or target in KERNEL_ANYWHERE or target == folder:
        if folder == "rtl" and rank(KERNEL, target) not in (None, 0) and target != "rtl":
            return f"rtl may use only ktl, not {target}"
        return None
    mine, other = rank(KERNEL, folder), rank(KERNEL, target)
    if mine is None or other is None or other < mine or (folder, target) in ALLOWED:
        return None
    return f"{folder} may not include {target}: it is not below it"


def host_problem(folder, target):
    mine, other = rank(HOST, folder), rank(HOST, target)
    if mine is None or other is None or target == folder or other < mine:
        return None
    return f"{folder} may not include {target}: it is not below it"


def check_file(root, path, problems):
    parts = path.relative_to(root).parts
    side, folder = parts[0], parts[1]
    for include in INCLUDE.findall(path.read_text(encoding="utf-8", errors="replace")):
        first = include.split("/")[0]
        if include in HAND_OFF:
            continue
        if side == "kernel":
            problem = kernel_problem(folder, first) if "/" in include else None
        else:
            target = include.split("/")[1] if first == "host" and include.count("/") > 1 else first
            problem = host_problem(folder, target) if "/" in include else None
            if first == "kernel":
                problem = "host code may not include kernel headers"
        if problem:
            problems.append(f"{path.relative_to(root)}: #include {include}: {problem}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    problems, count = [], 0
    for side in ("kernel", "host"):
        for path in sorted((root / side).rglob("*")):
            if path.suffix in (".h", ".cpp", ".c", ".S") and len(path.relative_to(root).parts) > 2:
                check_file(root, path, problems)
                count += 1
    for problem in problems:
        print(problem)
    print(f"layering: {count} files, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
