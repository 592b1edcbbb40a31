#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A user-space driver lets our device move data by I/O addresses: tests/vm/guest/vfio.c.

usage: kernels.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
		  --kernel newest|6.12|6.1

For Debian's older kernels, whose idxd cannot load under TCG (they have no setcpuid), this is the
test, in the profile that boots there. Each kernel boots twice: with ATS, where what does not
translate is no fault of the unit's, and without, where it is one; then the kernel and viommu
inspect must tell the same. The oldest boots with the tables of legacy mode as well.
"""

import collections
import re
import sys

import guests
import vmlib

PROFILES = {"newest": "sva", "6.12": "legacy-kernels", "6.1": "legacy-kernels"}

Boot = collections.namedtuple("Boot", "name append ats mode")
BOOTS = [
	Boot("with ATS", "", True, "scalable"),
	Boot("without ATS", "pci=noats", False, "scalable"),
]
OLDEST = "6.1"
LEGACY = Boot("legacy tables", "pci=noats intel_iommu=sm_off", False, "legacy")

# Where tests/vm/guest/vfio.c reads what is not mapped.
BAD = (0x40000000, 0x1234568000)

# By what the unit walks: entry not present in first or second stage, scalable or legacy mode.
NOT_PRESENT = {"VTD_FR_FS_NP": 0x71, "VTD_FR_SSS_NP": 0x79, "VTD_FR_READ": 0x06}


def check_faults(tap, args, server, guest, endpoint, ats, prefix):
	state = guests.inspect(args, server)
	faults = state["faults"]
	if ats:
		tap.check(prefix + "a translation request is told of it, and nothing is recorded",
			  [str(fault) for fault in faults])
		return
	told = [(int(fault["address"], 16), fault["device"], fault["access"], fault["request"],
		 fault["pasid"]) for fault in faults]
	# The last one first.
	wanted = [(address, endpoint.bdf[5:], "read", "untranslated", None)
		  for address in reversed(BAD)]
	tap.check(prefix + "each bad address is a fault of the unit's",
		  [] if told == wanted else ["%s instead of %s" % (told, wanted)])
	tap.check(prefix + "its reason is an entry that is not present",
		  ["%s, %#x" % (fault["name"], fault["reason"]) for fault in faults
		   if NOT_PRESENT.get(fault["name"]) != fault["reason"]],
		  ", ".join(sorted({"%s %#x" % (fault["name"], fault["reason"])
				    for fault in faults})))
	said = [(int(m.group(2), 16), m.group(1), int(m.group(3), 16))
		for m in (re.search(r"\[DMA Read.*\[(?:0000:)?([0-9a-f:.]*)\] fault addr "
				    r"0x([0-9a-f]*) .*\[fault reason 0x([0-9a-f]*)\]", line)
			  for line in guest.do("probe").values.get("dmesg", [])) if m]
	wanted = [(address, endpoint.bdf[5:], fault["reason"])
		  for address, fault in zip(BAD, reversed(faults))]
	tap.check(prefix + "and the kernel was interrupted, and says the same",
		  [] if said == wanted else ["%s instead of %s" % (said, wanted)])


def run_boot(tap, args, setup, folder, boot):
	prefix = boot.name + ": "
	profile = PROFILES[args.kernel]
	with vmlib.Server(args.viommu, folder, "--profile", profile) as server, \
	     setup.boot(server, append=boot.append) as guest:
		guest.start()
		probe = guest.do("probe")
		tap.note("\n".join(probe.values.get("dmesg", [])))
		endpoint = guests.check_unit(tap, probe, ("DMA", "DMA-FQ"), prefix)
		mode = guests.inspect(args, server)["unit"]["mode"]
		tap.check(prefix + "the root table is of that mode",
			  [] if mode == boot.mode else [mode], mode)
		guest.must(tap, "load vfio-pci disable_denylist=1", prefix=prefix)
		guest.must(tap, "load vfio_iommu_type1 allow_unsafe_interrupts=1", prefix=prefix)
		answer = guest.check(tap, "vfio " + endpoint.bdf, prefix=prefix)
		for key in ("vfio", "dsa", "status", "swerror"):
			for value in answer.values.get(key, []):
				tap.note("%s: %s" % (key, value))
		check_faults(tap, args, server, guest, endpoint, boot.ats, prefix)
		tap.check(prefix + "the kernel still has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server, prefix)


def run(tap, args, folder):
	setup = guests.Setup(args, folder, args.kernel,
			     ("idxd", "vfio-pci", "vfio_iommu_type1"))
	tap.note(setup.about)
	for boot in BOOTS + ([LEGACY] if args.kernel == OLDEST else []):
		run_boot(tap, args, setup, folder, boot)


if __name__ == "__main__":
	PARSER = guests.arguments("kernels.py")
	PARSER.add_argument("--kernel", choices=tuple(PROFILES), required=True)
	sys.exit(guests.main("kernels.py", run, PARSER))
