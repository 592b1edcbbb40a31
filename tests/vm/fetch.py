#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests scripts/vm-fetch.py: what it takes runs, what does not fit or is not signed is refused.

usage: fetch.py --fetch SCRIPT

The packages go to the usual folder, where the other tests of this suite find them. The refusals
use folders of their own; they fetch indices, no packages.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

import vmlib

# Keys that Debian no longer signs with, and a key that the first keyring of Debian 12 had.
OLD_KEYS = "/usr/share/keyrings/debian-archive-removed-keys.gpg"
DEBIAN_12_KEYS = "/usr/share/keyrings/debian-archive-bookworm-automatic.gpg"


def fetch(script, *args, mirror=None):
	env = dict(os.environ)
	if mirror:
		env["VIOMMU_DEBIAN_MIRROR"] = mirror
	p = subprocess.run([sys.executable, script, *args], env=env, text=True, check=False,
			   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			   stderr=subprocess.STDOUT)
	return p.returncode, p.stdout


def expect(status, text, want_status, *want_texts):
	problems = []
	if status != want_status:
		problems.append("exit status %d, wanted %d" % (status, want_status))
	problems += ["it did not say '%s'" % t for t in want_texts if t not in text]
	return problems + (["it said: " + text.strip()] if problems else [])


def run(tap, script, folder):
	status, text = fetch(script)
	problems = expect(status, text, 0, "vm-fetch: qemu ", "vm-fetch: kernel ")
	tap.check("QEMU and a kernel are had", problems)
	if problems:
		return
	things = vmlib.fetch(script, "qemu", "kernel")
	tap.note("QEMU %s, Linux %s" % (things["qemu"]["version"], things["kernel"]["version"]))

	p = subprocess.run([things["qemu"]["qemu-system-x86_64"], "--version"], text=True, check=False,
			   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			   stderr=subprocess.STDOUT)
	upstream = things["qemu"]["version"].split(":")[-1].split("+")[0]
	tap.check("that QEMU runs here", expect(p.returncode, p.stdout, 0, "version " + upstream))

	# What apt has downloaded already must be unpacked like the rest.
	for word in re.findall(r"vm-fetch: qemu .*, (\d+) packages", text):
		again = fetch(script, "--refresh", "qemu")[1]
		tap.check("a refresh takes as many packages", [] if ", %s packages" % word in again
			  else ["there were %s" % word, "it said: " + again], word + " packages")
	status, text = fetch(script, mirror="file:///nowhere")
	tap.check("a second run needs no mirror", expect(status, text, 0, "is there"))

	# The first test to run: what the others need is fetched here, once.
	others = ("modules", "kernel-6.12", "kernel-6.1", "guest", "ovmf")
	status, text = fetch(script, *others)
	tap.check("modules, older kernels, the guest's programs and OVMF are had",
		  expect(status, text, 0, *["vm-fetch: %s " % name for name in others]))
	things = vmlib.fetch(script, *others)
	wanted = {"kernel-6.12": "6.12.", "kernel-6.1": "6.1."}
	tap.check("an older kernel is of the release asked for",
		  ["%s is %s" % (name, things[name]["version"]) for name, start in wanted.items()
		   if not things[name]["version"].startswith(start)])

	status, text = fetch(script, "qemu>=99")
	tap.check("when nothing fits it says what was sought",
		  expect(status, text, 1, "nothing fits", "qemu-system-x86 >= 99",
			 "trixie-backports", "found: qemu-system-x86 is "))
	status, text = fetch(script, mirror="file:///nowhere")
	tap.check("and what was there stays", expect(status, text, 0, "is there"))

	status, text = fetch(script, "--dir", os.path.join(folder, "old"), "--keyring", OLD_KEYS,
			     "qemu")
	problems = expect(status, text, 1, "no signed index")
	if os.path.exists(os.path.join(folder, "old", "qemu")):
		problems.append("it unpacked something")
	tap.check("an index signed by no key of the keyring is refused", problems)

	if os.path.exists(DEBIAN_12_KEYS):
		status, text = fetch(script, "--dir", os.path.join(folder, "one"), "--keyring",
				     DEBIAN_12_KEYS, "qemu>=99")
		tap.check("the keys that Debian 12 came with are enough",
			  expect(status, text, 1, "nothing fits"))

	status, text = fetch(script, "--dir", os.path.join(folder, "none"), "--keyring",
			     os.path.join(folder, "nothing"), "qemu")
	tap.check("a missing keyring is named", expect(status, text, 1, "debian-archive-keyring"))

	module = vmlib.load(script)
	package = os.path.join(folder, "package.deb")
	with open(package, "wb") as f:
		f.write(b"abc")
	# The hash of "abc" is the example in the standard, FIPS 180.
	good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	problems = []
	module.verify(package, good)
	try:
		with open(package, "wb") as f:
			f.write(b"abd")
		module.verify(package, good)
		problems.append("it was accepted")
	except module.Failure:
		pass
	tap.check("a package that is not what its index says is refused", problems)


def main(argv):
	parser = argparse.ArgumentParser(prog="fetch.py")
	parser.add_argument("--fetch", required=True)
	args = parser.parse_args(argv)
	tap = vmlib.Tap()
	try:
		with tempfile.TemporaryDirectory(prefix="viommu-fetch-") as folder:
			run(tap, args.fetch, folder)
	except vmlib.Trouble as trouble:
		return tap.bail_out(trouble)
	return tap.done()


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
