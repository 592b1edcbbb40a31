#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tap-summary.py TESTLOG.json STATUS

Counts the subtests in a log of 'meson test' and prints them as "passed failed skipped". A test
without TAP output is one subtest; "not ok ... # TODO" counts as skipped. A test that meson calls
failed has at least one failure, whatever its output says: a crash or a timeout loses the rest of its
plan. STATUS is the exit status of 'meson test': not zero, with no failure in the log, is one failure.
Before the counts come the failures: for each test that failed a line, and what it said of itself.
"""

import json
import os
import re
import sys

LINE = re.compile(r"^(not )?ok\b[ \t]*\d*[ \t]*-?[ \t]*(.*)$")


def count_tap(text):
    passed = failed = skipped = 0
    for line in text.splitlines():
        m = LINE.match(line)
        if not m:
            continue
        if re.search(r"#\s*SKIP", m[2], re.I) or (m[1] and re.search(r"#\s*TODO", m[2], re.I)):
            skipped += 1
        elif m[1]:
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def told(text, limit=40):
    """What a failed test says of itself: failures with notes beside them, or its last lines."""
    lines = text.splitlines()
    said = []
    notes = []  # since the last result
    failed = False
    for line in [*lines, "ok"]:
        if line.startswith("#"):
            notes.append(line)
        elif line.startswith("Bail out!"):
            said += notes[-12:] + [line]
            notes = []
        elif LINE.match(line):
            # Some say why before the line that fails, some after it.
            said += notes[:4] if failed else []
            failed = line.startswith("not ")
            said += [*notes[:8], line] if failed else []
            notes = []
    # A crash says why in its last lines, whatever had failed before.
    said = said or lines[-limit:]
    rest = len(said) - limit
    return said[:limit] + (["... and %d lines more" % rest] if rest > 0 else [])


def show_failed(test):
    print("FAILED %s: %s" % (test["name"], test["result"]))
    for line in told((test.get("stdout") or "") + (test.get("stderr") or "")):
        print("FAILED     " + line)


def count_test(test):
    result = test["result"]
    passed, failed, skipped = count_tap(test.get("stdout") or "")
    if result in ("FAIL", "TIMEOUT", "INTERRUPT", "ERROR", "UNEXPECTEDPASS"):
        return passed, max(failed, 1), skipped
    if result == "SKIP":
        return passed, failed, max(skipped, 1)
    if passed + failed + skipped == 0:
        return 1, 0, 0
    return passed, failed, skipped


def main():
    path, status = sys.argv[1], int(sys.argv[2])
    total = [0, 0, 0]
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                test = json.loads(line)
                counts = count_test(test)
                total = [a + b for a, b in zip(total, counts)]
                if counts[1]:
                    show_failed(test)
    elif status == 0:
        print("(no tests in this stage)")
    if status != 0 and total[1] == 0:
        total[1] = 1
    print(*total)


if __name__ == "__main__":
    main()
