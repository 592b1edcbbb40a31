# SPDX-License-Identifier: BSD-3-Clause
"""What the tests that boot a guest share: packages, initramfs, a QEMU with its monitor, TAP.

Nothing here sleeps to wait: every wait ends when what was waited for is there, when the guest
ended, or when the deadline given to it is over, which raises Trouble with the last lines of the
console.
"""

import contextlib
import importlib.util
import json
import lzma
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
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
	"""A script as a module, such as vm-fetch.py; its name is no identifier, so import fails."""
	name = os.path.basename(script)[:-len(".py")].replace("-", "_")
	spec = importlib.util.spec_from_file_location(name, script)
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


def built_kernel(fetch_script, name):
	"""Runs vm-kernel (instant when it is built already); returns what its build() says of it."""
	module = load(os.path.join(os.path.dirname(fetch_script), "vm-kernel.py"))
	try:
		with contextlib.redirect_stdout(sys.stderr):
			return module.build(module.vm_fetch.default_dir(), [name])[name]
	except module.Failure as failure:
		raise Trouble("vm-kernel: %s" % failure) from None


def readable(fd, seconds):
	"""Whether a descriptor has something to read, or its process has ended, within a time."""
	return bool(select.select([fd], [], [], seconds)[0])


def cpio(path, entries):
	"""Writes an initramfs in cpio's "newc" form.

	entries: (name, mode, content or (major, minor))"""
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
	Initramfs().program("init", init).write(path)


def unpacked(path):
	"""The bytes of a kernel module, which Debian's newer packages compress."""
	if path.endswith(".xz"):
		with lzma.open(path) as f:
			return f.read()
	with open(path, "rb") as f:
		return f.read()


def is_dynamic(content):
	"""Whether a file is a program that names a loader (program header PT_INTERP)."""
	if not content.startswith(b"\x7fELF"):
		return False
	offset, = struct.unpack_from("<Q", content, 32)
	size, count = struct.unpack_from("<HH", content, 54)
	return any(struct.unpack_from("<I", content, offset + i * size)[0] == 3 for i in range(count))


class Initramfs:
	"""What a guest finds when it starts; each call adds something and returns the object."""

	def __init__(self):
		self.entries = {"dev/console": (stat.S_IFCHR | 0o600, (5, 1))}

	def file(self, name, content, mode=0o644):
		self.entries[name] = (stat.S_IFREG | mode, content)
		return self

	def program(self, name, path):
		with open(path, "rb") as f:
			return self.file(name, f.read(), 0o755)

	def link(self, name, target):
		self.entries[name] = (stat.S_IFLNK | 0o777, target.encode())
		return self

	def modules(self, folder, *names):
		"""Modules by name, with all they depend on, and a list for each in order of loading."""
		found = {}
		for where, _, files in os.walk(folder):
			for name in files:
				if ".ko" in name:
					key = name.split(".ko")[0].replace("-", "_")
					found[key] = os.path.join(where, name)

		def add(name, order):
			key = name.replace("-", "_")
			if key in order:
				return
			if key not in found:
				raise Trouble("no module %s among the %d of %s"
					      % (name, len(found), folder))
			content = unpacked(found[key])
			needs = re.search(rb"\0depends=([^\0]*)\0", content)
			for other in needs.group(1).decode().split(",") if needs else []:
				if other:
					add(other, order)
			order.append(key)
			self.file("modules/%s.ko" % key, content)

		for name in names:
			order = []
			add(name, order)
			self.file("modules/%s.list" % name.replace("-", "_"),
				  "".join(key + "\n" for key in order).encode())
		return self

	def foreign(self, root, *names):
		"""Programs and plain files of unpacked packages, at their places, with their libraries."""
		loader = os.path.join(root, "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
		folder = os.path.dirname(loader)
		for name in names:
			path = os.path.join(root, name)
			with open(path, "rb") as f:
				content = f.read()
			self.file(name, content, os.stat(path).st_mode & 0o777)
			if not is_dynamic(content):
				continue
			p = subprocess.run([loader, "--library-path", folder, "--list", path],
					   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
					   stderr=subprocess.PIPE, text=True, check=False)
			if p.returncode:
				raise Trouble("the libraries of %s: %s" % (name, p.stderr.strip()))
			for library in re.findall(r"=> (\S+) \(", p.stdout):
				if library.startswith(folder):
					self.program("usr/lib/x86_64-linux-gnu/" +
						     os.path.basename(library), library)
			self.program("usr/lib64/ld-linux-x86-64.so.2", loader)
		for top in ("bin", "lib", "lib64", "sbin"):
			self.link(top, "usr/" + top)
		return self

	def write(self, path):
		entries = []
		made = set()
		for name, (mode, what) in sorted(self.entries.items()):
			parts = name.split("/")
			for depth in range(1, len(parts)):
				folder = "/".join(parts[:depth])
				if folder not in made and folder not in self.entries:
					made.add(folder)
					entries.append((folder, stat.S_IFDIR | 0o755, b""))
			entries.append((name, mode, what))
		cpio(path, entries)


class Machine:
	"""A QEMU under TCG, its serial console and its monitor, each by a socket pair.

	reboots: a reset of the guest starts it anew instead of ending QEMU."""

	def __init__(self, qemu, options, reboots=False):
		self.open_ends()
		serial, monitor = self.serial_other, self.monitor_other
		argv = [qemu, "-nodefaults", "-display", "none", "-no-user-config",
			*([] if reboots else ["-no-reboot"]),
			"-chardev", "socket,id=serial,fd=%d" % serial.fileno(),
			"-serial", "chardev:serial",
			"-chardev", "socket,id=monitor,fd=%d" % monitor.fileno(),
			"-mon", "chardev=monitor,mode=control", *options]
		self.argv = argv
		self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
						stdout=self.said, stderr=subprocess.STDOUT,
						pass_fds=(serial.fileno(), monitor.fileno()))
		serial.close()
		monitor.close()

	def open_ends(self):
		self.serial_end, self.serial_other = socket.socketpair()
		self.monitor_end, self.monitor_other = socket.socketpair()
		self.console = b""
		self.replies = b""
		self.events = []		# of the monitor, that nobody waited for yet
		self.heard = []			# values of Guest's, the same
		# A file: nobody empties a pipe while the guest runs.
		self.said = tempfile.TemporaryFile()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		if self.process.poll() is None:
			self.process.kill()
		self.process.wait()
		self.said.close()
		for end in (self.serial_end, self.monitor_end, self.serial_other, self.monitor_other):
			end.close()

	def trouble(self, text):
		"""Trouble with all that could explain it."""
		tail = self.console.decode("utf-8", "replace").splitlines()[-12:]
		self.said.seek(0)
		said = self.said.read().decode("utf-8", "replace").strip()
		if said:
			said = "\nQEMU said: " + "\n".join(said.splitlines()[-12:])
		if self.process.poll() is not None:
			said += "\nQEMU ended with status %d" % self.process.returncode
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
			if "event" in answer:
				self.events.append(answer)
			if "error" in answer:
				raise self.trouble("monitor: %s: %s" % (name, answer["error"]["desc"]))

	def wait_event(self, name, seconds, **data):
		"""The monitor's next event of this name whose data has these; what came before is dropped."""
		deadline = time.monotonic() + seconds
		while True:
			while self.events:
				event = self.events.pop(0)
				if event["event"] == name and \
				   data.items() <= event.get("data", {}).items():
					return event
			answer = self.reply(max(deadline - time.monotonic(), 0))
			if "event" in answer:
				self.events.append(answer)

	def human(self, line):
		"""A command of the monitor for people; returns its text."""
		return self.command("human-monitor-command", **{"command-line": line})


class Server:
	"""`viommu serve` for one guest: a unit and its devices.

	The command line and the form of what it prints are known here and nowhere else: one line of
	JSON with the arguments QEMU needs and the socket to inspect it by. Then it serves until
	SIGTERM."""

	START_SECONDS = 60
	END_SECONDS = 60
	REPLACE_SECONDS = 120

	def __init__(self, viommu, folder, *options, memory="1G"):
		self.memory = memory
		self.log_path = os.path.join(folder, "serve-%d.log" % id(self))
		self.argv = [viommu, "serve", "--json", "--dir",
			     os.path.join(folder, "serve-%d" % id(self)), "--memory", memory, *options]
		with open(self.log_path, "wb") as log:
			self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL,
							stdout=subprocess.PIPE, stderr=log)
		try:
			self.learn(json.loads(self.first_line()))
		except (Trouble, ValueError, KeyError) as trouble:
			self.kill()
			raise Trouble("viommu serve printed no arguments for QEMU: %s\n%s"
				      % (trouble, self.log())) from None

	def learn(self, said):
		self.qemu_args, self.control = said["qemu_args"], said["control"]
		self.plug = said["plug"]

	def first_line(self):
		deadline = time.monotonic() + self.START_SECONDS
		text = b""
		while b"\n" not in text:
			left = deadline - time.monotonic()
			ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
			data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
			if not data:
				raise Trouble("it %s" % ("ended" if ready else "took too long"))
			text += data
		return text.split(b"\n")[0].decode("utf-8", "replace")

	def log(self):
		with open(self.log_path, encoding="utf-8", errors="replace") as f:
			return "\n".join(f.read().splitlines()[-20:])

	def standing(self):
		"""The unit's queues and counts, and the last lines of the log, for a message."""
		told = self.log()
		try:
			p = subprocess.run([self.argv[0], "inspect", "--json", self.control],
					   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
					   stderr=subprocess.STDOUT, text=True, timeout=60,
					   check=False)
			state = json.loads(p.stdout)
			told += "\nunit: %s\nqueues: %s\ncounts: %s" % (
				state["unit"], state["queues"], state["stats"]["unit"])
		except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
			told += "\nviommu inspect: %s" % error
		return told

	def kill(self):
		"""SIGKILL, and no trace of the process."""
		if self.process.poll() is None:
			self.process.kill()
		self.process.wait()
		self.process.stdout.close()

	def end(self):
		"""Asks it to end; its exit status, or Trouble if it does not."""
		if self.process.poll() is None:
			self.process.send_signal(signal.SIGTERM)
		try:
			self.process.wait(self.END_SECONDS)
		except subprocess.TimeoutExpired:
			self.kill()
			raise Trouble("viommu serve did not end by SIGTERM\n" + self.log()) from None
		return self.process.returncode

	def folder(self):
		return os.path.dirname(self.control)

	def replacement(self):
		"""The command line of a process that takes the place of this one."""
		return [self.argv[0], "serve", "--replace", self.folder()]

	def replace(self):
		"""From here on it is another process; the old one, and for how many ms it stood still."""
		old = self.process
		with open(self.log_path, "ab") as log:
			new = subprocess.Popen(self.replacement(), stdin=subprocess.DEVNULL,
					       stdout=subprocess.PIPE, stderr=log)
		self.process = new
		try:
			said = self.first_line()
			found = re.search(r"stood still for ([0-9.]+) ms", said)
			if not found:
				raise Trouble("viommu serve --replace says: " + said)
			old.wait(self.REPLACE_SECONDS)
		except (Trouble, subprocess.TimeoutExpired) as trouble:
			old.kill()
			old.wait()
			raise Trouble("%s\n%s" % (trouble, self.log())) from None
		old.stdout.close()
		return old, float(found.group(1))

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.kill()


class Fleet(Server):
	"""`viommu serve` for several guests; .vms are what Server is for one, but for its process."""

	class Vm:
		def __init__(self, fleet, said):
			self.fleet = fleet
			self.qemu_args, self.control = said["qemu_args"], said["control"]

		def standing(self):
			return Server.standing(self)

		@property
		def argv(self):
			return self.fleet.argv

		def log(self):
			return self.fleet.log()

	def learn(self, said):
		self.control = said["control"]
		self.vms = [self.Vm(self, vm) for vm in said["vms"]]


class Answer:
	"""What a command of the guest's said."""

	def __init__(self):
		self.results = []		# (name, why not or None)
		self.values = {}		# key: list of the rest of each line
		self.status = None

	def value(self, key):
		"""The last value of this name; empty if there is none."""
		return self.values.get(key, [""])[-1]


# A busy machine may give an emulated guest no timer interrupt in time, and the kernel's test for
# broken timers then ends in a guest that has none. Kernels that see a hypervisor skip it themselves.
APPEND = ["console=ttyS0", "panic=-1", "quiet", "no_timer_check"]


class Guest(Machine):
	"""A machine with tests/vm/guest/main.c as process 1, which does what its console says."""

	BOOT_SECONDS = 300		# observed: 5 to 10; the bound is for a busy machine

	server = None
	taken = 0			# of the console, what line() has returned
	notes = ()

	def __init__(self, qemu, vmlinuz, initrd, server=None, cpu="max", smp=2, append="",
		     options=(), reboots=False, modern=True):
		self.server = server
		words = list(APPEND)
		if modern:
			# TCG has no MOVDIR64B, and idxd does not load without.
			words.append("setcpuid=movdir64b")
		super().__init__(qemu, [
			*(server.qemu_args if server else ["-machine", "q35", "-m", "1G"]),
			"-accel", "tcg", "-cpu", cpu, "-smp", str(smp),
			"-kernel", vmlinuz, "-initrd", initrd,
			"-append", " ".join(words + ([append] if append else [])), *options,
		], reboots)

	def line(self, seconds, what):
		"""The next whole line of the console that is the guest program's."""
		deadline = time.monotonic() + seconds
		while True:
			end = self.console.find(b"\n", self.taken)
			if end >= 0:
				line = self.console[self.taken:end].decode("utf-8", "replace")
				self.taken = end + 1
				# Firmware and kernel may have left half a line before it.
				at = line.find("@")
				if at >= 0:
					return line[at:].rstrip("\r")
				continue
			self.pump(deadline, what)

	def start(self):
		"""Waits until it has booted and asks what to do."""
		try:
			while self.line(self.BOOT_SECONDS, "start of the guest's program") != "@ask":
				pass
		except Trouble as trouble:
			raise Trouble("%s\n%s" % (trouble, self.standing())) from None
		return self

	def standing(self):
		"""Where a guest that does not go on stands: its processors, and our unit's queues."""
		told = []
		try:
			told += [line for line in self.human("info registers -a").splitlines()
				 if "RIP" in line]
		except (Trouble, OSError) as trouble:
			told.append("monitor: %s" % str(trouble).split("\n", maxsplit=1)[0])
		if self.server:
			told.append(self.server.standing())
		return "\n".join(told)

	def send(self, command):
		self.serial_end.sendall(command.encode() + b"\n")

	def background(self, command, seconds=300):
		"""Starts a command that goes on while others run; wait_value() has what it says."""
		self.send(command + " &")
		while True:
			line = self.line(seconds, "start of '%s'" % command)
			if line == "@ask":
				return
			self.heard.append(line)

	def do(self, command, seconds=300, meanwhile=None):
		"""Has the guest do something, waits until that is over, returns an Answer.

		meanwhile: called when the command says that it waits; then it is let go on"""
		answer = Answer()
		self.send(command)
		while True:
			line = self.line(seconds, "end of '%s'" % command)
			kind, _, rest = line.partition(" ")
			if kind == "@ok":
				answer.results.append((rest, None))
			elif kind == "@fail":
				name, _, why = rest.partition(": ")
				answer.results.append((name, why or "no reason given"))
			elif kind == "@value":
				key, _, value = rest.partition(" ")
				answer.values.setdefault(key, []).append(value)
				self.heard.append(line)
			elif kind == "@note":
				self.notes.append(rest)
			elif kind == "@wait":
				if meanwhile:
					meanwhile()
				self.send("go")
			elif kind == "@end":
				answer.status = int(rest.split()[-1])
			elif kind == "@ask":
				return answer

	def wait_value(self, key, text, seconds):
		"""Waits for a value that a command in the background says, or has said."""
		while True:
			line = self.heard.pop(0) if self.heard else \
				self.line(seconds, "value '%s %s'" % (key, text))
			if line.startswith("@value %s %s" % (key, text)):
				return line
			if line.startswith("@fail"):
				raise self.trouble("the guest says: " + line)

	def check(self, tap, command, seconds=300, prefix="", meanwhile=None):
		"""Has the guest do something; each of its results is one of the test's."""
		self.notes = []
		answer = self.do(command, seconds, meanwhile)
		for name, why in answer.results:
			tap.check(prefix + name, [why] if why else [])
		if answer.status or not answer.results:
			tap.check("%sguest's '%s' ends well" % (prefix, command),
				  ["status %s, %d results" % (answer.status, len(answer.results))])
		if any(why for _, why in answer.results) or answer.status:
			tap.note("\n".join(self.notes))
		return answer

	def must(self, tap, command, seconds=300, prefix=""):
		"""Like check(), for what all that follows needs."""
		answer = self.check(tap, command, seconds, prefix)
		if answer.status:
			raise Trouble("%sthe guest's '%s' failed\n%s" % (prefix, command, self.standing()))
		return answer

	def off(self, seconds=60):
		"""Powers it off; QEMU's exit status."""
		self.send("off")
		return self.wait(seconds)

	def wait(self, seconds=60):
		"""Waits until QEMU has ended; its exit status."""
		deadline = time.monotonic() + seconds
		try:
			while True:
				self.pump(deadline, "end")
		except Trouble:
			if self.process.poll() is None:
				raise
		return self.process.returncode


class VmGuest(Guest):
	"""The same by `viommu vm`: standard input and output are the console, there is no monitor."""

	def __init__(self, viommu, options, qemu_options, env):
		self.open_ends()
		self.argv = [viommu, "vm", *options, "--", *qemu_options]
		self.process = subprocess.Popen(self.argv, stdin=self.serial_other,
						stdout=self.serial_other, stderr=self.said, env=env)
		# With it open here, the end of QEMU would not be seen. Of the other, it must not be.
		self.serial_other.close()

	def children(self):
		"""The processes it has started."""
		path = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
		with open(path, encoding="ascii") as f:
			return [int(word) for word in f.read().split()]

	def stderr(self):
		self.said.seek(0)
		return self.said.read().decode("utf-8", "replace")
