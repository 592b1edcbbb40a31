#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu serve --replace, as a user and a VMM see it.

usage: replace.py --viommu PROGRAM [TEST...]

What is half done when it happens is the business of tests/server/handover.c, a guest that of
tests/vm/state.py.
"""

import contextlib
import json
import mmap
import os
import random
import signal
import socket
import struct
import sys
import threading

sys.dont_write_bytecode = True

import tool
import vfu

RAM = 1 << 20
QUEUE, STATUS = 0x1000, 0x2000	# in the guest's memory
GCMD, GSTS, RTADDR, IQT, IQA = 0x18, 0x1c, 0x20, 0x88, 0x90
MAGIC = b"viommu server".ljust(16, b"\0")


def _serve(d, *words, **more):
	r = tool.Running("serve", "--dir", d, *words, **more)
	r.until("qemu-system")
	return r


@contextlib.contextmanager
def _replaced(old, d, *words):
	"""The process that serves after old, which has ended without a word."""
	with tool.Running("serve", "--replace", d, *words) as new:
		new.until(" ms\n")
		said = new.seen["stdout"].decode()
		assert said.startswith("viommu serve: serves ") and said.count("\n") == 1, said
		status, err = old.end()
		assert (status, err) == (0, ""), (status, err)
		yield new


class _Guest:
	"""Both functions, memory, and the unit's invalidation queue."""

	def __init__(self, d):
		self.unit, self.dsa = (vfu.Function(d + "/" + name + ".sock")
				       for name in ("iommu", "dsa0"))
		self.fd = os.memfd_create("guest")
		os.ftruncate(self.fd, RAM)
		self.memory = mmap.mmap(self.fd, RAM)
		self.unit.map(self.fd, 0, RAM)
		self.unit.place(0xfebe0000)
		self.unit.write64(vfu.BAR0, IQA, QUEUE)
		self.unit.write32(vfu.BAR0, GCMD, 1 << 26)
		self.tail = 0

	def waits(self):
		"""A wait descriptor: the unit writes its number into memory."""
		number = 0x1000 + self.tail
		at = QUEUE + self.tail * 16
		self.memory[at:at + 16] = struct.pack("<QQ", 5 | 1 << 5 | number << 32, STATUS)
		self.tail += 1
		self.unit.write64(vfu.BAR0, IQT, self.tail * 16)
		assert struct.unpack_from("<I", self.memory, STATUS)[0] == number

	def close(self):
		self.unit.close()
		self.dsa.close()
		self.memory.close()
		os.close(self.fd)


def clients_go_on_with_the_next_process():
	with tool.folder() as d, _serve(d) as first:
		guest = _Guest(d)
		guest.waits()
		guest.unit.write64(vfu.BAR0, RTADDR, 0x12000)
		guest.dsa.write32(vfu.CONFIG, 0x10, 0xfeb00000)
		bar = guest.dsa.read32(vfu.CONFIG, 0x10)
		assert bar & ~0xf == 0xfeb00000
		with _replaced(first, d) as second:
			guest.waits()
			assert guest.unit.read32(vfu.BAR0, GSTS) >> 26 & 1
			assert guest.unit.read64(vfu.BAR0, RTADDR) == 0x12000
			assert guest.dsa.read32(vfu.CONFIG, 0x10) == bar
			with _replaced(second, d) as third:
				guest.waits()
				unit = json.loads(tool.run("inspect", d, "--json").stdout)["unit"]
				assert unit["placed"] == "0xfebe0000", unit
				guest.close()
				# The next VM begins with registers as after power-on.
				guest = _Guest(d)
				assert guest.unit.read64(vfu.BAR0, RTADDR) == 0
				guest.waits()
				guest.close()
				assert third.end(signal.SIGTERM) == (0, "")
				assert os.listdir(d) == [], os.listdir(d)


def what_is_plugged_in_behind_ports_stays_so():
	words = ("--device", "dsa,port=05.0", "--device", "dsa,port=05.0", "--device", "dsa,port=06.0")
	with tool.folder() as d, _serve(d, *words) as first:
		def state():
			told = json.loads(tool.run("inspect", d, "--json").stdout)
			return [x["slot"] for x in told["devices"]], [x["bus"] for x in told["ports"]]

		guest = _Guest(d)	# the first device is there; of the others, the last comes
		last = vfu.Function(d + "/dsa2.sock")
		guest.unit.write(vfu.CONFIG, 0xc4, b"\x07")
		last.write32(vfu.CONFIG, 0x10, 0xfeb00000)
		assert state() == (["07:00.0", None, "02:00.0"], [7, 2])
		with _replaced(first, d) as second:
			assert state() == (["07:00.0", None, "02:00.0"], [7, 2])
			guest.waits()
			assert last.read32(vfu.CONFIG, 0x10) & ~0xf == 0xfeb00000
			# And goes on to come and go.
			guest.dsa.close()
			while state()[0][0]:
				pass
			other = vfu.Function(d + "/dsa1.sock")
			other.read32(vfu.CONFIG, 0)
			assert state()[0] == [None, "07:00.0", "02:00.0"]
			with _replaced(second, d) as third:
				assert state()[0] == [None, "07:00.0", "02:00.0"]
				for f in (other, last):
					f.close()
				guest.close()
				assert third.end(signal.SIGTERM)[0] == 0


def a_folder_of_its_own_moves_along():
	with tool.folder() as d, tool.Running("serve", env={"XDG_RUNTIME_DIR": d}) as old:
		old.until("qemu-system")
		own = os.path.join(d, os.listdir(d)[0])
		tables = {name: open(os.path.join(own, name), "rb").read()
			  for name in ("dmar.aml", "ssdt.aml")}
		with _replaced(old, own) as new:
			for name, content in tables.items():
				assert open(os.path.join(own, name), "rb").read() == content
			assert new.end(signal.SIGTERM) == (0, "")
			assert os.listdir(d) == []


def options_stay_as_they_were():
	with tool.folder() as d:
		here = os.getcwd()
		tool.PROGRAM = os.path.abspath(tool.PROGRAM)
		os.chdir(d)
		try:
			old = _serve("vm", "--pasids", "host", "--registers", "0xfe700000",
				     "--device", "dsa,slot=08.0,queues=3", "--device", "dsa")
		finally:
			os.chdir(here)
		with old, _replaced(old, d + "/vm/control.sock") as new:
			state = json.loads(tool.run("inspect", d + "/vm", "--json").stdout)
			assert len(state["devices"]) == 2, state["devices"]
			# The warning compares with what the table says.
			f = vfu.Function(d + "/vm/iommu.sock")
			f.place(0xfe700000)
			f.close()
			with _replaced(new, d + "/vm", "--verbose") as last:
				f = vfu.Function(d + "/vm/dsa1.sock")
				assert f.read32(vfu.CONFIG, 0) == 0x0b258086
				f.close()
				status, err = last.end(signal.SIGTERM)
				assert status == 0 and "info: " in err, err
				assert os.listdir(d + "/vm") == []


def who_serves_for_another_user_is_replaced_by_that_user():
	if os.geteuid():
		print("# only root can become another user")
		return
	with tool.folder() as d:
		# Its own folder: it removes what is in there.
		os.chmod(d, 0o711)
		os.mkdir(d + "/vm")
		os.chown(d + "/vm", 65534, 65534)
		with _serve(d + "/vm", "--user", "65534:65534") as first:
			guest = _Guest(d + "/vm")
			with _replaced(first, d + "/vm") as second:
				guest.waits()
				with _replaced(second, d + "/vm") as third:
					guest.waits()
					with open("/proc/%d/status" % third.process.pid) as f:
						status = dict(line.rstrip("\n").split(":\t", 1)
							      for line in f if ":\t" in line)
					assert status["Uid"].split() == ["65534"] * 4, status["Uid"]
					assert status["Gid"].split() == ["65534"] * 4, status["Gid"]
					assert status["Groups"].strip() == "", status["Groups"]
					assert int(status["CapEff"], 16) == 0
					assert status["NoNewPrivs"] == "1"
					guest.close()
					assert third.end(signal.SIGTERM) == (0, "")
					assert os.listdir(d + "/vm") == []


def _state(d):
	"""Asks a server for its state, as who replaces it does: bytes and descriptors."""
	asks = socket.socket(socket.AF_UNIX)
	asks.settimeout(60)
	asks.connect(d + "/control.sock")
	asks.sendall(b"replace 1\n")
	line, fds, _, _ = socket.recv_fds(asks, 1, 4)
	while not line.endswith(b"\n"):
		line += asks.recv(1)
	word, size, count = line.split()
	assert word == b"state", line
	content = os.pread(fds[0], int(size), 0)
	for fd in fds:
		os.close(fd)
	fds = []
	while len(fds) < int(count):
		fds += socket.recv_fds(asks, 1, 253)[1]
	asks.close()
	return content, fds


@contextlib.contextmanager
def _liar(d, content, fds, answer=b"no\n"):
	"""Somebody at the control socket of folder d who offers that state; `.said`: what came back."""
	listener = socket.socket(socket.AF_UNIX)
	listener.bind(d + "/control.sock")
	listener.listen(1)
	listener.settimeout(60)
	said = []

	def serve():
		s, _ = listener.accept()
		with s:
			s.settimeout(60)
			try:
				assert s.recv(64) == b"replace 1\n"
				memory = os.memfd_create("state")
				os.write(memory, content)
				socket.send_fds(s, [b"state %d %d\n" % (len(content), len(fds))],
						[memory])
				os.close(memory)
				for at in range(0, len(fds), 100):
					socket.send_fds(s, [b"."], fds[at:at + 100])
				said.append(s.recv(64))
				if said[0]:
					s.sendall(answer)
			except OSError:
				pass	# it went

	thread = threading.Thread(target=serve)
	thread.start()
	try:
		yield said
	finally:
		thread.join()
		listener.close()
		os.unlink(d + "/control.sock")


def _blob(version, body=b""):
	return MAGIC + struct.pack("=III", version, 28 + len(body), 0) + body


def another_version_is_refused():
	text = b'{"version": 2}'
	data = struct.pack("<Q", len(text)) + text + b"\0" * (-(8 + len(text)) % 16)
	body = struct.pack("=QQQQII", 1, 0, 0, 0, 0, 0)
	body += b"\0" * (-(28 + len(body) + 8) % 16) + struct.pack("=Q", len(data)) + data
	with tool.folder() as d:
		for content, why in ((_blob(2), "its version is another"),
				     (_blob(1, body), "has version 2, not 1"),
				     (_blob(1), "ends too early")):
			with _liar(d, content, []):
				tool.one_line("serve", ["--replace", d], why, expect=1)
		# And the one that serves does not even stop for another.
		s = socket.socket(socket.AF_UNIX)
		with _serve(d) as r:
			s.connect(d + "/control.sock")
			s.sendall(b"replace 2\n")
			assert s.recv(100) == b"refused its version of the state is 1, not 2\n"
			s.close()
			assert r.end(signal.SIGTERM) == (0, "")


def a_state_that_was_changed_is_refused_or_does_no_harm():
	seed = int(os.environ.get("VIOMMU_SEED") or random.randrange(1 << 32))
	print("# seed %d" % seed)
	rng = random.Random(seed)
	with tool.folder() as d, _serve(d + "/true") as r:
		guest = _Guest(d + "/true")
		content, fds = _state(d + "/true")
		# It has seen that nobody comes.
		guest.waits()
		refused = 0
		for n in range(40):
			changed = bytearray(content)
			if n % 4 == 0:
				del changed[rng.randrange(len(changed)):]
				changed[20:24] = struct.pack("=I", len(changed)) if len(changed) > 24 else b""
			for _ in range(rng.choice((1, 1, 2, 8))):
				if len(changed) > 28:
					changed[rng.randrange(28, len(changed))] = rng.randrange(256)
			own = list(fds)
			if n % 4 == 1:
				rng.shuffle(own)
			with _liar(d, bytes(changed), own) as said:
				p = tool.run("serve", "--replace", d, expect=1)
			assert p.stdout == "" and p.stderr.count("\n") == 1, (n, p.stderr)
			refused += said[:1] != [b"ready\n"]
			guest.waits()
		assert refused >= 10, refused
		# As it was, it would do.
		with _liar(d, content, fds) as said:
			tool.one_line("serve", ["--replace", d], "goes on", expect=1)
		assert said == [b"ready\n"], said
		guest.waits()
		for fd in fds:
			os.close(fd)
		guest.close()
		status, err = r.end(signal.SIGTERM)
		assert status == 0 and err.count("not replaced: the new process gave up") == 1, err
		assert os.listdir(d + "/true") == []


def a_descriptor_of_another_kind_is_refused():
	with tool.folder() as d, _serve(d + "/true") as r:
		guest = _Guest(d + "/true")
		eventfd = os.eventfd(0)
		guest.dsa.call(8, struct.pack("<IIIII", 20, 0x24, 2, 0, 1), [eventfd])
		content, fds = _state(d + "/true")
		reader, writer = os.pipe()
		other = os.memfd_create("other")
		for at in range(len(fds)):
			for wrong in (reader, eventfd, other):
				own = list(fds)
				own[at] = wrong
				same = [os.fstat(fd)[:3] == os.fstat(fds[at])[:3] for fd in (wrong,)]
				if all(same) and wrong != reader:
					continue
				with _liar(d, content, own) as said:
					tool.one_line("serve", ["--replace", d], [], expect=1)
				assert said == [b""], (at, wrong, said)
		guest.waits()
		for fd in (*fds, eventfd, reader, writer, other):
			os.close(fd)
		guest.close()
		assert r.end(signal.SIGTERM)[0] == 0


def bad_usage_is_one_clear_line():
	for words, said in (
			(["--replace"], "--replace needs a value"),
			(["--replace", "x", "--pasids", "host"], ["--pasids", "--replace"]),
			(["--dir", "y", "--replace", "x"], ["--dir", "--replace"]),
			(["--replace", "x", "--json"], ["--json", "--replace"]),
			(["--replace", "x", "--user", "nobody"], ["--user", "--replace"])):
		tool.one_line("serve", words, said)


def what_cant_be_replaced_is_one_clear_line():
	with tool.folder() as d:
		tool.one_line("serve", ["--replace", d], [d, "No such file"], expect=1)
		tool.one_line("serve", ["--replace", d + "/not/there"], "not/there", expect=1)
		s = socket.socket(socket.AF_UNIX)
		s.bind(d + "/control.sock")
		tool.one_line("serve", ["--replace", d], [d, "refused"], expect=1)
		s.close()
		os.unlink(d + "/control.sock")
		# Who does not know the word closes the connection.
		with _serve(d) as r:
			os.rename(d + "/iommu.sock", d + "/control.sock.not")
			tool.one_line("serve", ["--replace", d + "/dsa0.sock"], "", expect=1)
			assert r.process.poll() is None


if __name__ == "__main__":
	sys.exit(tool.main(tool.tests_of(sys.modules["__main__"])))
