#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stands in for QEMU in the tests of `viommu vm`: connects to the sockets it is given and places the
unit's registers as a firmware does.

usage: fake_qemu.py QEMU-ARGUMENT...

Environment, all optional:
	FAKE_LOG       each start appends a line of JSON to this file: what it was given
	FAKE_PLACE     where the firmware puts BAR 0 (0xfebd0000); "no": nowhere
	FAKE_THEN      what comes then: exit:N, echo (a line of standard input, then exit), wait (for
	               SIGTERM), deaf (to SIGTERM), fail:TEXT (before anything else)
"""

import json
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import vfu  # noqa: E402 (after the path)


def table(argv):
	"""The register address that the DMAR table says."""
	for name, value in zip(argv, argv[1:]):
		if name == "-acpitable":
			with open(value.split("=", 1)[1].replace(",,", ","), "rb") as f:
				data = f.read()
			if data[:4] == b"DMAR":
				return int.from_bytes(data[48 + 8:48 + 16], "little")
	return None


def log(argv, **more):
	if os.environ.get("FAKE_LOG"):
		with open(os.environ["FAKE_LOG"], "a") as f:
			f.write(json.dumps(dict(argv=argv, pid=os.getpid(), dmar=table(argv),
						tty=[os.readlink("/proc/self/fd/%d" % i) for i in range(3)],
						**more)) + "\n")


def main():
	argv = sys.argv[1:]
	log(argv)
	what, _, rest = os.environ.get("FAKE_THEN", "exit:0").partition(":")
	if what == "fail":
		print("fake: first line\nfake: " + rest, file=sys.stderr)
		return 1
	if what == "deaf":
		signal.signal(signal.SIGTERM, signal.SIG_IGN)
		signal.signal(signal.SIGINT, signal.SIG_IGN)
	else:
		signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
		signal.signal(signal.SIGINT, signal.SIG_IGN)
	functions = [vfu.Function(json.loads(value)["socket"]["path"])
		     for name, value in zip(argv, argv[1:])
		     if name == "-device" and value.startswith("{")]
	place = os.environ.get("FAKE_PLACE", "0xfebd0000")
	if place != "no":
		functions[0].place(int(place, 0))
	if what == "exit":
		return int(rest)
	if what == "echo":
		print("fake says " + sys.stdin.readline().strip(), flush=True)
		return 0
	print("fake runs", flush=True)
	while True:
		signal.pause()


if __name__ == "__main__":
	sys.exit(main())
