#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench.py --viommu TOOL --peer ADAPTER: `viommu bench` as a user runs it, TAP on stdout.

Figures are not judged here (another process may have the processor), only that they are there, that
they say what they should about themselves, and that nothing under test gave a wrong result.
"""

import argparse
import json
import subprocess
import sys

ROW = {"id", "name", "value", "unit", "denominator", "against", "ratio", "p10", "p90", "goal",
       "goal_is", "met", "margin"}
PEER = None


def bench(tool, *args):
    return subprocess.run([tool, "bench", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, text=True)


def quick_rows_are_whole(tool):
    out = bench(tool, "--quick", "--json", "--seed", "7", "--only", "P3,P9,BIND")
    assert out.returncode == 0, out.stderr
    report = json.loads(out.stdout)
    assert report["seed"] == 7 and report["quick"] is True
    assert {r["id"] for r in report["rows"]} == {"P3", "P9", "BIND"}
    for r in report["rows"]:
        assert set(r) == ROW, r
        assert r["value"] > 0, r
        if r["ratio"] is not None:
            assert r["denominator"] > 0 and r["p10"] <= r["ratio"] <= r["p90"], r
        if r["goal"] is None:
            assert r["met"] is None and r["margin"] is None, r
        else:
            judged = r["value"] if r["ratio"] is None else r["ratio"]
            good = judged <= r["goal"] if r["goal_is"] == "at most" else judged >= r["goal"]
            assert r["met"] is good, r
            assert (r["margin"] >= 0) is good, r


# The names of rows, and what each is compared with.
GUEST_ROWS = {
    "UNIT": {
        "bind by a flush, host PASIDs": "identity",
        "virtual commands, allocate and free": "calls of the allocator",
        "interrupt, its entry in the cache": "in compatibility format",
        "interrupt, its entry just invalidated": "in the cache",
        "invalidate an interrupt entry and wait, by the queue": None,
        "DSA copy of 64 B, a shared device": "one of its own",
        "DSA copy of 4 KiB, a shared device": "one of its own",
    },
    "STATE": {
        "write 64 B, pages tracked": "not tracked",
        "write 4 KiB, pages tracked": "not tracked",
        "write 64 B to a tracked page that was clean": "not tracked",
        "write 4 KiB to a tracked page that was clean": "not tracked",
        "write 64 B, tracked, 64 MiB of 2-MiB pages": "not tracked",
        "write 4 KiB, tracked, 64 MiB of 2-MiB pages": "not tracked",
        "bitmap of 256 MiB, none dirty, a page": "a loop over words",
        "bitmap of 256 MiB, 1 in 64 dirty, a page": "a loop over words",
        "bitmap of 256 MiB, all dirty, a page": "a loop over words",
        "pause, save, load, resume: 256 binds": "256 binds by flushes",
        "pause, save, resume: 256 binds": None,
        "pause, save, load, resume: 1 bind": None,
        "state of a board with a DSA, 256 binds": None,
        "state of a board with a DSA, 1 bind": None,
    },
}


def guests_and_states_have_their_rows(tool):
    out = bench(tool, "--quick", "--json", "--only", "unit,STATE")
    assert out.returncode == 0 and out.stderr == "", out.stderr
    rows = json.loads(out.stdout)["rows"]
    for group, names in GUEST_ROWS.items():
        got = {r["name"]: r for r in rows if r["id"] == group}
        assert group != "STATE" or set(got) == set(names), got.keys() ^ names.keys()
        for name, against in names.items():
            assert got[name]["against"] == against, (name, got.get(name))
            assert got[name]["value"] > 0 and got[name]["goal"] is None, got[name]
            assert against is None or got[name]["ratio"] > 0, got[name]
    size = {r["name"]: r["value"] for r in rows if r["unit"] == "B"}
    # These are no times. A bind is a requester id and a PASID.
    assert (size["state of a board with a DSA, 256 binds"] -
            size["state of a board with a DSA, 1 bind"]) == 255 * 6, size


def memory_of_pasids_meets_its_goals(tool):
    """These figures are no times: they have to be good everywhere."""
    out = bench(tool, "--quick", "--json", "--only", "P9")
    rows = json.loads(out.stdout)["rows"]
    assert rows and all(r["met"] in (True, None) for r in rows), rows


def table_has_the_goals(tool):
    out = bench(tool, "--quick", "--only", "p9")
    assert out.returncode == 0, out.stderr
    assert "\033" not in out.stdout
    assert "<= 64.0" in out.stdout and "goals, " in out.stdout, out.stdout


def counted_loops_run(tool):
    for what in "translate", "read64", "invalidate":
        out = bench(tool, "--count", what, "2048")
        assert out.returncode == 0 and out.stdout == "", out


def peers_are_compared(tool):
    out = bench(tool, "--quick", "--json", "--only", "P2", "--peer", "flat=" + PEER,
                "--peer", "qemu-like=" + PEER)
    assert out.returncode == 0, out.stderr
    rows = json.loads(out.stdout)["rows"]
    assert len(rows) == 6 and all(r["id"] == "P2" for r in rows), rows
    assert [r["goal"] is None for r in rows].count(False) == 2, rows


def what_is_no_adapter_is_refused(tool):
    for path, status in (("/nonexistent.so", 1), (tool, 1), ("", 2)):
        out = bench(tool, "--peer", "x=" + path)
        assert out.returncode == status and out.stderr.count("\n") == 1, out


def bad_usage_is_two(tool):
    for args in (["--nonsense"], ["--only"], ["--only", "P99"], ["--only", ""], ["--seed"],
                 ["--seed", "x"], ["--count", "translate"], ["--count", "nothing", "1"],
                 ["--peer"], ["--peer", "x"],
                 ["extra"]):
        out = bench(tool, *args)
        assert out.returncode == 2 and out.stdout == "", (args, out)
        assert out.stderr.count("\n") == 1, (args, out)


def main():
    global PEER  # pylint: disable=global-statement
    parser = argparse.ArgumentParser()
    parser.add_argument("--viommu", required=True)
    parser.add_argument("--peer", required=True)
    args = parser.parse_args()
    tool, PEER = args.viommu, args.peer
    tests = [quick_rows_are_whole, guests_and_states_have_their_rows,
             memory_of_pasids_meets_its_goals, table_has_the_goals, counted_loops_run,
             peers_are_compared, what_is_no_adapter_is_refused, bad_usage_is_two]
    failed = False
    print(f"1..{len(tests)}")
    for n, test in enumerate(tests, 1):
        try:
            test(tool)
            print(f"ok {n} - {test.__name__}", flush=True)
        except Exception as e:  # pylint: disable=broad-except
            failed = True
            print("\n".join("# " + line for line in repr(e).split("\\n")))
            print(f"not ok {n} - {test.__name__}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
