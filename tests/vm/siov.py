#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two QEMUs share one DSA device: `viommu serve --vms 2 --shared-device dsa`, tests/vm/guest/siov.c.

usage: siov.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT

Both guests copy by the device at the same time, with the same guest PASIDs (2: Linux keeps 1 for its
own copies) and the same addresses. The process that serves them is replaced meanwhile. One is
killed, and a new one takes its place; one floods the device; one wants more PASIDs than it may have;
one programs PASIDs that are not its own. The other goes on, and its data stays its own.
"""

import sys

import guests
import vmlib

QUEUES = 4			# of the eight of the device, for each
QUOTA = 3
HOST_PASIDS = 0x1000		# the first number that the host chooses (cmd/machine.h)
ROUNDS = 15
SECONDS = 1200
REPLACEMENTS = 3
# While another floods, a VM is served as often as that one, and has some of two processors. It would
# be hundreds of times slower if the other's descriptors went first.
STARVED = 30


def ready(tap, guest, prefix):
	guest.start()
	guest.must(tap, "load idxd", prefix=prefix)
	guest.must(tap, "config %d" % QUEUES, prefix=prefix)


def goes_on(tap, guest, prefix, rounds=ROUNDS):
	guest.must(tap, "kept %d" % rounds, SECONDS, prefix=prefix)


def binds(args, fleet):
	"""{VM: [(guest PASID, host PASID)]} of the shared device, and the whole report."""
	state = guests.inspect(args, fleet)
	found = {vm["vm"]: [] for vm in state["vms"]}
	for bind in state["shared_devices"][0]["binds"]:
		found[bind["vm"]].append((bind["guest_pasid"], bind["host_pasid"]))
	return found, state


def check_shared(tap, args, fleet):
	found, state = binds(args, fleet)
	functions = state["shared_devices"][0]["functions"]
	ids = {f["host_requester"] for f in functions}
	tap.check("the host knows one requester id for both",
		  [] if len(ids) == 1 and len(functions) == 2 else [str(functions)], ", ".join(ids))
	mine, theirs = ({gp: hp for gp, hp in found[vm] if gp is not None} for vm in (0, 1))
	same = set(mine) & set(theirs)
	tap.check("both have the same guest PASIDs bound, as different host PASIDs",
		  [] if same and not set(mine.values()) & set(theirs.values()) and
		  min([*mine.values(), *theirs.values()]) >= HOST_PASIDS else [str(found)], str(found))
	tap.check("their requests without PASID carry one each",
		  [] if len({f["default_pasid"] for f in functions}) == 2 else [str(functions)])


def together(tap, args, fleet, guest):
	for number, one in enumerate(guest):
		one.background("sustain wq0.0")
		goes_on(tap, one, "VM %d: " % number, 1)
	check_shared(tap, args, fleet)
	for number in (0, 1, 0, 1):
		goes_on(tap, guest[number], "VM %d, both at once: " % number)


def replaced(tap, args, fleet, guest):
	"""Another process serves both, several times."""
	before, _ = binds(args, fleet)
	pauses = []
	for n in range(1, REPLACEMENTS + 1):
		prefix = "replacement %d: " % n
		pauses.append(guests.replace(tap, fleet, prefix))
		for number, one in enumerate(guest):
			goes_on(tap, one, "%sVM %d: " % (prefix, number))
	guests.check_pauses(tap, pauses)
	after, _ = binds(args, fleet)
	tap.check("each VM has the host PASIDs it had before",
		  [] if before == after else ["%s, before: %s" % (after, before)])
	check_shared(tap, args, fleet)


def kill_one(tap, args, fleet, victim, other):
	victim.process.kill()
	victim.process.wait()
	goes_on(tap, other, "VM 1, after VM 0 was killed: ")
	# The server may not have heard of the end of its sockets when the other has.
	while any(gp is not None for gp, _ in binds(args, fleet)[0][0]):
		goes_on(tap, other, "VM 1, while the server hears of it: ", 1)
	tap.check("nothing is left of its binds", [])
	tap.check("and the server lives", [] if fleet.process.poll() is None else [fleet.log()])


def flood(tap, args, fleet, hog, other):
	def rounds(prefix):
		answer = other.must(tap, "rounds %d wq0.1" % ROUNDS, SECONDS, prefix)
		return int(answer.value("rounds_ms"))

	alone = rounds("VM 1, before VM 0 floods: ")
	hog.background("hog %d" % (QUEUES - 1))
	for _ in range(QUEUES - 1):
		hog.wait_value("hog", "", SECONDS)

	def descriptors():
		shared = guests.inspect(args, fleet)["shared_devices"][0]["functions"]
		return [f["dsa"]["descriptors"] for f in shared]

	before = descriptors()
	beside = rounds("VM 1, while VM 0 floods: ")
	after = descriptors()
	tap.check("VM 0 has flooded meanwhile", [] if after[0] > before[0] else [str((before, after))],
		  "%d and %d descriptors" % (after[0] - before[0], after[1] - before[1]))
	tap.check("and VM 1 was not starved", [] if beside <= STARVED * alone else
		  ["%d ms for what takes %d ms alone" % (beside, alone)],
		  "%d ms, %d ms alone" % (beside, alone))


def quota(tap, args, fleet, one, other):
	def look():
		vms = guests.inspect(args, fleet)["vms"]
		held = vms[0]["host_pasids"]["held"]
		tap.check("VM 0 holds as many host PASIDs as it may, and no more",
			  [] if held == QUOTA else [str(vms)], str(held))
		other.check(tap, "rounds 1 wq0.2", SECONDS, prefix="VM 1 still binds: ")

	one.check(tap, "bound %d %d" % (QUEUES, QUOTA), SECONDS, prefix="VM 0, quota: ",
		  meanwhile=look)


def wild(tap, args, fleet, one, other):
	"""No driver has the device yet."""
	found, _ = binds(args, fleet)
	theirs = [hp for _, hp in found[1]]
	bdf = guests.one_device(one.do("probe"), guests.ENDPOINT_CLASS).bdf
	one.must(tap, "load vfio-pci disable_denylist=1")
	one.must(tap, "load vfio_iommu_type1 allow_unsafe_interrupts=1")
	before = guests.unit_stats(guests.inspect(args, fleet.vms[1]))["faults"]
	words = ["1", "2", *map(str, theirs), str(0xfffff), "none"]
	one.check(tap, "wild %s %s" % (bdf, " ".join(words)), SECONDS, prefix="VM 0: ")
	after = guests.unit_stats(guests.inspect(args, fleet.vms[1]))["faults"]
	tap.check("VM 1 hears of no fault", [] if before == after else ["%d faults" % (after - before)])
	goes_on(tap, other, "VM 1, after VM 0 tried: ")


def run(tap, args, folder):
	setup = guests.Setup(args, folder, modules=("idxd", "vfio-pci", "vfio_iommu_type1"))
	tap.note(setup.about)
	with vmlib.Fleet(args.viommu, folder, "--vms", "2", "--shared-device",
			 "dsa,queues=%d,engines=4" % (2 * QUEUES), "--pasid-quota", str(QUOTA),
			 memory="768M") as fleet, \
	     setup.boot(fleet.vms[1], smp=1) as other:
		with setup.boot(fleet.vms[0], smp=1) as first:
			for number, guest in enumerate((first, other)):
				ready(tap, guest, "VM %d: " % number)
			together(tap, args, fleet, (first, other))
			replaced(tap, args, fleet, (first, other))
			kill_one(tap, args, fleet, first, other)
		with setup.boot(fleet.vms[0], smp=1) as one:
			ready(tap, one, "the next VM 0: ")
			quota(tap, args, fleet, one, other)
			flood(tap, args, fleet, one, other)
			kill_one(tap, args, fleet, one, other)
		with setup.boot(fleet.vms[0], smp=1) as one:
			one.start()
			wild(tap, args, fleet, one, other)
			other.check(tap, "kept end", SECONDS, prefix="VM 1, from first to last: ")
			for number, guest in ((0, one), (1, other)):
				status = guest.off()
				tap.check("VM %d powers off" % number,
					  [] if status == 0 else ["QEMU: %s" % status])
		status = fleet.end()
		tap.check("the server ends by SIGTERM", [] if status == 0 else
			  ["status %s" % status, fleet.log()])


if __name__ == "__main__":
	sys.exit(guests.main("siov.py", run))
