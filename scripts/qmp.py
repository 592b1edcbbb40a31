#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One command for a QEMU that runs, by its monitor's socket (-qmp unix:SOCKET,server=on,wait=off).

usage: qmp.py SOCKET JSON

JSON is a whole command, such as {"execute":"device_del","arguments":{"id":"x"}}. Prints what QEMU
answers; exit status 1 if that is an error, 2 usage.
"""

import json
import socket
import sys


def answer(stream, command):
	stream.write(json.dumps(command) + "\n")
	stream.flush()
	for line in stream:
		said = json.loads(line)
		# Events may come at any time; they are no answers.
		if "return" in said or "error" in said:
			return said
	raise OSError("it closed the connection")


def main(argv):
	if len(argv) != 2:
		print(__doc__.splitlines()[2], file=sys.stderr)
		return 2
	try:
		command = json.loads(argv[1])
		with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
			end.connect(argv[0])
			with end.makefile("rw", encoding="utf-8") as stream:
				stream.readline()	# its greeting
				answer(stream, {"execute": "qmp_capabilities"})
				said = answer(stream, command)
	except (OSError, ValueError) as error:
		print("qmp: %s" % error, file=sys.stderr)
		return 1
	print(json.dumps(said.get("return", said.get("error"))))
	return 0 if "return" in said else 1


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
