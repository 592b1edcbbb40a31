#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the kernels that the tests boot and that Debian has not built this way.

usage: vm-kernel.py [--dir DIR] [--jobs N] [--refresh] [--keep] [--keyring FILE] [NAME ...]

A NAME is one of the table KERNELS below; without any, all of them are built. The source is a
package linux-source-VERSION of Debian's. The configuration is the kernel's own "tinyconfig" plus
tests/vm/kernels/NAME.config, of which every option has to come out as the file says. Some kernels
get edits: a pattern that must be in a file exactly once, and what takes its place.

The result is DIR/kernels/NAME-HASH/bzImage with the whole configuration beside it, HASH being that
of all inputs: source package, options, edits, compiler. What is there already is not built again,
and needs no mirror. The source tree is removed afterwards (--keep leaves it), DIR/kernels/NAME.log
says what make said. It takes 2 GB of disk, and 4 to 6 minutes on two processors.

Trust: the source comes by the same way as all that scripts/vm-fetch.py takes, see there; its hash
is compared once more before it is unpacked.

Exit status: 0 all is there, 1 something was not to be had or does not build, 2 usage.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FRAGMENTS = os.path.join(TOP, "tests", "vm", "kernels")


def load_vm_fetch():
	"""scripts/vm-fetch.py as a module; its name is no identifier, so import cannot find it."""
	path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vm-fetch.py")
	spec = importlib.util.spec_from_file_location("vm_fetch", path)
	module = importlib.util.module_from_spec(spec)
	spec.loader.exec_module(module)
	return module


vm_fetch = load_vm_fetch()
Failure = vm_fetch.Failure

# "source" is a package, or with "newest" one that depends on the newest; "suite" asks for that
# suite's. "edits" are (file, pattern, what takes its place, why).
KERNELS = {
	# The last series whose VT-d driver asks the hypervisor for its PASIDs.
	"vcmd": {
		"source": "linux-source-6.1",
		"suite": "bookworm",
		"edits": [
			("drivers/iommu/iommu.c",
			 r"if \(IS_ENABLED\(CONFIG_X86\)\)\s+return ERR_PTR\(-EOPNOTSUPP\);", "",
			 "6.1.164 took shared virtual addressing from x86, for a security problem "
			 "with the kernel's own page tables"),
			("drivers/dma/idxd/init.c",
			 r"!cpu_feature_enabled\(X86_FEATURE_MOVDIR64B\)", "0",
			 "an emulated processor lacks MOVDIR64B, and setcpuid= came with 6.15"),
		],
	},
	# The newest, as a host: with iommufd, which Debian leaves out.
	"host": {
		"source": "linux-source",
		"newest": True,
		"edits": [],
	},
}

# Part of the hash: count up when a change here makes another kernel of the same inputs.
FORMAT = 1
FREE_BYTES = 3 << 30

# (what has to be there, the Debian package that has it)
PROGRAMS = [
	("gcc", "gcc"), ("ld", "binutils"), ("make", "make"), ("flex", "flex"), ("bison", "bison"),
	("bc", "bc"), ("perl", "perl"), ("tar", "tar"), ("xz", "xz-utils"),
]
HEADERS = [("gelf.h", "libelf-dev")]


def say(text):
	print("vm-kernel: " + text, flush=True)


class Progress:
	"""A line a step; on a terminal, the line of the step under way shows how far it is."""

	def __init__(self, name):
		self.name = name
		self.terminal = sys.stdout.isatty()
		self.begin = time.monotonic()

	def step(self, text):
		self.begin = time.monotonic()
		say("%s: %s" % (self.name, text))

	def show(self, text):
		if self.terminal:
			seconds = int(time.monotonic() - self.begin)
			print("\r\x1b[K  %s, %d min %02d s" % (text, seconds // 60, seconds % 60),
			      end="", flush=True)

	def clear(self):
		if self.terminal:
			print("\r\x1b[K", end="", flush=True)


def environment():
	"""What make sees: nothing of a make that runs this, of a compiler's or of kbuild's settings."""
	env = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
	# Who built it when and where is no input.
	env.update(LC_ALL="C", KBUILD_BUILD_USER="viommu", KBUILD_BUILD_HOST="viommu",
		   KBUILD_BUILD_TIMESTAMP="Thu Jan  1 00:00:00 UTC 1970")
	return env


def missing_packages(path=None):
	"""Debian packages that a build needs and that are not there."""
	missing = [package for program, package in PROGRAMS if not shutil.which(program, path=path)]
	for header, package in HEADERS:
		if "gcc" in missing:
			break
		p = subprocess.run(["gcc", "-E", "-include", header, "-x", "c", os.devnull],
				   env=environment(), stdin=subprocess.DEVNULL,
				   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
		if p.returncode:
			missing.append(package)
	return missing


def check_packages(path=None):
	missing = missing_packages(path)
	if missing:
		raise Failure("a kernel does not build without: apt-get install %s"
			      % " ".join(missing))


def compiler():
	"""The first line of each that the code depends on."""
	lines = []
	for program in ("gcc", "ld"):
		p = subprocess.run([program, "--version"], env=environment(), text=True, check=False,
				   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
				   stderr=subprocess.DEVNULL)
		lines.append(p.stdout.split("\n")[0])
	return lines


def read_fragment(name):
	"""The options that a kernel must have: {name: value}, "n" for those that must not be."""
	path = os.path.join(FRAGMENTS, name + ".config")
	options = {}
	with open(path, encoding="utf-8") as f:
		for number, line in enumerate(f, 1):
			line = line.strip()
			if not line or line.startswith("#"):
				continue
			found = re.fullmatch(r"CONFIG_(\w+)=(\S.*)", line)
			if not found or found.group(1) in options:
				raise Failure("%s, line %d: '%s' is no CONFIG_NAME=VALUE, or the "
					      "second of that name" % (path, number, line))
			options[found.group(1)] = found.group(2)
	return options


def configured(text):
	"""The same of a .config."""
	return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.M))


def check_options(wanted, text):
	"""Kconfig drops what it does not know, or whose conditions do not hold, without a word."""
	have = configured(text)
	bad = ["CONFIG_%s is %s instead of %s" % (name, have.get(name, "n"), value)
	       for name, value in wanted.items() if have.get(name, "n") != value]
	if bad:
		raise Failure("the configuration did not come out as asked: " + "; ".join(bad))


def edit(text, pattern, replacement, where):
	"""The text with the one place that the pattern fits replaced."""
	text, count = re.subn(pattern, lambda _: replacement, text)
	if count != 1:
		raise Failure("%s: what is to be edited is there %d times instead of once: %s"
			      % (where, count, pattern))
	return text


class Builder:
	"""One kernel, with its lock held."""

	def __init__(self, where, name, jobs, keep=False, refresh=False, keyring=vm_fetch.KEYRING):
		self.cache = where
		self.where = os.path.join(where, "kernels")
		self.name = name
		self.table = KERNELS[name]
		self.jobs = jobs
		self.keep = keep
		self.refresh = refresh
		self.keyring = keyring
		self.progress = Progress(name)
		self.log_path = os.path.join(self.where, name + ".log")
		self.tree = os.path.join(self.where, "work-" + name)
		# What is known of the source.
		self.source_path = os.path.join(self.where, name + ".source")
		self.source = None
		if os.path.exists(self.source_path):
			with open(self.source_path, encoding="utf-8") as f:
				self.source = json.load(f)

	# Source.

	def choose(self, apt):
		"""The package and the version to take now."""
		package, suite = self.table["source"], self.table.get("suite")
		if self.table.get("newest"):
			newest = apt.newest(package)
			names = [name for name in apt.depends(package, newest[0])
				 if re.fullmatch(r"linux-source-[\d.]+", name)] if newest else []
			if not names:
				raise Failure("nothing fits: sought the newest kernel source by %s in %s"
					      % (package, ", ".join(vm_fetch.SUITES)))
			package = names[0]
		newest = apt.newest(package, suite)
		if not newest:
			raise Failure("nothing fits: sought %s in %s"
				      % (package, suite or ", ".join(vm_fetch.SUITES)))
		return package, newest[0]

	def find_source(self):
		"""Downloads what is the newest now, and writes down what was taken."""
		self.progress.step("looking for the source, and downloading it")
		# vm-fetch's lock: both use one apt.
		with open(os.path.join(self.cache, "lock"), "w", encoding="utf-8") as lock:
			fcntl.flock(lock, fcntl.LOCK_EX)
			apt = vm_fetch.connect(self.cache, self.keyring)
			(path, package, version, sha256), = apt.packages([self.choose(apt)], False)
		self.source = {"package": package, "version": version, "sha256": sha256,
			       "file": os.path.basename(path)}
		with open(self.source_path + ".new", "w", encoding="utf-8") as f:
			json.dump(self.source, f, indent=1, sort_keys=True)
		os.rename(self.source_path + ".new", self.source_path)

	def archive(self):
		return os.path.join(self.cache, "apt", "archives", self.source["file"])

	# Building.

	def result(self):
		"""The folder of a kernel with the inputs of now, and those."""
		inputs = {
			"format": FORMAT,
			"source": [self.source[key] for key in ("package", "version", "sha256")],
			"options": sorted(read_fragment(self.name).items()),
			"edits": [list(e[:3]) for e in self.table["edits"]],
			"compiler": compiler(),
		}
		text = json.dumps(inputs, sort_keys=True).encode()
		short = hashlib.sha256(text).hexdigest()[:16]
		return os.path.join(self.where, "%s-%s" % (self.name, short)), inputs

	def run(self, text, *argv):
		"""Runs a command in the tree; its output goes to the log."""
		self.progress.step(text)
		with open(self.log_path, "ab") as log, open(self.log_path, "rb") as watched:
			log.write(("$ %s\n" % " ".join(argv)).encode())
			log.flush()
			watched.seek(0, os.SEEK_END)
			with subprocess.Popen(argv, cwd=self.tree, env=environment(),
					      stdin=subprocess.DEVNULL, stdout=log,
					      stderr=subprocess.STDOUT) as p:
				try:
					self.watch(p, watched)
				except BaseException:
					p.terminate()
					raise
		if p.returncode:
			with open(self.log_path, encoding="utf-8", errors="replace") as f:
				tail = vm_fetch.last_lines(f.read(), 12)
			raise Failure("%s: %s failed, see %s:\n%s"
				      % (self.name, argv[0], self.log_path, tail))

	def watch(self, process, log):
		lines = 0
		try:
			while process.poll() is None:
				with contextlib.suppress(subprocess.TimeoutExpired):
					process.wait(1)
				lines += log.read().count(b"\n")
				self.progress.show("%d files" % lines if lines else "under way")
		finally:
			self.progress.clear()

	def make(self, text, *args):
		self.run(text, "make", "ARCH=x86_64", "-j%d" % self.jobs, *args)

	def unpack(self):
		vm_fetch.verify(self.archive(), self.source["sha256"])
		free = shutil.disk_usage(self.where).free
		if free < FREE_BYTES:
			raise Failure("a kernel needs %d MB of disk in %s, there are %d"
				      % (FREE_BYTES >> 20, self.where, free >> 20))
		os.makedirs(self.tree)
		vm_fetch.unpack_only(self.archive(), self.tree, ["usr/src/linux-source-*.tar.xz"])
		inner = vm_fetch.find_one(self.tree, "usr/src/linux-source-*.tar.xz")
		self.run("unpacking %s" % os.path.basename(inner), "tar", "--extract", "--xz", "--file",
			 inner, "--strip-components=1", "--no-same-owner", "--no-same-permissions")
		os.remove(inner)

	def build(self, result, inputs):
		check_packages()
		# Of a run that was killed.
		shutil.rmtree(self.tree, ignore_errors=True)
		with open(self.log_path, "wb"):
			pass
		config = os.path.join(self.tree, ".config")
		try:
			self.unpack()
			for file, pattern, replacement, _ in self.table["edits"]:
				path = os.path.join(self.tree, file)
				with open(path, encoding="utf-8") as f:
					text = edit(f.read(), pattern, replacement, file)
				with open(path, "w", encoding="utf-8") as f:
					f.write(text)
			self.make("configuring", "tinyconfig")
			with open(config, "a", encoding="utf-8") as f:
				for option, value in inputs["options"]:
					f.write("CONFIG_%s=%s\n" % (option, value))
			self.make("completing the configuration", "olddefconfig")
			with open(config, encoding="utf-8") as f:
				check_options(dict(inputs["options"]), f.read())
			self.make("building with %d jobs" % self.jobs, "bzImage")
			self.store(result, inputs, config)
		finally:
			if not self.keep:
				shutil.rmtree(self.tree, ignore_errors=True)

	def store(self, result, inputs, config):
		"""All of it is there, or nothing."""
		new = result + ".new"
		shutil.rmtree(new, ignore_errors=True)
		os.makedirs(new)
		shutil.copyfile(os.path.join(self.tree, "arch/x86/boot/bzImage"),
				os.path.join(new, "bzImage"))
		shutil.copyfile(config, os.path.join(new, "config"))
		with open(os.path.join(new, "inputs.json"), "w", encoding="utf-8") as f:
			json.dump(inputs, f, indent=1)
		shutil.rmtree(result, ignore_errors=True)
		os.rename(new, result)

	def take(self):
		"""Brings it; returns {"bzImage": path, "config": path, "version": text}."""
		begin = time.monotonic()
		if self.refresh or not self.source:
			self.find_source()
		result, inputs = self.result()
		cached = os.path.exists(os.path.join(result, "bzImage"))
		if not cached and not os.path.exists(self.archive()):
			# A mirror need not have that version any more.
			self.find_source()
			result, inputs = self.result()
			cached = os.path.exists(os.path.join(result, "bzImage"))
		if not cached:
			self.build(result, inputs)
		seconds = int(time.monotonic() - begin)
		found = {"bzImage": os.path.join(result, "bzImage"),
			 "config": os.path.join(result, "config"), "version": self.source["version"]}
		self.progress.step("Linux %s %s: %s" % (
			found["version"], "is there" if cached else
			"built in %d min %02d s" % (seconds // 60, seconds % 60), found["bzImage"]))
		return found


def build(where, names, jobs=None, **options):
	"""Brings the kernels of these names; returns {name: what Builder.take() said}."""
	where = os.path.abspath(where)
	jobs = jobs or len(os.sched_getaffinity(0))
	os.makedirs(os.path.join(where, "kernels"), exist_ok=True)
	found = {}
	for name in names:
		path = os.path.join(where, "kernels", name + ".lock")
		with open(path, "w", encoding="utf-8") as lock:
			# Two runs must not both build it.
			try:
				fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
			except BlockingIOError:
				say("%s: waiting for another run" % name)
				fcntl.flock(lock, fcntl.LOCK_EX)
			found[name] = Builder(where, name, jobs, **options).take()
	return found


def main(argv):
	parser = argparse.ArgumentParser(prog="vm-kernel.py", description="Builds kernels for the "
					 "tests from Debian's source packages.")
	parser.add_argument("--dir", default=vm_fetch.default_dir())
	parser.add_argument("--jobs", "-j", type=int, help="of make (default: the processors)")
	parser.add_argument("--refresh", action="store_true", help="look for newer sources")
	parser.add_argument("--keep", action="store_true", help="leave the source tree there")
	parser.add_argument("--keyring", default=vm_fetch.KEYRING)
	parser.add_argument("names", nargs="*", metavar="NAME", help="of: " + " ".join(KERNELS))
	args = parser.parse_args(argv)
	for name in args.names:
		if name not in KERNELS:
			parser.error("no kernel is called '%s'" % name)
	# An end by signal must not leave a make behind, nor gigabytes of source.
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
	try:
		build(args.dir, args.names or list(KERNELS), args.jobs, keep=args.keep,
		      refresh=args.refresh, keyring=args.keyring)
	except Failure as e:
		print("vm-kernel: %s" % e, file=sys.stderr)
		return 1
	except KeyboardInterrupt:
		return 1
	return 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
