#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`viommu serve` is replaced by a new process while a Linux guest copies by shared addresses.

usage: state.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT
		[--pasids identity|host]

Stock QEMU never connects anew: its sockets, the guest's memory and the eventfds go from process to
process. All copies are right, page requests are answered, nobody complains. Then those who come
fail, and the one who serves goes on.
"""

import os
import socket
import statistics
import subprocess
import sys
import time

import guests
import vmlib

PROCESSES = 3
REPLACEMENTS = 5
COPIES = 12			# of each process, between two replacements
USUAL_MS = 500			# of most of them, on a busy machine, too
TRIES = 100			# to stop the guest when it has a page request open
STOPPED_SECONDS = 3		# longer than anything that the server does once a second
SECONDS = 120			# for a process to end or to say something


class Replaceable(vmlib.Server):
	"""A server that can be asked as a new process asks it."""

	def ask(self):
		"""Asks to be replaced, as a new process does; the connection, and all that was sent."""
		asks = socket.socket(socket.AF_UNIX)
		asks.settimeout(SECONDS)
		asks.connect(self.control)
		asks.sendall(b"replace 1\n")
		said, fds, _, _ = socket.recv_fds(asks, 1, 4)
		for fd in fds:
			os.close(fd)
		while not said.endswith(b"\n"):
			said += asks.recv(1)
		return asks, said.decode()


def check_binds(tap, args, server, prefix):
	binds = [bind for bind in guests.device(guests.inspect(args, server))["binds"]["list"]
		 if bind["guest_pasid"]]
	tap.check(prefix + "every process's tables are bound",
		  [] if len(binds) >= PROCESSES else [str(binds)],
		  "PASIDs %s" % " ".join("%(guest_pasid)d:%(host_pasid)#x" % bind for bind in binds))


def replacements(tap, args, server, guest):
	pauses, gaps = [], []
	for n in range(1, REPLACEMENTS + 1):
		prefix = "replacement %d: " % n
		before = guests.unit_stats(guests.inspect(args, server))
		pauses.append(guests.replace(tap, server, prefix))
		answer = guest.must(tap, "more %d" % COPIES, 600, prefix)
		gaps.append(int(answer.value("gap_us")) / 1000)
		check_binds(tap, args, server, prefix)
		after = guests.unit_stats(guests.inspect(args, server))
		tap.check(prefix + "page requests go on, none is lost",
			  [] if after["page_requests"] > before["page_requests"] and
			  not after["page_requests_lost"] else [str(before), str(after)])
	# By the program's word; and what the guest's processes saw, by their clock.
	tap.note("the guest stood still for %s ms; the longest time between two copies of a process: %s ms"
		 % tuple(", ".join("%.1f" % ms for ms in all_of) for all_of in (pauses, gaps)))
	tap.check("processes of the guest see when copies are complete",
		  [] if all(gaps) else [str(gaps)])
	guests.check_pauses(tap, pauses)
	median = statistics.median(pauses)
	tap.check("most are far shorter", [] if median < USUAL_MS else ["%.1f ms" % median],
		  "half of them within %.1f ms" % median)


def with_requests_open(tap, args, server, guest):
	"""Processors stopped, so that nobody answers page requests: they wait in the next process."""
	def still_open():
		stats = guests.unit_stats(guests.inspect(args, server))
		return stats["page_requests"] - stats["page_responses"]

	for _ in range(TRIES):
		guest.command("stop")
		# What the guest has written may be on its way when QEMU has stopped.
		still_open()
		waiting = still_open()
		if waiting:
			break
		guest.command("cont")
	tap.check("page requests wait for their answers", [] if waiting else ["none does"],
		  "%d do" % waiting)
	# Nothing is to happen: there is nothing to wait for but time.
	time.sleep(STOPPED_SECONDS)
	server.replace()
	server.replace()
	# The device may have asked for more pages meanwhile.
	after = still_open()
	tap.check("they still wait, two processes later", [] if after >= waiting else
		  ["%d do" % after], "%d do" % after)
	guest.command("cont")
	guest.must(tap, "more %d" % COPIES, 600, "and are answered: ")


def failures(tap, args, server, guest):
	"""Those who come, and do not get there."""
	def goes_on(prefix):
		tap.check(prefix + "the one that serves goes on",
			  [] if server.process.poll() is None else [server.log()])
		guest.must(tap, "more %d" % COPIES, 600, prefix)
		check_binds(tap, args, server, prefix)

	asks, said = server.ask()
	asks.close()
	tap.check("it offers its state", [] if said.startswith("state ") else [said], said.strip())
	goes_on("it dies with the state: ")

	asks, _ = server.ask()
	# Until it hears that nobody waits for it any more.
	said = b""
	while not said.endswith(b"\n"):
		data = asks.recv(1)
		if not data:
			break
		# The descriptors come with bytes of their own.
		said += data if data != b"." else b""
	asks.close()
	tap.check("a silent one is told that the other goes on",
		  [] if said == b"no\n" else [repr(said)])
	goes_on("it is silent: ")

	p = subprocess.run(["prlimit", "--nofile=8:8", *server.replacement()], stdin=subprocess.DEVNULL,
			   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
			   check=False, timeout=SECONDS)
	tap.check("one without descriptors gives up", [] if p.returncode == 1 else [p.stdout],
		  p.stdout.strip())
	goes_on("it has no descriptors: ")


def run(tap, args, folder):
	setup = guests.Setup(args, folder)
	tap.note(setup.about)
	with Replaceable(args.viommu, folder, "--pasids", args.pasids) as server, setup.boot(server) as guest:
		guest.start()
		tap.note("; ".join(guest.notes))
		guest.must(tap, "load idxd")
		guest.must(tap, "config %d" % PROCESSES)
		guest.background("steady %d" % PROCESSES)
		guest.wait_value("steady", "started", SECONDS)
		answer = guest.must(tap, "more %d" % COPIES, 600)
		tap.note("the longest time between two copies, before any replacement: %.1f ms"
			 % (int(answer.value("gap_us")) / 1000))
		replacements(tap, args, server, guest)
		with_requests_open(tap, args, server, guest)
		failures(tap, args, server, guest)
		server.replace()
		guest.check(tap, "enough", 600)
		guest.check(tap, "config off")
		# And what is made anew in the last of the processes works as well.
		guest.must(tap, "config 1")
		guest.check(tap, "copy wq0.0 3", 600)
		tap.check("the kernel has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guest.said.seek(0)
		said = guest.said.read().decode("utf-8", "replace").splitlines()
		tap.check("nor has QEMU", [line for line in said if "vfio" in line or "time" in line])
		where = server.folder()
		guests.check_end(tap, guest, server)
		tap.check("and takes its sockets and tables along",
			  os.listdir(where) if os.path.isdir(where) else [])


if __name__ == "__main__":
	PARSER = guests.arguments("state.py")
	PARSER.add_argument("--pasids", choices=("identity", "host"), default="host")
	sys.exit(guests.main("state.py", run, PARSER))
