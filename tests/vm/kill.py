#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""SIGKILL for the server, and for QEMU, while a process of the guest lets the device copy.

usage: kill.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT

What is left sees an error or an end; nothing hangs, and the server goes on to serve another guest.
(A process of the guest that is killed is in sva.py: no other machine is needed for that.)
"""

import os
import sys

import guests
import vmlib

LIMIT_MS = 5000			# for one copy, when the device is gone
SECONDS = 120


def start_storm(tap, guest):
	guest.start()
	guest.must(tap, "load idxd")
	guest.must(tap, "config 1")
	guest.send("storm %d &" % LIMIT_MS)
	guest.wait_value("storm", "started", SECONDS)


def kill_qemu(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder) as server:
		with setup.boot(server) as guest:
			start_storm(tap, guest)
			guest.process.kill()
			guest.process.wait()
		tap.check("the server outlives QEMU", [] if server.process.poll() is None
			  else ["it ended with status %d" % server.process.returncode, server.log()])
		with setup.boot(server) as guest:
			guest.start()
			guest.must(tap, "load idxd", prefix="the next guest: ")
			guest.must(tap, "config 1", prefix="the next guest: ")
			guest.check(tap, "copy wq0.0 3", prefix="the next guest: ")
			guests.check_end(tap, guest, server, "the next guest: ")


def kill_server(tap, args, setup, folder):
	with vmlib.Server(args.viommu, folder) as server, setup.boot(server) as guest:
		start_storm(tap, guest)
		server.kill()
		try:
			line = guest.wait_value("storm", "ended", SECONDS)
			tap.check("the process sees its copies end", [], line)
		except vmlib.Trouble as trouble:
			# QEMU may end with its device; it must not hang.
			ended = guest.process.poll()
			tap.check("the process sees its copies end, or QEMU ends",
				  [] if ended is not None else [str(trouble)],
				  "QEMU ended with status %s" % ended)
			if ended is not None:
				return
		guest.send("probe")
		while guest.line(SECONDS, "answer of the guest").split()[0] != "@end":
			pass
		tap.check("the guest still answers", [])
		guest.command("quit")


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	for part in (kill_qemu, kill_server):
		own = os.path.join(folder, part.__name__)
		os.mkdir(own)
		part(tap, args, setup, own)


if __name__ == "__main__":
	sys.exit(guests.main("kill.py", run))
