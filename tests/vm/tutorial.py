#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The program of the tutorial, examples/sva_device.c, under a stock QEMU with Debian's kernel.

usage: tutorial.py --program SVA_DEVICE --viommu PROGRAM --guest INIT --preload LIB
		   --preload-run PROGRAM --fetch SCRIPT

A process of the guest drives the device through vfio-pci (tests/vm/guest/tutorial.c).
"""

import json
import os
import select
import signal
import subprocess
import sys
import time

import guests
import vmlib

SECONDS = 60
GUESS = 0xfebe0000		# where SeaBIOS puts the unit's registers in this machine


class Program:
	"""examples/sva_device.c for one guest; vmlib.Server is `viommu serve` in the same way."""

	def __init__(self, program, folder, registers):
		where = os.path.join(folder, "sva-%d" % len(os.listdir(folder)))
		os.mkdir(where)
		self.process = subprocess.Popen([program, where, hex(registers)],
						stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
		self.said = b""
		deadline = time.monotonic() + SECONDS
		while b"ready\n" not in self.said:
			left = max(deadline - time.monotonic(), 0)
			ready, _, _ = select.select([self.process.stderr], [], [], left)
			data = os.read(self.process.stderr.fileno(), 4096) if ready else b""
			if not data:
				self.kill()
				raise vmlib.Trouble("sva_device does not start: %s" % self.said.decode())
			self.said += data
		self.qemu_args = [
			"-machine", "q35,memory-backend=mem", "-m", "1G",
			"-object", "memory-backend-memfd,id=mem,size=1G,share=on",
			"-acpitable", "file=%s/dmar.bin" % where,
			"-acpitable", "file=%s/ssdt.bin" % where,
			"-device", self.function(where, "04.0", "unit.sock"),
			"-device", self.function(where, "05.0", "device.sock"),
		]

	@staticmethod
	def function(where, slot, name):
		return json.dumps({"driver": "vfio-user-pci", "addr": slot,
				   "socket": {"type": "unix", "path": os.path.join(where, name)}})

	def kill(self):
		if self.process.poll() is None:
			self.process.kill()
		self.process.wait()
		self.process.stderr.close()

	def log(self):
		return self.said.decode("utf-8", "replace")

	def end(self):
		if self.process.poll() is None:
			self.process.send_signal(signal.SIGTERM)
		try:
			return self.process.wait(SECONDS)
		except subprocess.TimeoutExpired:
			raise vmlib.Trouble("sva_device did not end by SIGTERM") from None

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.kill()


def run(tap, args, folder):
	setup = guests.Setup(args, folder, modules=("vfio-pci", "vfio_iommu_type1"))
	tap.note(setup.about)
	with Program(args.program, folder, GUESS) as program:
		registers = setup.learn_registers(program, ())
	tap.note("the unit's registers are at %#x" % registers)
	with Program(args.program, folder, registers) as program, \
	     setup.boot(program) as guest:
		guest.start()
		guest.must(tap, "load vfio-pci")
		guest.must(tap, "load vfio_iommu_type1 allow_unsafe_interrupts=1")
		answer = guest.check(tap, "tutorial")
		for value in answer.values.get("vfio", []) + answer.values.get("fault", []):
			tap.note(value)
		guests.check_end(tap, guest, program)


if __name__ == "__main__":
	PARSER = guests.arguments("tutorial.py")
	PARSER.add_argument("--program", required=True)
	sys.exit(guests.main("tutorial.py", run, PARSER))
