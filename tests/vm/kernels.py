#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Debian's older kernels with our unit, in the profile that boots there.

usage: kernels.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
		  --kernel 6.12|6.1

Their idxd cannot load under TCG (they have no setcpuid), so a user-space driver on vfio-pci,
tests/vm/guest/vfio.c, lets the device move data by I/O addresses.
"""

import sys

import guests
import vmlib

PROFILE = ("--profile", "legacy-kernels")


def run(tap, args, folder):
	setup = guests.Setup(args, folder, args.kernel,
			     ("idxd", "vfio-pci", "vfio_iommu_type1"))
	tap.note(setup.about)
	with vmlib.Server(args.viommu, folder, *PROFILE) as server, setup.boot(server) as guest:
		guest.start()
		probe = guest.do("probe")
		tap.note("\n".join(probe.values.get("dmesg", [])))
		endpoint = guests.check_unit(tap, probe, ("DMA", "DMA-FQ"))
		guest.must(tap, "load vfio-pci disable_denylist=1")
		guest.must(tap, "load vfio_iommu_type1 allow_unsafe_interrupts=1")
		answer = guest.check(tap, "vfio " + endpoint.bdf)
		for key in ("vfio", "dsa", "status", "swerror"):
			for value in answer.values.get(key, []):
				tap.note("%s: %s" % (key, value))
		tap.check("the kernel still has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server)


if __name__ == "__main__":
	PARSER = guests.arguments("kernels.py")
	PARSER.add_argument("--kernel", choices=("6.12", "6.1"), required=True)
	sys.exit(guests.main("kernels.py", run, PARSER))
