#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`viommu vm`: one command from a kernel and an initramfs to a guest that shares its addresses.

usage: vm.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
	     [--only NAME]

It is used as a person would, by its command line, its exit status and what it leaves behind; the
console is its standard input and output.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import guests
import vmlib

SECONDS = 120
APPEND = " ".join(vmlib.APPEND) + " setcpuid=movdir64b"

# What makes the firmware put the registers elsewhere than on a machine that has nothing else.
MORE_DEVICES = ["-device", "VGA", "-device", "virtio-net-pci", "-device", "pcie-root-port,id=below",
		"-device", "virtio-rng-pci,bus=below"]
PLAIN_REGISTERS = 0xfebe0000


class World:
	"""What every part needs; own is a folder of its own, and $XDG_RUNTIME_DIR."""

	def __init__(self, tap, args, setup, own):
		self.tap, self.args, self.setup, self.own = tap, args, setup, own
		self.env = dict(os.environ, XDG_RUNTIME_DIR=own)

	def start(self, *options, qemu=()):
		words = ["-kernel", self.setup.vmlinuz, "-initrd", self.setup.initrd,
			 "-append", APPEND, "-accel", "tcg", "-smp", "2", "-no-reboot", *qemu]
		return vmlib.VmGuest(self.args.viommu, ["--qemu", self.setup.qemu, *options], words,
				     self.env)

	def inspect(self, folder):
		p = subprocess.run([self.args.viommu, "inspect", "--json", folder],
				   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
				   stderr=subprocess.PIPE, text=True, check=False, timeout=60)
		if p.returncode:
			raise vmlib.Trouble("viommu inspect: status %d\n%s" % (p.returncode, p.stderr))
		return json.loads(p.stdout)

	def check_gone(self, name, pids, folder=None):
		"""Nothing is left: no process, no socket, no table, no folder but the user's own."""
		problems = ["%s/%s" % (where, rest) for where, folders, files in os.walk(self.own)
			    for rest in folders + files if os.path.join(where, rest) != folder]
		for pid in pids:
			try:
				os.kill(pid, 0)
				problems.append("process %d lives" % pid)
			except OSError as error:
				if error.errno != errno.ESRCH:
					raise
		self.tap.check(name, problems)


def copies(world, guest, prefix):
	"""From the start of the guest's program to a copy by a process's pointers."""
	tap = world.tap
	guest.start()
	guests.check_unit(tap, guest.do("probe"), ("DMA", "DMA-FQ"), prefix)
	guest.must(tap, "load idxd", prefix=prefix)
	guest.must(tap, "config 1", prefix=prefix)
	guest.check(tap, "copy wq0.0 3", prefix=prefix)


def check_status(tap, name, status, wanted, guest):
	tap.check(name, [] if status == wanted else
		  ["status %s instead of %s" % (status, wanted), guest.stderr()])


def nographic(world):
	"""As in the README, to the end by the guest's own power-off."""
	prefix = "-nographic: "
	with world.start(qemu=["-nographic"]) as guest:
		copies(world, guest, prefix)
		folders = os.listdir(world.own)
		state = world.inspect(os.path.join(world.own, folders[0]))
		guests.check_scalable(world.tap, state, prefix, PGTT=1)
		pids = guest.children()
		status = guest.off()
		check_status(world.tap, prefix + "exit status 0 after the guest's power-off", status,
			     0, guest)
	world.check_gone(prefix + "nothing is left behind", pids)


def moved(world):
	"""With other devices the registers are elsewhere, and SIGTERM comes amid copies."""
	prefix = "more devices: "
	folder = os.path.join(world.own, "named")
	with world.start("--dir", folder, qemu=["-serial", "stdio", "-display", "none",
						*MORE_DEVICES]) as guest:
		copies(world, guest, prefix)
		unit = world.inspect(folder)["unit"]
		at = int(unit["registers"], 16)
		world.tap.check(prefix + "the registers' place was learned",
				[] if at != PLAIN_REGISTERS and unit["placed"] == unit["registers"]
				else [str(unit)], hex(at))
		guest.background("storm 5000")
		guest.wait_value("storm", "started", SECONDS)
		pids = guest.children()
		guest.process.send_signal(signal.SIGTERM)
		check_status(world.tap, prefix + "SIGTERM amid copies ends both, status 0",
			     guest.wait(), 0, guest)
	world.check_gone(prefix + "nothing is left behind", pids, folder)


def firmware(world):
	"""OVMF, which puts the registers elsewhere again."""
	prefix = "OVMF: "
	ovmf = vmlib.fetch(world.args.fetch, "ovmf")["ovmf"]
	variables = os.path.join(world.setup.folder, "variables")
	shutil.copyfile(ovmf["vars"], variables)
	with world.start(qemu=[
			"-nographic",
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + ovmf["code"],
			"-drive", "if=pflash,unit=1,format=raw,file=" + variables]) as guest:
		copies(world, guest, prefix)
		pids = guest.children()
		check_status(world.tap, prefix + "exit status 0 after the guest's power-off",
			     guest.off(), 0, guest)
	world.check_gone(prefix + "nothing is left behind", pids)


def killed(world):
	"""SIGKILL for the command takes QEMU along; SIGKILL for QEMU ends the command."""
	prefix = "SIGKILL for QEMU: "
	place = ("--registers", hex(PLAIN_REGISTERS), "--dir", os.path.join(world.own, "named"))
	quiet = ["-serial", "stdio", "-display", "none", "-nodefaults"]
	with world.start(*place, qemu=quiet) as guest:
		guest.start()
		pids = guest.children()
		os.kill(pids[0], signal.SIGKILL)
		check_status(world.tap, prefix + "status 128 + 9", guest.wait(), 128 + 9, guest)
	world.check_gone(prefix + "nothing is left behind", pids, place[-1])

	prefix = "SIGKILL for the command: "
	with world.start(*place, qemu=quiet) as guest:
		guest.start()
		# Its end is the end of its console.
		pidfd = os.pidfd_open(guest.children()[0])
		guest.process.kill()
		guest.wait()
		ended = vmlib.readable(pidfd, SECONDS)
		os.close(pidfd)
		world.tap.check(prefix + "QEMU ends, too", [] if ended else ["it lives"])
	# The sockets of the dead are in the way of nobody.
	prefix = "after that, in the same folder: "
	with world.start(*place, qemu=quiet) as guest:
		copies(world, guest, prefix)
		check_status(world.tap, prefix + "exit status 0 after the guest's power-off",
			     guest.off(), 0, guest)
	world.check_gone(prefix + "nothing is left behind", [], place[-1])


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	for part in (nographic, moved, firmware, killed):
		if args.only and args.only not in part.__name__:
			continue
		own = os.path.join(folder, part.__name__)
		os.mkdir(own, 0o700)
		try:
			part(World(tap, args, setup, own))
		except vmlib.Trouble as trouble:
			# The others say whether it is this one alone.
			tap.check(part.__name__ + ": goes to its end", [str(trouble)])


if __name__ == "__main__":
	PARSER = guests.arguments("vm.py")
	PARSER.add_argument("--only", help="parts with this in their name")
	sys.exit(guests.main("vm.py", run, PARSER))
