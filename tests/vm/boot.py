#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Boots Debian's newest kernel with our unit in every configuration the unit should not mind.

usage: boot.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
	       [--only NAME]

After each boot: the unit is there, in scalable mode, the device alone in its group, idxd probes,
and a user process copies a little by its own pointers.
"""

import collections
import os
import shutil
import sys

import guests
import vmlib

TRANSLATED = ("DMA", "DMA-FQ")

# server: options of viommu serve; types: of the device's group; entry: what the kernel writes for
# requests without PASID, where PGTT 1 is first stage, 4 pass-through, and FSPM 1 five levels
Boot = collections.namedtuple("Boot", "name cpu memory append server types entry firmware reboots",
			      defaults=("max", "1G", "", (), TRANSLATED, {"PGTT": 1, "FSPM": 1},
					"seabios", 0))

BOOTS = [
	Boot("5-level CPU", reboots=1),
	Boot("4-level CPU", cpu="max,la57=off"),
	Boot("iommu=pt", append="iommu=pt", types=("identity",), entry={"PGTT": 4}),
	Boot("caching mode", server=("--caching-mode",)),
	Boot("4 GiB of RAM", memory="4G"),
	Boot("profile host", server=("--profile", "host"), entry={"PGTT": 1, "FSPM": 0}),
	Boot("OVMF", firmware="ovmf"),
]


def firmware_options(args, boot, folder):
	if boot.firmware == "seabios":
		return []
	ovmf = vmlib.fetch(args.fetch, "ovmf")["ovmf"]
	variables = os.path.join(folder, "variables")
	shutil.copyfile(ovmf["vars"], variables)
	return ["-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + ovmf["code"],
		"-drive", "if=pflash,unit=1,format=raw,file=" + variables]


def look(tap, args, server, guest, boot, prefix):
	probe = guest.do("probe")
	endpoint = guests.check_unit(tap, probe, boot.types, prefix)
	guests.check_enabled(tap, probe, endpoint, prefix)
	state = guests.inspect(args, server)
	guests.check_scalable(tap, state, prefix, **boot.entry)
	# Behind OVMF's flash, a little of the memory is not the device's to use.
	told = [state["profile"], state["caching_mode"],
		(int(state["memory"]["bytes"], 16) + (1 << 30) - 1) >> 30]
	wanted = ["host" if "host" in boot.server else "sva", "--caching-mode" in boot.server,
		  int(boot.memory[:-1])]
	tap.check(prefix + "it is the unit, and the memory, that was asked for",
		  [] if told == wanted else ["%s instead of %s" % (told, wanted)])
	guest.must(tap, "load idxd", prefix=prefix)
	after = guest.do("probe")
	found = after.value("dsa").split()
	tap.check(prefix + "idxd has the device, with PASIDs",
		  [] if len(found) > 3 and found[3] == "1" else
		  after.values.get("dmesg", []) + ["found: %s" % found], " ".join(found))
	guest.must(tap, "config 1", prefix=prefix)
	guest.check(tap, "copy wq0.0 3", prefix=prefix)
	guest.check(tap, "config off", prefix=prefix)
	tap.check(prefix + "the kernel still has nothing to complain of",
		  guest.do("probe").values.get("complaint", []))


def run_boot(tap, args, setup, boot, folder):
	prefix = boot.name + ": "
	options = firmware_options(args, boot, folder)
	place = ()
	if options:
		with vmlib.Server(args.viommu, folder, *boot.server, memory=boot.memory) as server:
			place = ("--registers", hex(setup.learn_registers(server, options)))
		tap.note("%s%s" % (prefix, " ".join(place)))
	with vmlib.Server(args.viommu, folder, *boot.server, *place, memory=boot.memory) as server, \
	     setup.boot(server, cpu=boot.cpu, append=boot.append, options=options,
			reboots=boot.reboots > 0) as guest:
		guest.start()
		look(tap, args, server, guest, boot, prefix)
		for _ in range(boot.reboots):
			guest.send("reboot")
			guest.start()
			look(tap, args, server, guest, boot, prefix + "after a warm reboot: ")
		guests.check_end(tap, guest, server, prefix)


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	for number, boot in enumerate(BOOTS):
		if args.only and args.only not in boot.name:
			continue
		own = os.path.join(folder, str(number))
		os.mkdir(own)
		try:
			run_boot(tap, args, setup, boot, own)
		except vmlib.Trouble as trouble:
			# The other configurations say whether it is this one alone.
			tap.check(boot.name + ": boots", [str(trouble)])


if __name__ == "__main__":
	PARSER = guests.arguments("boot.py")
	PARSER.add_argument("--only", help="boots with this in their name")
	sys.exit(guests.main("boot.py", run, PARSER))
