#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that is a host: Linux with IOMMUFD nests an inner guest's page tables on our unit.

usage: nested.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT

The unit announces nesting and both stages (profile host). A program in the guest is VMM and inner
guest in one: tests/vm/guest/nested.h says what lies behind an address. Each of its subjects begins
with an iommufd of its own and ends with the kernel taking everything down.
"""

import re
import sys

import guests
import vmlib

PARAMETERS = "vfio_pci.disable_denylist=1 iommufd.allow_unsafe_interrupts=1"

SUBJECTS = ("attach", "records", "moves", "invalidate", "replace", "unmap", "faults", "errors",
	    "hostile", "dirty", "reset", "abandon")
# What could be otherwise when the guest announces every entry, and its PASIDs are not the host's.
FEW_SUBJECTS = ("attach", "few-moves", "replace", "faults", "reset")

# What the inner spaces of the subject "moves" are, by PASID: see nested_moves() in the guest.
NESTED_PASIDS = {1: 4, 5: 5, 0xfffff: 4}
NESTED, SECOND_STAGE = 3, 2
# The first number that the host chooses (cmd/machine.c).
HOST_PASIDS = 0x1000

# Of the subject "hostile": roots beyond the second stage, and with bits of other fields set.
BAD_ROOTS = {41: 0x5b, 42: 0x5a}

# As Linux 7.3 writes a fault into its log.
LOGGED = re.compile(r"\[DMA (Read|Write) (NO_PASID|PASID 0x[0-9a-f]+)\] Request device "
		    r"\[(?:0000:)?([0-9a-f:.]+)\] fault addr (0x[0-9a-f]+) "
		    r"\[fault reason (0x[0-9a-f]+)\] (SM: .*)")


def check_tables(tap, args, server, prefix, own_pasids):
	"""While the guest has its page tables attached: what it put into the unit's tables."""
	state = guests.inspect(args, server)
	entries = guests.pasid_entries(state)
	problems = []
	for pasid, levels in NESTED_PASIDS.items():
		entry = entries.get(pasid, {})
		if entry.get("PGTT") != NESTED or entry.get("FSPM", 0) != levels - 4:
			problems.append("PASID %d: %s" % (pasid, entry))
	tap.check(prefix + "each PASID's entry is nested, with the levels of its inner tables",
		  problems)
	rid = entries.get(0, {})
	tap.check(prefix + "so is the entry for requests without PASID",
		  [] if rid.get("PGTT") == NESTED else [str(rid)])
	shadows = guests.device(state)["shadows"]
	numbers = [s["host_pasid"] for s in shadows if s["guest_pasid"]]
	tap.check(prefix + ("the host's PASIDs are of its own choice" if own_pasids else
			    "the host's PASIDs are the guest's"),
		  [] if (all(HOST_PASIDS <= n < 2 * HOST_PASIDS for n in numbers)
			 if own_pasids else sorted(numbers) == sorted(NESTED_PASIDS))
		  else [str(numbers)])
	tap.check(prefix + "the unit has each of them bound, as it is",
		  [] if {s["guest_pasid"] for s in shadows} == {None, *NESTED_PASIDS} and
		  all(s["type"] == "nested" for s in shadows) else [str(shadows)])
	# Its second stage; the guest's two, for which a PASID entry has no room, lie beside it.
	binds = guests.device(state)["binds"]["list"]
	tap.check(prefix + "and the host has one stage more below",
		  [] if len(binds) == len(shadows) and
		  all(b["fields"]["PGTT"] == SECOND_STAGE for b in binds) else [str(binds)])


def check_roots(tap, args, server, prefix):
	"""Roots that Linux passes on as they are: the unit found them wrong, and says so."""
	told = [(fault["reason"], fault["pasid"], fault["request"])
		for fault in reversed(guests.inspect(args, server)["faults"])]
	want = [(reason, pasid, "translation") for pasid, reason in BAD_ROOTS.items()]
	tap.check(prefix + "a root that no PASID entry may have is a fault of the entry's",
		  [] if told[-len(want):] == want else ["%s instead of %s" % (told, want)])


def check_records(tap, args, server, guest, wanted, prefix):
	"""Faults as the unit recorded them, and as the kernel read them.

	wanted: for each a line of the guest's, "REASON PASID read|write ADDRESS"; PASID -1: none"""
	want = []
	for line in wanted:
		reason, pasid, access, address = line.split()
		want.append((int(reason, 16), int(pasid) if int(pasid) >= 0 else None, access,
			     int(address, 16)))
	if not want:
		raise vmlib.Trouble(prefix + "the guest says of no fault that is to be recorded")
	faults = guests.inspect(args, server)["faults"]
	told = [(fault["reason"], fault["pasid"], fault["access"], int(fault["address"], 16))
		for fault in reversed(faults)][-len(want):]
	tap.check(prefix + "each is a fault of the unit's",
		  [] if told == want else ["%s instead of %s" % (told, want)])
	said = []
	for line in guest.do("probe").values.get("dmesg", []):
		m = LOGGED.search(line)
		if m:
			tap.note(line)
			pasid = None if m[2] == "NO_PASID" else int(m[2].split()[1], 16)
			said.append((int(m[5], 16), pasid, m[1].lower(), int(m[4], 16)))
	# It says no more than some lines within some seconds, and then some again.
	left = iter(want)
	tap.check(prefix + "and the kernel reads the same from the unit's registers",
		  [] if len(said) >= 3 and all(line in left for line in said)
		  else ["%s instead of %s" % (said, want)], "%d of %d said" % (len(said), len(want)))


def run_boot(tap, args, setup, folder, subjects, options, prefix):
	with vmlib.Server(args.viommu, folder, "--profile", "host", *options) as server, \
	     setup.boot(server, append=PARAMETERS) as guest:
		guest.start()
		probe = guest.do("probe")
		tap.note("\n".join(probe.values.get("dmesg", [])))
		endpoint = guests.check_unit(tap, probe, ("DMA", "DMA-FQ"), prefix)
		guests.check_enabled(tap, probe, endpoint, prefix)
		guest.must(tap, "nested take " + endpoint.bdf, prefix=prefix)
		for subject in subjects:
			answer = guest.check(tap, "nested %s %s" % (subject, endpoint.bdf),
					     prefix="%s%s: " % (prefix, subject),
					     meanwhile=lambda: check_tables(tap, args, server, prefix,
									    "host" in options))
			for key, values in answer.values.items():
				for value in values:
					tap.note("%s: %s" % (key, value))
			if subject == "records":
				check_records(tap, args, server, guest, answer.values.get("record", []),
					      prefix + "records: ")
			if subject == "hostile":
				check_roots(tap, args, server, prefix + "hostile: ")
		left = guests.device(guests.inspect(args, server))
		tap.check(prefix + "no page request is left open",
			  [str(left)] if left["open_page_requests"] else [])
		probe = guest.do("probe")
		tap.check(prefix + "the kernel still has nothing to complain of",
			  probe.values.get("complaint", []))
		guests.check_end(tap, guest, server, prefix)


def run(tap, args, folder):
	setup = guests.Setup(args, folder, "host", ())
	tap.note(setup.about)
	run_boot(tap, args, setup, folder, args.only or SUBJECTS, (), "")
	if not args.only:
		run_boot(tap, args, setup, folder, FEW_SUBJECTS,
			 ("--caching-mode", "--pasids", "host"),
			 "caching mode, the host's PASIDs: ")


if __name__ == "__main__":
	PARSER = guests.arguments("nested.py")
	PARSER.add_argument("--only", action="append", help="a subject, again for more")
	sys.exit(guests.main("nested.py", run, PARSER))
