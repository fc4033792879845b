#!/usr/bin/env python3
"""Checks the size budgets: a source has at most 600 lines, a header 250, a function 100 (60 and above are listed).

Functions are found by their braces at clang-format's layout: a body starts on a line that ends with `{` after a line of
parameters, and ends at the closing brace of the same indentation. Tables (initialisers) are no functions.

usage: check_sizes.py SOURCE_DIR
"""
import pathlib
import re
import subprocess
import sys

SOURCE_LINES, HEADER_LINES, FUNCTION_HARD, FUNCTION_REPORT = 600, 250, 100, 60
FOLDERS = ("kernel", "host", "drivers", "boot", "samples", "tests", "examples", "include")
BODY = re.compile(r"^(\s*)(?!namespace\b|struct\b|class\b|enum\b|union\b|extern\b|static const\b|constexpr\b.*=|const\b.*=|"
                  r"if\b|for\b|while\b|switch\b|do\b|else\b|case\b|\}|#).*\)\s*(?:const|noexcept|override|final|\s|->\s*[\w:<>*& ]+)*\{$")


def functions(lines):
    """Yields (first line, length) of function bodies that start at the outermost two indentations."""
    index = 0
    while index < len(lines):
        match = BODY.match(lines[index])
        if match and len(match.group(1)) <= 4:
            close = match.group(1) + "}"
            end = next((at for at in range(index + 1, len(lines))
                        if lines[at].startswith(close) and lines[at].strip().rstrip(";,)") == "}"), None)
            if end is not None:
                yield index + 1, end - index + 1
                index = end
        index += 1


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    names = subprocess.run(["git", "-C", str(root), "ls-files", *FOLDERS], capture_output=True, text=True, check=True).stdout
    problems, long_functions = [], []
    for name in names.splitlines():
        path = root / name
        if path.suffix not in (".h", ".cpp", ".c") or not path.exists():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        # The overlay headers are lists of prototypes for drivers, as long as NT's interface.
        limit = HEADER_LINES if path.suffix == ".h" else SOURCE_LINES
        if len(lines) > limit and not name.startswith("include/nt/") and \
                not name.endswith("/prototypes.h"):
            problems.append(f"{name}: {len(lines)} lines, at most {limit}")
        for line, length in functions(lines):
            text = f"{name}:{line}: function of {length} lines"
            if length > FUNCTION_HARD:
                problems.append(f"{text}, at most {FUNCTION_HARD}")
            elif length > FUNCTION_REPORT:
                long_functions.append(text)
    for text in long_functions:
        print(f"note: {text}")
    for text in problems:
        print(text)
    print(f"sizes: {len(problems)} over the budget, {len(long_functions)} functions of more than {FUNCTION_REPORT} lines")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
