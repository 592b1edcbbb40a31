#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest asks the host for its PASIDs by virtual commands: tests/vm/guest/vcmd.c.

usage: vcmd.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
	       --part given|exhausted|old

The kernel is Linux 6.1, built by scripts/vm-kernel.py: the last series whose VT-d driver registers
an allocator of PASIDs by virtual commands, in the registers' layout since VT-d 3.3.

given: binds of the guest's processes use numbers that the host chose, and a guest that starts anew
has none of them. exhausted: the host has fewer PASIDs than the guest wants. old: with the registers
as they were before 3.3 this kernel sees no commands, takes PASIDs of its own choice, and the unit
binds none of them.
"""

import sys
import time

import guests
import vmlib

QUEUES = 8
# The first number that the host chooses (cmd/machine.c).
FIRST = 0x1000
REGISTERED = "Register custom PASID allocator"
# What 6.1 says when it means to free one: it asks whether the id is in use before it forgets it.
NOT_FREED = "Cannot free active IOASID"


def kernel_log(guest, text):
	return [line for line in guest.do("probe").values.get("dmesg", []) if text in line]


def check_layout(tap, args, server, layout):
	"""Where the unit has the registers, as this kernel looks for them."""
	state = guests.inspect(args, server)
	places = {reg["name"]: reg["offset"] for reg in state["registers"] if "VC" in reg["name"]}
	tap.check("the unit has virtual commands of the %s layout" % layout,
		  [] if state["virtual_commands"] == layout else [state["virtual_commands"]],
		  ", ".join("%s at %s" % place for place in places.items()))
	return places


def programmed(answer):
	"""{queue: PASID} as the guest's driver programmed the device."""
	return {int(queue): int(pasid, 16) for queue, pasid in
		(line.split() for line in answer.values.get("pasid", []))}


def bound(state):
	"""{guest's PASID: host's} of what is bound on the host."""
	return {bind["guest_pasid"]: bind["host_pasid"]
		for bind in guests.device(state)["binds"]["list"] if bind["guest_pasid"]}


def given(state):
	return guests.unit_stats(state)["pasids_given"]


def boot(tap, setup, server, **more):
	guest = setup.boot(server, **more).start()
	tap.note("; ".join(guest.notes))
	return guest


def look(args, server, states):
	"""For meanwhile=: what the unit holds while the processes of the guest wait."""
	return lambda: states.append(guests.inspect(args, server))


def run_given(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder, "--virtual-commands", "new") as server, \
	     boot(tap, setup, server, reboots=True) as guest:
		check_layout(tap, args, server, "new")
		said = kernel_log(guest, REGISTERED)
		tap.check("the kernel registers its allocator of PASIDs",
			  [] if len(said) == 1 else [str(said)], "; ".join(said))
		guest.must(tap, "config %d" % QUEUES)
		before = guests.inspect(args, server)
		tap.check("none is given before a process wants one",
			  [] if given(before) == 0 else ["%d are" % given(before)])

		states = []
		answer = guest.check(tap, "given %d" % QUEUES, 600,
				     meanwhile=look(args, server, states))
		numbers = programmed(answer)
		tap.check("each process has a PASID of its own, from the host's range",
			  [] if len(numbers) == QUEUES == len(set(numbers.values())) and
			  all(FIRST <= n < FIRST + QUEUES for n in numbers.values()) else
			  [str(numbers)], " ".join("%#x" % n for n in sorted(numbers.values())))
		pairs = bound(states[0])
		tap.check("it is the same on the host, and bound there",
			  [] if sorted(pairs) == sorted(numbers.values()) and
			  all(gp == hp for gp, hp in pairs.items()) else
			  ["bound %s, programmed %s" % (pairs, numbers)])
		stats = guests.unit_stats(states[0])
		tap.check("each was asked for by one command",
			  [] if stats["virtual_commands"] == stats["pasids_given"] == QUEUES and
			  not stats["refused"] else [str(stats)])
		check_requests(tap, before, guests.inspect(args, server))

		after = guests.inspect(args, server)
		tap.check("when the processes have ended nothing is bound",
			  [str(bound(after))] if bound(after) else [])
		refused = kernel_log(guest, NOT_FREED)
		stats = guests.unit_stats(after)
		tap.check("this kernel means to free them, and sends no command",
			  [] if stats["virtual_commands"] == stats["pasids_given"] == QUEUES and
			  len(refused) == QUEUES else [str(stats), *refused], refused[0] if refused else "")

		# The device is the queues' again, and memory of every kind.
		guest.check(tap, "copy", 600)
		check_complaints(tap, guest)

		# What a guest does not give back ends with it.
		guest.send("reboot")
		guest.start()
		state = guests.inspect(args, server)
		tap.check("a reset of the guest takes all back",
			  [] if given(state) == 0 else ["%d are given" % given(state)])
		guest.must(tap, "config 1", prefix="after a reboot: ")
		numbers = programmed(guest.check(tap, "given 1", 600, prefix="after a reboot: "))
		tap.check("and the numbers are used again",
			  [] if list(numbers.values()) == [FIRST] else [str(numbers)])
		guests.check_end(tap, guest, server)


def check_requests(tap, before, after):
	stats = {key: guests.unit_stats(after)[key] - guests.unit_stats(before)[key]
		 for key in ("page_requests", "page_responses", "page_requests_lost", "faults")}
	tap.check("their page faults went through the page request queue",
		  [] if 0 < stats["page_requests"] == stats["page_responses"] and
		  not stats["page_requests_lost"] and not stats["faults"] else [str(stats)],
		  "%(page_requests)d requests, %(page_responses)d responses" % stats)


def check_complaints(tap, guest):
	tap.check("the kernel has nothing to complain of",
		  guest.do("probe").values.get("complaint", []))


def run_exhausted(tap, args, setup, folder):
	few = 4
	last = FIRST + few - 1
	with vmlib.Server(args.viommu, folder, "--virtual-commands", "new", "--pasid-range",
			  "%#x-%#x" % (FIRST, last)) as server, \
	     boot(tap, setup, server) as guest:
		guest.must(tap, "config %d" % QUEUES)
		states = []
		answer = guest.check(tap, "exhaust %d" % few, 600,
				     meanwhile=look(args, server, states))
		if len(states) != 2:
			raise vmlib.Trouble("the guest's processes did not get as far as to wait")
		full, again = states
		lines = [line.split() for line in answer.values.get("pasid", [])]
		first = {int(queue): int(pasid, 16) for queue, pasid in lines[:few]}
		tap.check("as many binds as the host has PASIDs work",
			  [] if sorted(first.values()) == list(range(FIRST, last + 1)) ==
			  sorted(bound(full)) else [str(first), str(bound(full))],
			  " ".join("%#x" % n for n in sorted(first.values())))
		said = kernel_log(guest, "No PASID available")
		tap.check("the kernel was told that there is no other",
			  [] if len(said) == 1 else [str(said)], "; ".join(said))
		stats = guests.unit_stats(full)
		tap.check("the refusal took none and left nothing behind",
			  [] if stats["pasids_given"] == few and stats["virtual_commands"] == few + 1
			  and not stats["pasids_reclaimed"] else [str(stats)])
		numbers = programmed(answer)
		tap.check("when a process ends, the next has its PASID",
			  [] if numbers.get(few) == first.get(0) and
			  sorted(bound(again)) == sorted(first.values()) else
			  [str(numbers), str(bound(again))])
		stats = guests.unit_stats(again)
		tap.check("as the host took it back, which the guest never freed",
			  [] if stats["pasids_reclaimed"] == 1 and stats["pasids_given"] == few else
			  [str(stats)])

		guest.check(tap, "keep %d" % few, 600)
		# Once more than there was none.
		said = kernel_log(guest, "No PASID available")
		refused = kernel_log(guest, "pasid allocation failed: -12")
		stats = guests.unit_stats(guests.inspect(args, server))
		tap.check("the host had taken it back, and the kernel noticed that it was in use",
			  [] if len(said) == 1 and len(refused) == 2 and
			  stats["pasids_reclaimed"] > 1 else [*said, *refused, str(stats)])
		tap.check("all are the guest's, and nothing is bound",
			  [] if stats["pasids_given"] == few and stats["bound"] == 1 else
			  [str(stats)])
		guest.check(tap, "exhaust %d" % few, 600, prefix="once more: ",
			    meanwhile=lambda: None)
		check_complaints(tap, guest)
		guests.check_end(tap, guest, server)


def wait_swerror(args, server, seconds=300):
	"""For meanwhile=: until the device has said that it could not go on."""
	deadline = time.monotonic() + seconds
	while not guests.device(guests.inspect(args, server))["dsa"]["swerrors"]:
		if time.monotonic() > deadline:
			raise vmlib.Trouble("the device reports no error\n" + server.standing())


def run_old(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder, "--virtual-commands", "old") as server, \
	     boot(tap, setup, server) as guest:
		places = check_layout(tap, args, server, "old")
		tap.check("its capability register is not where this kernel looks for it",
			  [] if places.get("OLD_VCCAP") == "0xe00" and "VCCAP" not in places else
			  [str(places)])
		tap.check("so the kernel registers no allocator", kernel_log(guest, REGISTERED))
		guest.must(tap, "config 1")
		answer = guest.check(tap, "refused", 600,
				     meanwhile=lambda: wait_swerror(args, server))
		numbers = programmed(answer)
		tap.check("that PASID is none of the host's",
			  [] if 0 < numbers.get(0, 0) < FIRST else [str(numbers)], str(numbers))
		state = guests.inspect(args, server)
		stats = guests.unit_stats(state)
		tap.check("and the unit refused to bind it",
			  [] if stats["refused"] and not stats["virtual_commands"] and
			  not bound(state) else [str(stats), str(bound(state))])
		check_complaints(tap, guest)
		guests.check_end(tap, guest, server)


PARTS = {"given": run_given, "exhausted": run_exhausted, "old": run_old}


def run(tap, args, folder):
	setup = guests.Setup(args, folder, "vcmd")
	tap.note(setup.about)
	PARTS[args.part](tap, args, setup, folder)


if __name__ == "__main__":
	PARSER = guests.arguments("vcmd.py")
	PARSER.add_argument("--part", choices=tuple(PARTS), required=True)
	sys.exit(guests.main("vcmd.py", run, PARSER))
