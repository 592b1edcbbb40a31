#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu inspect, against a running `viommu serve` whose guest is this file, and against others.

usage: inspect_socket.py --viommu PROGRAM [TEST...]

Every test is a function; its name is the sentence that TAP shows. (A file inspect.py would hide
Python's module of that name.)
"""

import contextlib
import json
import mmap
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import threading

sys.dont_write_bytecode = True

import tool
import vfu

# The guest's memory: 16 MiB from 0, and where its structures are.
BYTES = 16 << 20
ROOT, CONTEXT, DIRECTORY, PASIDS, FIRST, QUEUE = 0x10000, 0x11000, 0x20000, 0x50000, 0x60000, 0x70000
PAGES_ASKED = 0x80000
DEVFN = 0x28			# 00:05.0
GSTS, RTADDR, IQH, IQT, IQA, PQA = 0x1c, 0x20, 0x80, 0x88, 0x90, 0xd0
GCMD, TE, QIE, SRTP = 0x18, 1 << 31, 1 << 26, 1 << 30
SCALABLE = 1 << 10


class _Guest:
	"""Memory, the unit's connection and the device's; programs as a driver does."""

	def __init__(self, d):
		self.fd = os.memfd_create("guest")
		os.ftruncate(self.fd, BYTES)
		self.memory = mmap.mmap(self.fd, BYTES)
		self.unit = vfu.Function(d + "/iommu.sock")
		self.device = vfu.Function(d + "/dsa0.sock")
		self.unit.map(self.fd, 0, BYTES)
		self.device.map(self.fd, 0, BYTES)
		self.unit.place(0xfebe0000)
		self.gcmd = 0
		self.tail = 0

	def close(self):
		self.unit.close()
		self.device.close()
		self.memory.close()
		os.close(self.fd)

	def put(self, address, *words):
		struct.pack_into("<%dQ" % len(words), self.memory, address, *words)

	def command(self, bit):
		"""One bit of GCMD at a time; its status follows."""
		if bit == SRTP:
			self.unit.write32(vfu.BAR0, GCMD, self.gcmd | bit)
		else:
			self.gcmd |= bit
			self.unit.write32(vfu.BAR0, GCMD, self.gcmd)
		assert self.unit.read32(vfu.BAR0, GSTS) & bit

	def tables(self):
		"""Scalable mode, one device, PASIDs 0 and 5 by first-stage tables."""
		self.put(ROOT, CONTEXT | 1)
		# present, DTE, PASIDE, PRE, a directory of 2^14 entries
		self.put(CONTEXT + (DEVFN & 0x7f) * 32, DIRECTORY | 7 << 9 | 0x1d)
		self.put(DIRECTORY, PASIDS | 1)
		for pasid, did in ((0, 2), (5, 3)):
			# first stage, AW as Linux writes it, 4 levels
			self.put(PASIDS + pasid * 64, 1 << 6 | 2 << 2 | 1, did, FIRST)
		self.unit.write64(vfu.BAR0, RTADDR, ROOT | SCALABLE)
		self.command(SRTP)

	def queue(self):
		"""256-bit descriptors, one page."""
		self.unit.write64(vfu.BAR0, IQA, QUEUE | 1 << 11)
		self.unit.write64(vfu.BAR0, IQT, 0)
		self.command(QIE)

	def flush(self, pasid, did):
		"""A PASID-selective PASID-cache invalidation: what makes the unit look."""
		self.put(QUEUE + self.tail, 7 | 1 << 4 | did << 16 | pasid << 32, 0, 0, 0)
		self.tail += 32
		self.unit.write64(vfu.BAR0, IQT, self.tail)
		for _ in range(10000):
			if self.unit.read64(vfu.BAR0, IQH) == self.tail:
				return
		raise AssertionError("the queue does not get on")

	def run(self):
		self.tables()
		self.queue()
		self.command(TE)
		self.flush(0, 2)
		self.flush(5, 3)


	def start_device(self):
		"""The device's queue n works for PASID[n]; addresses below 16 MiB are the guest's own."""
		self.put(FIRST, FIRST + 0x1000 | 7)
		self.put(FIRST + 0x1000, FIRST + 0x2000 | 7)
		self.put(FIRST + 0x2000, *[i << 21 | 0x87 for i in range(8)])
		# PASID and DMA. Not ATS: what a translation request misses is no fault that is recorded.
		for at, value in ((0x236, 1), (4, 6)):
			self.device.write(vfu.CONFIG, at, struct.pack("<H", value))
		self.device.write32(vfu.BAR0, 0x400, 3)		# group 0: queues 0 and 1,
		self.device.write32(vfu.BAR0, 0x420, 1)		# engine 0
		for n, pasid in ((0, 5), (1, 9)):
			at = 0x500 + 64 * n
			self.device.write32(vfu.BAR0, at, 16)
			self.device.write32(vfu.BAR0, at + 4, 16)
			# dedicated, priority 10, PASID
			self.device.write32(vfu.BAR0, at + 8, 1 << 28 | pasid << 8 | 10 << 4 | 1)
			self.device.write32(vfu.BAR0, at + 12, 10 << 5 | 21)
		for command in (1 << 20, 6 << 20, 6 << 20 | 1):	# the device on, each queue on
			self.device.write32(vfu.BAR0, 0xa0, command)
			assert self.device.read32(vfu.BAR0, 0xa8) & 0xff == 0, hex(command)

	def copy(self, queue, source, target, count, record):
		words = ((3 << 24 | 0xc) << 32, record, source, target, count, 0, 0, 0)
		for i, word in enumerate(words):
			self.device.write64(vfu.BAR2, 0x4000 * queue + 8 * i, word)


@contextlib.contextmanager
def _serving(*words, guest=True):
	with tool.folder() as d, tool.Running("serve", "--dir", d, *words) as r:
		r.until("dsa0.sock")
		g = _Guest(d) if guest else None
		try:
			yield d, g
		finally:
			if g:
				g.close()
		status, err = r.end(signal.SIGTERM)
		assert status == 0, (status, err)


def a_device_behind_a_port_that_the_guest_has_elsewhere_is_warned_of():
	with tool.folder() as d, tool.Running("serve", "--dir", d, "--device", "dsa,port=05.0") as r:
		r.until("dsa0.sock")
		said = tool.run("inspect", d).stdout
		assert "Port 00:05.0: bus 1 behind it, if the guest's firmware counts as usual" in said
		assert "Device behind port 00:05.0, dsa: not plugged in" in said
		g = _Guest(d)
		# Its tables are for a device on bus 0.
		g.run()
		g.start_device()
		g.copy(0, 0x100000, 0x200000, 64, 0x300000)
		r.until("the guest has no tables for 01:00.0", "stderr")
		assert "Device 01:00.0, dsa" in tool.run("inspect", d).stdout
		g.unit.write(vfu.CONFIG, 0xc4, b"\x09")
		said = tool.run("inspect", d).stdout
		assert "Port 00:05.0: bus 9 behind it\n" in said and "Device 09:00.0, dsa" in said
		g.close()
		status, err = r.end(signal.SIGTERM)
		# Once is enough.
		assert status == 0 and err.count("no tables for") == 1, (status, err)


def _json(d):
	return json.loads(tool.run("inspect", "--json", d).stdout)


def _register(answer, name):
	return [r for r in answer["registers"] if r["name"] == name][0]


def the_unit_after_power_on():
	with _serving(guest=False) as (d, _):
		a = _json(d)
		assert a["profile"] == "sva" and a["caching_mode"] is False and a["pasids"] == "identity"
		assert a["virtual_commands"] is None
		u = a["unit"]
		assert u["slot"] == "00:04.0" and u["registers"] == "0xfebe0000" and u["placed"] is None
		assert u["translation"] is False and u["root_table_set"] is False
		assert _register(a, "CAP")["value"] == u["cap"]
		assert _register(a, "FECTL")["fields"]["IM"] == 1
		assert _register(a, "GCMD")["write_only"] is True
		device, = a["devices"]
		assert device["slot"] == "00:05.0" and device["kind"] == "dsa" and device["tables"] is None
		# Requests without PASID go to guest physical addresses.
		shadow, = device["shadows"]
		assert shadow["guest_pasid"] is None and shadow["type"] == "off", shadow
		assert device["binds"]["present"] == 1 and device["binds"]["list"][0]["host_pasid"] == 0
		assert a["faults"] == [] and a["fault_records"] == []
		assert a["memory"]["regions"] == 0 and a["stats"]["server"]["clients"] == 0


def options_are_told():
	with _serving("--profile", "host", "--caching-mode", "--pasids", "host",
		      "--registers", "0xfe700000", guest=False) as (d, _):
		a = _json(d)
		assert (a["profile"], a["caching_mode"], a["pasids"]) == ("host", True, "host")
		assert a["unit"]["registers"] == "0xfe700000"
	for layout, other, at in (("new", "OLD_VCMD", "0xe00"), ("old", "VCMD", "0xe10")):
		with _serving("--virtual-commands", layout, guest=False) as (d, _):
			a = _json(d)
			assert (a["virtual_commands"], a["caching_mode"]) == (layout, True)
			name = "VCMD" if layout == "new" else "OLD_VCMD"
			assert _register(a, name)["offset"] == at
			assert other not in [r["name"] for r in a["registers"]]
			assert a["stats"]["unit"]["pasids_given"] == 0
			assert "given by the host" in tool.run("inspect", d).stdout


def registers_are_decoded():
	with _serving() as (d, g):
		g.run()
		a = _json(d)
		r = _register(a, "RTADDR")
		assert r["value"] == hex(ROOT | SCALABLE) and r["offset"] == "0x20" and r["bits"] == 64
		assert r["fields"]["RTA"] == hex(ROOT) and r["fields"]["TTM"] == 1
		assert _register(a, "GSTS")["fields"]["TES"] == 1
		assert int(_register(a, "CAP")["value"], 16) == g.unit.read64(vfu.BAR0, 8)
		assert a["unit"]["mode"] == "scalable" and a["unit"]["root_table"] == hex(ROOT)
		assert a["unit"]["placed"] == "0xfebe0000"


def queue_positions_are_told_in_entries():
	with _serving() as (d, g):
		g.run()
		q = _json(d)["queues"]["invalidation"]
		assert q == {"on": True, "base": hex(QUEUE), "descriptor_bytes": 32, "entries": 128,
			     "head": 2, "tail": 2}, q
		g.unit.write64(vfu.BAR0, PQA, PAGES_ASKED | 2)
		q = _json(d)["queues"]["page_request"]
		assert q["base"] == hex(PAGES_ASKED) and q["entries"] == 512


def the_guests_tables_are_decoded():
	with _serving() as (d, g):
		g.run()
		t = _json(d)["devices"][0]["tables"]
		assert t["root"]["address"] == hex(ROOT) and t["root"]["fields"]["LCTP"] == hex(CONTEXT)
		c = t["context"]
		assert c["address"] == hex(CONTEXT + DEVFN * 32) and c["fields"]["PDTS"] == 7
		assert c["fields"]["PDTP"] == hex(DIRECTORY) and c["fields"]["PASIDE"] == 1
		assert t["pasid_directory"]["entries"] == 16384 and t["pasid_directory"]["present"] == 1
		assert t["pasid_directory"]["list"][0]["fields"] == {"P": 1, "SMPTBLPTR": hex(PASIDS)}
		e = t["pasid_entries"]
		assert e["present"] == 2 and e["complete"] and [x["pasid"] for x in e["list"]] == [0, 5]
		assert e["list"][1]["address"] == hex(PASIDS + 5 * 64)
		assert e["list"][1]["fields"]["FSPTPTR"] == hex(FIRST) and e["list"][1]["fields"]["DID"] == 3


def pasids_and_binds_are_told():
	with _serving() as (d, g):
		g.run()
		a = _json(d)
		device = a["devices"][0]
		s = {x["guest_pasid"]: x for x in device["shadows"]}
		assert s[5]["host_pasid"] == 5 and s[5]["type"] == "first stage", s
		assert s[5]["domain_id"] == 3 and s[None]["domain_id"] == 2, s
		b = {x["host_pasid"]: x for x in device["binds"]["list"]}
		# On the host the guest's first stage is nested on the VM's second.
		assert b[5]["guest_pasid"] == 5 and b[5]["fields"]["PGTT"] == 3, b
		assert b[5]["fields"]["FSPTPTR"] == hex(FIRST)
		assert a["stats"]["unit"]["bound"] == len(s) and a["stats"]["unit"]["binds"] >= 2
		assert a["stats"]["unit"]["descriptors"]["pasid_cache"] == 2
		assert a["stats"]["server"]["clients"] == 2 and a["stats"]["server"]["maps"] >= 1
		assert a["stats"]["host_memory"]["second_stage"] > 0
		assert a["stats"]["caches"]["misses"] == 0	# no device has done anything
		assert a["memory"]["regions"] == 1 and a["memory"]["bytes"] == hex(BYTES)


def work_and_faults_are_told():
	with _serving() as (d, g):
		g.run()
		g.start_device()
		data = os.urandom(4096)
		g.memory[0x200000:0x201000] = data
		g.copy(0, 0x200000, 0x300000, 4096, 0x400000)
		for _ in range(10000):
			if g.memory[0x400000]:
				break
			g.device.read32(vfu.BAR0, 0xa8)
		assert g.memory[0x400000] == 1 and g.memory[0x300000:0x301000] == data
		g.copy(1, 0x200000, 0x300000, 4096, 0x400000)	# PASID 9 has no entry
		for _ in range(1000):
			a = _json(d)
			device, = a["devices"]
			if a["faults"] and device["dsa"]["descriptors"] == 2:
				break
		assert device["enabled"] == ["memory", "bus-master", "pasid"], device["enabled"]
		assert device["dsa"]["descriptors"] == 2 and device["dsa"]["bytes"] == 4096, device["dsa"]
		assert device["dsa"]["errors"] == 1
		caches = a["stats"]["caches"]
		assert caches["misses"] > 0 and caches["entries_read"] > 0 and caches["faults"] > 0, caches
		f = a["faults"][0]
		assert (f["reason"], f["name"], f["pasid"]) == (0x59, "VTD_FR_PE_NP", 9), f
		assert f["device"] == "00:05.0" and "not present" in f["text"] and f["stage"] == "path", f
		r = a["fault_records"][0]
		assert r["record"] == 0 and r["reason"] == 0x59 and r["fields"]["PASID"] == 9, r
		assert a["stats"]["unit"]["faults"] == len(a["fault_records"])
		text = tool.run("inspect", d).stdout
		for word in ("59h VTD_FR_PE_NP", "00:05.0 PASID 9", "record 0 holds 59h", "descriptors 2"):
			assert word in text, (word, text)


def a_full_pasid_table_is_counted_and_listed_in_part():
	with _serving() as (d, g):
		g.run()
		for i in range(512):
			g.put(DIRECTORY + i * 8, PASIDS | 1)
		for i in range(64):
			g.put(PASIDS + i * 64, 1 << 6 | 1, 2, FIRST)
		t = _json(d)["devices"][0]["tables"]
		assert t["pasid_directory"]["present"] == 512 and len(t["pasid_directory"]["list"]) == 64
		e = t["pasid_entries"]
		assert len(e["list"]) == 64 and e["complete"] is False and e["present"] == 256 * 64


def tables_that_lead_nowhere_are_told():
	for where in (BYTES, 1 << 40, ~0xfff & (1 << 64) - 1):
		with _serving() as (d, g):
			g.put(ROOT, where | 1)
			g.unit.write64(vfu.BAR0, RTADDR, ROOT | SCALABLE)
			g.command(SRTP)
			t = _json(d)["devices"][0]["tables"]
			assert t["context"]["error"], t
			g.unit.write64(vfu.BAR0, RTADDR, where | SCALABLE)
			g.command(SRTP)
			t = _json(d)["devices"][0]["tables"]
			assert t["root"]["error"], t
			assert t["root"]["error"] in tool.run("inspect", d).stdout


def tables_full_of_ones_do_no_harm():
	with _serving() as (d, g):
		g.put(ROOT, ROOT | 0xfff)
		for at in range(ROOT, ROOT + 4096, 8):
			g.put(at, ROOT | 0xfff)	# root, context, directory and PASID table at once
		g.unit.write64(vfu.BAR0, RTADDR, ROOT | SCALABLE)
		g.command(SRTP)
		t = _json(d)["devices"][0]["tables"]
		assert t["pasid_directory"]["present"] > 0 and t["pasid_entries"]["present"] > 0
		assert t["context"]["reserved"]
		tool.run("inspect", d)


def legacy_tables_are_decoded():
	with _serving("--profile", "legacy-kernels") as (d, g):
		g.put(ROOT, CONTEXT | 1)
		g.put(CONTEXT + DEVFN * 16, FIRST | 1, 7 << 8 | 2)
		g.unit.write64(vfu.BAR0, RTADDR, ROOT)
		g.command(SRTP)
		a = _json(d)
		c = a["devices"][0]["tables"]["context"]
		assert a["unit"]["mode"] == "legacy" and c["fields"]["DID"] == 7 and c["fields"]["AW"] == 2
		assert c["fields"]["SSPTPTR"] == hex(FIRST)


def text_shows_it_all():
	with _serving() as (d, g):
		g.run()
		text = tool.run("inspect", d + "/control.sock").stdout
		for word in ("profile sva", "scalable mode", hex(ROOT), "RTADDR", "Device 00:05.0, dsa",
			     "PDTS=7", "PGTT=1 (first stage)", "PGTT=3 (nested)", "head 2, tail 2",
			     "PASID 5 -> host PASID 5", "requests without PASID", "pasid-cache 2",
			     "Guest memory: 1 regions"):
			assert word in text, (word, text)
		assert "\x1b" not in text and "?" not in text, text
		assert max(len(line) for line in text.splitlines()) <= 100


def colour_on_a_terminal_only():
	with _serving() as (d, g):
		g.run()
		master, slave = pty.openpty()
		env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
		p = subprocess.Popen([tool.PROGRAM, "inspect", d], stdout=slave, env=dict(env, TERM="xterm"))
		os.close(slave)
		out = b""
		with contextlib.suppress(OSError):
			while more := os.read(master, 65536):
				out += more
		assert p.wait(60) == 0
		os.close(master)
		assert b"\x1b[" in out and b"RTADDR" in out


def many_ask_one_after_the_other():
	with _serving() as (d, g):
		g.run()
		first = _json(d)
		for _ in range(20):
			assert _json(d)["devices"][0]["tables"] == first["devices"][0]["tables"]


@contextlib.contextmanager
def _server(answer):
	"""Somebody else's socket: answer(connection) says what it does."""
	with tool.folder() as d:
		path = d + "/other.sock"
		s = socket.socket(socket.AF_UNIX)
		s.bind(path)
		s.listen()

		def serve():
			c, _ = s.accept()
			with c, contextlib.suppress(OSError):
				answer(c)
		t = threading.Thread(target=serve, daemon=True)
		t.start()
		try:
			yield path
		finally:
			t.join(60)
			assert not t.is_alive()
			s.close()


def _hears(c):
	while b"\n" not in c.recv(4096):
		pass


def others_sockets_are_one_clear_line():
	def says(data):
		def answer(c):
			_hears(c)
			c.sendall(data)
		return answer
	for data in (b"", b"hello\n", b"[]", b"{}", b'{"unit": 1}', b"\xff\xfe", b'{"unit": {}',
		     b'{"unit": {}, "profile": "\\u001b[31m"}', b'{"unit": {}, "\\u0007": 1}',
		     b'{"unit": {}, "devices": [{"slot": "\\u009b1m"}]}', b"[" * 100000):
		with _server(says(data)) as path:
			tool.one_line("inspect", [path], [path, "not a control socket of viommu"], expect=1)
	with _server(lambda c: None) as path:
		tool.one_line("inspect", [path], [path, "not a control socket of viommu"], expect=1)


def an_answer_of_odd_types_does_no_harm():
	odd = {"unit": {"slot": [], "cap": 5, "placed": {}}, "queues": [1], "registers": [1, None, {
		"fields": {"A": [], "B": -1, "C": "x" * 5000}}, {"name": {}}], "devices": [[], 7, {
		"enabled": [1], "dsa": {"occupancy": {}, "x": 1.5}, "tables": {
		"root": {"words": {}, "fields": [], "reserved": [1]}, "context": 3,
		"pasid_entries": {"list": [1]}}, "shadows": [1], "binds": {"list": [{}]}}],
		"faults": [{"reason": "x"}, 1], "fault_records": {"a": 1}, "stats": {"unit": []}, "memory": 0}

	def answer(c):
		_hears(c)
		c.sendall(json.dumps(odd).encode())
	with _server(answer) as path:
		assert tool.run("inspect", path).stdout
	with _server(answer) as path:
		assert json.loads(tool.run("inspect", "--json", path).stdout) == odd


def an_endless_answer_is_not_taken():
	def answer(c):
		_hears(c)
		while True:
			c.sendall(b" " * 65536)
	with _server(answer) as path:
		tool.one_line("inspect", [path], [path, "longer than 16 MiB"], expect=1)


def nobody_answers_for_five_seconds():
	def answer(c):
		p = select.poll()	# hung up: the other end has closed, not only said its all
		p.register(c, 0)
		p.poll(60000)
	with _server(answer) as path:
		tool.one_line("inspect", [path], [path, "no answer in 5 seconds"], expect=1)


def what_is_no_socket_is_one_clear_line():
	with tool.folder() as d:
		tool.one_line("inspect", [d + "/none.sock"], [d + "/none.sock", "no such socket"], expect=1)
		tool.one_line("inspect", [d], [d + "/control.sock", "no such socket"], expect=1)
		with open(d + "/file", "w"):
			pass
		tool.one_line("inspect", [d + "/file"], [d + "/file", "not a socket"], expect=1)
		s = socket.socket(socket.AF_UNIX)
		s.bind(d + "/dead.sock")
		s.close()
		tool.one_line("inspect", [d + "/dead.sock"], "nobody serves there", expect=1)
		tool.one_line("inspect", [d + "/" + "x" * 200], "longer than a socket's path", expect=1)


def a_functions_socket_is_not_the_control_socket():
	with _serving(guest=False) as (d, _):
		for name in ("iommu.sock", "dsa0.sock"):
			tool.one_line("inspect", [d + "/" + name], "not a control socket of viommu", expect=1)
		_json(d)	# and the server lives on


def an_unknown_question_gets_no_answer():
	with _serving(guest=False) as (d, _):
		for line in (b"stop\n", b"\n", b"inspect me\n", b"x" * 100000):
			c = socket.socket(socket.AF_UNIX)
			c.settimeout(30)
			c.connect(d + "/control.sock")
			with contextlib.suppress(BrokenPipeError, ConnectionResetError):
				c.sendall(line)
				assert c.recv(4096) == b"", line
			c.close()
		_json(d)


def bad_usage_is_one_clear_line():
	for words, said in (
			([], "SOCKET"),
			([""], "SOCKET"),
			(["a", "b"], "'b'"),
			(["--bogus", "a"], "--bogus"),
			(["--json"], "SOCKET")):
		tool.one_line("inspect", words, said)


if __name__ == "__main__":
	sys.exit(tool.main(tool.tests_of(sys.modules["__main__"])))
