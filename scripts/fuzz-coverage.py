#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""fuzz-coverage.py BUILD [TARGET...]

Replays the corpus of each fuzz target in a build with -Db_coverage=true and prints how many lines of
the target's parser (tests/fuzz/targets) the corpus runs. A target under 90 % fails. The lines not
run are listed with -v. The last line is "passed failed skipped".
"""

import glob
import gzip
import json
import os
import subprocess
import sys

GOAL = 0.90
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read_targets():
    with open(os.path.join(ROOT, "tests/fuzz/targets"), encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, files = line.split(":", 1)
                yield name.strip(), [parse_file(x) for x in files.split()]


def parse_file(text):
    path, _, functions = text.partition(":")
    return path, set(functions.split(",")) if functions else None


def covered_lines(build):
    """(path, line) -> (count, function) over all objects that ran."""
    lines = {}
    data = glob.glob(os.path.join(build, "**/*.gcda"), recursive=True)
    for path in data:
        out = subprocess.run(
            ["gcov", "--json-format", "--stdout", os.path.abspath(path)],
            cwd=build, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        if out[:2] == b"\x1f\x8b":
            out = gzip.decompress(out)
        for document in out.decode().splitlines():
            for f in json.loads(document)["files"]:
                source = os.path.relpath(os.path.join(build, f["file"]), ROOT)
                for l in f["lines"]:
                    key = source, l["line_number"]
                    old = lines.get(key, (0, None))[0]
                    lines[key] = old + l["count"], l.get("function_name")
    return lines


def as_runs(numbers):
    """[1, 2, 3, 7] -> "1-3 7"."""
    runs = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def check_target(build, name, files, verbose):
    for path in glob.glob(os.path.join(build, "**/*.gcda"), recursive=True):
        os.unlink(path)
    subprocess.run(
        [os.path.join(build, "tests/fuzz/fuzz-" + name),
         os.path.join(ROOT, "tests/fuzz/corpus", name)],
        stdout=subprocess.DEVNULL, check=True)
    lines = covered_lines(build)
    run = total = 0
    for path, functions in files:
        mine = {n: count for (source, n), (count, function) in lines.items()
                if source == path and (functions is None or function in functions)}
        if functions:
            found = {function for (source, _), (_, function) in lines.items() if source == path}
            for missing in sorted(functions - found):
                print(f"{name}: {path} has no function {missing}")
                return False
        if not mine:
            print(f"{name}: {path} is not in the fuzz program")
            return False
        hit = sum(1 for count in mine.values() if count)
        run, total = run + hit, total + len(mine)
        if verbose or hit < GOAL * len(mine):
            missed = as_runs(sorted(n for n, count in mine.items() if not count))
            print(f"{name}: {path}: {hit} of {len(mine)} lines; not run: {missed}")
    good = run >= GOAL * total
    print(f"{name}: {100 * run / total:.1f} % of {total} lines{'' if good else ', too few'}")
    return good


def main():
    args = [a for a in sys.argv[1:] if a != "-v"]
    build, only = args[0], args[1:]
    passed = failed = 0
    for name, files in read_targets():
        if only and name not in only:
            continue
        if check_target(build, name, files, "-v" in sys.argv):
            passed += 1
        else:
            failed += 1
    if passed + failed == 0:
        failed = 1
    print(passed, failed, 0)


if __name__ == "__main__":
    main()
