#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The session that the README shows, as it is now: scripts/vm-try.py, commands typed in the guest.

usage: session.py --viommu PROGRAM --readme FILE [--print]

The commands are those of the README's recorded session. Each line that it shows, except "...", has
to come again in the same order, where numbers may be other numbers. --print prints the whole
session instead, for the README to take lines from.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import vmlib

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/vm-try.py")
BEGIN, END = "<!-- recorded session: begin", "<!-- recorded session: end"
PROMPT = "~ # "
SECONDS = 300
INSPECT = "$ viommu inspect "
START = "$ scripts/vm-try.py"

# What is to be seen before the next command; otherwise the prompt is enough.
AFTER = {"&": "data ", "exit": None}


class Console(vmlib.VmGuest):
	"""vm-try.py with its shell; the notes of both on the same stream, as on a terminal."""

	def __init__(self, viommu, env):
		self.open_ends()
		self.argv = [sys.executable, "-B", SCRIPT, "--viommu", viommu]
		self.process = subprocess.Popen(self.argv, stdin=self.serial_other,
						stdout=self.serial_other,
						stderr=self.serial_other, env=env)
		self.serial_other.close()

	def text(self):
		"""All so far, without carriage returns and the shell's questions to the terminal."""
		return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "",
			      self.console.decode("utf-8", "replace"))

	def until(self, what, start):
		deadline = time.monotonic() + SECONDS
		while what not in self.text()[start:]:
			self.pump(deadline, "'%s' of the session" % what)

	def type(self, command):
		start = len(self.text())
		self.serial_end.sendall(command.encode() + b"\n")
		what = AFTER.get(command.split()[-1], PROMPT)
		if what is None:
			self.wait(SECONDS)
		else:
			self.until("\n", start)
			self.until(what, start + len(command) + 1)


def recorded(readme):
	with open(readme, encoding="utf-8") as f:
		text = f.read()
	block = text[text.index(BEGIN):text.index(END)]
	return [line[4:] for line in block.splitlines() if line.startswith("    ")]


def inspect(viommu, folder):
	p = subprocess.run([viommu, "inspect", folder], stdin=subprocess.DEVNULL, check=False,
			   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
	if p.returncode:
		raise vmlib.Trouble("viommu inspect: status %d\n%s" % (p.returncode, p.stdout))
	return p.stdout


def play(viommu, lines, folder):
	"""What there is to see: lines, and the exit status."""
	# Short, as it is the path of sockets.
	env = dict(os.environ, XDG_RUNTIME_DIR=folder)
	seen, looked = [], False
	with Console(viommu, env) as console:
		console.until(PROMPT, 0)
		at = re.search(r"viommu inspect (\S+)", console.text())
		if not at:
			raise console.trouble("viommu vm did not say what to inspect")
		for line in lines:
			if line.startswith(PROMPT):
				console.type(line[len(PROMPT):])
			elif line.startswith(INSPECT):
				looked = True
				inner = inspect(viommu, at.group(1))
				seen += (INSPECT + at.group(1) + "\n" + inner).splitlines()
		status = console.process.wait(SECONDS)
		outer = (START + "\n" + console.text()).splitlines()
	return outer, seen if looked else [], status


def plain(line):
	"""Without what differs from run to run."""
	line = re.sub(r"/\S*/viommu-\S+", "DIR", line)
	return re.sub(r"(0x)?[0-9a-f]*[0-9][0-9a-f.]*", "N", re.sub(r"\s+", " ", line.strip()))


def missing(lines, *streams):
	"""The lines that none of the streams has, behind the one before."""
	at = [0] * len(streams)
	lost = []
	streams = [[plain(line) for line in stream] for stream in streams]
	current = 0
	for line in lines:
		if line == "..." or not line.strip():
			continue
		if line.startswith(INSPECT):
			current = 1
		elif line.startswith((PROMPT, START)):
			current = 0
		try:
			at[current] = streams[current].index(plain(line), at[current]) + 1
		except ValueError:
			lost.append("not to be seen: " + line)
	return lost


def main():
	parser = argparse.ArgumentParser(prog="session.py")
	parser.add_argument("--viommu", required=True)
	parser.add_argument("--readme", required=True)
	parser.add_argument("--print", action="store_true")
	args = parser.parse_args()
	lines = recorded(args.readme)
	tap = vmlib.Tap()
	try:
		with tempfile.TemporaryDirectory(prefix="viommu-") as folder:
			outer, inner, status = play(args.viommu, lines, folder)
			left = os.listdir(folder)
	except vmlib.Trouble as trouble:
		return tap.bail_out(trouble)
	if args.print:
		print("\n".join(outer + inner))
		return status
	tap.check("the session of the README is what there is to see",
		  missing(lines, outer, inner) if lines else ["the README has none"],
		  "%d lines" % len(lines))
	tap.check("it ends with status 0 and leaves nothing",
		  [] if status == 0 and not left else ["status %s, %s" % (status, left)])
	return tap.done()


if __name__ == "__main__":
	sys.exit(main())
