#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu serve --replace, as a user and a VMM see it.

usage: replace.py --viommu PROGRAM [TEST...]

What is half done when it happens, at every byte and step: tests/server/handover.c for the server,
tests/board/state.c for the devices. Here all of that is half done at once. A guest is the business
of tests/vm/state.py.
"""

import contextlib
import json
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True

import tool
import vfu

RAM = 1 << 20
# In the guest's memory. Of each copy: what, where to, its record.
QUEUE, STATUS, FROM, TO, RECORD = 0x1000, 0x2000, 0x8000, 0x9000, 0xa000
ROOT, CONTEXT, DIRECTORY, PASIDS = 0x10000, 0x11000, 0x12000, 0x13000
# Of the unit; its first fault record.
GCMD, GSTS, RTADDR, FSTS, FECTL, FEDATA, FEADDR = 0x18, 0x1c, 0x20, 0x34, 0x38, 0x3c, 0x40
IQT, IQA, FRCD = 0x88, 0x90, 0x220
TE, SRTP, QIE = 1 << 31, 1 << 30, 1 << 26	# of GCMD and GSTS
IM, IP = 1 << 31, 1 << 30			# of FECTL
DSA = 5 << 3					# its requester id
# Of the accelerator: MSI-X table, pending bits, permissions; general configuration.
TABLE, PENDING, PERMISSIONS, GENCFG = 0x2000, 0x3000, 0x800, 0x80
NOOP, COPY, INTERRUPT = 0, 3, 0x10		# of descriptors
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
	"""Both functions, memory, and the unit's invalidation queue of 256 descriptors."""

	def __init__(self, d, translation=False):
		self.unit, self.dsa = (vfu.Function(d + "/" + name + ".sock")
				       for name in ("iommu", "dsa0"))
		self.fd = os.memfd_create("guest")
		os.ftruncate(self.fd, RAM)
		self.memory = mmap.mmap(self.fd, RAM)
		self.unit.map(self.fd, 0, RAM)
		self.unit.place(0xfebe0000)
		self.width = 32 if translation else 16
		self.unit.write64(vfu.BAR0, IQA, QUEUE | (1 << 11 | 1 if translation else 0))
		self.unit.write32(vfu.BAR0, GCMD, QIE)
		self.tail = 0
		if translation:
			self._translates()

	def _translates(self):
		"""In scalable mode, with no entry yet for requests of the accelerator."""
		self.put(ROOT, CONTEXT | 1)
		self.put(CONTEXT + DSA * 32, DIRECTORY | 1)
		self.put(DIRECTORY, PASIDS | 1)
		self.unit.write64(vfu.BAR0, RTADDR, ROOT | 1 << 10)
		self.unit.write32(vfu.BAR0, GCMD, SRTP | QIE)
		self.unit.write32(vfu.BAR0, GCMD, TE | QIE)
		assert self.unit.read32(vfu.BAR0, GSTS) >> 26 == (TE | SRTP | QIE) >> 26

	def passes_through(self):
		self.put(PASIDS + 8, 7)			# domain
		self.put(PASIDS, 4 << 6 | 2 << 2 | 1)	# pass-through, 48 bits, present

	def put(self, at, value):
		struct.pack_into("<Q", self.memory, at, value)

	def waits(self):
		"""A wait descriptor: the unit writes its number into memory."""
		number = 0x1000 + self.tail
		at = QUEUE + self.tail * self.width
		self.memory[at:at + 16] = struct.pack("<QQ", 5 | 1 << 5 | number << 32, STATUS)
		self.tail += 1
		self.unit.write64(vfu.BAR0, IQT, self.tail * self.width)
		assert struct.unpack_from("<I", self.memory, STATUS)[0] == number

	def drives(self):
		"""A queue of the accelerator that takes copies."""
		self.dsa.write(vfu.CONFIG, 4, struct.pack("<H", 6))
		for at, value in ((0x400, 1), (0x420, 1), (0x500, 16), (0x504, 16),
				  (0x508, 1 | 10 << 4), (0x50c, 21 | 5 << 5),
				  (0xa0, 1 << 20), (0xa0, 6 << 20)):
			self.dsa.write32(vfu.BAR0, at, value)
		assert self.dsa.read32(vfu.BAR0, 0xa8) == 0

	def descriptor(self, text, n=0, op=COPY, flags=0, vector=0):
		"""Its 64 bytes; of the n-th copy, nothing of which is done yet."""
		at, to, record = FROM + n * 256, TO + n * 256, RECORD + n * 32
		self.memory[at:at + len(text)] = text
		self.memory[to:to + len(text)] = bytes(len(text))
		self.memory[record:record + 32] = bytes(32)
		if op != COPY:
			at = to = 0
		return struct.pack("<QQQQII24x", (op << 24 | 0xc | flags) << 32, record, at, to,
				   len(text), vector)

	def finds_done(self, text, n=0):
		record, to = RECORD + n * 32, TO + n * 256
		end = time.monotonic() + tool.TIMEOUT
		while not self.memory[record]:
			self.dsa.read32(vfu.BAR0, 0xa8)
			assert time.monotonic() < end, "it does not run"
		assert self.memory[record] == 1, self.memory[record]
		assert self.memory[to:to + len(text)] == text

	def copies(self, text):
		self.dsa.write(vfu.BAR2, 0, self.descriptor(text))
		self.finds_done(text)

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


def _slots(d):
	state = json.loads(tool.run("inspect", d, "--json").stdout)
	return [x["slot"] for x in state["devices"]], [x["bus_told"] for x in state["ports"]]


def what_is_plugged_in_stays_and_is_unplugged_later():
	with tool.folder() as d, _serve(d, "--device", "dsa", "--device", "dsa,port=03.0",
					"--device", "dsa,port=03.0", "--device",
					"dsa,port=02.0") as first:
		guest = _Guest(d)
		guest.unit.write(vfu.CONFIG, 0xc4, b"\x07")
		last, some, refused = (vfu.Function("%s/dsa%d.sock" % (d, n)) for n in (3, 1, 2))
		# A reply comes after connected() was.
		for f in (last, some, refused):
			f.read32(vfu.CONFIG, 0)
		some.write32(vfu.CONFIG, 0x10, 0xfea00000)
		was = _slots(d)
		assert was == (["00:05.0", "07:00.0", None, "01:00.0"], [True, False]), was
		status, err = None, ""
		with tool.Running("serve", "--replace", d) as second:
			second.until(" ms\n")
			status, err = first.end()
			assert status == 0 and "another one is there already" in err, err
			assert _slots(d) == was
			guest.waits()
			assert some.read32(vfu.CONFIG, 0x10) & ~0xf == 0xfea00000
			with _replaced(second, d, "-v") as third:
				assert _slots(d) == was
				some.close()
				third.until("device 1 behind port 03.0: gone", "stderr")
				assert _slots(d) == (["00:05.0", None, None, "01:00.0"], [True, False])
				# Who found the port taken comes again, now that it is free.
				refused.close()
				refused = vfu.Function(d + "/dsa2.sock")
				refused.read32(vfu.CONFIG, 0)
				guest.unit.write(vfu.CONFIG, 0xc5, b"\x09")
				assert _slots(d) == (["00:05.0", None, "07:00.0", "09:00.0"],
						     [True, True])
				guest.waits()
				refused.close()
				last.close()
				guest.close()
				status, err = third.end(signal.SIGTERM)
				assert status == 0 and " error: " not in err, err
				assert os.listdir(d) == []


FLEET = ("--vms", "2", "--shared-device", "dsa", "--device", "dsa,port=03.0")


def several_vms_are_replaced_as_one():
	with tool.folder() as d, _serve(d, *FLEET) as first:
		first.until("# What they share")
		vms = ["%s/vm%d" % (d, n) for n in (0, 1)]
		guests = [_Guest(vm) for vm in vms]
		plugged = vfu.Function(vms[1] + "/dsa1.sock")
		plugged.read32(vfu.CONFIG, 0)
		guests[1].unit.write(vfu.CONFIG, 0xc4, b"\x05")
		for n, guest in enumerate(guests):
			guest.unit.write64(vfu.BAR0, RTADDR, 0x12000 + n * 0x1000)
			guest.drives()
			guest.copies(b"one %d" % n)

		def goes_on(text):
			for n, guest in enumerate(guests):
				guest.waits()
				guest.copies(text % n)
				assert guest.unit.read64(vfu.BAR0, RTADDR) == 0x12000 + n * 0x1000
			assert _slots(vms[0]) == (["00:05.0", None], [False])
			assert _slots(vms[1]) == (["00:05.0", "05:00.0"], [True])

		goes_on(b"two %d")
		# A part of the whole can't be asked, and nobody notices.
		for n, vm in enumerate(vms):
			tool.one_line("serve", ["--replace", vm],
				      ["it is VM %d of 2 that are replaced together" % n,
				       "--replace the folder above it"], expect=1)
		# Who asks and goes again leaves all as they were.
		content, fds = _state(d)
		goes_on(b"three %d")
		# So does who finds the state of the last VM wrong.
		with tool.folder() as other:
			changed = bytearray(content)
			changed[-16 - 1:] = bytes(b ^ 0xff for b in changed[-16 - 1:])
			with _liar(other, bytes(changed), fds):
				tool.one_line("serve", ["--replace", other],
					      "the state does not fit: VM 1: ", expect=1)
		for fd in fds:
			os.close(fd)
		goes_on(b"four %d")
		with tool.Running("serve", "--replace", d) as second:
			second.until(" ms\n")
			status, err = first.end()
			assert status == 0 and err.count("\n") == 1, (status, err)
			goes_on(b"five %d")
			with _replaced(second, d + "/control.sock") as third:
				goes_on(b"six %d")
				state = json.loads(tool.run("inspect", "--json", d).stdout)
				assert [vm["vm"] for vm in state["vms"]] == [0, 1]
				shared, = state["shared_devices"]
				assert [f["vm"] for f in shared["functions"]] == [0, 1]
				# One ends; the other goes on, and the next comes to its place.
				guests[0].close()
				guests[1].waits()
				guests[1].copies(b"seven")
				guests[0] = _Guest(vms[0])
				assert guests[0].unit.read64(vfu.BAR0, RTADDR) == 0
				guests[0].drives()
				guests[0].copies(b"eight")
				plugged.close()
				for guest in guests:
					guest.close()
				assert third.end(signal.SIGTERM) == (0, "")
				assert sorted(os.listdir(d)) == ["vm0", "vm1"]
				assert os.listdir(vms[0]) == os.listdir(vms[1]) == []


class _HalfDone(_Guest):
	"""A guest with everything under way that can be; whatever is done is done once."""

	TEXTS = [bytes((n + 1) * (i + 1) & 255 for i in range(200)) for n in range(4)]
	MESSAGE = (0xfee01000, 0x41)
	VECTOR = 1

	def __init__(self, d):
		super().__init__(d, translation=True)
		self.events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
		self.dsa.msix(self.events)
		self.dsa.write32(vfu.BAR0, GENCFG, self.dsa.read32(vfu.BAR0, GENCFG) | 1 << 12)
		self.drives()
		self._fault()
		self.passes_through()
		self._interrupt()
		self.stores = [self.descriptor(self.TEXTS[n], n) for n in (0, 1)]
		for n, store in enumerate(self.stores):
			self.dsa.write(vfu.BAR2, 64 * (n + 1), store[:24])

	def _fault(self):
		self.unit.write32(vfu.BAR0, FEDATA, self.MESSAGE[1])
		self.unit.write32(vfu.BAR0, FEADDR, self.MESSAGE[0])
		# A record that can't be written.
		self.dsa.write(vfu.BAR2, 0, self.descriptor(b"", 2, NOOP))
		end = time.monotonic() + tool.TIMEOUT
		while not self.unit.read32(vfu.BAR0, FSTS) & 2:
			assert time.monotonic() < end, "no fault is recorded"
		self.record = self.unit.read(vfu.BAR0, FRCD, 16)
		low, high = struct.unpack("<QQ", self.record)
		assert (low, high & 0xffff, high >> 63) == (RECORD, DSA, 1), self.record.hex()

	def _interrupt(self):
		"""Of a masked vector. The one beside it is not, and has its interrupt."""
		self.dsa.write(vfu.CONFIG, 0x82, struct.pack("<H", 0x8000))
		for vector, masked in ((0, 0), (self.VECTOR, 1)):
			self.dsa.write32(vfu.BAR0, PERMISSIONS + 8 * vector, 0)
			self.dsa.write(vfu.BAR0, TABLE + 16 * vector,
				       struct.pack("<QII", 0xfee02000, 0x50 + vector, masked))
			text = self.TEXTS[2 + vector]
			self.dsa.write(vfu.BAR2, 0, self.descriptor(text, 2 + vector, COPY,
								    INTERRUPT, vector))
			self.finds_done(text, 2 + vector)
		self.has_event(0)

	def has_event(self, vector):
		"""One, sooner or later."""
		assert select.select([self.events[vector]], [], [], tool.TIMEOUT)[0], vector
		assert os.eventfd_read(self.events[vector]) == 1

	def has_no_event(self):
		assert select.select(self.events, [], [], 0)[0] == []

	def waits_for_all(self):
		"""Nothing has moved."""
		self.waits()
		assert self.unit.read32(vfu.BAR0, FECTL) == IM | IP
		assert self.unit.read(vfu.BAR0, FRCD, 16) == self.record
		assert self.dsa.read64(vfu.BAR0, PENDING) == 1 << self.VECTOR
		assert self.unit.messages == [], self.unit.messages
		self.has_no_event()
		for n in (0, 1):
			assert self.memory[RECORD + n * 32] == 0

	def sends_half(self):
		"""Of the message with the rest of the second store: up to the middle of a write."""
		rest = self.stores[1][24:]
		message = self.dsa.pack_writes([(vfu.BAR2, 128 + 24 + at, rest[at:at + 8])
						for at in range(0, 40, 8)])
		half = 24 + 2 * 24 + 19
		self.dsa.socket.sendall(message[:half])
		self.rest = message[half:]

	def ends_all(self):
		self.dsa.socket.sendall(self.rest)
		assert self.dsa.reply() == struct.pack("<Q", 5)
		self.finds_done(self.TEXTS[1], 1)
		assert self.memory[RECORD] == 0
		self.dsa.write(vfu.BAR2, 64 + 24, self.stores[0][24:])
		self.finds_done(self.TEXTS[0], 0)
		self.waits_for_interrupts()

	def waits_for_interrupts(self):
		assert self.dsa.read64(vfu.BAR0, PENDING) == 1 << self.VECTOR
		self.dsa.write32(vfu.BAR0, TABLE + 16 * self.VECTOR + 12, 0)
		self.has_event(self.VECTOR)
		assert self.dsa.read64(vfu.BAR0, PENDING) == 0
		assert self.unit.read32(vfu.BAR0, FECTL) == IM | IP
		self.unit.write32(vfu.BAR0, FECTL, 0)
		self.unit.read32(vfu.BAR0, FECTL)
		assert self.unit.messages == [self.MESSAGE], self.unit.messages
		assert self.unit.read32(vfu.BAR0, FECTL) == 0
		assert self.unit.read(vfu.BAR0, FRCD, 16) == self.record
		self.waits()

	def all_was_said_once(self):
		"""The process that served has ended, so nothing is on its way."""
		self.unit.last_words()
		self.dsa.last_words()
		assert self.unit.messages == [self.MESSAGE], self.unit.messages
		assert self.dsa.messages == [], self.dsa.messages
		self.has_no_event()

	def close(self):
		super().close()
		for fd in self.events:
			os.close(fd)


def _what_is_half_done_goes_on(words, folders):
	with tool.folder() as d, _serve(d, *words) as first:
		first.until("# What they share" if len(folders) > 1 else "dsa0.sock")
		guests = [_HalfDone(d + folder) for folder in folders]
		for guest in guests:
			guest.waits_for_all()
		with _replaced(first, d) as second:
			for guest in guests:
				guest.waits_for_all()
				guest.sends_half()
			with _replaced(second, d) as third:
				for guest in guests:
					guest.ends_all()
				with _replaced(third, d) as fourth:
					for guest in guests:
						guest.waits()
						guest.copies(b"afterwards")
					assert fourth.end(signal.SIGTERM) == (0, "")
					for guest in guests:
						guest.all_was_said_once()
						guest.close()


def what_is_half_done_goes_on_in_the_next_process():
	_what_is_half_done_goes_on((), ("",))


def what_is_half_done_in_each_of_several_vms_goes_on():
	_what_is_half_done_goes_on(("--vms", "2", "--shared-device", "dsa"), ("/vm0", "/vm1"))


def _receives_line(s):
	line, fds = b"", []
	while not line.endswith(b"\n"):
		data, more, _, _ = socket.recv_fds(s, 1, 4)
		assert data, "closed after %r" % line
		line += data
		fds += more
	return line, fds


def _passes(source, target, line, fds):
	if fds:
		socket.send_fds(target, [line], fds)
	else:
		target.sendall(line)
	for fd in fds:
		os.close(fd)


@contextlib.contextmanager
def _replaced_meanwhile(old, d, before, meanwhile):
	"""The process that serves after old. What they say goes through here.

	before(): old is asked to be replaced right after that, before it runs again. meanwhile(): it
	stands still, and the next one does not serve yet."""
	with tool.folder() as other, socket.socket(socket.AF_UNIX) as listener, \
	     socket.socket(socket.AF_UNIX) as asks:
		for s in (listener, asks):
			s.settimeout(tool.TIMEOUT)
		listener.bind(other + "/control.sock")
		listener.listen(1)
		with tool.Running("serve", "--replace", other) as new:
			comes, _ = listener.accept()
			with comes:
				comes.settimeout(tool.TIMEOUT)
				line, _ = _receives_line(comes)
				old.signal(signal.SIGSTOP)
				os.waitid(os.P_PID, old.process.pid, os.WSTOPPED)
				before()
				asks.connect(d + "/control.sock")
				asks.sendall(line)
				old.signal(signal.SIGCONT)
				line, fds = _receives_line(asks)
				assert line.startswith(b"state "), line
				meanwhile()
				count = int(line.split()[2])
				_passes(asks, comes, line, fds)
				while count:
					byte, fds, _, _ = socket.recv_fds(asks, 1, 253)
					count -= len(fds)
					_passes(asks, comes, byte, fds)
				for source, target, said in ((comes, asks, b"ready\n"),
							     (asks, comes, b"go\n")):
					line, _ = _receives_line(source)
					assert line == said, line
					target.sendall(line)
			new.until(" ms\n")
			assert old.end() == (0, "")
			yield new


# They fit into a socket, and are several times of what is done between two looks at anybody else.
MESSAGES, WRITES, EACH = 2, 2000, 250


def _messages_of_many_writes_go_on(words, folders):
	"""Each write has the unit carry out descriptors, which are counted."""
	with tool.folder() as d, _serve(d, *words) as old:
		old.until("# What they share" if len(folders) > 1 else "dsa0.sock")
		guests = [_Guest(d + folder) for folder in folders]
		for guest in guests:
			for at in range(QUEUE, QUEUE + 4096, 16):
				guest.memory[at:at + 16] = struct.pack("<QQ", 5 | 1 << 5 | 7 << 32,
								       STATUS)

		def status(guest):
			return struct.unpack_from("<I", guest.memory, STATUS)[0]

		def before():
			for guest in guests:
				for first in range(0, MESSAGES * WRITES, WRITES):
					guest.unit.socket.sendall(guest.unit.pack_writes(
						[(vfu.BAR0, IQT,
						  struct.pack("<Q", (first + n + 1) * EACH % 256 * 16))
						 for n in range(WRITES)]))

		def meanwhile():
			# Each has begun; what is left will write this again.
			for guest in guests:
				assert status(guest) == 7, "it has not begun"
				guest.put(STATUS, 0)

		with _replaced_meanwhile(old, d, before, meanwhile) as new:
			for guest, folder in zip(guests, folders):
				for n in range(MESSAGES):
					answer = guest.unit.reply(MESSAGES - 1 - n)
					assert answer == struct.pack("<Q", WRITES)
				assert status(guest) == 7, "it was over before"
				state = json.loads(tool.run("inspect", d + folder, "--json").stdout)
				done = state["stats"]["unit"]["descriptors"]["wait"]
				assert done == MESSAGES * WRITES * EACH, done
			assert new.end(signal.SIGTERM) == (0, "")
			for guest in guests:
				guest.close()


def messages_of_many_writes_go_on_in_the_next_process():
	_messages_of_many_writes_go_on((), ("",))


def several_vms_each_in_such_messages_go_on():
	_messages_of_many_writes_go_on(("--vms", "2", "--shared-device", "dsa"), ("/vm0", "/vm1"))


def an_idle_fleet_moves_with_a_folder_of_its_own():
	with tool.folder() as d, tool.Running("serve", *FLEET, env={"XDG_RUNTIME_DIR": d}) as old:
		old.until("# What they share")
		own = os.path.join(d, os.listdir(d)[0])
		with _replaced(old, own) as new:
			assert os.path.exists(own + "/vm1/dmar.aml")
			assert new.end(signal.SIGTERM) == (0, "")
			assert os.listdir(d) == []


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
		guest.dsa.msix([eventfd])
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
