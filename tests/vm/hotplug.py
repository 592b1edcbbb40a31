#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Functions that are plugged in, and pulled out, behind root ports while the guest runs.

usage: hotplug.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
		  [--native]

Two ports that the DMAR table names beforehand. Behind one a DSA device, which processes share their
addresses with: plugged in, taken away by sysfs from a process that copies, found again, and at the end
torn out. Behind the other a device without MSI-X, which QEMU can eject (11.1.3 ends by an assertion
when one with MSI-X is ejected): several times, while a process has it and the other device copies.

The order that Linux 7.3 lives through: its idxd fails when a device is removed that is enabled, and its
page-table notifiers when a process is bound to one that is gone; so the device is disabled first, and
the process lets go in between. That the end comes without asking is survived: then the device says that
it is halted.
"""

import ctypes
import os
import socket
import sys

import guests
import vmlib

DSA, MSI = "8086:0b25", "1af4:10f1"
OPTIONS = ("--device", "dsa,port=02.0", "--device", "dsa,msi,port=03.0")
PORTS = ("00:02.0", "00:03.0")
LIMIT_MS = 10000		# for a copy, when the device is gone
SECONDS = 300
CYCLES = 3
SYS_PIDFD_GETFD = 438


def sockets(guest):
	"""The open sockets of QEMU: {inode: descriptor}."""
	folder = "/proc/%d/fd" % guest.process.pid
	found = {}
	for name in os.listdir(folder):
		try:
			target = os.readlink(os.path.join(folder, name))
		except FileNotFoundError:
			continue
		if target.startswith("socket:"):
			found[target] = int(name)
	return found


def cut(guest, descriptor):
	"""Ends a connection of QEMU's at both ends, as if it were a cable."""
	pid = os.pidfd_open(guest.process.pid)
	fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pid, descriptor, 0)
	os.close(pid)
	if fd < 0:
		raise vmlib.Trouble("pidfd_getfd: %s" % os.strerror(ctypes.get_errno()))
	with socket.socket(fileno=fd) as taken:
		taken.shutdown(socket.SHUT_RDWR)


def at(state, n):
	return state["devices"][n]


def bound(state, n):
	"""Guest PASIDs that the host has bound; None: requests without."""
	return [bind["guest_pasid"] for bind in (at(state, n)["binds"] or {"list": []})["list"]]


def check_gone(tap, state, n, name):
	"""Nothing of a device is left on the host."""
	device = at(state, n)
	problems = ["%s is %s" % (key, device[key]) for key, clean in
		    (("slot", None), ("binds", None), ("shadows", []), ("enabled", []),
		     ("open_page_requests", 0)) if device[key] != clean]
	# What else there is belongs to the other one.
	shadows = sum(len(other["shadows"]) for other in state["devices"])
	if guests.unit_stats(state)["bound"] != shadows:
		problems.append("%s bound, %d shown" % (guests.unit_stats(state)["bound"], shadows))
	tap.check(name, problems)


def no_faults(tap, state, name):
	stats = guests.unit_stats(state)
	tap.check(name, [str(state["faults"])] if stats["faults"] else [],
		  "%d page requests, %d responses" % (stats["page_requests"],
						      stats["page_responses"]))


def check_ports(tap, args, guest, server):
	told = dict(line.split() for line in guest.do("ports").values.get("port", []))
	state = guests.inspect(args, server)
	wanted = [{"slot": slot, "bus": int(told.get("0000:" + slot, -1)), "bus_told": True}
		  for slot in PORTS]
	tap.check("the guest's ACPI has told the buses behind the ports",
		  [] if state["ports"] == wanted else ["%s, wanted %s" % (state["ports"], wanted)],
		  ", ".join("%(slot)s: bus %(bus)d" % port for port in state["ports"]))
	tap.check("and nothing is there", [] if [at(state, n)["slot"] for n in range(2)] ==
		  [None, None] else [str([at(state, n)["slot"] for n in range(2)])])


def plug(tap, args, guest, server, n, ids, driver=""):
	guest.command("device_add", SECONDS, **server.plug[n])
	bdf = guest.must(tap, "plugged %s %s" % (ids, driver)).value("function")
	slot = at(guests.inspect(args, server), n)["slot"]
	tap.check("the host has it under the requester id that the guest sees",
		  [] if bdf == "0000:%s" % slot else ["guest: %s, host: %s" % (bdf, slot)], bdf)
	return bdf


def shared(tap, args, guest, server, bdf):
	"""What the driver makes of the device, and that processes share their addresses with it."""
	probe = guest.do("probe")
	endpoint = guests.check_unit(tap, probe, ("DMA-FQ", "DMA"))
	tap.check("the device is the one behind the port", [] if endpoint.bdf == bdf else [endpoint.bdf])
	guests.check_enabled(tap, probe, endpoint)
	guest.must(tap, "config 1")
	guest.check(tap, "copy", 600)
	guest.check(tap, "faults", 600)


def taken_away(tap, args, guest, server, bdf):
	"""Removed by sysfs while a process copies, and found again."""
	guest.background("storm %d" % LIMIT_MS)
	guest.wait_value("storm", "started", SECONDS)
	pasids = [pasid for pasid in bound(guests.inspect(args, server), 0) if pasid]
	tap.check("a process is bound when it starts", [] if len(pasids) == 1 else [str(pasids)],
		  "PASID %s" % pasids)
	guest.check(tap, "config off")
	line = guest.wait_value("storm", "ended", SECONDS)
	tap.check("the process sees its copies end", [], line)
	guest.wait_value("storm", "closed", SECONDS)
	guest.check(tap, "unplug %s" % bdf)
	state = guests.inspect(args, server)
	tap.check("nothing is bound any more", [str(bound(state, 0))] if bound(state, 0) or
		  at(state, 0)["shadows"] or at(state, 0)["open_page_requests"] else [])
	no_faults(tap, state, "and there was no fault")
	guest.check(tap, "rescan")
	again = guest.must(tap, "plugged %s dsa" % DSA).value("function")
	tap.check("it is where it was", [] if again == bdf else [again])
	guest.must(tap, "config 1")
	guest.check(tap, "copy wq0.0 10", 600, prefix="found again: ")


def ejected(tap, args, guest, server):
	"""In and out by QMP, with a process that has it, while the other device copies."""
	name = server.plug[1]["id"]
	guest.background("storm %d" % LIMIT_MS)
	guest.wait_value("storm", "started", SECONDS)
	for cycle in range(CYCLES):
		prefix = "time %d: " % (cycle + 1)
		bdf = plug(tap, args, guest, server, 1, MSI)
		if cycle == 0:
			guest.check(tap, "vfio %s" % bdf, prefix=prefix)
		guest.background("hold %s" % bdf)
		guest.wait_value("hold", "started", SECONDS)
		state = guests.inspect(args, server)
		tap.check(prefix + "the process's memory is bound for requests without PASID",
			  [] if bound(state, 1) == [None] else [str(bound(state, 1))])
		guest.command("device_del", SECONDS, id=name)
		guest.wait_value("hold", "asked", SECONDS)
		guest.wait_event("DEVICE_DELETED", SECONDS, device=name)
		guest.check(tap, "gone %s" % bdf, prefix=prefix)
		check_gone(tap, guests.inspect(args, server), 1, prefix + "nothing is left on the host")
	no_faults(tap, guests.inspect(args, server), "no fault in all of it")


def torn_out(tap, args, guest, server, descriptor, bdf):
	"""The connection ends, and with it the device, in the middle of copies."""
	pasids = [pasid for pasid in bound(guests.inspect(args, server), 0) if pasid]
	tap.check("a process is bound, and its copies never stopped",
		  [] if len(pasids) == 1 else [str(pasids)])
	cut(guest, descriptor)
	line = guest.wait_value("storm", "ended", SECONDS)
	tap.check("torn out: the process sees its copies end", [], line)
	guest.wait_value("storm", "closed", SECONDS)
	state = guests.inspect(args, server)
	check_gone(tap, state, 0, "torn out: nothing is left on the host")
	no_faults(tap, state, "torn out: no fault")
	# What it invalidates for the device that is gone has to complete.
	guest.check(tap, "config off")
	guest.check(tap, "unplug %s" % bdf)
	after = guests.inspect(args, server)
	more = guests.unit_stats(after)["descriptors"]["wait"] - \
		guests.unit_stats(state)["descriptors"]["wait"]
	tap.check("torn out: the guest's invalidations complete", [] if more else ["there were none"],
		  "%d waits" % more)


def run(tap, args, folder):
	setup = guests.Setup(args, folder, modules=("idxd", "vfio-pci", "vfio_iommu_type1"))
	tap.note(setup.about)
	# A port of somebody else's comes first, so that buses are not numbered as would be guessed.
	more = ["-device", "pcie-root-port,id=other,addr=01.0,chassis=1"]
	if args.native:
		more += ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
	with vmlib.Server(args.viommu, folder, *OPTIONS) as server:
		registers = setup.learn_registers(server, more)
	tap.note("the unit's registers are at %#x" % registers)
	with vmlib.Server(args.viommu, folder, *OPTIONS, "--registers", hex(registers)) as server, \
	     setup.boot(server, options=more) as guest:
		guest.start()
		for module in ("idxd", "vfio-pci", "vfio_iommu_type1 allow_unsafe_interrupts=1"):
			guest.must(tap, "load " + module)
		check_ports(tap, args, guest, server)
		before = sockets(guest)
		bdf = plug(tap, args, guest, server, 0, DSA, "dsa")
		added = [fd for inode, fd in sockets(guest).items() if inode not in before]
		if len(added) != 1:
			raise vmlib.Trouble("QEMU has %d sockets more" % len(added))
		shared(tap, args, guest, server, bdf)
		taken_away(tap, args, guest, server, bdf)
		ejected(tap, args, guest, server)
		torn_out(tap, args, guest, server, added[0], bdf)
		tap.check("the kernel has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server)


if __name__ == "__main__":
	PARSER = guests.arguments("hotplug.py")
	PARSER.add_argument("--native", action="store_true",
			    help="hot-plug by the port itself instead of ACPI")
	sys.exit(guests.main("hotplug.py", run, PARSER))
