#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu walk, as a user runs it: over images that this file makes.

usage: walk.py --viommu PROGRAM [--man PAGE]

The tables are built here, from the specification's layouts and with nothing of viommu, into a file.
Every test is a function; its name is the sentence that TAP shows. Only the command's own work is
tested: options, messages, output. What the walker makes of tables is the business of tests/walk.
"""

import argparse
import hashlib
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile

PAGE = 4096
BASE = 0x100000			# where the image lies, unless a test says otherwise
R, W = 1, 2			# second stage
P, RW, US, A, D, PS, EA = 1, 2, 4, 0x20, 0x40, 0x80, 0x400
SS_A, SS_D = 0x100, 0x200
VA = 0x7f1234567000		# canonical, and another index at every level
VA5 = 0xab_7f12_3456_7000

KEYS_OK = ["address", "ok", "output", "page_size", "steps", "ad_changes"]
KEYS_FAULT = ["address", "ok", "steps", "ad_changes", "fault"]
FAULT_KEYS = ["reason", "name", "stage", "level", "address", "recorded"]


class Memory:
	"""Bytes from an address on; pages are given out from the bottom."""

	def __init__(self, pages=256, base=BASE):
		self.base = base
		self.data = bytearray(pages * PAGE)
		self.next = base

	def page(self, count=1):
		address = self.next
		self.next += count * PAGE
		assert self.next <= self.base + len(self.data)
		return address

	def get(self, address):
		return struct.unpack_from("<Q", self.data, address - self.base)[0]

	def put(self, address, *words):
		struct.pack_into("<%dQ" % len(words), self.data, address - self.base, *words)


class Stage:
	"""Tables of one stage. Those of a stage with another below appear there from `window` on."""

	def __init__(self, memory, kind, levels, below=None, window=0x40000000):
		self.memory, self.kind, self.levels, self.below = memory, kind, levels, below
		self.window = window
		self.upper = P | RW | US if kind == "first" else R | W
		self.root = self.table()

	def table(self):
		"""A new table: its address as an entry of this stage has it."""
		physical = self.memory.page()
		if not self.below:
			return physical
		address, self.window = self.window, self.window + PAGE
		self.below.map(address, physical)
		return address

	def find(self, address):
		"""Physical address of a table, or of any address of the space below."""
		return address if not self.below else self.below.output(address)

	def entry(self, address, level):
		"""Where the entry lies, in the space of the tables."""
		table = self.root
		for above in range(self.levels, 0, -1):
			at = table + (address >> (12 + 9 * (above - 1)) & 511) * 8
			if above == level:
				return at
			table = self.memory.get(self.find(at)) & 0x000ffffffffff000
		raise AssertionError

	def map(self, address, output, flags=None, size=PAGE):
		leaf = {PAGE: 1, PAGE << 9: 2, PAGE << 18: 3}[size]
		for level in range(self.levels, leaf, -1):
			at = self.find(self.entry(address, level))
			if not self.memory.get(at):
				self.memory.put(at, self.table() | self.upper)
		if flags is None:
			flags = P | RW | US if self.kind == "first" else R | W
		self.put(address, leaf, output | flags | (PS if leaf > 1 else 0))

	def put(self, address, level, value):
		self.memory.put(self.find(self.entry(address, level)), value)

	def get(self, address, level):
		return self.memory.get(self.find(self.entry(address, level)))

	def output(self, address):
		for level in range(self.levels, 0, -1):
			value = self.get(address, level)
			if level == 1 or value & PS:
				mask = (PAGE << 9 * (level - 1)) - 1
				return value & 0x000ffffffffff000 & ~mask | address & mask
		raise AssertionError


class Run:
	"""What the command said."""

	def __init__(self, p):
		self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

	@property
	def json(self):
		assert self.status == 0 and not self.err, (self.status, self.err)
		return json.loads(self.out)


class World:
	"""The command and a folder."""

	def __init__(self, program, man, folder):
		self.program, self.man, self.folder = program, man, folder

	def path(self, name):
		return os.path.join(self.folder, name)

	def write(self, memory, name="image"):
		with open(self.path(name), "wb") as f:
			f.write(memory.data)
		return "%s@%#x" % (self.path(name), memory.base)

	def run(self, *argv, stdin=None, env=None):
		words = [w if isinstance(w, str) else hex(w) for w in argv]
		return Run(subprocess.run([self.program, "walk"] + words, input=stdin, text=True,
					  stdin=subprocess.DEVNULL if stdin is None else None,
					  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
					  env=None if env is None else {**os.environ, **env}))

	def walk(self, memory, *argv):
		"""The JSON answers over this memory."""
		return self.run("--image", self.write(memory), "--json", *argv).json


def number(text):
	assert isinstance(text, str) and re.fullmatch(r"0x[0-9a-f]+", text), text
	return int(text, 16)


def eq(got, wanted):
	assert got == wanted, "got %s, wanted %s" % tuple(
		hex(v) if isinstance(v, int) else repr(v) for v in (got, wanted))


def first(levels=4, flags=None, size=PAGE):
	"""Memory and a first stage with one page, VA to 0x5000000 (or with fitting alignment)."""
	m = Memory()
	s = Stage(m, "first", levels)
	s.map(VA if levels == 4 else VA5, 0x40000000, flags, size)
	return m, s


def nested(first_levels, second_levels, address=VA, base=BASE):
	m = Memory(base=base)
	ss = Stage(m, "second", second_levels)
	fs = Stage(m, "first", first_levels, ss)
	data = m.page()
	fs.map(address, 0x7654000)
	ss.map(0x7654000, data)
	return m, fs, ss, data


# ---- stages


def a_first_stage_is_walked_with_4_and_5_levels(w):
	for levels, va in ((4, VA), (5, VA5)):
		m, s = first(levels)
		a, = w.walk(m, "--first-stage", s.root, "--levels", str(levels), va + 0x123)
		eq((a["ok"], number(a["address"])), (True, va + 0x123))
		eq(number(a["output"]), 0x40000123)
		eq(a["page_size"], PAGE)
		eq([(x["kind"], x["stage"], x["level"], x["depth"]) for x in a["steps"]],
		   [("read", "first", n, 0) for n in range(levels, 0, -1)])
		for x in a["steps"]:
			eq(number(x["entry"]), s.entry(va, x["level"]))
			eq(number(x["physical"]), number(x["entry"]))
			eq(number(x["value"]), s.get(va, x["level"]))
			eq(number(x["input"]), va + 0x123)


def four_levels_are_what_one_gets_without_asking(w):
	m, s = first()
	eq(len(w.walk(m, "--first-stage", s.root, VA)[0]["steps"]), 4)
	ss = Stage(m, "second", 4)
	ss.map(0x1000, 0x5000)
	eq(len(w.walk(m, "--second-stage", ss.root, 0x1000)[0]["steps"]), 4)


def large_pages_have_their_size(w):
	for size in (PAGE, PAGE << 9, PAGE << 18):
		m, s = first(size=size)
		a, = w.walk(m, "--first-stage", s.root, VA)
		eq(a["page_size"], size)
		eq(number(a["output"]), 0x40000000 + (VA & (size - 1)))


def a_second_stage_is_walked_with_3_to_5_levels(w):
	for levels in (3, 4, 5):
		m = Memory()
		s = Stage(m, "second", levels)
		va = 0x7f_1234_5000 & (1 << (12 + 9 * levels)) - 1
		s.map(va, 0x9000)
		a, = w.walk(m, "--second-stage", s.root, "--levels", str(levels), va + 8)
		eq(number(a["output"]), 0x9008)
		eq([(x["stage"], x["level"]) for x in a["steps"]],
		   [("second", n) for n in range(levels, 0, -1)])
		b, = w.walk(m, "--second-stage", s.root, "--second-levels", str(levels), va + 8)
		eq(a, b)


def both_stages_nest_and_read_24_entries_or_35(w):
	for f, s, options, reads in ((4, 4, ["--levels", "4"], 24), (5, 5, ["--levels", "5"], 35),
				     (4, 4, [], 24),
				     (4, 5, ["--second-levels", "5"], 29),
				     (5, 4, ["--levels", "5", "--second-levels", "4"], 29),
				     (4, 3, ["--second-levels", "3"], 19)):
		va = VA if f == 4 else VA5
		m, fs, ss, data = nested(f, s, va)
		a, = w.walk(m, "--first-stage", fs.root, "--second-stage", ss.root, *options, va + 0x20)
		eq(len(a["steps"]), reads)
		eq(number(a["output"]), data + 0x20)
		table_reads = [x for x in a["steps"] if x["stage"] == "first"]
		eq([x["level"] for x in table_reads], list(range(f, 0, -1)))
		for x in table_reads:
			eq(number(x["entry"]), fs.entry(va, x["level"]))
			eq(number(x["physical"]), ss.output(number(x["entry"])))
		eq(sum(x["depth"] == 1 for x in a["steps"]), f * s)
		# The last ones translate what the first stage gave.
		eq({number(x["input"]) for x in a["steps"][-s:]}, {0x7654020})


def the_smaller_page_of_both_stages_counts(w):
	m = Memory()
	ss = Stage(m, "second", 4)
	fs = Stage(m, "first", 4, ss)
	fs.map(VA & -(1 << 21), 0x20000000, size=1 << 21)
	ss.map(0x20000000 | VA & 0x1ff000, 0x3000)
	a, = w.walk(m, "--first-stage", fs.root, "--second-stage", ss.root, VA)
	eq((a["page_size"], a["output"]), (PAGE, "0x3000"))


# ---- answers


def json_has_these_keys_and_types(w):
	m, s = first()
	answers = w.walk(m, "--first-stage", s.root, VA, VA + PAGE)
	eq([list(a) for a in answers], [KEYS_OK, KEYS_FAULT])
	good, bad = answers
	eq(list(bad["fault"]), FAULT_KEYS)
	eq((good["ok"], bad["ok"]), (True, False))
	eq(bad["fault"], {"reason": 0x71, "name": "VTD_FR_FS_NP", "stage": "first", "level": 1,
			  "address": hex(VA + PAGE), "recorded": True})
	for a in answers:
		for x in a["steps"]:
			eq(list(x), ["kind", "stage", "level", "depth", "name", "input", "entry",
				     "physical", "value", "flags"])
			for key in ("input", "entry", "physical", "value"):
				number(x[key])
		for pair in a["ad_changes"]:
			eq([number(x) > 0 for x in pair], [True, True])
	number(good["output"])
	eq(type(good["page_size"]), int)


def faults_name_stage_level_and_the_address_there(w):
	m, fs, ss, data = nested(4, 4)
	both = ["--first-stage", fs.root, "--second-stage", ss.root]
	fs.map(VA + PAGE, 0x7655000)			# leads where the second stage has nothing
	fault = w.walk(m, *both, VA + PAGE + 5)[0]["fault"]
	eq(fault, {"reason": 0x79, "name": "VTD_FR_SSS_NP", "stage": "second", "level": 1,
		   "address": "0x7655005", "recorded": True})
	fs.put(VA, 2, 0)
	a, = w.walk(m, *both, VA + 5)
	eq(a["fault"], {"reason": 0x71, "name": "VTD_FR_FS_NP", "stage": "first", "level": 2,
			"address": hex(VA + 5), "recorded": True})
	eq(a["steps"][-1]["flags"], [])
	a, = w.walk(m, *both, 1 << 50)
	eq((a["fault"]["reason"], a["fault"]["level"], a["steps"]), (0x80, 0, []))


def a_write_is_judged_as_one(w):
	m, s = first(flags=P | US)
	ask = ["--first-stage", s.root, VA]
	eq(w.walk(m, *ask)[0]["ok"], True)
	eq(w.walk(m, "--access", "read", *ask)[0]["ok"], True)
	eq(w.walk(m, "--access", "write", *ask)[0]["fault"]["reason"], 0x85)
	s.map(VA, 0x8000)
	eq(w.walk(m, "--access", "write", *ask)[0]["output"], "0x8000")


def supervisor_pages_are_for_privileged_requests(w):
	m, s = first(flags=P)
	ask = ["--first-stage", s.root, VA]
	eq(w.walk(m, *ask)[0]["fault"]["reason"], 0x81)
	eq(w.walk(m, "--privileged", *ask)[0]["ok"], True)
	eq(w.walk(m, "--privileged", "--access", "write", *ask)[0]["ok"], True)
	a, = w.walk(m, "--privileged", "--wpe", "--access", "write", *ask)
	eq(a["fault"]["reason"], 0x85)
	no_srs = 1 << 47 | 1 << 43 | 1 << 48
	eq(w.walk(m, "--privileged", "--ecap", no_srs, *ask)[0]["fault"]["reason"], 0x5d)


def accessed_and_dirty_bits_are_told_and_not_set(w):
	m, s = first()
	s.put(VA, 3, s.get(VA, 3) | A)
	image = w.write(m)
	before = hashlib.sha256(open(w.path("image"), "rb").read()).digest()
	ask = ["--image", image, "--json", "--first-stage", s.root, VA]
	os.chmod(w.path("image"), 0o444)
	entries = {n: hex(s.entry(VA, n)) for n in (4, 3, 2, 1)}
	eq(w.run(*ask).json[0]["ad_changes"], [[entries[n], hex(A)] for n in (4, 2, 1)])
	eq(w.run("--access", "write", *ask).json[0]["ad_changes"],
	   [[entries[4], hex(A)], [entries[2], hex(A)], [entries[1], hex(A | D)]])
	eq(w.run("--eafe", *ask).json[0]["ad_changes"],
	   [[entries[4], hex(A | EA)], [entries[3], hex(EA)], [entries[2], hex(A | EA)],
	    [entries[1], hex(A | EA)]])
	os.chmod(w.path("image"), 0o644)
	eq(hashlib.sha256(open(w.path("image"), "rb").read()).digest(), before)
	for n in (4, 3, 2, 1):
		s.put(VA, n, s.get(VA, n) | A | D)
	eq(w.walk(m, "--access", "write", "--first-stage", s.root, VA)[0]["ad_changes"], [])


def a_nested_walk_tells_changes_where_they_are_in_memory(w):
	m, fs, ss, data = nested(4, 4)
	both = ["--first-stage", fs.root, "--second-stage", ss.root]
	a, = w.walk(m, *both, VA)
	eq(a["ad_changes"], [[hex(ss.output(fs.entry(VA, n))), hex(A)] for n in (4, 3, 2, 1)])
	a, = w.walk(m, "--ssade", *both, VA)
	changes = {number(at): number(bits) for at, bits in a["ad_changes"]}
	# A table is accessed as if written: its page becomes dirty. The data was only read.
	table, page = fs.entry(VA, 4) & -PAGE, 0x7654000
	eq(changes[ss.entry(table, 1)], SS_A | SS_D)
	eq(changes[ss.entry(page, 1)], SS_A)
	eq(changes[ss.entry(page, 4)], SS_A)


def every_entry_is_decoded(w):
	m, s = first(flags=P | US | A | 1 << 8 | 1 << 63)
	a, = w.walk(m, "--first-stage", s.root, VA)
	eq([x["flags"] for x in a["steps"]], [["P", "RW", "US"]] * 3 + [["P", "US", "A"]])
	assert "PML4E" in a["steps"][0]["name"] and "4 KiB" in a["steps"][3]["name"], a["steps"]
	m, s = first(size=1 << 21)
	s.put(VA, 2, s.get(VA, 2) | 1 << 15)
	a, = w.walk(m, "--first-stage", s.root, VA)
	eq(a["fault"]["reason"], 0x72)
	eq(a["steps"][-1]["flags"], ["P", "RW", "US", "PS", "reserved=0x8000"])
	m = Memory()
	s = Stage(m, "second", 4)
	s.map(0x1000, 0x5000, R | 6 << 3 | 1 << 62)
	a, = w.walk(m, "--second-stage", s.root, 0x1000)
	eq(a["fault"]["reason"], 0x7a)
	eq(a["steps"][-1]["flags"], ["R", "IW", "EMT=6", "reserved=0x4000000000000000"])


def an_output_outside_the_images_is_an_answer(w):
	m, s = first()
	a, = w.walk(m, "--first-stage", s.root, VA)
	eq(a["output"], "0x40000000")
	p = w.run("--image", w.write(m), "--first-stage", s.root, VA)
	assert "outside the images" in p.out, p.out
	s.map(VA, BASE)
	p = w.run("--image", w.write(m), "--first-stage", s.root, VA)
	assert "outside" not in p.out, p.out


def tables_outside_the_images_are_access_errors(w):
	m, s = first()
	a, = w.walk(m, "--first-stage", 0x80000000, VA)
	eq((a["fault"]["reason"], a["fault"]["level"], a["steps"]), (0x73, 4, []))
	s.put(VA, 3, 0x80000000 | P | RW | US)
	a, = w.walk(m, "--first-stage", s.root, VA)
	eq((a["fault"]["reason"], a["fault"]["level"], len(a["steps"])), (0x70, 2, 2))


# ---- options about the unit


def cr3_masks_the_flags_of_a_first_stage_root(w):
	m, s = first()
	p = w.run("--image", w.write(m), "--first-stage", s.root | 0x18, VA)
	eq(p.status, 2)
	assert "--cr3" in p.err and hex(s.root | 0x18) in p.err, p.err
	plain = w.walk(m, "--first-stage", s.root, VA)
	for flags in (0, 0xfff, 1 << 63, 1 << 62 | 1 << 61 | 0x18):
		eq(w.walk(m, "--cr3", "--first-stage", s.root | flags, VA), plain)


def the_host_address_width_bounds_entries_and_outputs(w):
	m, s = first()
	s.map(VA, 1 << 47)
	ask = ["--first-stage", s.root, VA]
	eq(w.walk(m, *ask)[0]["output"], hex(1 << 47))
	eq(w.walk(m, "--haw", "47", *ask)[0]["fault"]["reason"], 0x72)
	s.map(VA, 1 << 48)
	a, = w.walk(m, *ask)
	eq(a["fault"]["reason"], 0x72)
	eq(a["steps"][-1]["flags"][-1], "reserved=%#x" % (1 << 48))
	eq(w.walk(m, "--haw", "52", *ask)[0]["output"], hex(1 << 48))


def capabilities_decide_what_exists(w):
	m, s = first(size=1 << 30)
	ask = ["--first-stage", s.root, VA]
	eq(w.walk(m, *ask)[0]["ok"], True)
	a, = w.walk(m, "--cap", 0x380000, *ask)
	eq(a["fault"]["reason"], 0x72)
	eq(a["steps"][-1]["flags"][-1], "reserved=0x80")
	p = w.run("--image", w.write(m), "--cap", 0x380000, "--levels", "5", *ask)
	eq(p.status, 2)
	assert "FS5LP" in p.err, p.err
	p = w.run("--image", w.write(m), "--cap", 0x380400, "--levels", "3", "--second-stage", s.root, VA)
	eq(p.status, 2)
	assert "SAGAW" in p.err, p.err
	s = Stage(m, "second", 4)
	s.map(1 << 40, 0x5000)
	ask = ["--second-stage", s.root, 1 << 40]
	eq(w.walk(m, *ask)[0]["ok"], True)
	eq(w.walk(m, "--cap", 0x270400, *ask)[0]["fault"]["reason"], 0x84)	# MGAW 40 bits


# ---- the unit's own tables


def legacy(w, tt=0, aw=2, context=3):
	"""Legacy-mode tables for device 12:03.4."""
	m = Memory()
	s = Stage(m, "second", aw + 2)
	s.map(0x1000, 0x5000)
	root, table = m.page(), m.page()
	m.put(root + 0x12 * 16, table | 1)
	m.put(table + (3 << 3 | 4) * 16, s.root | tt << 2 | (context & 3), aw | 9 << 8)
	return m, s, root


def a_legacy_root_table_leads_to_the_second_stage(w):
	for aw in (1, 2, 3):
		m, s, root = legacy(w, aw=aw)
		ask = ["--root-table", root, "--device"]
		a, b = w.walk(m, *ask, "12:03.4", 0x1008, 0x2000)
		eq((a["output"], a["page_size"]), ("0x5008", PAGE))
		eq([x["stage"] for x in a["steps"]], ["path"] * 2 + ["second"] * (aw + 2))
		eq([x["name"] for x in a["steps"][:2]], ["root entry", "context entry"])
		assert "AW=%d" % aw in a["steps"][1]["flags"] and "DID=9" in a["steps"][1]["flags"]
		eq([number(x) for x in a["steps"][1]["words"]], [s.root | 3, aw | 9 << 8])
		# Legacy mode has numbers of its own, and FPD was set.
		eq(b["fault"], {"reason": 6, "name": "VTD_FR_READ", "stage": "second", "level": 1,
				"address": "0x2000", "recorded": False})
		c, = w.walk(m, *ask, "12:03.5", 0x1000)
		eq((c["fault"]["reason"], c["fault"]["stage"], c["fault"]["recorded"]), (2, "path", True))
		d, = w.walk(m, *ask, "13:03.4", 0x1000)
		eq((d["fault"]["reason"], d["fault"]["recorded"]), (1, True))


def pass_through_needs_no_table(w):
	m, s, root = legacy(w, tt=2, context=1)
	a, b = w.walk(m, "--root-table", root, "--device", "12:3.4", 0xabcd000, 1 << 48)
	eq((a["output"], [x["stage"] for x in a["steps"]]), ("0xabcd000", ["path", "path"]))
	eq(b["fault"]["reason"], 4)
	p = w.run("--image", w.write(m), "--root-table", root, "--device", "12:3.4", 0xabcd000)
	assert "pass-through" in p.out, p.out


def scalable(w, pgtt=3, fpd=False, device=0x1e, entry=(), stages=None):
	"""Scalable-mode tables for device 80:1e.0 or so, PASID 0x12345 and PASID 0 without one."""
	m, fs, ss, data = stages or nested(4, 4)
	root, context, directory, table, first_table = (m.page(), m.page(), m.page(8), m.page(),
							 m.page())
	devfn = device << 3
	m.put(root + 0x80 * 16 + (devfn >> 7) * 8, context | 1)
	m.put(context + (devfn & 0x7f) * 32, directory | 5 << 9 | 1 << 3 | 1)
	m.put(directory + (0x12345 >> 6) * 8, table | 1)
	m.put(directory, first_table | 1)
	pe = [ss.root | pgtt << 6 | 2 << 2 | fpd << 1 | 1, 7 | 1 << 23, fs.root, 0, 0, 0, 0, 0]
	for word, bits in entry:
		pe[word] |= bits
	m.put(table + (0x12345 & 63) * 64, *pe)
	m.put(first_table, *pe)
	return m, fs, ss, data, root | 1 << 10


def a_scalable_root_table_leads_to_both_stages(w):
	for device in (0x1e, 0x02):
		m, fs, ss, data, rtaddr = scalable(w, device=device)
		ask = ["--root-table", rtaddr, "--device", "80:%02x.0" % device]
		a, = w.walk(m, *ask, "--pasid", 0x12345, VA + 0x10)
		eq(number(a["output"]), data + 0x10)
		eq([x["name"] for x in a["steps"][:4]],
		   ["root entry", "context entry", "PASID directory entry", "PASID entry"])
		eq(len(a["steps"]), 4 + 24)
		eq(len(a["steps"][3]["words"]), 8)
		assert "PGTT=3 (nested)" in a["steps"][3]["flags"], a["steps"][3]["flags"]
		assert "PWSNP" in a["steps"][3]["flags"], a["steps"][3]["flags"]
		assert ("UP" if device > 0xf else "LP") in a["steps"][0]["flags"], a["steps"][0]
		b, = w.walk(m, *ask, VA + 0x10)		# RID_PASID is 0
		eq(b["output"], a["output"])
		c, = w.walk(m, *ask, "--pasid", "74566", VA)
		eq((c["fault"]["reason"], c["fault"]["stage"]), (0x59, "path"))
		d, = w.walk(m, *ask, "--pasid", "0", VA)
		eq(d["fault"]["reason"], 0x48)


def fpd_suppresses_the_record(w):
	for fpd in (False, True):
		m, fs, ss, data, rtaddr = scalable(w, fpd=fpd)
		ask = ["--root-table", rtaddr, "--device", "80:1e.0", "--pasid", 0x12345]
		a, = w.walk(m, *ask, VA + PAGE)
		eq((a["fault"]["reason"], a["fault"]["recorded"]), (0x71, not fpd))
		p = w.run("--image", w.write(m), *ask, VA + PAGE)
		eq("not recorded" in p.out, fpd)


def a_privileged_request_needs_sre_in_the_pasid_entry(w):
	m, fs, ss, data, rtaddr = scalable(w)
	ask = ["--device", "80:1e.0", "--pasid", 0x12345, "--privileged", VA]
	a, = w.walk(m, "--root-table", rtaddr, *ask)
	eq((a["fault"]["reason"], a["fault"]["stage"]), (0x5d, "path"))
	m, fs, ss, data, rtaddr = scalable(w, entry=[(2, 1)])
	fs.put(VA, 1, fs.get(VA, 1) & ~US)
	a, = w.walk(m, "--root-table", rtaddr, *ask)
	eq(a["ok"], True)
	p = w.run("--image", w.write(m), "--root-table", rtaddr, "--device", "80:1e.0", "--privileged", VA)
	eq(p.status, 2)
	assert "--pasid" in p.err, p.err


def the_mode_bits_of_rtaddr_are_obeyed(w):
	m, fs, ss, data, rtaddr = scalable(w)
	ask = ["--device", "80:1e.0", VA]
	a, = w.walk(m, "--root-table", rtaddr & -PAGE | 3 << 10, *ask)
	eq((a["fault"]["reason"], a["steps"]), (0x33, []))
	eq(w.walk(m, "--root-table", rtaddr & -PAGE | 2 << 10, *ask)[0]["fault"]["reason"], 0x30)
	eq(w.walk(m, "--root-table", rtaddr, "--ecap", 1 << 47, *ask)[0]["fault"]["reason"], 0x30)


def interrupt_messages_are_not_translated(w):
	m, s, root = legacy(w)
	ask = ["--root-table", root, "--device", "12:03.4", 0xfee00000]
	a, = w.walk(m, "--access", "write", *ask)
	eq((list(a), a["ok"], a["output"], a["page_size"], a["steps"]),
	   (KEYS_OK, True, "0xfee00000", 0, []))
	eq(w.walk(m, *ask)[0]["fault"]["reason"], 0x29)
	p = w.run("--image", w.write(m), "--access", "write", *ask)
	assert "interrupt message" in p.out, p.out


def reserved_bits_of_a_pasid_entry_are_shown(w):
	m, fs, ss, data, rtaddr = scalable(w, entry=[(3, 0x10)])
	a, = w.walk(m, "--root-table", rtaddr, "--device", "80:1e.0", "--pasid", 0x12345, VA)
	eq(a["fault"]["reason"], 0x5a)
	eq(a["steps"][-1]["flags"][-1], "reserved[3]=0x10")


# ---- images and addresses


def several_images_are_one_memory(w):
	m, s = first()
	half = 64 * PAGE
	one, two = Memory(0), Memory(0)
	one.data, two.data, two.base = m.data[:half], m.data[half:], BASE + half
	s.put(VA, 1, BASE + half + 0x2000 | P | US)
	other = Memory(1, 0x1000000000)
	images = ["--image", w.write(two, "two@of@many"), "--image", w.write(one, "one"),
		  "--image", w.write(other, "other")]
	one.data[:] = m.data[:half]
	w.write(one, "one")
	p = w.run(*images, "--first-stage", s.root, VA)
	eq(p.status, 0)
	assert hex(BASE + half + 0x2000) in p.out and "outside" not in p.out, p.out
	p = w.run(*images[:2], "--json", "--first-stage", s.root, VA)
	eq(p.json[0]["fault"]["reason"], 0x73)


def a_file_may_end_within_a_page(w):
	m, s = first()
	end = s.entry(VA, 1) + 8
	m.data = m.data[:end - BASE]
	assert len(m.data) % PAGE, "the tables must end within a page"
	a, b = w.walk(m, "--first-stage", s.root, VA, VA + PAGE)
	eq((a["output"], b["fault"]["reason"]), ("0x40000000", 0x71))


def an_image_may_come_through_a_pipe(w):
	m, s = first()
	m.data += bytes(3 << 20)			# more than fits a pipe, or the first guess
	w.write(m)
	with open(w.path("image"), "rb") as f, \
	     subprocess.Popen(["cat"], stdin=f, stdout=subprocess.PIPE) as cat:
		p = subprocess.run([w.program, "walk", "--image", "/dev/stdin@%#x" % BASE, "--json",
				    "--first-stage", hex(s.root), hex(VA)], stdin=cat.stdout, text=True,
				   stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
	eq(Run(p).json[0]["output"], "0x40000000")


def core(parts, phnum=None, kind=4):
	"""An ELF core dump: parts are (physical address, offset in the file or None, bytes)."""
	head = 64 + 56 * (len(parts) + 1)
	table, data = struct.pack("<IIQQQQQQ", 4, 0, head, 0, 0, 40, 0, 0), bytearray(40)	# notes
	for address, offset, part in parts:
		if offset is not None:
			data += bytes(offset - head - len(data))
		table += struct.pack("<IIQQQQQQ", 1, 7, head + len(data), 0, address, len(part),
				     len(part), 0)
		data += part
	return b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
		"<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56,
		len(parts) + 1 if phnum is None else phnum, 0, 0, 0) + table + bytes(data)


def a_core_dump_says_where_its_memory_is(w):
	m, s = first()
	s.put(VA, 1, 0x7000000 | P | RW | US)
	split = 3 * PAGE
	for offsets in ((None, None), (2 * PAGE, 9 * PAGE)):
		with open(w.path("core"), "wb") as f:
			f.write(core([(BASE, offsets[0], m.data[:split]),
				      (BASE + split, offsets[1], m.data[split:]),
				      (0x7000000, None, b"x" * 100)]))
		p = w.run("--image", w.path("core"), "--first-stage", s.root, VA)
		eq(p.status, 0)
		assert "=> 0x7000000, 4 KiB page\n" in p.out, p.out
		a, = w.run("--image", w.path("core"), "--json", "--first-stage", s.root, VA + PAGE).json
		eq(a["fault"]["reason"], 0x71)


def core_dumps_that_cannot_be_are_refused(w):
	good = core([(BASE, None, bytes(PAGE))])
	for data, word in ((core([]), "no memory"), (good[:-1], "cut"), (good[:100], "cut"),
			   (core([(BASE, None, bytes(PAGE))], phnum=0xffff), "64-bit"),
			   (core([(BASE, None, bytes(PAGE))], kind=2), "64-bit"),
			   (good[:4] + b"\1" + good[5:], "64-bit"),
			   (core([(BASE + 8, None, bytes(PAGE))]), "within a page"),
			   (core([(1 << 52, None, bytes(PAGE))]), "52 address bits"),
			   (core([(2**64 - PAGE, None, bytes(PAGE))]), "52 address bits"),
			   (core([(0, None, bytes(PAGE))] * 2), "overlaps"), (b"", "empty")):
		with open(w.path("core"), "wb") as f:
			f.write(data)
		p = w.run("--image", w.path("core"), "--first-stage", BASE, 0)
		eq((p.status, p.out, p.err.count("\n")), (1, "", 1))
		assert word in p.err, (word, p.err)


def images_that_cannot_be_are_refused(w):
	m, s = first()
	good = w.write(m)
	open(w.path("empty"), "wb").close()
	for images, words in (
			([w.path("empty") + "@0"], ["empty"]),
			([w.path("missing") + "@0"], ["missing", "No such file"]),
			([w.folder + "@0"], ["directory"]),
			(["/dev/null@0"], ["/dev/null", "neither a file nor a pipe"]),
			([good, good], ["overlaps", hex(BASE)]),
			([w.path("image") + "@0xffffffffff000"], ["52 address bits"])):
		argv = [x for image in images for x in ("--image", image)]
		p = w.run(*argv, "--first-stage", s.root, VA)
		eq((p.status, p.out, p.err.count("\n")), (1, "", 1))
		for word in words:
			assert word in p.err, p.err


def addresses_come_from_standard_input_too(w):
	m, s = first()
	ask = ["--image", w.write(m), "--json", "--first-stage", s.root]
	p = w.run(*ask, "0x1000", "-", "8192", stdin="%#x\n\n  139715484577792 0x3000\t4096\n" % VA)
	eq([number(a["address"]) for a in p.json],
	   [0x1000, VA, 139715484577792, 0x3000, 4096, 8192])
	eq(w.run(*ask, "-", stdin="").json, [])
	p = w.run(*ask, "-", stdin="0x1000\n12zz\n")
	eq((p.status, p.out), (2, ""))
	assert "line 2" in p.err and "'12zz'" in p.err, p.err


def thousands_of_addresses_are_answered_in_order(w):
	m = Memory(1024)
	s = Stage(m, "first", 4)
	for i in range(4096):
		s.map(VA + i * PAGE, 0x40000000 + i * PAGE)
	addresses = [VA + (i * 7919 % 5000) * PAGE + i for i in range(20000)]
	p = w.run("--image", w.write(m), "--json", "--first-stage", s.root, "-",
		  stdin="\n".join(map(hex, addresses)))
	answers = p.json
	eq([number(a["address"]) for a in answers], addresses)
	for a in answers:
		page = (number(a["address"]) - VA) // PAGE
		eq(a["ok"], page < 4096)
		if a["ok"]:
			eq(number(a["output"]), 0x40000000 + number(a["address"]) - VA)


# ---- bad usage


def bad_usage_is_one_line_that_says_what_would_be_right(w):
	m, s = first()
	image, root = w.write(m), hex(s.root)
	good = ["--image", image, "--first-stage", root]
	unit = ["--image", image, "--root-table", root, "--device", "00:00.0"]
	cases = [
		(good, ["no address"]),
		(["--first-stage", root, "0"], ["--image FILE@GPA"]),
		(["--image", image, "0"], ["--first-stage", "--second-stage", "--root-table"]),
		(good + ["zz"], ["'zz'", "not a number"]),
		(good + ["7f00"], ["'7f00'", "0x"]),
		(good + ["0777"], ["'0777'", "octal"]),
		(good + ["0x"], ["'0x'", "no digits"]),
		(good + ["0x10000000000000000"], ["64 bits"]),
		(good + ["18446744073709551616"], ["64 bits"]),
		(good + ["--", "-5"], ["'-5'", "not a number"]),
		(good + ["-5"], ["'-5'"]),
		(good + ["--nope", "0"], ["'--nope'"]),
		(good + ["--nope=3", "0"], ["'--nope=3'"]),
		(good + ["--json=3", "0"], ["'--json=3'"]),
		(good + ["--e", "0"], ["'--e'"]),
		(good + ["0", "--haw"], ["'--haw' needs a value"]),
		(["--image", "memory", "--first-stage", root, "0"], ["'memory'", "FILE@GPA", "core"]),
		(["--image", w.path("image"), "--first-stage", root, "0"], ["FILE@GPA", "core"]),
		(["--image", "/dev/null", "--first-stage", root, "0"], ["FILE@GPA"]),
		(["--image", "", "--first-stage", root, "0"], ["''", "FILE@GPA"]),
		(["--image", "@0", "--first-stage", root, "0"], ["'@0'", "FILE@GPA"]),
		(["--image", "memory@", "--first-stage", root, "0"], ["'memory@'", "no digits"]),
		(["--image", "memory@12", "--first-stage", root, "0"], ["'memory@12'", "4096"]),
		(["--image", "m@0x10000000000000", "--first-stage", root, "0"], ["52 bits"]),
		(good + ["--access", "execute", "0"], ["'execute'", "read or write"]),
		(good + ["--levels", "3", "0"], ["--levels 3", "4 or 5"]),
		(good + ["--levels", "6", "0"], ["--levels 6", "4 or 5"]),
		(good + ["--levels", "x", "0"], ["--levels 'x'"]),
		(["--image", image, "--second-stage", root, "--levels", "6", "0"], ["3, 4 or 5"]),
		(good + ["--second-levels", "4", "0"], ["--second-levels needs --second-stage"]),
		(good + ["--second-stage", root, "--second-levels", "2", "0"],
		 ["--second-levels 2", "3, 4 or 5"]),
		(good + ["--haw", "31", "0"], ["--haw 31", "32 to 52"]),
		(good + ["--haw", "53", "0"], ["--haw 53", "32 to 52"]),
		(good + ["--haw", "32", "--second-stage", "0x100000000", "0"],
		 ["--second-stage 0x100000000", "--haw"]),
		(good + ["--cap", "y", "0"], ["--cap 'y'"]),
		(good + ["--ecap", "", "0"], ["--ecap ''"]),
		(good + ["--cap", "0", "--second-stage", root, "0"], ["--cap 0", "SAGAW"]),
		(good + ["--ssade", "0"], ["--ssade needs --second-stage"]),
		(good + ["--pasid", "1", "0"], ["--pasid needs --root-table"]),
		(good + ["--device", "0:0.0", "0"], ["--device needs --root-table"]),
		(["--image", image, "--second-stage", root, "--cr3", "0"], ["--cr3 needs --first-stage"]),
		(["--image", image, "--second-stage", root, "--wpe", "0"], ["--wpe needs --first-stage"]),
		(["--image", image, "--second-stage", "0x1001", "0"], ["--second-stage 0x1001", "4096"]),
		(["--image", image, "--first-stage", "0x1001", "0"], ["0x1001", "4096", "--cr3"]),
		(["--image", image, "--root-table", root, "0"], ["--root-table needs --device"]),
		(unit + ["--first-stage", root, "0"], ["--root-table", "--first-stage"]),
		(unit + ["--levels", "4", "0"], ["--levels needs --first-stage or --second-stage"]),
		(unit + ["--pasid", "0x100000", "0"], ["--pasid 0x100000", "20 bits"]),
		(unit + ["--pasid", "-1", "0"], ["--pasid '-1'"]),
		(["--image", image, "--root-table", "0x1001", "--device", "0:0.0", "0"],
		 ["--root-table 0x1001", "0x1 of RTADDR"]),
	]
	for device in ("00:1f", "1f.0", "00:20.0", "00:1f.8", "000:00.0", "00:1f.7 ", "g0:00.0", "",
		       "0000:00:1f.7"):
		cases.append((unit + ["--device", device, "0"], ["--device '%s'" % device, "BB:DD.F"]))
	for argv, words in cases:
		p = w.run(*argv)
		assert p.status == 2 and p.out == "" and p.err.count("\n") == 1, (argv, p.status, p.err)
		for word in words + ["viommu walk: ", "--help"]:
			assert word in p.err, (word, p.err)


def the_status_is_0_with_faults_too(w):
	m, s = first()
	eq(w.run("--image", w.write(m), "--first-stage", s.root, 0, 1 << 60).status, 0)
	eq(w.run("--image", w.write(m), "--json", "--first-stage", s.root, 0, 1 << 60).status, 0)


def output_that_cannot_be_written_is_a_failure(w):
	m, s = first()
	with open("/dev/full", "w", encoding="ascii") as full:
		p = subprocess.run([w.program, "walk", "--image", w.write(m), "--first-stage",
				    hex(s.root), hex(VA)], stdout=full, stderr=subprocess.PIPE,
				   text=True, check=False)
	eq(p.returncode, 1)
	assert "standard output" in p.stderr, p.stderr


# ---- for people


def people_see_every_entry_and_the_answer(w):
	m, fs, ss, data, rtaddr = scalable(w)
	p = w.run("--image", w.write(m), "--root-table", rtaddr, "--device", "80:1e.0", "--pasid",
		  0x12345, VA + 0x10, VA + PAGE)
	eq(p.status, 0)
	good, bad = p.out.rstrip("\n").split("\n\n")
	for text in (good, bad):
		assert max(len(line) for line in text.split("\n")) <= 100, text
		assert "\033" not in text, text
	rows = re.findall(r"^ *(\d+) +[a-zP]", good, re.M)
	eq(rows, [str(n) for n in range(1, 29)])
	for text in ("PASID directory", "PGTT=3 (nested)", "=> %#x, 4 KiB page" % (data + 0x10),
		     "first stage: %#x -> 0x7654010" % (VA + 0x10), "+A", "PASID 0x12345",
		     "device 80:1e.0"):
		assert text in good, (text, good)
	for level in (4, 3, 2, 1):
		at = fs.entry(VA, level)
		assert re.search(r"first +%d +0x0*%x +0x0*%x +0x0*%x "
				 % (level, at, ss.output(at), fs.get(VA, level)), good), good
	for text in ("fault 71h VTD_FR_FS_NP", "first stage, level 1", hex(VA + PAGE), "not present"):
		assert text in bad, (text, bad)


def lines_with_long_addresses_are_not_longer_than_100_columns(w):
	base = 0xfffffff00000
	m, fs, ss, data, rtaddr = scalable(w, stages=nested(4, 4, base=base))
	for n in (4, 3, 2, 1):
		fs.put(VA, n, fs.get(VA, n) | 0x18)		# PWT, PCD
	p = w.run("--image", w.write(m), "--root-table", rtaddr, "--device", "80:1e.0", "--pasid",
		  0x12345, "--access", "write", VA)
	eq((p.status, p.err), (0, ""))
	for line in p.out.split("\n"):
		assert len(line) <= 100 and line == line.rstrip(), line
	assert "P RW US PWT PCD +A +D" in p.out, p.out
	assert "=> %#x" % data in p.out, p.out


def colour_is_for_terminals_without_no_color(w):
	m, s = first()
	image = w.write(m)
	for env, coloured in (({"TERM": "xterm", "NO_COLOR": ""}, True),
			      ({"TERM": "xterm", "NO_COLOR": "1"}, False),
			      ({"TERM": "dumb", "NO_COLOR": ""}, False)):
		ours, theirs = pty.openpty()
		p = subprocess.run([w.program, "walk", "--image", image, "--first-stage", hex(s.root),
				    hex(VA)], stdin=subprocess.DEVNULL, stdout=theirs, check=False,
				   env={**os.environ, **env})
		os.close(theirs)
		said = b""
		try:
			while True:
				said += os.read(ours, 65536)
		except OSError:				# the other end is closed
			os.close(ours)
		eq(p.returncode, 0)
		eq(b"\033[" in said, coloured)
		assert b"0x40000000" in said, said


def help_agrees_with_the_man_page(w):
	p = w.run("--help")
	eq((p.status, p.err), (0, ""))
	assert max(map(len, p.out.split("\n"))) <= 100, p.out
	registers = re.findall(r"\((0x[0-9a-f]{6,})\)", p.out)
	eq(len(registers), 2)
	with open(w.man, encoding="utf-8") as f:
		page = f.read()
	for value in registers:
		assert value in page, (value, "the page does not name the default")


def main(argv):
	parser = argparse.ArgumentParser(prog="walk.py")
	parser.add_argument("--viommu", required=True)
	parser.add_argument("--man", required=True)
	parser.add_argument("names", nargs="*")
	args = parser.parse_args(argv)
	tests = [f for name, f in globals().items()
		 if callable(f) and f.__module__ == __name__ and not isinstance(f, type) and
		 "_" in name and f.__code__.co_varnames[:f.__code__.co_argcount] == ("w",)]
	tests = [f for f in tests if not args.names or f.__name__ in args.names]
	failed = 0
	print("1..%d" % len(tests))
	for nr, test in enumerate(tests, 1):
		with tempfile.TemporaryDirectory(prefix="viommu-walk-") as folder:
			try:
				test(World(args.viommu, args.man, folder))
				problem = None
			except Exception as e:		# one test's trouble is not the others'
				problem = e
				line = sys.exc_info()[2].tb_next.tb_lineno
		print("%s %d - %s" % ("not ok" if problem else "ok", nr, test.__name__.replace("_", " ")),
		      flush=True)
		if problem:
			failed += 1
			print("# line %d: %s: %s" % (line, type(problem).__name__,
						     str(problem)[:2000].replace("\n", "\n# ")))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
