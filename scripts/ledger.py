#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""ledger.py [--root DIR] [--tap | --write | --list | --cites ID...]

The ledger docs/ledger.tsv has one row for each thing the VT-d specification (5.10) says hardware
does: id, where (the object), rule in our words, status, note. Code and tests cite ids in comments.

status   open      not there yet, or no test shows it
         done      implemented, and a test cites the id
         off       needs a capability that we do not announce: the note names the bit, and a test that
                   cites the id shows that it stays off
         retired   no longer in the specification: the note names the revision

Without options: checks the ledger, its citations and docs/conformance.md, prints rows by area.
  --tap        the same checks as TAP
  --write      writes docs/conformance.md from the ledger and the table of viommu/gpasid.h
  --list       every row with the files that cite it
  --cites ID   the places that cite these ids
"""

import argparse
import os
import re
import sys

ID = re.compile(r"VTD-[A-Z]+-[0-9]{2,3}(?![0-9])")
CODE = ("include", "src", "cmd", "examples", "man")
STATES = ("done", "open", "off", "retired")

AREAS = {
    "REG": "Register block and register map",
    "CMD": "Global command and status",
    "RINV": "Register-based invalidation",
    "FSTS": "Fault status register",
    "EVT": "Event registers",
    "FREC": "Fault records",
    "ECMD": "Enhanced commands",
    "CAP": "Capabilities",
    "ENT": "Entries in memory, in general",
    "ROOT": "Root table",
    "CTX": "Context entries, legacy mode",
    "SCTX": "Context entries, scalable mode",
    "PDIR": "PASID directory",
    "PE": "PASID entries",
    "FS": "First stage",
    "SS": "Second stage",
    "NEST": "Nested translation",
    "PT": "Pass-through",
    "WIN": "Interrupt window",
    "IR": "Interrupt remapping",
    "SNOOP": "Snooping",
    "TAG": "Tags of caches, and what drops what",
    "CM": "Caching mode",
    "ORDER": "Order of a walk",
    "QI": "Invalidation descriptors",
    "QERR": "Invalidation queue errors",
    "QORD": "Invalidation ordering and completion",
    "FLT": "Fault reasons",
    "FEVT": "Fault event",
    "PRQ": "Page request queue",
    "PRI": "Page requests and responses",
    "ATS": "Address translation service",
    "EP": "Endpoint capabilities",
    "VCMD": "Virtual commands",
}


class Row:
    def __init__(self, number, fields):
        self.number = number
        self.id, self.where, self.rule, self.status, self.note = fields
        self.area = self.id.split("-")[1] if ID.fullmatch(self.id) else "?"


def read_ledger(root, problems):
    rows = []
    path = os.path.join(root, "docs/ledger.tsv")
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            fields = line.split("\t")
            if fields == ["id", "where", "rule", "status", "note"]:
                continue
            if len(fields) != 5:
                problems.append(f"docs/ledger.tsv:{number}: {len(fields)} columns, 5 wanted")
                continue
            rows.append(Row(number, fields))
    return rows


def read_citations(root):
    """id -> list of file:line, in the order of the file names"""
    cites = {}
    for top in CODE + ("tests",):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                try:
                    with open(path, encoding="utf-8") as f:
                        text = f.read()
                except (UnicodeDecodeError, OSError):
                    continue
                for number, line in enumerate(text.splitlines(), 1):
                    for m in ID.finditer(line):
                        place = f"{os.path.relpath(path, root)}:{number}"
                        cites.setdefault(m[0], []).append(place)
    return cites


def tests_of(cites, id_):
    return [c for c in cites.get(id_, []) if c.startswith("tests/")]


def capability_bits(root):
    """CAP.xxx and ECAP.xxx that vtd.h defines"""
    with open(os.path.join(root, "include/viommu/vtd.h"), encoding="utf-8") as f:
        return {f"{m[1]}.{m[2]}" for m in re.finditer(r"\bVTD_(CAP|ECAP)_([A-Z0-9]+)\b", f.read())}


def check_rows(rows, _cites, root):
    problems, seen = [], {}
    for r in rows:
        at = f"docs/ledger.tsv:{r.number}"
        if not ID.fullmatch(r.id):
            problems.append(f"{at}: '{r.id}' is no id")
        elif r.area not in AREAS:
            problems.append(f"{at}: no area '{r.area}'")
        if r.id in seen:
            problems.append(f"{at}: {r.id} again, first in line {seen[r.id]}")
        seen[r.id] = r.number
        if r.status not in STATES:
            problems.append(f"{at}: {r.id}: no status '{r.status}'")
        if not r.where or not r.rule.endswith("."):
            problems.append(f"{at}: {r.id}: where it comes from and one sentence are wanted")
        if r.status == "retired" and "revision" not in r.note:
            problems.append(f"{at}: {r.id} is retired, the note names no revision")
        if r.status == "off":
            bits = set(re.findall(r"\bE?CAP\.[A-Z0-9]+\b", r.note))
            if not bits & capability_bits(root):
                problems.append(f"{at}: {r.id} is off, the note names no bit of CAP or ECAP")
    return problems


def check_citations(rows, cites, _root):
    known = {r.id for r in rows}
    return [f"{place}: no rule {i}" for i in sorted(set(cites) - known) for place in cites[i]]


def check_tested(rows, cites, _root):
    return [f"docs/ledger.tsv:{r.number}: {r.id} is {r.status}, no test cites it"
            for r in rows if r.status in ("done", "off") and not tests_of(cites, r.id)]


GPASID = "include/viommu/gpasid.h"
GPASID_TITLE = "The guest-PASID interface of Linux 5.5 to 5.17"


def gpasid_groups(root):
    """The table of viommu/gpasid.h: its groups in order, each with rows of four columns."""
    path = os.path.join(root, GPASID)
    groups = []
    if not os.path.exists(path):
        return groups
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.startswith(" *\t"):
                continue
            cells = re.split(r"\t+", line[3:].strip())
            if cells[0].startswith("GP-"):
                groups[-1][1].append(cells)
            elif len(cells) == 1:
                groups.append((cells[0], []))
    return [g for g in groups if g[1]]


def gpasid_conformance(root):
    """Tests of tests/host/compat.c cite these rows; tests/host/gpasid_rows.py holds them to it."""
    groups = gpasid_groups(root)
    if not groups:
        return []
    rows = [r for _, part in groups for r in part]
    apply = sum(not r[3].startswith("n/a") for r in rows)
    out = ["", f"## {GPASID_TITLE}", "",
           "Each check of that interface, with the errno of the kernel and ours. Of",
           f"{len(rows)} rows {apply} apply, and tests cite them one by one; the others say why they do",
           "not (*n/a*). The table is that of include/viommu/gpasid.h; [from-2019.md](from-2019.md)",
           "goes through the calls."]
    for title, part in groups:
        out += ["", f"### {title}", "", "| Row | What is wrong | Kernel | Here |",
                "|---|---|---|---|"]
        for r in part:
            out.append(("| " + " | ".join(r) + " |").replace("*", r"\*"))
    return out


def conformance(rows, root):
    out = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->",
           "<!-- Made by scripts/ledger.py --write from ledger.tsv and viommu/gpasid.h; edit those. -->",
           "",
           "# Conformance",
           "",
           "What the VT-d specification (revision 5.10) says hardware does, rule by rule, in our own",
           "words. *done*: implemented, and a test cites the rule's id. *open*: not there yet, or no",
           "test shows it. *off*: behind a capability that viommu does not announce. *retired*: no",
           "longer in the specification. `scripts/ledger.py --cites ID` shows where a rule is cited.",
           "The last part is about the guest-PASID interface of Linux 5.5 to 5.17.",
           "",
           "| Area | Rules | Done | Open | Off | Retired |",
           "|---|--:|--:|--:|--:|--:|"]
    for title, part in by_area(rows) + [("All", rows)]:
        n = [sum(r.status == s for r in part) for s in STATES]
        out.append(f"| {title} | {len(part)} | " + " | ".join(map(str, n)) + " |")
    for title, part in by_area(rows):
        out += ["", f"## {title}", "", "| Rule | Object | What hardware does | State |",
                "|---|---|---|---|"]
        for r in part:
            state = f"{r.status} ({r.note})" if r.note else r.status
            out.append(f"| {r.id} | {r.where} | {r.rule} | {state} |".replace("*", r"\*"))
    return "\n".join(out + gpasid_conformance(root)) + "\n"


def by_area(rows):
    parts = {}
    for r in rows:
        parts.setdefault(r.area, []).append(r)
    return [(AREAS.get(a, a), parts[a]) for a in parts]


def check_conformance(rows, _cites, root):
    path = os.path.join(root, "docs/conformance.md")
    old = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
    if old == conformance(rows, root):
        return []
    return ["docs/conformance.md is out of date: run scripts/ledger.py --write"]


CHECKS = (
    ("ledger_rows_are_well_formed_and_unique", check_rows),
    ("every_cited_rule_exists", check_citations),
    ("every_done_or_off_rule_is_cited_by_a_test", check_tested),
    ("conformance_is_up_to_date", check_conformance),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--tap", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--cites", nargs="+", metavar="ID")
    args = parser.parse_args()

    problems = []
    rows = read_ledger(args.root, problems)
    cites = read_citations(args.root)

    if args.cites:
        for i in args.cites:
            print(i, *cites.get(i, ["nowhere"]), sep="\n\t")
        return 0
    if args.list:
        for r in rows:
            files = sorted({c.split(":")[0] for c in cites.get(r.id, [])})
            print(f"{r.id}\t{r.status}\t{r.rule}\t{' '.join(files)}")
        return 0
    if args.write and not problems:
        with open(os.path.join(args.root, "docs/conformance.md"), "w", encoding="utf-8") as f:
            f.write(conformance(rows, args.root))

    if args.tap:
        print(f"1..{len(CHECKS)}")
    failed = 0
    for number, (name, check) in enumerate(CHECKS, 1):
        found = check(rows, cites, args.root)
        if number == 1:
            found = problems + found
        failed += bool(found)
        for p in found:
            print(f"# {p}" if args.tap else p, file=sys.stdout if args.tap else sys.stderr)
        if args.tap:
            print(f"{'not ok' if found else 'ok'} {number} - {name}")
    if not args.tap:
        print(f"{'':40}" + "".join(f"{s:>9}" for s in ("rules",) + STATES))
        for title, part in by_area(rows) + [("all", rows)]:
            n = [len(part)] + [sum(r.status == s for r in part) for s in STATES]
            print(f"{title:40}" + "".join(f"{v:9}" for v in n))
    return 1 if failed and not args.tap else 0


if __name__ == "__main__":
    sys.exit(main())
