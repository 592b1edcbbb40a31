#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Fetches the virtual machine that the tests boot: QEMU and Linux, as Debian packages.

usage: vm-fetch.py [--dir DIR] [--refresh] [--keyring FILE] [THING[>=VERSION] ...]

A THING is a name of the table THINGS below; without any, DEFAULT_THINGS are fetched. Each is the
newest package in SUITES (the backports first, then the release they belong to), or the newest of
one suite where the table says so, unpacked under DIR/THING/root; nothing is installed and root is
not needed. Programs get a wrapper in DIR/bin that
starts them through the loader and the libraries they came with, because those of this machine are
usually older. DIR/taken.json says what was taken; a second run finds it there and is done.

Trust: apt itself, with lists, cache and settings of its own under DIR/apt, checks the signature of
each index with Debian's archive keyring; the hash of each package is compared with its index once
more here, before it is unpacked. Only the mirror's address (environment VIOMMU_DEBIAN_MIRROR
overrides it) and the transport settings (a proxy, say) come from this machine's apt.

Exit status: 0 all is there, 1 something was not to be had (it says what was sought), 2 usage.
"""

import argparse
import fcntl
import fnmatch
import glob
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.parse

# In order of preference for dependencies; the last is there for its kernel.
SUITES = ("trixie-backports", "trixie", "bookworm")
ARCH = "amd64"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
KEYRING_PACKAGE = "debian-archive-keyring"

# Of some thousand modules, those that a test could load, with all they depend on.
MODULES = [
	"*/kernel/drivers/dca/*", "*/kernel/drivers/dma/idxd/*", "*/kernel/drivers/iommu/*",
	"*/kernel/drivers/uio/*", "*/kernel/drivers/vfio/*", "*/kernel/virt/lib/*",
]
OLD_KERNEL_FILES = {"vmlinuz": "usr/lib/modules/*/vmlinuz|boot/vmlinuz-*",
		    "modules": "usr/lib/modules/*/kernel|lib/modules/*/kernel"}

# What can be asked for. "packages" are the roots; a "%V" stands for the suffix of the newest
# kernel (7.3.4+deb13-amd64). "any" says that the first of the packages that exists is enough: up
# to 6.12 one package carries vmlinuz and modules, later there are two. "suite" asks for the newest
# of that suite. "depends" takes along what the packages depend on; a kernel would bring half a
# distribution. "only" unpacks the files that match, "programs" get wrappers.
THINGS = {
	"qemu": {
		"packages": ["qemu-system-x86"],
		"depends": True,
		"programs": {"qemu-system-x86_64": "usr/bin/qemu-system-x86_64"},
		"files": {"firmware": "usr/share/qemu"},
	},
	"kernel": {
		"packages": ["linux-binary-%V", "linux-image-%V"],
		"any": True,
		"files": {"vmlinuz": "usr/lib/modules/*/vmlinuz|boot/vmlinuz-*"},
	},
	"modules": {
		"packages": ["linux-modules-%V", "linux-image-%V"],
		"any": True,
		"only": MODULES,
		"files": {"modules": "usr/lib/modules/*/kernel|lib/modules/*/kernel"},
	},
	"kernel-6.12": {
		"packages": ["linux-image-%V"],
		"suite": "trixie",
		"only": ["*/vmlinuz*", *MODULES],
		"files": OLD_KERNEL_FILES,
	},
	"kernel-6.1": {
		"packages": ["linux-image-%V"],
		"suite": "bookworm",
		"only": ["*/vmlinuz*", *MODULES],
		"files": OLD_KERNEL_FILES,
	},
	# Programs for inside the guest: what Debian has to configure and to test a DSA device, and
	# what their scripts call.
	"guest": {
		"packages": ["accel-config", "accel-config-test", "bash", "busybox-static"],
		"depends": True,
		"files": {
			"loader": "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
			"root": "",
			"accel-config": "usr/bin/accel-config",
			"bash": "usr/bin/bash",
			"busybox": "usr/bin/busybox",
			"dsa_test": "usr/libexec/accel-config/test/dsa_test",
			"runner": "usr/libexec/accel-config/test/dsa_user_test_runner.sh",
		},
	},
	"ovmf": {
		"packages": ["ovmf"],
		"only": ["*/OVMF_*"],
		"files": {"code": "usr/share/OVMF/OVMF_CODE_4M.fd",
			  "vars": "usr/share/OVMF/OVMF_VARS_4M.fd"},
	},
}
DEFAULT_THINGS = ("qemu", "kernel")
KERNEL_ROOT = "linux-image-amd64"

# Names of a release whose mirror carries SUITES as well; security archives do not.
RELEASES = ("bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")


class Failure(Exception):
	"""Something that was sought is not to be had; the text is for the user."""


def say(text):
	print("vm-fetch: " + text, flush=True)


def run(argv, env=None, cwd=None):
	"""Runs a command, returns (status, standard output, standard error)."""
	full = dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive", **(env or {}))
	try:
		p = subprocess.run(argv, env=full, cwd=cwd, stdin=subprocess.DEVNULL, text=True,
				   stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
	except FileNotFoundError:
		raise Failure("%s is not installed; vm-fetch needs apt and dpkg" % argv[0]) from None
	return p.returncode, p.stdout, p.stderr


def last_lines(text, n=6):
	return "\n".join("    " + line for line in text.strip().splitlines()[-n:])


def version_ge(version, least):
	"""Compares upstream versions; the epoch says nothing about what is inside."""
	upstream = version.split(":", 1)[-1]
	return run(["dpkg", "--compare-versions", upstream, "ge", least])[0] == 0


def machine_mirrors():
	"""Addresses of the Debian archive in this machine's apt configuration, most likely first."""
	given = os.environ.get("VIOMMU_DEBIAN_MIRROR")
	if given:
		return [given]
	status, out, err = run(["apt-get", "indextargets", "--format",
				"$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
	if status:
		raise Failure("apt-get indextargets failed:\n" + last_lines(err))
	found = []
	for line in out.splitlines():
		words = line.split()
		if len(words) != 3 or words[2] != "main" or "security" in words[1]:
			continue
		if words[1].split("-")[0] in RELEASES and words[0] not in found:
			found.append(words[0])
	if not found:
		raise Failure("this machine's apt configuration names no Debian mirror "
			      "(set VIOMMU_DEBIAN_MIRROR)")
	return found


def machine_transport():
	"""The Acquire settings of this machine: proxies, retries, time limits."""
	status, out, err = run(["apt-config", "dump"])
	if status:
		raise Failure("apt-config dump failed:\n" + last_lines(err))
	lines = [line for line in out.splitlines()
		 if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")]
	return "\n".join(lines)


class Apt:
	"""apt with sources, lists, cache and settings of its own, and an empty dpkg status.

	With nothing installed, "install --download-only" resolves a package's whole closure.
	"""

	def __init__(self, where, mirror, suites, keyring):
		self.where = where
		self.mirror = mirror
		for d in ("lists/partial", "archives/partial", "empty/partial"):
			os.makedirs(os.path.join(where, d), exist_ok=True)
		self.archives = os.path.join(where, "archives")
		with open(os.path.join(where, "status"), "w", encoding="utf-8"):
			pass
		with open(os.path.join(where, "sources.list"), "w", encoding="utf-8") as f:
			for suite in suites:
				f.write("deb [signed-by=%s arch=%s] %s %s main\n"
					% (keyring, ARCH, mirror, suite))
		own = {
			"Dir::State": where,
			"Dir::State::status": os.path.join(where, "status"),
			"Dir::Cache": where,
			"Dir::Cache::archives": self.archives,
			"Dir::Log": where,
			"Dir::Etc": where,
			"Dir::Etc::parts": "/dev/null",
			"Dir::Etc::main": "/dev/null",
			"Dir::Etc::sourcelist": os.path.join(where, "sources.list"),
			"Dir::Etc::sourceparts": "/dev/null",
			"Dir::Etc::trusted": "/dev/null",
			"Dir::Etc::trustedparts": "/dev/null",
			"Dir::Etc::preferences": "/dev/null",
			"Dir::Etc::preferencesparts": "/dev/null",
			"Dir::Etc::netrc": "/etc/apt/auth.conf",
			"Dir::Etc::netrcparts": "/etc/apt/auth.conf.d",
			"APT::Architecture": ARCH,
			"APT::Get::Assume-Yes": "true",
			"APT::Get::AllowUnauthenticated": "false",
			"APT::Install-Recommends": "false",
			"APT::Install-Suggests": "false",
			# As root, apt would become a user who may not write here.
			"APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
			# A list that cannot be had or is not signed is an error, no warning.
			"APT::Update::Error-Mode": "any",
			"Acquire::AllowInsecureRepositories": "false",
			"Acquire::AllowWeakRepositories": "false",
			"Acquire::AllowDowngradeToInsecureRepositories": "false",
			"Acquire::Languages": "none",
		}
		self.conf = os.path.join(where, "apt.conf")
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(machine_transport() + "\n#clear APT::Architectures;\n")
			f.write('APT::Architectures { "%s"; };\n' % ARCH)
			for name, value in own.items():
				f.write('%s "%s";\n' % (name, value))

	def apt(self, program, *args, cwd=None):
		# APT_CONFIG is read before the machine's own files, and says not to read those.
		return run([program, *args], env={"APT_CONFIG": self.conf}, cwd=cwd)

	def update(self):
		"""Returns None, or what went wrong."""
		status, _, err = self.apt("apt-get", "-q", "update")
		return err if status else None

	def newest(self, package, wanted=None):
		"""The newest version of a package, and the suite that has it; None if there is none.

		wanted: look at this suite alone."""
		_, out, _ = self.apt("apt-cache", "madison", package)
		best = None
		for line in out.splitlines():
			words = [w.strip() for w in line.split("|")]
			if len(words) != 3 or words[0] != package or "Packages" not in words[2]:
				continue
			suite = words[2].split()[1].split("/")[0]
			if wanted and suite != wanted:
				continue
			if best is None or run(["dpkg", "--compare-versions", words[1], "gt",
						best[0]])[0] == 0:
				best = (words[1], suite)
		return best

	def depends(self, package, version):
		_, out, _ = self.apt("apt-cache", "show", "%s=%s" % (package, version))
		found = re.search(r"^Depends: (.*)$", out, re.M)
		return re.findall(r"(?:^|[,|]) *([a-z0-9][^ ,|(]*)", found.group(1)) if found else []

	def packages(self, roots, depends):
		"""Downloads packages; returns a list of (file, name, version, sha256), all verified."""
		names = ["%s=%s" % (name, version) for name, version in roots]
		verb = ["install", "--download-only"] if depends else ["download"]
		target = ["-q", "-t", SUITES[0]]
		# A package that is in the archives already is not printed, so look at none. Without
		# ForceHash the hash printed is whatever apt thinks good enough.
		status, out, err = self.apt("apt-get", *target, "-o", "Acquire::ForceHash=SHA256",
					    "-o", "Dir::Cache::archives=" +
					    os.path.join(self.where, "empty"),
					    "--print-uris", *verb, *names)
		if status:
			raise Failure("apt cannot resolve %s:\n%s" % (" ".join(names),
								      last_lines(err)))
		listed = re.findall(r"^'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})$", out, re.M)
		if not listed:
			raise Failure("apt named no package to download for %s:\n%s"
				      % (" ".join(names), last_lines(out)))
		status, out, err = self.apt("apt-get", *target, *verb, *names, cwd=self.archives)
		if status:
			raise Failure("apt cannot download %s:\n%s" % (" ".join(names),
								       last_lines(err)))
		taken = []
		for name, _, sha256 in listed:
			path = os.path.join(self.archives, name)
			if not os.path.exists(path):
				path = os.path.join(self.archives, urllib.parse.unquote(name))
			verify(path, sha256)
			package, version, _ = os.path.basename(name)[:-len(".deb")].split("_")
			taken.append((path, package, urllib.parse.unquote(version), sha256))
		return taken


def verify(path, sha256):
	with open(path, "rb") as f:
		found = hashlib.file_digest(f, "sha256").hexdigest()
	if found != sha256:
		raise Failure("%s has SHA-256 %s, its index says %s"
			      % (os.path.basename(path), found, sha256))


def unpack_only(deb, root, patterns):
	"""The plain files of a package whose path matches one of the patterns."""
	with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdin=subprocess.DEVNULL,
			      stdout=subprocess.PIPE) as p, \
	     tarfile.open(fileobj=p.stdout, mode="r|") as tar:
		for member in tar:
			name = os.path.normpath(member.name)
			if not member.isfile() or name.startswith(("/", "..")) or \
			   not any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
				continue
			path = os.path.join(root, name)
			os.makedirs(os.path.dirname(path), exist_ok=True)
			with open(path, "wb") as f:
				shutil.copyfileobj(tar.extractfile(member), f)
		# dpkg-deb must not end by a closed pipe: tar stops reading where the archive ends.
		shutil.copyfileobj(p.stdout, io.BytesIO())
	if p.returncode:
		raise Failure("%s does not unpack" % os.path.basename(deb))


def unpack(deb, root, only=None):
	os.makedirs(root, exist_ok=True)
	if only:
		return unpack_only(deb, root, only)
	# --vextract would list every file; dpkg-deb keeps modes, and needs no root to do so.
	status, _, err = run(["dpkg-deb", "--extract", deb, root])
	if status:
		raise Failure("%s does not unpack:\n%s" % (os.path.basename(deb), last_lines(err)))


def connect(where, keyring):
	"""An apt whose indices are there and signed by Debian."""
	if not os.path.exists(keyring):
		raise Failure("no keyring %s; install the package %s" % (keyring, KEYRING_PACKAGE))
	problems = []
	for mirror in machine_mirrors():
		apt = Apt(os.path.join(where, "apt"), mirror, SUITES, keyring)
		problem = apt.update()
		if not problem:
			return apt
		problems.append(last_lines(problem))
	raise Failure("no signed index of %s to be had from the mirror in this machine's apt "
		      "configuration:\n%s" % (" or ".join(SUITES), "\n".join(problems)))


def kernel_suffix(apt, suite):
	"""The newest kernel's part of package names, by way of the package that depends on it."""
	newest = apt.newest(KERNEL_ROOT, suite)
	if newest:
		for name in apt.depends(KERNEL_ROOT, newest[0]):
			if re.match(r"linux-image-\d", name):
				return name[len("linux-image-"):]
	raise Failure("nothing fits: sought the newest kernel by %s in %s"
		      % (KERNEL_ROOT, suite or ", ".join(SUITES)))


def choose(apt, thing, least):
	"""Package roots and versions for a thing, or Failure that names what was sought."""
	table = THINGS[thing]
	wanted = table["packages"]
	suite = table.get("suite")
	if any("%V" in name for name in wanted):
		suffix = kernel_suffix(apt, suite)
		wanted = [name.replace("%V", suffix) for name in wanted]
	roots = []
	seen = []
	for name in wanted:
		newest = apt.newest(name, suite)
		if not newest:
			seen.append("no %s" % name)
		elif least and not version_ge(newest[0], least):
			seen.append("%s is %s" % (name, newest[0]))
		else:
			roots.append((name, newest[0]))
	if table.get("any"):
		roots = roots[:1]
		missing = not roots
	else:
		missing = len(roots) < len(wanted)
	if missing:
		raise Failure("nothing fits: sought %s%s in %s for %s, found: %s"
			      % (" or ".join(wanted), " >= " + least if least else "",
				 suite or ", ".join(SUITES), ARCH, "; ".join(seen)))
	return roots


def find_one(root, patterns):
	for pattern in patterns.split("|"):
		found = sorted(glob.glob(os.path.join(root, pattern)))
		if found:
			return found[0]
	raise Failure("nothing fits: sought a file %s in the packages taken" % patterns)


WRAPPER = """#!/bin/sh
# Made by scripts/vm-fetch.py: starts a program of another Debian release with its own libraries.
here=$(cd "$(dirname "$0")/.." && pwd) || exit 127
root=$here/%(thing)s/root
lib=$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$lib/qemu"
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$root/lib/x86_64-linux-gnu" \\
	"$root/%(program)s" %(options)s"$@"
"""


def write_wrapper(where, thing, name, program):
	path = os.path.join(where, "bin", name)
	os.makedirs(os.path.dirname(path), exist_ok=True)
	options = ""
	if name.startswith("qemu-system-"):
		# It would look for firmware where the package would have put it.
		options = '-L "$root/usr/share/qemu" -L "$root/usr/share/seabios" ' \
			  '-L "$root/usr/lib/ipxe/qemu" '
	with open(path, "w", encoding="utf-8") as f:
		f.write(WRAPPER % {"thing": thing, "program": program, "options": options})
	os.chmod(path, 0o755)
	return path


def take(apt, where, thing, least):
	roots = choose(apt, thing, least)
	table = THINGS[thing]
	root = os.path.join(where, thing, "root")
	shutil.rmtree(os.path.join(where, thing), ignore_errors=True)
	record = {"version": roots[0][1], "table": table, "packages": [], "files": {}}
	for path, name, version, sha256 in apt.packages(roots, table.get("depends", False)):
		unpack(path, root, table.get("only"))
		record["packages"].append({"package": name, "version": version, "sha256": sha256})
	for key, program in table.get("programs", {}).items():
		find_one(root, program)
		record["files"][key] = os.path.relpath(write_wrapper(where, thing, key, program),
						       where)
	for key, pattern in table.get("files", {}).items():
		record["files"][key] = os.path.relpath(find_one(root, pattern), where)
	return record


def is_there(where, thing, record, least):
	# Taken by an older table, it may lack files.
	if not record or record.get("table") != THINGS[thing]:
		return False
	if least and not version_ge(record["version"], least):
		return False
	return all(os.path.exists(os.path.join(where, path)) for path in record["files"].values())


def report(thing, record, cached):
	if cached:
		say("%s %s is there, %d packages" % (thing, record["version"], len(record["packages"])))
		return
	say("%s %s, %d packages:" % (thing, record["version"], len(record["packages"])))
	for package in record["packages"]:
		print("  %-28s %-36s sha256 %s..." % (package["package"], package["version"],
						      package["sha256"][:16]))


def fetch(where, wanted, refresh=False, keyring=KEYRING):
	"""Brings the things named in wanted, [(thing, least version or None)]; returns the record."""
	where = os.path.abspath(where)
	os.makedirs(where, exist_ok=True)
	record_path = os.path.join(where, "taken.json")
	with open(os.path.join(where, "lock"), "w", encoding="utf-8") as lock:
		# Two tests that both find nothing must not both unpack.
		fcntl.flock(lock, fcntl.LOCK_EX)
		taken = {}
		if os.path.exists(record_path):
			with open(record_path, encoding="utf-8") as f:
				taken = json.load(f)
		apt = None
		for thing, least in wanted:
			cached = not refresh and is_there(where, thing, taken.get(thing), least)
			if not cached:
				apt = apt or connect(where, keyring)
				taken.pop(thing, None)
				taken[thing] = take(apt, where, thing, least)
				with open(record_path + ".new", "w", encoding="utf-8") as f:
					json.dump(taken, f, indent=1, sort_keys=True)
				os.rename(record_path + ".new", record_path)
			report(thing, taken[thing], cached)
	return taken


def default_dir():
	top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
	return os.environ.get("VIOMMU_VM_DIR", os.path.join(top, "build", "vm"))


def parse_thing(word):
	"""Takes "qemu>=10.1" apart; None if there is no such thing."""
	thing, _, least = word.partition(">=")
	return (thing, least or None) if thing in THINGS else None


def main(argv):
	parser = argparse.ArgumentParser(prog="vm-fetch.py", description="Fetches QEMU and Linux "
					 "for the tests, as signed Debian packages.")
	parser.add_argument("--dir", default=default_dir())
	parser.add_argument("--refresh", action="store_true", help="look for newer ones")
	parser.add_argument("--keyring", default=KEYRING)
	parser.add_argument("things", nargs="*", metavar="THING[>=VERSION]",
			    help="of: " + " ".join(THINGS))
	args = parser.parse_args(argv)
	wanted = []
	for word in args.things or DEFAULT_THINGS:
		if not parse_thing(word):
			parser.error("no thing is called '%s'" % word)
		wanted.append(parse_thing(word))
	try:
		fetch(args.dir, wanted, args.refresh, args.keyring)
	except Failure as e:
		print("vm-fetch: %s" % e, file=sys.stderr)
		return 1
	return 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
