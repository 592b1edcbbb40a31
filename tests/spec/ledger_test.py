#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""ledger_test.py LEDGER.PY: each check of the ledger can fail. TAP on stdout."""

import os
import subprocess
import sys
import tempfile

# Not written out: the real ledger reads this file too.
A, B, C = ("VTD" + f"-FS-{n:02d}" for n in (1, 2, 3))
HEAD = "id\twhere\trule\tstatus\tnote\n"
GOOD = (f"{A}\tobject\tIt does this.\tdone\t\n"
        f"{B}\tobject\tIt does that.\topen\t\n"
        f"{C}\tobject\tIt does more.\toff\tECAP.XYZ\n")
TEST = f"/* {A} {C} */\n"

CASES = (
    ("a_good_ledger_passes", GOOD, TEST, None),
    ("a_duplicate_id_fails", GOOD + f"{B}\tobject\tAgain.\topen\t\n", TEST, "again"),
    ("a_row_without_note_column_fails", GOOD + f"{B}4\tobject\tIt.\topen\n", TEST, "columns"),
    ("an_unknown_state_fails", GOOD.replace("open", "maybe"), TEST, "no status"),
    ("an_unknown_area_fails", GOOD.replace(B, "VTD" + "-NOWHERE-01"), TEST, "no area"),
    ("a_cited_rule_that_does_not_exist_fails", GOOD, TEST + f"/* {A[:-2]}77 */", "no rule"),
    ("a_done_rule_that_no_test_cites_fails", GOOD, f"/* {C} */", "no test cites it"),
    ("an_off_rule_that_no_test_cites_fails", GOOD, f"/* {A} */", "no test cites it"),
    ("an_off_rule_without_a_bit_fails", GOOD.replace("ECAP.XYZ", "no bit"), TEST, "names no bit"),
    ("an_off_rule_with_an_invented_bit_fails", GOOD.replace("XYZ", "ABC"), TEST, "names no bit"),
    ("a_retired_rule_without_revision_fails", GOOD.replace("open", "retired"), TEST, "no revision"),
    ("a_stale_conformance_page_fails", None, TEST, "out of date"),
)


def run(script, root, *options):
    p = subprocess.run([sys.executable, script, "--root", root, *options],
                       capture_output=True, text=True, check=False)
    return p.returncode, p.stdout + p.stderr


def put(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def outcome(script, ledger, test, want):
    with tempfile.TemporaryDirectory() as root:
        put(root, "include/viommu/vtd.h", "F(VTD_ECAP_XYZ, 1, 1)\n")
        put(root, "tests/fs.c", test)
        put(root, "docs/ledger.tsv", HEAD + (ledger or GOOD))
        run(script, root, "--write")
        if ledger is None:
            put(root, "docs/conformance.md", "old\n")
        code, text = run(script, root)
        tap_code, tap = run(script, root, "--tap")
        if want is None:
            return code == 0 and tap_code == 0 and "not ok" not in tap, text + tap
        return code == 1 and want in text and "\nnot ok" in "\n" + tap, text + tap


def main():
    print(f"1..{len(CASES)}")
    for number, (name, ledger, test, want) in enumerate(CASES, 1):
        good, text = outcome(sys.argv[1], ledger, test, want)
        if not good:
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
        print(f"{'ok' if good else 'not ok'} {number} - {name}")


if __name__ == "__main__":
    main()
