#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""gpasid_rows.py ROOT

Holds the tests of the historical interface to the table of include/viommu/gpasid.h, as TAP:

  - the rows of each group are numbered from 01 on and have four columns
  - every errno (and 0) that a row says is returned here is asserted by a test, ROW("GP-...", errno,
    call), and no test asserts another one
  - a row that is 'n/a: why' is cited by no test and says why
"""

import errno
import glob
import os
import re
import sys

ROW = re.compile(r"^ \*\t(GP-\w+-\d\d)\t+([^\t]+)\t+([^\t]+)\t+([^\t]+)$", re.M)
CITED = re.compile(r'\bROW\(\s*"(GP-\w+-\d\d)",\s*(\w+),')
WORD = re.compile(r"(?<![\w-])(E[A-Z]+|0)(?![\w-])")


def header_rows(text):
    """id -> (kernel, here), and what is wrong with the table itself."""
    rows, bad = {}, []
    for m in ROW.finditer(text):
        if m[1] in rows:
            bad.append(f"{m[1]} stands twice")
        rows[m[1]] = m[3], m[4]
    groups = {}
    for row in rows:
        group, number = row.rsplit("-", 1)
        groups.setdefault(group, []).append(int(number))
    for group, numbers in groups.items():
        if numbers != list(range(1, len(numbers) + 1)):
            bad.append(f"{group}: the numbers are {numbers}")
    lines = re.findall(r"^ \*\tGP-.*$", text, re.M)
    if len(lines) != len(rows):
        bad.append(f"{len(lines)} lines begin with a row's name, {len(rows)} are rows")
    return rows, bad


def errnos(text):
    return {w for w in WORD.findall(text) if w == "0" or hasattr(errno, w)}


def compare(rows, cited):
    bad = []
    for row, (_, here) in rows.items():
        tested = cited.get(row, set())
        if here.startswith("n/a"):
            if not re.match(r"n/a: \S", here):
                bad.append(f"{row}: does not apply, and no word why")
            if tested:
                bad.append(f"{row}: does not apply, and a test cites it")
            continue
        said = errnos(here)
        if not said:
            bad.append(f"{row}: says no errno")
        bad += [f"{row}: {e} is not tested" for e in sorted(said - tested)]
        bad += [f"{row}: a test asserts {e}, the table has it not" for e in sorted(tested - said)]
    return bad + [f"{row}: cited, but no row of the table" for row in sorted(set(cited) - set(rows))]


def main():
    root = sys.argv[1]
    with open(os.path.join(root, "include/viommu/gpasid.h"), encoding="utf-8") as f:
        rows, bad_table = header_rows(f.read())
    cited = {}
    for path in glob.glob(os.path.join(root, "tests/host/compat*.c")):
        with open(path, encoding="utf-8") as f:
            for m in CITED.finditer(f.read()):
                cited.setdefault(m[1], set()).add(m[2])
    # The check itself can fail: a row taken away, and an errno changed.
    broken = dict(rows)
    broken.pop("GP-BIND-07", None)
    other = dict(rows)
    other["GP-BIND-07"] = "EINVAL", "EBUSY"
    results = [
        ("the_table_of_gpasid_h_is_whole", bad_table or ([] if len(rows) > 140 else ["few rows"])),
        ("every_row_that_applies_is_tested", compare(rows, cited)),
        ("a_missing_row_is_found", [] if compare(broken, cited) else ["not found"]),
        ("another_errno_is_found", [] if compare(other, cited) else ["not found"]),
    ]
    print(f"1..{len(results)}")
    for i, (name, bad) in enumerate(results, 1):
        for b in bad:
            print("# " + b)
        print(f"{'not ok' if bad else 'ok'} {i} - {name}")
    apply = sum(not here.startswith("n/a") for _, here in rows.values())
    print(f"# {len(rows)} rows, {apply} apply")


if __name__ == "__main__":
    main()
