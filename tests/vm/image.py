#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Walks the page tables of a process in a Linux guest, in an image of the guest's memory.

usage: image.py --viommu PROGRAM --guest INIT --fetch SCRIPT --levels 4|5

Boots Debian's kernel under TCG with tests/vm/guest/image.c as process 1. When that has said on the
console what is mapped where, the machine is stopped with the process on its CPU, all memory is
written to a file by the monitor's pmemsave, and `viommu walk` gets the file and the CR3 of the
CPU. Three answers have to agree: what the process said, what viommu walk finds, and what two
others find who know nothing of viommu: the few lines of class Tables below, and QEMU's gva2gpa.

Faults are the numbers of VT-d's scalable mode: 71h not present, 80h not canonical, 81h a
supervisor page for the user, 85h no write access. The image is made at run time and never kept.
"""

import argparse
import collections
import json
import mmap
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import vmlib

MEMORY_MIB = 256		# one piece from address 0, so that one image holds all of it
BOOT_SECONDS = 240		# observed: 5 to 10; the bound is for a busy machine
STOP_TRIES = 200
CHUNK = 200			# addresses on one command line
LEAST_ADDRESSES = 1000
LEAST_ORACLE = 50
SAMPLE = 16

NOT_PRESENT, NOT_CANONICAL, SUPERVISOR, NO_WRITE = 0x71, 0x80, 0x81, 0x85
SIZE_NAMES = {4 << 10: ("4k", "4kib", "4096"), 2 << 20: ("2m", "2mib", "2097152"),
	      1 << 30: ("1g", "1gib", "1073741824")}

Sample = collections.namedtuple("Sample", "address name flags data")
Found = collections.namedtuple("Found", "output size writable user")


class Said:
	"""What the process printed."""

	def __init__(self, console):
		self.mapped = []		# Sample with bytes
		self.absent = []		# Sample without
		self.kernel = []		# Sample, bytes or None
		self.maps = []			# (start, end, rights, name)
		self.notes = []
		self.spin = None
		for line in console.decode("ascii", "replace").splitlines():
			if not line.startswith("@"):
				continue
			words = line.split()
			if words[0] == "@m":
				start, end = (int(x, 16) for x in words[1].split("-"))
				self.maps.append((start, end, words[2],
						  words[6] if len(words) > 6 else ""))
			elif words[0] == "@a":
				self.mapped.append(self.sample(words, bytes.fromhex(words[3])))
			elif words[0] == "@n":
				self.absent.append(self.sample(words, None))
			elif words[0] == "@k":
				data = None if words[3] == "-" else bytes.fromhex(words[3])
				self.kernel.append(self.sample(words, data))
			elif words[0] == "@spin":
				self.spin = int(words[1], 16), int(words[2], 16)
			elif words[0] == "@note":
				self.notes.append(" ".join(words[1:]))

	@staticmethod
	def sample(words, data):
		name, flags = words[2].split(":")
		return Sample(int(words[1], 16), name, flags, data)


class Tables:
	"""An x86-64 page walk as the processor's manual has it, as plainly as can be."""

	def __init__(self, image, root, levels):
		self.image = image
		self.root = root & ((1 << 52) - 1) & ~0xfff
		self.levels = levels

	def entries(self, address):
		"""(where, value, shift) of each entry on the way; ends with a leaf, or an absent one.

		None if the address is not canonical."""
		high = address >> (9 * self.levels + 11)
		if high not in (0, (1 << (64 - 9 * self.levels - 11)) - 1):
			return None
		table, found = self.root, []
		for level in range(self.levels, 0, -1):
			shift = 12 + 9 * (level - 1)
			at = table + (address >> shift & 511) * 8
			if at + 8 > len(self.image):
				raise vmlib.Trouble("a table at %#x lies beyond the memory" % at)
			entry, = struct.unpack_from("<Q", self.image, at)
			found.append((at, entry, shift))
			if not entry & 1 or level == 1 or (level <= 3 and entry & 0x80):
				break
			table = entry & 0x000ffffffffff000
		return found

	def find(self, address):
		"""Found, or None if an entry is not present, or the address is not canonical."""
		entries = self.entries(address)
		if not entries or not entries[-1][1] & 1:
			return None
		_, leaf, shift = entries[-1]
		size = 1 << shift
		return Found(leaf & 0x000ffffffffff000 & -size | address & (size - 1), size,
			     all(e & 2 for _, e, _ in entries), all(e & 4 for _, e, _ in entries))

	def marks(self, address, write):
		"""[(where, bits)]: accessed bits, and for a write the leaf's dirty bit, still clear."""
		entries = self.entries(address)
		wanted = [0x20] * len(entries)
		wanted[-1] |= 0x40 * write
		return [(at, bits & ~e) for (at, e, _), bits in zip(entries, wanted) if bits & ~e]


class Walk:
	"""viommu walk over an image file."""

	def __init__(self, program, path, root, levels):
		self.path = path
		self.base = [program, "walk", "--image", path, "--first-stage", hex(root),
			     "--cr3", "--levels", str(levels), "--json"]
		self.commands = 0

	def __call__(self, addresses, *options):
		"""A dictionary address -> answer, an object of the JSON array."""
		answers = {}
		addresses = sorted(set(addresses))
		for first in range(0, len(addresses), CHUNK):
			part = addresses[first:first + CHUNK]
			argv = self.base + list(options) + [hex(a) for a in part]
			p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
					   stderr=subprocess.PIPE, text=True, check=False)
			self.commands += 1
			if p.returncode:
				raise vmlib.Trouble("%s ... ended with status %d:\n%s"
						    % (" ".join(argv[:12]), p.returncode, p.stderr))
			listed = json.loads(p.stdout)
			if [number(o["address"]) for o in listed] != part:
				raise vmlib.Trouble("viommu walk answered other addresses than "
						    "it was asked, or in another order")
			answers.update(zip(part, listed))
		return answers


def number(value):
	"""A JSON number, or one as a string."""
	return int(value, 0) if isinstance(value, str) else value


def page_size(answer):
	value = answer["page_size"]
	for size, names in SIZE_NAMES.items():
		if value == size or str(value).lower() in names or \
		   (isinstance(value, str) and value.startswith("0x") and int(value, 16) == size):
			return size
	raise vmlib.Trouble("viommu walk: no page size is called %r" % (value,))


def reason(answer):
	"""The fault's number, None if the walk ended in a page."""
	return None if answer["ok"] else number(answer["fault"]["reason"])


def describe(sample, answer):
	what = "ok, output %s" % answer["output"] if answer["ok"] else \
		"fault %#x at level %s" % (reason(answer), answer["fault"].get("level"))
	return "%#x (%s): %s" % (sample.address, sample.name, what)


def boot(args, things, folder, levels):
	"""Boots the guest, returns (Machine, ...) stopped with the process on the CPU."""
	ramdisk = os.path.join(folder, "initramfs")
	vmlib.initramfs(ramdisk, args.guest)
	cpu = "max" if levels == 5 else "max,la57=off"
	return vmlib.Machine(things["qemu"]["qemu-system-x86_64"], [
		"-machine", "q35,accel=tcg", "-cpu", cpu, "-smp", "1", "-m", "%dM" % MEMORY_MIB,
		"-kernel", things["kernel"]["vmlinuz"], "-initrd", ramdisk,
		"-append", " ".join(vmlib.APPEND)])


def stop_in_process(machine, said):
	"""Stops the machine in the program's last loop; returns its registers by name."""
	for _ in range(STOP_TRIES):
		machine.command("stop")
		text = machine.human("info registers")
		words = dict(re.findall(r"\b(RIP|CR3|CR4|CPL)=([0-9a-f]+)", text))
		if all(name in words for name in ("RIP", "CR3", "CR4", "CPL")):
			registers = {name: int(value, 16) for name, value in words.items()}
			if registers["CPL"] == 3 and said.spin[0] <= registers["RIP"] < said.spin[1]:
				return registers
		machine.command("cont")		# the timer's interrupt; try again
	raise machine.trouble("the process was not on the CPU in %d tries" % STOP_TRIES)


def gva2gpa(machine, address):
	text = machine.human("gva2gpa %#x" % address)
	found = re.search(r"gpa: (?:0x)?([0-9a-f]+)", text)
	return int(found.group(1), 16) if found else None


def check_oracles(tap, machine, tables, said):
	"""The plain walk against QEMU's own, before anything is compared with viommu."""
	chosen = {}
	for sample in said.mapped + said.absent + said.kernel:
		chosen.setdefault(sample.name, []).append(sample)
	problems = []
	count = present = 0
	for samples in chosen.values():
		step = max(1, len(samples) // 6)
		for sample in samples[::step]:
			ours, theirs = tables.find(sample.address), gva2gpa(machine, sample.address)
			count += 1
			present += theirs is not None
			if (ours.output if ours else None) != theirs:
				problems.append("%#x (%s): the plain walk says %s, QEMU says %s"
						% (sample.address, sample.name, ours, theirs))
	if present < LEAST_ORACLE:
		problems.append("only %d addresses of the comparison are mapped" % present)
	tap.check("the plain walk agrees with QEMU's gva2gpa", problems,
		  "%d addresses, %d of them mapped" % (count, present))


def check_bytes(tap, name, samples, answers, tables, image, least):
	"""Each sample is found where the plain walk finds it, and the bytes are those printed."""
	problems = []
	for sample in samples:
		answer = answers[sample.address]
		if not answer["ok"]:
			problems.append(describe(sample, answer))
			continue
		output = number(answer["output"])
		found = tables.find(sample.address)
		if image[output:output + SAMPLE] != sample.data:
			problems.append("%s: the image has %s there, the process printed %s"
					% (describe(sample, answer), image[output:output + SAMPLE].hex(),
					   sample.data.hex()))
		elif found is None or (found.output, found.size) != (output, page_size(answer)):
			problems.append("%s, page %#x: the plain walk says %s"
					% (describe(sample, answer), page_size(answer), found))
	if len(samples) < least:
		problems.append("only %d addresses, %d are wanted" % (len(samples), least))
	tap.check(name, problems, "%d addresses" % len(samples))


def check_faults(tap, name, samples, answers, wanted, least):
	problems = [describe(s, answers[s.address]) + ", wanted fault %#x" % wanted
		    for s in samples if reason(answers[s.address]) != wanted]
	# The specification records the page, so compare no more than that.
	problems += ["%s, but the fault names another address" % describe(s, answers[s.address])
		     for s in samples if not answers[s.address]["ok"] and
		     number(answers[s.address]["fault"]["address"]) >> 12 != s.address >> 12]
	if len(samples) < least:
		problems.append("only %d addresses, %d are wanted" % (len(samples), least))
	tap.check(name, problems, "%d addresses" % len(samples))


def check_marks(tap, samples, read, write, tables):
	"""Accessed and dirty bits. The kernel ages pages: it clears accessed bits, not dirty ones."""
	problems = []
	bits = collections.Counter()
	for answers, is_write in ((read, False), (write, True)):
		for sample in samples:
			answer = answers[sample.address]
			if not answer["ok"]:
				continue
			changes = [tuple(number(x) for x in pair) for pair in answer["ad_changes"]]
			wanted = tables.marks(sample.address, is_write)
			bits.update(change[1] for change in changes)
			if changes != wanted:
				problems.append("%s, changes %s, the entries lack %s"
						% (describe(sample, answer), changes, wanted))
			elif "d" in sample.flags and any(change[1] & 0x40 for change in changes):
				problems.append("%s was written, but is not dirty: %s"
						% (describe(sample, answer), changes))
	tap.check("accessed and dirty bits that entries lack are told", problems,
		  ", ".join("%#x %d times" % item for item in sorted(bits.items())) or "none")


def check_maps(tap, said, walk, tables):
	"""No mapping of the process was left out."""
	addresses = [s.address for s in said.mapped + said.absent]
	problems = []
	moving = []
	for start, end, rights, name in said.maps:
		if name.startswith("[vvar") or name == "[vsyscall]":
			moving += range(start, end, 4096)
		elif not any(start <= a < end for a in addresses):
			problems.append("no address of %x-%x %s %s" % (start, end, rights, name))
	# Their bytes change with time, or no user may read them; where they lie must still agree.
	for address, answer in walk(moving).items():
		found = tables.find(address)
		if (number(answer["output"]) if answer["ok"] else None) != \
		   (found.output if found and found.user else None):
			problems.append("%#x: viommu walk says %s, the plain walk %s"
					% (address, answer, found))
	tap.check("every mapping of the process is among the addresses", problems,
		  "%d mappings" % len(said.maps))


def check_walks(tap, args, said, walk, tables, image):
	levels = args.levels
	user = [s.address for s in said.mapped]
	read = walk(user + [s.address for s in said.absent + said.kernel])
	check_bytes(tap, "walks find the bytes the process printed", said.mapped, read, tables,
		    image, LEAST_ADDRESSES)

	huge = [s for s in said.mapped if "2" in s.flags]
	problems = [describe(s, read[s.address]) + ", not a page of 2 MiB" for s in huge
		    if not read[s.address]["ok"] or page_size(read[s.address]) != 2 << 20]
	kinds = collections.Counter(s.name for s in huge)
	for name in ("hugetlb", "hugetlb-readonly", "thp", "thp-readonly"):
		if not kinds[name]:
			problems.append("the process showed no %s" % name)
	tap.check("hugetlb and transparent huge pages are pages of 2 MiB", problems,
		  ", ".join("%d %s" % (n, k) for k, n in sorted(kinds.items())))
	small = [s for s in said.mapped if s.name in ("anon", "thp-split", "stack", "heap", "text")]
	tap.check("the other pages are of 4 KiB",
		  [describe(s, read[s.address]) for s in small
		   if not read[s.address]["ok"] or page_size(read[s.address]) != 4 << 10],
		  "%d addresses" % len(small))

	none = [s for s in said.absent if s.name.split("-")[-1] == "none"]
	check_faults(tap, "PROT_NONE pages fault as not present", none, read, NOT_PRESENT, 100)
	gone = [s for s in said.absent if s not in none]
	check_faults(tap, "untouched, unmapped and given-back pages fault as not present", gone, read,
		     NOT_PRESENT, 100)

	write = walk([s.address for s in said.mapped + said.absent], "--access", "write")
	fixed = [s for s in said.mapped if "w" not in s.flags]
	check_faults(tap, "a write to a read-only page faults", fixed, write, NO_WRITE, 200)
	for name in ("anon-readonly", "hugetlb-readonly", "thp-readonly", "zero-page", "copy-on-write",
		     "memfd-readonly", "file", "file-private", "text", "rodata", "vdso"):
		if not any(s.name == name for s in fixed):
			tap.check("read-only pages of every kind were shown", ["no %s" % name])
	check_bytes(tap, "a write to a writable page finds the same bytes",
		    [s for s in said.mapped if "w" in s.flags], write, tables, image, 300)
	check_faults(tap, "a write to a page that is not there faults as not present", said.absent,
		     write, NOT_PRESENT, 200)
	check_marks(tap, said.mapped, read, write, tables)

	check_faults(tap, "a kernel address faults for the user", said.kernel, read, SUPERVISOR, 5)
	privileged = walk([s.address for s in said.kernel], "--privileged")
	check_bytes(tap, "a privileged walk finds the kernel's banner",
		    [s for s in said.kernel if s.data], privileged, tables, image, 5)

	edge = 1 << (9 * levels + 11)
	wrong = [Sample(a, "not-canonical", "", None) for a in
		 (edge, edge + 0x1000, (1 << 64) - edge - 0x1000, 1 << 62, 1 << 63)]
	check_faults(tap, "an address that is not canonical faults", wrong,
		     walk([s.address for s in wrong]), NOT_CANONICAL, 5)
	some = said.mapped[::10]
	tagged = Walk(args.viommu, walk.path, tables.root | 0xfff, levels)([s.address for s in some])
	tap.check("the low bits of CR3 do not matter with --cr3",
		  ["%#x" % s.address for s in some if tagged[s.address] != read[s.address]],
		  "%d addresses" % len(some))
	high = [s for s in said.mapped if s.name.startswith("high")]
	if levels == 5:
		tap.check("addresses beyond 47 bits are among them",
			  [] if len([s for s in high if s.address >> 47]) >= 100
			  else ["only %d" % len(high)],
			  "%d addresses" % len([s for s in high if s.address >> 47]))
		# The bits that only a fifth level looks at: with four, the walk must not end well.
		few = Walk(args.viommu, walk.path, tables.root, 4)
		found = few([s.address for s in said.mapped])
		tap.check("the same tables read with 4 levels give other answers",
			  [describe(s, found[s.address]) for s in said.mapped
			   if found[s.address]["ok"] and
			   number(found[s.address]["output"]) == number(read[s.address]["output"])])


def check_core(tap, args, machine, said, walk, tables, folder):
	"""QEMU's own dump of the memory gives the same answers as the raw image."""
	path = os.path.join(folder, "core")
	machine.command("dump-guest-memory", paging=False, protocol="file:" + path)
	some = [s.address for s in (said.mapped + said.absent)[::10]]
	raw, core = walk(some), Walk(args.viommu, path, tables.root, args.levels)(some)
	tap.check("a core dump of the guest gives the same answers",
		  ["%#x" % a for a in some if raw[a] != core[a]], "%d addresses" % len(some))
	os.unlink(path)


def run(tap, args, folder):
	things = vmlib.fetch(args.fetch, "qemu", "kernel")
	tap.note("QEMU %s, Linux %s" % (things["qemu"]["version"], things["kernel"]["version"]))
	image_path = os.path.join(folder, "memory")
	with boot(args, things, folder, args.levels) as machine:
		if machine.wait_console([b"@done", b"@failed"], BOOT_SECONDS) == b"@failed":
			raise machine.trouble("the program in the guest gave up")
		said = Said(machine.console)
		for text in said.notes:
			tap.note(text)
		registers = stop_in_process(machine, said)
		root, levels = registers["CR3"], 5 if registers["CR4"] >> 12 & 1 else 4
		tap.check("the guest pages with %d levels" % args.levels,
			  [] if levels == args.levels else ["it has %d" % levels],
			  "CR3 %#x, CR4 %#x" % (root, registers["CR4"]))
		machine.command("pmemsave", val=0, size=MEMORY_MIB << 20, filename=image_path)
		with open(image_path, "rb") as f, \
		     mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as image:
			tables = Tables(image, root, args.levels)
			check_oracles(tap, machine, tables, said)
			before = zlib.crc32(image)
			walk = Walk(args.viommu, image_path + "@0", root, args.levels)
			check_maps(tap, said, walk, tables)
			check_walks(tap, args, said, walk, tables, image)
			check_core(tap, args, machine, said, walk, tables, folder)
			tap.check("the image is as it was", [] if zlib.crc32(image) == before
				  else ["viommu walk wrote to it"], "%d commands" % walk.commands)


def main(argv):
	parser = argparse.ArgumentParser(prog="image.py")
	parser.add_argument("--viommu", required=True)
	parser.add_argument("--guest", required=True)
	parser.add_argument("--fetch", required=True)
	parser.add_argument("--levels", type=int, choices=(4, 5), required=True)
	args = parser.parse_args(argv)
	tap = vmlib.Tap()
	try:
		with tempfile.TemporaryDirectory(prefix="viommu-image-") as folder:
			run(tap, args, folder)
	except vmlib.Trouble as trouble:
		return tap.bail_out(trouble)
	return tap.done()


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
