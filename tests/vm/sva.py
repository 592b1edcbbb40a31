#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a Linux guest share their address spaces with our device: tests/vm/guest/sva.c.

usage: sva.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
	      [--levels 4|5] [--pasids identity|host]

Copies by a process's own pointers, bad pointers, several processes at once, and processes killed
with descriptors in flight. With --pasids host the numbers that the guest has are not the host's.
"""

import sys

import guests
import vmlib

QUEUES = 8
KILLS = 6
# The first number that the host chooses (cmd/machine.c).
HOST_PASIDS = 0x1000


def check_requests(tap, before, after, interrupts=None):
	"""Page requests between two looks, all of them answered and none lost."""
	stats = {key: guests.unit_stats(after)[key] - guests.unit_stats(before)[key]
		 for key in ("page_requests", "page_responses", "page_requests_lost", "faults")}
	tap.check("the unit's page requests are counted, and each has its answer",
		  [] if 0 < stats["page_requests"] == stats["page_responses"] else [str(stats)],
		  "%(page_requests)d requests, %(page_responses)d responses" % stats)
	# What a page request can cure leaves no record (VTD-FREC-20).
	tap.check("none is lost, and none is a fault",
		  [] if not stats["page_requests_lost"] and not stats["faults"] else [str(stats)])
	if interrupts is not None:
		# One interrupt may be for several.
		tap.check("no more interrupts than requests",
			  [] if 0 < interrupts <= stats["page_requests"] else
			  ["%d interrupts, %s" % (interrupts, stats)], "%d interrupts" % interrupts)
	return stats["page_requests"]


def check_numbers(tap, args, state, prefix):
	"""Every bind has two numbers: the same one twice, or one from each side's range."""
	pairs = [(bind["guest_pasid"], bind["host_pasid"])
		 for bind in guests.device(state)["binds"]["list"] if bind["guest_pasid"]]
	shadows = [(shadow["guest_pasid"], shadow["host_pasid"])
		   for shadow in guests.device(state)["shadows"] if shadow["guest_pasid"]]
	if args.pasids == "host":
		bad = [pair for pair in pairs if not pair[0] < HOST_PASIDS <= pair[1]]
	else:
		bad = [pair for pair in pairs if pair[0] != pair[1]]
	tap.check(prefix + "guest and host PASIDs are as told (%s)" % args.pasids,
		  ["guest's %d, host's %d" % pair for pair in bad] or
		  ([] if len(pairs) >= QUEUES and sorted(pairs) == sorted(shadows) else
		   ["binds %s, shadows %s" % (pairs, shadows)]),
		  " ".join("%d:%#x" % pair for pair in pairs))


def check_bound(tap, args, server, prefix):
	"""While all processes live: an entry, and a bind on the host, for each."""
	state = guests.inspect(args, server)
	entries = guests.pasid_entries(state)
	# The driver has a PASID with the tables of the kernel's own DMA, too.
	kernel = entries.get(0, {}).get("FSPTPTR")
	own = {pasid: entry for pasid, entry in entries.items()
	       if pasid and entry.get("FSPTPTR") != kernel}
	levels = {entry.get("FSPM", 0) for entry in own.values()}
	tables = {entry.get("FSPTPTR") for entry in own.values()}
	tap.check(prefix + "each process has a PASID and its own tables of %d levels" % args.levels,
		  [] if len(own) == len(tables) == QUEUES and levels == {args.levels - 4} and
		  all(entry.get("PGTT") == 1 for entry in own.values()) else [str(own)],
		  "PASIDs %s" % " ".join(map(str, sorted(own))))
	binds = {bind["guest_pasid"]: bind["fields"]
		 for bind in guests.device(state)["binds"]["list"] if bind["guest_pasid"]}
	tap.check(prefix + "and the unit has bound each: nested, with the guest's tables",
		  ["PASID %d: %s" % (pasid, binds.get(pasid)) for pasid, entry in own.items()
		   if binds.get(pasid, {}).get("PGTT") != 3 or
		   binds[pasid].get("FSPTPTR") != entry.get("FSPTPTR")])
	check_numbers(tap, args, state, prefix)


def check_unbound(tap, args, server, prefix):
	state = guests.inspect(args, server)
	left = [bind["guest_pasid"] for bind in guests.device(state)["binds"]["list"]
		if bind["guest_pasid"]]
	tap.check(prefix + "nothing is left of them",
		  ["PASIDs bound: %s" % left] if left else [])


def at_once(tap, args, server, guest, prefix):
	guest.check(tap, "processes %d" % QUEUES, 600, prefix=prefix,
		    meanwhile=lambda: check_bound(tap, args, server, prefix))
	check_unbound(tap, args, server, prefix)


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	cpu = "max" if args.levels == 5 else "max,la57=off"
	with vmlib.Server(args.viommu, folder, "--pasids", args.pasids) as server, \
	     setup.boot(server, cpu=cpu) as guest:
		guest.start()
		tap.note("; ".join(guest.notes))
		guest.must(tap, "load idxd")
		guest.must(tap, "config 1")
		first = guests.inspect(args, server)
		copied = guest.check(tap, "copy", 600)
		second = guests.inspect(args, server)
		check_requests(tap, first, second, int(copied.value("page_request_interrupts") or 0))
		guest.check(tap, "faults", 600)
		third = guests.inspect(args, server)
		check_requests(tap, second, third)
		errors = guests.device(third)["dsa"]["swerrors"]
		tap.check("one error went to SWERROR", [] if errors == 1 else ["%d did" % errors])
		for figure in guest.check(tap, "speed", 600).values.get("speed", []):
			tap.note(figure)
		guest.check(tap, "kill %d" % KILLS, 600)
		check_unbound(tap, args, server, "after the kills: ")
		guest.check(tap, "config off")
		guest.must(tap, "config %d" % QUEUES)
		at_once(tap, args, server, guest, "%d at once: " % QUEUES)
		# Once more on queues and with PASIDs that were used before.
		at_once(tap, args, server, guest, "once more: ")
		guest.check(tap, "config off")
		tap.check("the kernel has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server)


if __name__ == "__main__":
	PARSER = guests.arguments("sva.py")
	PARSER.add_argument("--levels", type=int, choices=(4, 5), default=5)
	PARSER.add_argument("--pasids", choices=("identity", "host"), default="identity")
	sys.exit(guests.main("sva.py", run, PARSER))
