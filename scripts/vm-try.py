#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest with shared virtual addressing to try: `viommu vm` with Debian's newest kernel.

usage: vm-try.py [--viommu PROGRAM] [--make-only] [VM-OPTION...] [-- QEMU-ARGUMENT...]

Fetches QEMU, Linux and accel-config (scripts/vm-fetch.py), makes an initramfs with them, with
busybox and with examples/dsa_copy.c in it, prints the command, and runs it. VM-OPTIONs and
QEMU-ARGUMENTs are added to those of `viommu vm`. The guest's shell is on this terminal; "exit" or
Ctrl-A x ends it.

Exit status: that of `viommu vm`; 1 if something was missing, 2 usage.
"""

import os
import shlex
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))

import vmlib  # noqa: E402  pylint: disable=wrong-import-position

APPLETS = ("cat", "dmesg", "grep", "insmod", "ls", "mount", "ps", "sh", "sleep", "stty")

INIT = """#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod /modules/$module.ko; done </modules/idxd.list
echo 'A DSA device with shared virtual addressing. Try: sh queue; dsa_copy 1000000; exit'
sh
echo o >/proc/sysrq-trigger
sleep 60
"""

# As anybody configures a queue.
QUEUE = """accel-config config-engine dsa0/engine0.0 --group-id=0
accel-config config-wq dsa0/wq0.0 --group-id=0 --mode=dedicated --wq-size=16 \\
    --priority=10 --block-on-fault=1 --type=user --name=app1 --driver-name=user
accel-config enable-device dsa0
accel-config enable-wq dsa0/wq0.0
"""


def build(where):
	"""The program of the guest; static, as the guest has libraries of its own."""
	program = os.path.join(where, "dsa_copy")
	command = [os.environ.get("CC", "cc"), "-O2", "-static", "-o", program,
		   os.path.join(TOP, "examples", "dsa_copy.c")]
	try:
		if subprocess.run(command, check=False).returncode:
			raise vmlib.Trouble("%s failed" % shlex.join(command))
	except OSError as error:
		raise vmlib.Trouble("%s: %s" % (command[0], error.strerror)) from None
	return program


def make(where, things):
	"""The initramfs; its path."""
	os.makedirs(where, exist_ok=True)
	image = vmlib.Initramfs()
	image.foreign(things["guest"]["root"], "usr/bin/accel-config", "usr/bin/busybox")
	for name in APPLETS:
		image.link("usr/bin/" + name, "busybox")
	image.modules(things["modules"]["modules"], "idxd")
	image.file("init", INIT.encode(), 0o755).file("queue", QUEUE.encode())
	image.program("usr/bin/dsa_copy", build(where))
	for folder in ("proc", "sys"):
		image.file(folder + "/.keep", b"")
	path = os.path.join(where, "initramfs")
	image.write(path)
	return path


def arguments(argv):
	"""(viommu, make only, VM-OPTIONs, QEMU-ARGUMENTs)"""
	viommu, only = os.path.join(TOP, "build", "release", "cmd", "viommu"), False
	qemu = []
	if "--" in argv:
		at = argv.index("--")
		argv, qemu = argv[:at], argv[at + 1:]
	options = []
	while argv:
		word, *argv = argv
		if word in ("-h", "--help"):
			print(__doc__.strip())
			sys.exit(0)
		if word == "--make-only":
			only = True
		elif word == "--viommu":
			if not argv:
				print("vm-try: --viommu needs a value", file=sys.stderr)
				sys.exit(2)
			viommu, *argv = argv
		else:
			options.append(word)
	return viommu, only, options, qemu


def main(argv):
	viommu, only, options, qemu = arguments(argv)
	fetch = os.path.join(TOP, "scripts", "vm-fetch.py")
	try:
		things = vmlib.fetch(fetch, "qemu", "kernel", "modules", "guest")
		where = os.path.join(vmlib.load(fetch).default_dir(), "try")
		initramfs = make(where, things)
	except vmlib.Trouble as trouble:
		print("vm-try: %s" % trouble, file=sys.stderr)
		return 1
	command = [viommu, "vm", "--qemu", things["qemu"]["qemu-system-x86_64"], *options, "--",
		   "-accel", "tcg", "-smp", "2", "-nic", "none", "-display", "none", "-serial",
		   "mon:stdio", "-no-reboot", "-kernel", things["kernel"]["vmlinuz"], "-initrd",
		   initramfs, "-append", "console=ttyS0 quiet setcpuid=movdir64b", *qemu]
	print(shlex.join(command), flush=True)
	if only:
		return 0
	try:
		os.execv(command[0], command)
	except OSError as error:
		print("vm-try: %s: %s (build it, or name it by --viommu)" % (command[0], error.strerror),
		      file=sys.stderr)
	return 1


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
