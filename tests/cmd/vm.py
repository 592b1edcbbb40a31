#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu vm, as a user runs it, with a QEMU that is a script (fake_qemu.py).

usage: vm.py --viommu PROGRAM [TEST...]

Every test is a function; its name is the sentence that TAP shows. What real QEMU and real guests
say is the business of tests/vm.
"""

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import tool

HERE = os.path.dirname(os.path.abspath(__file__))


class _Qemu:
	"""A folder with a qemu-system-x86_64 and its log."""

	def __init__(self):
		self.dir = tempfile.mkdtemp(prefix="viommu-test-")
		self.path = os.path.join(self.dir, "qemu-system-x86_64")
		# What it says about itself it says without Python, which takes its time to start.
		with open(self.path, "w") as f:
			f.write("""#!/bin/sh
case "$*" in
--version) echo "QEMU emulator version ${FAKE_VERSION-11.1.3} (fake)"; exit;;
"-device help") echo "${FAKE_DEVICES-name \\"vfio-user-pci\\", bus PCI}"; exit;;
esac
exec %s -B %s "$@"
""" % (shlex.quote(sys.executable), shlex.quote(os.path.join(HERE, "fake_qemu.py"))))
		os.chmod(self.path, 0o755)
		self.log = os.path.join(self.dir, "log")

	def __enter__(self):
		return self

	def __exit__(self, *_):
		shutil.rmtree(self.dir)

	def env(self, **more):
		return dict(FAKE_LOG=self.log, VIOMMU_QEMU=self.path, XDG_RUNTIME_DIR=self.dir, **more)

	def starts(self):
		with open(self.log) as f:
			return [json.loads(line) for line in f]

	def left(self):
		"""What viommu left in its folder."""
		return [n for n in os.listdir(self.dir) if n.startswith("viommu-")]


def _vm(*words, expect=0, **env):
	"""Runs to the end. What it said, and QEMU's starts."""
	with _Qemu() as q:
		p = tool.run("vm", *words, expect=expect, env=q.env(**env))
		assert q.left() == [], q.left()
		return p, q.starts()


def _dry(*words):
	"""The command that would run, as a list."""
	with _Qemu() as q:
		p = tool.run("vm", "--dry-run", *words, env=q.env())
		assert not os.path.exists(q.log) and p.stdout.count("\n") == 1, p.stdout
		return shlex.split(p.stdout)


def _values(argv, option):
	return [b for a, b in zip(argv, argv[1:]) if a == option]


def _gone(pid):
	"""Ended; whether somebody has waited for it is not the question."""
	try:
		with open("/proc/%d/stat" % pid) as f:
			return f.read().rpartition(")")[2].split()[0] in "ZX"
	except (FileNotFoundError, ProcessLookupError):
		return True


def a_qemu_that_is_too_old_is_named():
	for version, said in (("7.2.19", "QEMU 7.2"), ("10.0.11", "QEMU 10.0"), ("9.99.0", "QEMU 9.99")):
		with _Qemu() as q:
			tool.one_line("vm", ["--", "-m", "1G"],
				      [q.path, said, "10.1 or later", "vm-fetch.py"], expect=1,
				      env=q.env(FAKE_VERSION=version))


def versions_that_are_new_enough_are_taken():
	for version in ("10.1.0", "10.2", "11.0.0", "123.4"):
		p, starts = _vm("--", "-m", "1G", FAKE_VERSION=version)
		assert len(starts) == 2, starts


def a_qemu_without_vfio_user_is_named():
	with _Qemu() as q:
		tool.one_line("vm", ["--"], [q.path, "QEMU 11.1", "without vfio-user-pci"], expect=1,
			      env=q.env(FAKE_DEVICES='name "vfio-pci", bus PCI'))


def what_is_no_qemu_is_named():
	tool.one_line("vm", ["--qemu", "/bin/echo", "--"], ["/bin/echo", "10.1 or later"], expect=1)
	tool.one_line("vm", ["--qemu", "/nowhere/qemu", "--"], ["/nowhere/qemu", "No such file"], expect=1)
	tool.one_line("vm", ["--"], ["no qemu-system-x86_64 in PATH", "10.1 or later", "vm-fetch.py"],
		      expect=1, env={"PATH": "/nowhere"})


def qemu_is_found_by_option_then_variable_then_path():
	with _Qemu() as a, _Qemu() as b, _Qemu() as c:
		env = dict(a.env(), VIOMMU_QEMU=b.path, PATH=c.dir + ":" + os.environ["PATH"])

		def first(*words):
			return shlex.split(tool.run("vm", *words, "--dry-run", "--", env=env).stdout)[0]
		assert first("--qemu", a.path) == a.path
		assert first() == b.path
		env["VIOMMU_QEMU"] = ""
		assert first() == c.path


def memory_is_what_the_user_says():
	for words, size in (
			([], 1 << 30),
			(["-m", "512"], 512 << 20),
			(["-m", "2G"], 2 << 30),
			(["--m", "2g"], 2 << 30),
			(["-m", "1.5G"], 3 << 29),
			(["-m", "size=4096M"], 4 << 30),
			(["-m", "3G,slots=2,maxmem=8G"], 3 << 30),
			(["-m", "slots=2,size=2048,maxmem=8G"], 2 << 30),
			(["-m", "1G", "-m", "2G"], 2 << 30),
			(["-m", "0.5T"], 1 << 39),
			(["-append", "-m 7G", "-m", "2G"], 2 << 30),
			(["-name", "-m", "-cdrom", "5G"], 1 << 30)):
		argv = _dry("--", *words)
		assert _values(argv, "-object") == [
			"memory-backend-memfd,id=viommu-mem,size=%d,share=on" % size], (words, argv)
		said = [w for w in words if w in ("-m", "--m") and words[words.index(w) - 1] != "-name"]
		assert ("1G" in _values(argv, "-m") and argv[-1] != "-m") or said, argv
		assert len(_values(argv, "-m")) + len(_values(argv, "--m")) >= 1


def only_slots_of_memory_leave_the_size_to_us():
	argv = _dry("--", "-m", "slots=2,maxmem=8G")
	assert _values(argv, "-m") == ["slots=2,maxmem=8G", "1G"]


def the_machine_is_q35():
	for words, added in (
			([], "q35,memory-backend=viommu-mem"),
			(["-accel", "kvm"], "q35,memory-backend=viommu-mem"),
			(["-machine", "accel=tcg"], "q35,memory-backend=viommu-mem"),
			(["-machine", "q35"], "memory-backend=viommu-mem"),
			(["-M", "q35,accel=kvm:tcg"], "memory-backend=viommu-mem"),
			(["-machine", "accel=tcg,type=pc-q35-10.1"], "memory-backend=viommu-mem"),
			(["--machine", "pc-q35-11.1,usb=off"], "memory-backend=viommu-mem")):
		argv = _dry("--", *words)
		assert argv[1:1 + len(words)] == words, argv
		assert _values(argv, "-machine")[-1] == added, (words, argv)


def other_machines_are_refused():
	for text, said in (("pc", "pc"), ("pc-i440fx-9.2,accel=tcg", "pc-i440fx-9.2"), ("microvm", "microvm"),
			   ("accel=kvm,type=isapc", "isapc"), ("none", "none")):
		tool.one_line("vm", ["--", "-machine", text], ["-machine " + said, "q35"])
		tool.one_line("vm", ["--", "-M", text], "q35")


def arguments_that_cannot_work_are_refused():
	tool.one_line("vm", ["--", "-machine", "q35,memory-backend=ram"], ["memory-backend=ram", "-m"])
	tool.one_line("vm", ["--", "-daemonize"], "-daemonize")
	tool.one_line("vm", ["--", "-m"], ["-m", "needs a value"])
	for size in ("x", "-1", "0", "1GG", "2Q", "size=", "99999999T"):
		tool.one_line("vm", ["--", "-m", size], "a size such as 2G")


def a_cpu_is_named_if_the_user_names_none():
	assert _values(_dry("--", "-smp", "2"), "-cpu") == ["max"]
	assert _values(_dry("--", "-cpu", "host"), "-cpu") == ["host"]


def ports_are_in_the_machine_and_their_devices_are_not():
	words = ("--device", "dsa,port=1c.0", "--device", "dsa")
	ports = [v for v in _values(_dry(*words, "--"), "-device") if not v.startswith("{")]
	assert ports == ["pcie-root-port,id=viommu-port0,bus=pcie.0,addr=1c.0,chassis=240"], ports
	devices = [json.loads(v) for v in _values(_dry(*words, "--"), "-device") if v.startswith("{")]
	assert [d["addr"] for d in devices] == ["10.0", "11.0"], devices
	# How to have it is told with the rest, unless nothing is to be told.
	p, _ = _vm(*words, "--")
	line, = [l for l in p.stderr.splitlines() if "plug in by QMP: " in l]
	command = json.loads(line.split("QMP: ", 1)[1])
	assert command["execute"] == "device_add" and command["arguments"]["bus"] == "viommu-port0"
	assert "plug in" not in _vm(*words, "--quiet", "--")[0].stderr


def every_function_has_its_device_and_socket():
	argv = _dry("--device", "dsa,slot=07.0", "--device", "dsa", "--unit", "03.0", "--")
	devices = [json.loads(v) for v in _values(argv, "-device")]
	assert [d["addr"] for d in devices] == ["03.0", "07.0", "11.0"], devices
	assert all(d["driver"] == "vfio-user-pci" for d in devices)
	assert [os.path.basename(d["socket"]["path"]) for d in devices] == [
		"iommu.sock", "dsa0.sock", "dsa1.sock"]
	assert [os.path.basename(v) for v in _values(argv, "-acpitable")] == ["dmar.aml", "ssdt.aml"]


def a_comma_in_the_folder_survives():
	with tool.folder() as d:
		argv = _dry("--dir", d + "/a,b", "--")
		assert _values(argv, "-acpitable")[0] == "file=%s/a,,b/dmar.aml" % d
		p, starts = _vm("--dir", d + "/a,b", "--")
		assert starts[-1]["dmar"] == 0xfebd0000


def the_probe_finds_the_registers():
	p, (probe, real) = _vm("--", "-m", "1G", "-S", "-serial", "stdio", FAKE_PLACE="0xfe600000")
	assert probe["dmar"] == 0xfebe0000 and real["dmar"] == 0xfe600000
	# The machine is the same, but does not wait, and has no window and no console.
	assert "-S" not in probe["argv"] and probe["argv"][-2:] == ["-display", "none"]
	assert probe["tty"][:2] == ["/dev/null", "/dev/null"]
	assert real["argv"][:5] == ["-m", "1G", "-S", "-serial", "stdio"]
	assert "-display" not in real["argv"]
	assert real["tty"][1] != "/dev/null"


def a_known_address_needs_no_probe():
	p, starts = _vm("--registers", "0xfebd0000", "--")
	assert [s["dmar"] for s in starts] == [0xfebd0000]


def a_wrong_address_is_reported():
	p, starts = _vm("--registers", "0xfe000000", "--")
	assert "0xfebd0000" in p.stderr and "--registers 0xfebd0000" in p.stderr, p.stderr


def the_exit_status_is_qemus():
	for status in (0, 1, 7, 200):
		_vm("--registers", "0xfebd0000", "--", expect=status, FAKE_THEN="exit:%d" % status)


def the_terminal_is_qemus():
	with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="echo"),
					stdin=subprocess.PIPE) as r:
		r.process.stdin.write(b"hello\n")
		r.process.stdin.close()
		r.process.stdin = None
		r.until("fake says hello\n")
		assert r.end()[0] == 0


def an_error_of_qemu_is_said_once():
	with _Qemu() as q:
		tool.one_line("vm", ["--", "-bogus", "x"], ["QEMU ended: fake: what is -bogus"], expect=1,
			      env=q.env(FAKE_THEN="fail:what is -bogus"))
		assert q.left() == []


def a_qemu_that_ends_before_its_firmware_runs_is_named():
	with _Qemu() as q:
		tool.one_line("vm", ["--"], ["QEMU ended with status 0"], expect=1,
			      env=q.env(FAKE_PLACE="no"))


def signals_end_qemu_and_then_us():
	for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
		with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="wait")) as r:
			r.until("fake runs\n")
			assert len(q.left()) == 1
			status, err = r.end(number)
			assert status == 0, (status, err)
			assert q.left() == [] and _gone(q.starts()[-1]["pid"])


def nobody_takes_its_place():
	with tool.folder() as d, _Qemu() as q, \
	     tool.Running("vm", "--dir", d, "--registers", "0xfebd0000", "--",
			  env=q.env(FAKE_THEN="wait")) as r:
		r.until("fake runs\n")
		tool.one_line("serve", ["--replace", d], ["a viommu vm", "QEMU"], expect=1)
		assert r.process.poll() is None
		r.end(signal.SIGTERM)


def a_second_signal_kills_a_deaf_qemu():
	with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="deaf")) as r:
		r.until("fake runs\n")
		# Two at once are one: that is how timeout(1) says it.
		r.signal(signal.SIGTERM)
		r.signal(signal.SIGTERM)
		while r.process.poll() is None:
			with contextlib.suppress(subprocess.TimeoutExpired):
				r.process.wait(0.5)
			r.signal(signal.SIGINT)
		status, err = r.end()
		assert status == 128 + signal.SIGKILL and "signal 9" in err, (status, err)
		assert q.left() == []


def two_signals_at_once_are_one():
	with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="wait")) as r:
		r.until("fake runs\n")
		r.signal(signal.SIGTERM)
		r.signal(signal.SIGINT)
		status, err = r.end(signal.SIGHUP)
		assert status == 0, (status, err)


def a_qemu_that_is_killed_ends_us():
	with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="wait")) as r:
		r.until("fake runs\n")
		os.kill(q.starts()[-1]["pid"], signal.SIGKILL)
		status, err = r.end()
		assert status == 128 + signal.SIGKILL and "QEMU ended by signal 9" in err
		assert q.left() == []


def qemu_dies_with_us():
	with _Qemu() as q, tool.Running("vm", "--", env=q.env(FAKE_THEN="deaf")) as r:
		r.until("fake runs\n")
		fd = os.pidfd_open(q.starts()[-1]["pid"])
		r.signal(signal.SIGKILL)
		assert select.select([fd], [], [], 60)[0], "it lives on"
		os.close(fd)


def bad_usage_is_one_clear_line():
	for words, said in (
			([], "behind --"),
			(["-m", "1G"], "'-m'"),
			(["vmlinuz", "--"], "'vmlinuz'"),
			(["--qemu"], "--qemu needs a value"),
			(["--qemu", "--"], "--qemu needs a value"),
			(["--registers", "0x1234", "--"], "multiple of 0x10000"),
			(["--bogus", "--"], "--bogus"),
			(["--device", "gpu", "--"], "gpu")):
		tool.one_line("vm", words, said)


if __name__ == "__main__":
	sys.exit(tool.main(tool.tests_of(sys.modules["__main__"])))
