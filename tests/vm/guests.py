# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of a guest with our unit and our devices share: kernels, initramfs, findings.

A test script parses arguments(), makes a Setup for a kernel, starts a vmlib.Server and boots.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

import vmlib

# Names of things of scripts/vm-fetch.py: where vmlinuz is, and where the modules are.
KERNELS = {
	"newest": ("kernel", "modules"),
	"6.12": ("kernel-6.12", "kernel-6.12"),
	"6.1": ("kernel-6.1", "kernel-6.1"),
}
# Those of scripts/vm-kernel.py have no modules.
BUILT = ("vcmd", "host")
# Those that know setcpuid=.
MODERN = ("newest", "host")
UNIT_CLASS, ENDPOINT_CLASS = "0x080600", "0x088000"

# What Debian's test runner calls; busybox is all of them.
APPLETS = ("basename", "cat", "cut", "dirname", "grep", "head", "ls", "lsmod", "sed", "sh", "sort",
	   "uname")
TESTS = "usr/libexec/accel-config/test/"
INSPECT_TRIES = 12
# QEMU waits 5 s for an answer; more than half of it is the end of our own patience as well.
PAUSE_MS = 2500

PASID_CAPABILITY, ATS_CAPABILITY, PRI_CAPABILITY = 0x1b, 0x0f, 0x13

Device = collections.namedtuple("Device", "bdf kind id driver group")


def arguments(prog):
	parser = argparse.ArgumentParser(prog=prog)
	parser.add_argument("--viommu", required=True)
	parser.add_argument("--fetch", required=True)
	parser.add_argument("--guest", required=True)
	parser.add_argument("--preload", required=True, help="the library with MOVDIR64B")
	parser.add_argument("--preload-run", required=True, help="a program that uses it")
	return parser


def main(prog, run, parser=None):
	"""Runs a test: run(tap, args, folder) with a folder of its own."""
	args = (parser or arguments(prog)).parse_args(sys.argv[1:])
	tap = vmlib.Tap()
	try:
		with tempfile.TemporaryDirectory(prefix="viommu-vm-") as folder:
			run(tap, args, folder)
	except vmlib.Trouble as trouble:
		return tap.bail_out(trouble)
	return tap.done()


class Setup:
	"""A kernel and an initramfs for it."""

	def __init__(self, args, folder, kernel="newest", modules=("idxd",), accel=False):
		names = KERNELS.get(kernel, ())
		things = vmlib.fetch(args.fetch, "qemu", *names, *(["guest"] if accel else []))
		image = vmlib.Initramfs().program("init", args.guest)
		if kernel in BUILT:
			built = vmlib.built_kernel(args.fetch, kernel)
			self.vmlinuz, version = built["bzImage"], built["version"]
		else:
			self.vmlinuz, version = (things[names[0]][key]
						 for key in ("vmlinuz", "version"))
			image.modules(things[names[1]]["modules"], *modules)
		self.folder = folder
		self.kernel = kernel
		self.qemu = things["qemu"]["qemu-system-x86_64"]
		self.about = "QEMU %s, Linux %s" % (things["qemu"]["version"], version)
		self.initrd = os.path.join(folder, "initramfs-%s" % kernel)
		if accel:
			self.add_accel(image, args, things["guest"]["root"])
		image.write(self.initrd)

	@staticmethod
	def add_accel(image, args, root):
		image.foreign(root, "usr/bin/accel-config", "usr/bin/bash", "usr/bin/busybox",
			      TESTS + "dsa_test", TESTS + "common",
			      TESTS + "dsa_user_test_runner.sh", TESTS + "configs/2g2q_user_1.conf",
			      TESTS + "configs/2g2q_user_2.conf")
		# The runner wants it to be there, and does not start it: its libraries stay out.
		image.program(TESTS + "iaa_test", os.path.join(root, TESTS + "iaa_test"))
		for name in APPLETS:
			image.link("usr/bin/" + name, "busybox")
		image.program("usr/lib/movdir64b.so", args.preload)
		image.program("usr/bin/movdir64b_run", args.preload_run)

	def learn_registers(self, server, options, seconds=120):
		"""Where a firmware puts the unit's registers: it is started with nothing to boot."""
		with vmlib.Machine(self.qemu, [*server.qemu_args, "-accel", "tcg", "-cpu", "max",
					       *options]) as machine:
			deadline = time.monotonic() + seconds
			before = None
			while time.monotonic() < deadline:
				units = [device for bus in machine.command("query-pci")
					 for device in bus["devices"]
					 if device["class_info"]["class"] == 0x806]
				found = [region["address"] for device in units
					 for region in device["regions"] if region["bar"] == 0]
				# While a BAR is sized it has an address, too, but not for long.
				if found and found[0] not in (-1, 0) and found[0] < 0xfec00000 and \
				   found == before:
					return found[0]
				before = found
		raise vmlib.Trouble("the firmware gave the unit's registers no address")

	def boot(self, server, **more):
		return vmlib.Guest(self.qemu, self.vmlinuz, self.initrd, server=server,
				   modern=self.kernel in MODERN, **more)


def devices(probe):
	return [Device(*line.split()) for line in probe.values.get("device", [])]


def one_device(probe, kind):
	found = [d for d in devices(probe) if d.kind == kind]
	if len(found) != 1:
		raise vmlib.Trouble("%d devices of class %s: %s" % (len(found), kind, found))
	return found[0]


def config(probe, bdf):
	"""The configuration space of a device, 4,096 bytes."""
	space = bytearray(4096)
	for line in probe.values.get("config", []):
		name, at, text = line.split()
		if name == bdf:
			space[int(at, 16):int(at, 16) + len(text) // 2] = bytes.fromhex(text)
	return bytes(space)


def extended(space, wanted):
	"""Where an extended capability is; 0 if it is not there."""
	at = 0x100
	for _ in range(64):
		header = int.from_bytes(space[at:at + 4], "little")
		if header & 0xffff == wanted:
			return at
		at = header >> 20
		if at < 0x100:
			break
	return 0


def check_unit(tap, probe, group_types, prefix=""):
	"""What a boot must show: the unit, the endpoint alone in its group, nothing to complain of."""
	units = probe.values.get("unit", [])
	tap.check(prefix + "the kernel has the unit",
		  [] if len(units) == 1 else ["/sys/class/iommu has %s" % units], "; ".join(units))
	said = probe.values.get("dmesg", [])
	told = [line for line in said if "DMAR" in line and "reg_base_addr" in line]
	tap.check(prefix + "dmesg shows the unit", [] if told else said, "; ".join(told))

	endpoint = one_device(probe, ENDPOINT_CLASS)
	groups = {}
	for line in probe.values.get("group", []):
		words = line.split()
		groups[words[0]] = (words[1], words[2:])
	kind, members = groups.get(endpoint.group, ("none", []))
	problems = [] if members == [endpoint.bdf] else ["group %s has %s" % (endpoint.group, members)]
	if kind not in group_types:
		problems.append("its type is %s, wanted one of %s" % (kind, ", ".join(group_types)))
	tap.check(prefix + "the device is alone in a group", problems, "%s, type %s"
		  % (endpoint.bdf, kind))
	complaints = probe.values.get("complaint", [])
	tap.check(prefix + "the kernel has nothing to complain of", complaints)
	return endpoint


def check_enabled(tap, probe, endpoint, prefix=""):
	"""The kernel enables PASID, and PRI with it, in scalable mode only."""
	space = config(probe, endpoint.bdf)
	control = {}
	for name, wanted, offset, bit in (("ATS", ATS_CAPABILITY, 6, 15),
					  ("PASID", PASID_CAPABILITY, 6, 0),
					  ("PRI", PRI_CAPABILITY, 4, 0)):
		at = extended(space, wanted)
		value = int.from_bytes(space[at + offset:at + offset + 2], "little") if at else None
		control[name] = (value, value is not None and bool(value >> bit & 1))
	tap.check(prefix + "scalable mode: ATS, PASID and PRI are enabled",
		  ["%s: control %s" % (name, "missing" if value is None else hex(value))
		   for name, (value, on) in control.items() if not on])


def replace(tap, server, prefix):
	"""Another process serves; for how many ms the one before stood still."""
	old, pause = server.replace()
	tap.check(prefix + "the old process has ended, and said nothing",
		  [] if old.returncode == 0 and not server.log() else
		  ["status %s" % old.returncode, server.log()])
	return pause


def check_pauses(tap, pauses):
	tap.check("each pause is well under QEMU's patience of 5 s",
		  ["%.1f ms" % pause for pause in pauses if pause >= PAUSE_MS],
		  ", ".join("%.1f ms" % pause for pause in pauses))


def inspect(args, server):
	"""What `viommu inspect` says of a running unit; it is patient for 5 s, and we for longer."""
	for _ in range(INSPECT_TRIES):
		try:
			p = subprocess.run([args.viommu, "inspect", server.control, "--json"],
					   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
					   stderr=subprocess.PIPE, text=True, check=False, timeout=60)
		except subprocess.TimeoutExpired as error:
			raise vmlib.Trouble("viommu inspect: %s" % error) from None
		if not p.returncode:
			return json.loads(p.stdout)
		if "no answer in" not in p.stderr:
			break
	raise vmlib.Trouble("viommu inspect: status %d\n%s" % (p.returncode, p.stderr))


def register(state, name):
	"""The fields of a register, of what inspect() returned."""
	for reg in state["registers"]:
		if reg["name"] == name:
			return reg["fields"]
	raise vmlib.Trouble("viommu inspect shows no register %s" % name)


def device(state):
	"""The one device, of what inspect() returned."""
	if len(state["devices"]) != 1:
		raise vmlib.Trouble("viommu inspect shows %d devices" % len(state["devices"]))
	return state["devices"][0]


def pasid_entries(state):
	"""{PASID: fields} of the guest's own tables."""
	tables = device(state)["tables"]
	if not tables or "pasid_entries" not in tables:
		return {}
	if not tables["pasid_entries"]["complete"]:
		raise vmlib.Trouble("viommu inspect did not look at all of the PASID table")
	return {e["pasid"]: e["fields"] for e in tables["pasid_entries"]["list"]}


def check_scalable(tap, state, prefix="", **wanted):
	"""What the kernel programmed: translation on, with scalable-mode tables.

	wanted: fields of the entry for requests without PASID"""
	mode, status = register(state, "RTADDR"), register(state, "GSTS")
	problems = []
	if mode["TTM"] != 1 or state["unit"]["mode"] != "scalable":
		problems.append("RTADDR: %s" % mode)
	if status["TES"] != 1 or status["RTPS"] != 1 or status["QIES"] != 1:
		problems.append("GSTS: %s" % status)
	tap.check(prefix + "scalable mode: RTADDR.TTM is 1 and translation is on", problems)
	entry = pasid_entries(state).get(0, {})
	tap.check(prefix + "the entry for requests without PASID is the one wanted",
		  ["%s is %s instead of %s" % (name, entry.get(name), value)
		   for name, value in wanted.items() if entry.get(name, 0) != value],
		  ", ".join("%s %s" % (name, entry.get(name, 0)) for name in wanted))


def unit_stats(state):
	return state["stats"]["unit"]


def check_end(tap, guest, server, prefix=""):
	"""Both end when asked to."""
	status = guest.off()
	tap.check(prefix + "the guest powers off", [] if status == 0 else ["QEMU: %s" % status])
	status = server.end()
	tap.check(prefix + "the server ends by SIGTERM",
		  [] if status == 0 else ["status %s" % status, server.log()])
