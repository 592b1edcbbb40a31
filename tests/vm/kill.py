#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""SIGKILL for the server, for QEMU and for a process of the guest while the device copies for it.

usage: kill.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT

What is left sees an error or an end; nothing hangs, and the server goes on to serve another guest.
"""

import os
import sys

import guests
import vmlib

LIMIT_MS = 5000			# for one copy, when the device is gone
SECONDS = 120
KILLS = 2


def ready(tap, guest, prefix=""):
	guest.start()
	guest.must(tap, "load idxd", prefix=prefix)
	guest.must(tap, "config 1", prefix=prefix)


def start_storm(guest):
	guest.background("storm %d" % LIMIT_MS)
	guest.wait_value("storm", "started", SECONDS)


def kill_qemu(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder) as server:
		with setup.boot(server) as guest:
			# A process of the guest first, then all of it.
			ready(tap, guest)
			guest.check(tap, "kill %d" % KILLS)
			start_storm(guest)
			guest.process.kill()
			guest.process.wait()
		tap.check("the server outlives QEMU", [] if server.process.poll() is None
			  else ["it ended with status %d" % server.process.returncode, server.log()])
		with setup.boot(server) as guest:
			ready(tap, guest, "the next guest: ")
			guest.check(tap, "copy wq0.0 3", prefix="the next guest: ")
			guests.check_end(tap, guest, server, "the next guest: ")


def kill_server(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder) as server, setup.boot(server) as guest:
		ready(tap, guest)
		start_storm(guest)
		server.kill()
		# The guest's registers read as ones now, its IOMMU's too: what its kernel makes of that
		# is its own affair. The process sees no completion, or QEMU ends with its device.
		try:
			line = guest.wait_value("storm", "ended", SECONDS)
			tap.check("the process sees its copies end", [], line)
			status = guest.command("query-status", SECONDS)
			tap.check("QEMU still answers", [] if "status" in status else [str(status)])
			guest.process.terminate()
			guest.wait(SECONDS)
		except vmlib.Trouble as trouble:
			if guest.process.poll() is None:
				raise
			tap.note(str(trouble))
		tap.check("QEMU ends", [] if guest.process.poll() is not None else ["it does not"],
			  "status %s" % guest.process.poll())


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	for part in (kill_qemu, kill_server):
		own = os.path.join(folder, part.__name__)
		os.mkdir(own)
		part(tap, args, setup, own)


if __name__ == "__main__":
	sys.exit(guests.main("kill.py", run))
