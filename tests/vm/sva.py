#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a Linux guest share their address spaces with our device: tests/vm/guest/sva.c.

usage: sva.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
	      [--levels 4|5]

Copies by a process's own pointers, bad pointers, several processes at once, and processes killed
with descriptors in flight.
"""

import sys

import guests
import vmlib

QUEUES = 8
KILLS = 6


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	cpu = "max" if args.levels == 5 else "max,la57=off"
	with vmlib.Server(args.viommu, folder) as server, setup.boot(server, cpu=cpu) as guest:
		guest.start()
		tap.note("; ".join(guest.notes))
		guest.must(tap, "load idxd")
		guest.must(tap, "config 1")
		copied = guest.check(tap, "copy", 600)
		tap.note("interrupts for page requests: %s" % copied.value("page_request_interrupts"))
		guest.check(tap, "faults", 600)
		guest.check(tap, "kill %d" % KILLS, 600)
		guest.check(tap, "config off")
		guest.must(tap, "config %d" % QUEUES)
		guest.check(tap, "processes %d" % QUEUES, 600, prefix="%d at once: " % QUEUES)
		# Once more on queues and with PASIDs that were used before.
		guest.check(tap, "processes %d" % QUEUES, 600, prefix="once more: ")
		guest.check(tap, "config off")
		tap.check("the kernel has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server)


if __name__ == "__main__":
	PARSER = guests.arguments("sva.py")
	PARSER.add_argument("--levels", type=int, choices=(4, 5), default=5)
	sys.exit(guests.main("sva.py", run, PARSER))
