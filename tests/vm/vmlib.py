# SPDX-License-Identifier: BSD-3-Clause
"""What the tests that boot a guest share: packages, initramfs, a QEMU with its monitor, TAP.

Nothing here sleeps to wait: every wait ends when what was waited for is there, when the guest
ended, or when the deadline given to it is over, which raises Trouble with the last lines of the
console.
"""

import contextlib
import importlib.util
import json
import os
import select
import socket
import stat
import subprocess
import sys
import time


class Trouble(Exception):
	"""The machine did not do what the test needs; the text says what."""


class Tap:
	"""Test Anything Protocol on standard output: a line for each property."""

	def __init__(self):
		self.count = 0
		self.failed = 0

	def note(self, text):
		for line in str(text).splitlines():
			print("# " + line, flush=True)

	def check(self, name, problems, about=""):
		"""problems: a list; empty means passed. about: counts, shown either way."""
		self.count += 1
		self.failed += bool(problems)
		print("%s %d - %s%s" % ("not ok" if problems else "ok", self.count, name,
					" (%s)" % about if about else ""), flush=True)
		for problem in problems[:8]:
			self.note(problem)
		if len(problems) > 8:
			self.note("... and %d more" % (len(problems) - 8))

	def done(self):
		print("1..%d" % self.count, flush=True)
		return 1 if self.failed else 0

	def bail_out(self, text):
		self.note(text)
		print("Bail out! %s" % str(text).splitlines()[0], flush=True)
		return 1


def load(script):
	"""scripts/vm-fetch.py as a module; its name is no identifier, so import cannot find it."""
	spec = importlib.util.spec_from_file_location("vm_fetch", script)
	module = importlib.util.module_from_spec(spec)
	spec.loader.exec_module(module)
	return module


def fetch(script, *things):
	"""Runs vm-fetch (instant when all is there); returns {thing: {file name: path}}."""
	module = load(script)
	where = os.path.abspath(module.default_dir())
	try:
		# What it says is not TAP.
		with contextlib.redirect_stdout(sys.stderr):
			taken = module.fetch(where, [module.parse_thing(word) for word in things])
	except module.Failure as failure:
		raise Trouble("vm-fetch: %s" % failure) from None
	found = {}
	for thing, record in taken.items():
		found[thing] = {k: os.path.join(where, v) for k, v in record["files"].items()}
		found[thing]["version"] = record["version"]
	return found


def cpio(path, entries):
	"""Writes an initramfs in cpio's "newc" form: entries are (name, mode, content or (major, minor))."""
	with open(path, "wb") as out:
		inode = 0

		def put(name, mode, content, device):
			nonlocal inode
			inode += 1
			raw = name.encode() + b"\0"
			fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(raw), 0)
			out.write(b"070701" + b"".join(b"%08x" % f for f in fields))
			out.write(raw + b"\0" * (-(110 + len(raw)) % 4))
			out.write(content + b"\0" * (-len(content) % 4))

		for name, mode, what in entries:
			if isinstance(what, tuple):
				put(name, mode, b"", what)
			else:
				put(name, mode, what, (0, 0))
		put("TRAILER!!!", 0, b"", (0, 0))


def initramfs(path, init):
	"""An initramfs with one program, which is process 1 and has the console open."""
	with open(init, "rb") as f:
		program = f.read()
	cpio(path, [
		("dev", stat.S_IFDIR | 0o755, b""),
		("dev/console", stat.S_IFCHR | 0o600, (5, 1)),
		("init", stat.S_IFREG | 0o755, program),
	])


class Machine:
	"""A QEMU under TCG, its serial console and its monitor, each by a socket pair."""

	def __init__(self, qemu, options):
		self.serial_end, serial = socket.socketpair()
		self.monitor_end, monitor = socket.socketpair()
		self.console = b""
		self.replies = b""
		argv = [qemu, "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
			"-chardev", "socket,id=serial,fd=%d" % serial.fileno(),
			"-serial", "chardev:serial",
			"-chardev", "socket,id=monitor,fd=%d" % monitor.fileno(),
			"-mon", "chardev=monitor,mode=control", *options]
		self.argv = argv
		self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, text=False,
						stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
						pass_fds=(serial.fileno(), monitor.fileno()))
		serial.close()
		monitor.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		if self.process.poll() is None:
			self.process.kill()
		self.process.communicate()
		self.serial_end.close()
		self.monitor_end.close()

	def trouble(self, text):
		"""Trouble with all that could explain it."""
		tail = self.console.decode("utf-8", "replace").splitlines()[-12:]
		said = ""
		if self.process.poll() is not None:
			said = "\nQEMU ended with status %d: %s" % (
				self.process.returncode,
				self.process.stdout.read().decode("utf-8", "replace").strip())
		return Trouble("%s%s\nconsole:\n  %s" % (text, said, "\n  ".join(tail)))

	def pump(self, deadline, what):
		"""Waits for input of either socket and takes it in."""
		left = deadline - time.monotonic()
		if left <= 0:
			raise self.trouble("no %s within the time given" % what)
		ready, _, _ = select.select([self.serial_end, self.monitor_end], [], [], left)
		for end in ready:
			data = end.recv(1 << 16)
			if not data:
				self.process.wait(timeout=max(left, 1))
				raise self.trouble("QEMU ended before %s" % what)
			if end is self.serial_end:
				self.console += data
			else:
				self.replies += data

	def wait_console(self, marks, seconds):
		"""Waits until one of the marks (bytes) starts a whole line of the console; returns it."""
		deadline = time.monotonic() + seconds
		seen = 0
		while True:
			whole = self.console.rfind(b"\n") + 1
			for line in self.console[seen:whole].splitlines():
				for mark in marks:
					if line.startswith(mark):
						return mark
			seen = whole
			self.pump(deadline, "line %s on the console" % " or ".join(map(repr, marks)))

	def reply(self, seconds):
		deadline = time.monotonic() + seconds
		while b"\n" not in self.replies:
			self.pump(deadline, "answer of the monitor")
		line, self.replies = self.replies.split(b"\n", 1)
		return json.loads(line)

	def command(self, name, seconds=60, **arguments):
		"""One monitor (QMP) command; returns its result."""
		if not hasattr(self, "greeting"):
			self.greeting = self.reply(seconds)
			self.command("qmp_capabilities")
		request = {"execute": name}
		if arguments:
			request["arguments"] = arguments
		self.monitor_end.sendall(json.dumps(request).encode())
		while True:
			answer = self.reply(seconds)
			if "return" in answer:
				return answer["return"]
			if "error" in answer:
				raise self.trouble("monitor: %s: %s" % (name, answer["error"]["desc"]))

	def human(self, line):
		"""A command of the monitor for people; returns its text."""
		return self.command("human-monitor-command", **{"command-line": line})
