#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests scripts/vm-kernel.py: it builds what the other tests boot, once, and refuses in words.

usage: built.py --kernels SCRIPT

The kernels go to the usual folder, where the other tests of this suite find them. A kernel is
booted by the test that is about it, not here.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

import vmlib

NAMES = ("vcmd", "host")


def run_script(script, *args, path=None, mirror=None):
	env = dict(os.environ)
	if path:
		env["PATH"] = path
	if mirror:
		env["VIOMMU_DEBIAN_MIRROR"] = mirror
	p = subprocess.run([sys.executable, "-B", script, *args], env=env, text=True, check=False,
			   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			   stderr=subprocess.STDOUT)
	return p.returncode, p.stdout


def refusal(module, function, *args):
	"""What a function says when it refuses; None if it does not."""
	try:
		function(*args)
	except module.Failure as failure:
		return str(failure)
	return None


def said(text, *wanted):
	return ["it said '%s', without '%s'" % (text, w) for w in wanted if w not in (text or "")]


def build(tap, script, name):
	"""Builds one, and again."""
	status, text = run_script(script, name)
	images = re.findall(r"^vm-kernel: %s: Linux \S+ (?:is there|built in .*): (.*)$" % name, text,
			    re.M)
	problems = [] if status == 0 and len(images) == 1 else ["status %d" % status, text]
	tap.check("kernel '%s' is had" % name, problems,
		  text.strip().splitlines()[-1].split(": ")[2] if not problems else "")
	if problems:
		return None
	image = images[0]
	# The boot protocol's mark.
	with open(image, "rb") as f:
		head = f.read(0x210)
	tap.check("'%s': it is a kernel" % name,
		  [] if head[0x202:0x206] == b"HdrS" else ["%s begins with %s" % (image, head[:16])])
	before = os.stat(image)
	status, text = run_script(script, name, mirror="file:///nowhere")
	after = os.stat(image)
	same = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
	tap.check("'%s': a second run builds nothing, and needs no mirror" % name,
		  [] if status == 0 and same and "is there" in text else ["status %d" % status, text])
	left = os.path.join(os.path.dirname(os.path.dirname(image)), "work-" + name)
	tap.check("'%s': its source tree is gone" % name, [left] if os.path.exists(left) else [])
	return image


def check_config(tap, module, name, image):
	with open(os.path.join(os.path.dirname(image), "config"), encoding="utf-8") as f:
		config = f.read()
	wanted = module.read_fragment(name)
	why = refusal(module, module.check_options, wanted, config)
	tap.check("'%s': every option is as asked" % name, [why] if why else [],
		  "%d options" % len(wanted))
	return wanted, config


def check_refusals(tap, module, script, wanted, config, folder):
	# What is off in the file must be off; what Kconfig dropped is not there at all.
	problems = said(refusal(module, module.check_options, {"SMP": "n", "NO_SUCH_OPTION": "y"},
				config),
			"CONFIG_SMP is y instead of n", "CONFIG_NO_SUCH_OPTION is n instead of y")
	problems += ["it accepts an option that is off"] if refusal(
		module, module.check_options, {**wanted, "NO_SUCH_OPTION": "n"}, config) else []
	tap.check("an option that did not come out is named", problems)

	path = os.path.join(folder, "bad.config")
	with open(path, "w", encoding="utf-8") as f:
		f.write("# a comment\nCONFIG_A=y\nCONFIG_A=n\n")
	module.FRAGMENTS, before = folder, module.FRAGMENTS
	text = refusal(module, module.read_fragment, "bad")
	module.FRAGMENTS = before
	tap.check("an option asked for twice is refused, with its line", said(text, "line 3"))

	problems = said(refusal(module, module.edit, "a b c", "x", "", "file.c"), "file.c", "0 times")
	problems += said(refusal(module, module.edit, "a b a", "a", "", "file.c"), "2 times")
	problems += [] if module.edit("a b c", "b", r"\1", "file.c") == r"a \1 c" else ["no edit"]
	tap.check("an edit fits in one place, or is refused", problems)

	tap.check("what packages a build lacks is said in a line",
		  said(refusal(module, module.check_packages, os.path.join(folder, "nothing")),
		       "apt-get install gcc binutils make flex bison bc perl tar xz-utils"))

	status, text = run_script(script, "--dir", os.path.join(folder, "old"), "vcmd",
				  mirror="file:///nowhere")
	tap.check("a source that no mirror has is no kernel",
		  [] if status == 1 and "no signed index" in text else ["status %d" % status, text])


def run(tap, script, folder):
	module = vmlib.load(script)
	images = {name: build(tap, script, name) for name in NAMES}
	if not all(images.values()):
		return
	for name, image in images.items():
		wanted, config = check_config(tap, module, name, image)
	check_refusals(tap, module, script, wanted, config, folder)


def main(argv):
	parser = argparse.ArgumentParser(prog="built.py")
	parser.add_argument("--kernels", required=True)
	args = parser.parse_args(argv)
	tap = vmlib.Tap()
	try:
		with tempfile.TemporaryDirectory(prefix="viommu-kernel-") as folder:
			run(tap, args.kernels, folder)
	except vmlib.Trouble as trouble:
		return tap.bail_out(trouble)
	return tap.done()


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
