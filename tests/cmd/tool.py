# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of serve, vm and inspect share: the tool as a user runs it, and TAP."""

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = None
TIMEOUT = 60


def run(*words, expect=0, env=None, stdin=subprocess.DEVNULL):
	p = subprocess.run([PROGRAM, *words], stdin=stdin, capture_output=True, text=True,
			   timeout=TIMEOUT, env=dict(os.environ, **(env or {})), check=False)
	assert p.returncode == expect, (words, p.returncode, p.stdout, p.stderr)
	return p


def one_line(command, words, said, expect=2, env=None):
	"""The command refuses these words in one line that has all of `said` in it."""
	p = run(command, *words, expect=expect, env=env)
	assert p.stdout == "" and p.stderr.count("\n") == 1, (words, p.stdout, p.stderr)
	assert p.stderr.startswith("viommu %s: " % command), p.stderr
	for word in ([said] if isinstance(said, str) else said):
		assert word in p.stderr, (word, p.stderr)


class Running:
	"""The tool in the background; ended at the end of the with block, if it is still there."""

	def __init__(self, *words, env=None, stdin=subprocess.DEVNULL):
		self.process = subprocess.Popen([PROGRAM, *words], stdin=stdin, stdout=subprocess.PIPE,
						stderr=subprocess.PIPE,
						env=dict(os.environ, **(env or {})))
		self.seen = {"stdout": b"", "stderr": b""}

	def __enter__(self):
		return self

	def __exit__(self, *_):
		if self.process.poll() is None:
			self.process.kill()
			self.process.wait(TIMEOUT)
		self.process.stdout.close()
		self.process.stderr.close()

	def until(self, text, stream="stdout"):
		"""Reads until text was said. Returns all that was."""
		f = getattr(self.process, stream)
		end = time.monotonic() + TIMEOUT
		while text.encode() not in self.seen[stream]:
			assert select.select([f], [], [], max(0, end - time.monotonic()))[0], \
				(text, self.seen)
			more = os.read(f.fileno(), 65536)
			assert more, ("it ended", text, self.seen,
				      self.process.stderr.read() if stream == "stdout" else b"")
			self.seen[stream] += more
		return self.seen[stream].decode()

	def signal(self, number):
		self.process.send_signal(number)

	def end(self, number=None):
		"""Its exit status, and what it said on standard error."""
		if number is not None:
			self.signal(number)
		out, err = self.process.communicate(timeout=TIMEOUT)
		self.seen["stdout"] += out
		self.seen["stderr"] += err
		return self.process.returncode, self.seen["stderr"].decode()


def folder():
	return tempfile.TemporaryDirectory(prefix="viommu-test-")


def main(tests, more=()):
	global PROGRAM
	parser = argparse.ArgumentParser()
	parser.add_argument("--viommu", required=True)
	parser.add_argument("test", nargs="*")
	arguments = parser.parse_args()
	PROGRAM = arguments.viommu
	tests = [t for t in tests if not arguments.test or t.__name__ in arguments.test]
	os.environ.pop("VIOMMU_QEMU", None)
	# Whoever runs the tests may have them ignored (nohup), and the tool would, too.
	for number in (signal.SIGHUP, signal.SIGINT):
		signal.signal(number, signal.SIG_DFL)
	print("1..%d" % len(tests))
	failed = 0
	for i, test in enumerate(tests, 1):
		try:
			test()
			print("ok %d - %s" % (i, test.__name__))
		except Exception as e:
			failed += 1
			print("# %s: %s" % (type(e).__name__, str(e)[:3000].replace("\n", "\n# ")))
			print("not ok %d - %s" % (i, test.__name__))
		sys.stdout.flush()
	return 1 if failed else 0


def tests_of(module):
	"""Functions of that module, in order, without those whose names begin with '_'."""
	return [v for k, v in vars(module).items()
		if callable(v) and not k.startswith("_") and
		getattr(v, "__module__", None) == module.__name__ and not isinstance(v, type)]


__all__ = ["run", "one_line", "Running", "folder", "main", "tests_of", "signal"]
