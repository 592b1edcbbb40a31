#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu serve, as a user and a VMM see it.

usage: serve.py --viommu PROGRAM [TEST...]

Every test is a function; its name is the sentence that TAP shows. The protocol itself is the
business of tests/server, what the unit does that of tests/guest.
"""

import json
import os
import shlex
import signal
import socket
import stat
import sys
import time

sys.dont_write_bytecode = True

import tool
import vfu


def _serve(d, *words, env=None):
	return tool.Running("serve", "--dir", d, *words, env=env)


def _arguments(r):
	"""The printed command as a list; printed last is the last device."""
	text = r.until("dsa0.sock")
	while not text.endswith("\n") or text.rstrip().endswith("\\"):
		text = r.until("\n" if not text.endswith("\n") else text + "x")
	return text, shlex.split("".join(l for l in text.splitlines(True)
					 if not l.startswith("#")).replace("\\\n", " "))


def the_printed_arguments_are_what_qemu_needs():
	with tool.folder() as d, _serve(d, "--memory", "512M") as r:
		text, argv = _arguments(r)
		assert argv[0] == "qemu-system-x86_64"
		pairs = dict(zip(argv, argv[1:]))
		assert pairs["-machine"] == "q35,memory-backend=viommu-mem"
		assert pairs["-object"] == "memory-backend-memfd,id=viommu-mem,size=512M,share=on"
		assert pairs["-m"] == "512M"
		devices = [json.loads(a) for a in argv if a.startswith("{")]
		assert [x["addr"] for x in devices] == ["04.0", "05.0"]
		for x in devices:
			assert stat.S_ISSOCK(os.stat(x["socket"]["path"]).st_mode)
		tables = [a[5:] for a in argv if a.startswith("file=")]
		assert [open(t, "rb").read(4) for t in tables] == [b"DMAR", b"SSDT"]
		assert "viommu inspect %s/control.sock" % d in text


def json_has_the_same():
	with tool.folder() as d, _serve(d, "--json", "--device", "dsa", "--device", "dsa,slot=09.0") as r:
		answer = json.loads(r.until("\n"))
		assert sorted(answer) == ["control", "plug", "qemu_args"]
		assert answer["plug"] == []
		assert answer["control"] == d + "/control.sock"
		devices = [json.loads(a) for a in answer["qemu_args"] if a.startswith("{")]
		assert [x["addr"] for x in devices] == ["04.0", "05.0", "09.0"]


def ports_are_there_and_what_goes_behind_them_is_told_apart():
	with tool.folder() as d, _serve(d, "--json", "--device", "dsa", "--device", "dsa,port=05.0",
					"--device", "dsa,msi,port=03.1") as r:
		answer = json.loads(r.until("\n"))
		argv = answer["qemu_args"]
		ports = [a for a in argv if a.startswith("pcie-root-port,")]
		assert ports == ["pcie-root-port,id=viommu-port0,bus=pcie.0,addr=05.0,chassis=240",
				 "pcie-root-port,id=viommu-port1,bus=pcie.0,addr=03.1,chassis=241"]
		# The one without a slot gets none of theirs.
		devices = [json.loads(a) for a in argv if a.startswith("{")]
		assert [x["addr"] for x in devices] == ["04.0", "06.0"]
		plug = answer["plug"]
		assert [(x["driver"], x["id"], x["bus"], x["addr"]) for x in plug] == [
			("vfio-user-pci", "viommu-dsa1", "viommu-port0", "00.0"),
			("vfio-user-pci", "viommu-dsa2", "viommu-port1", "00.0")]
		for x in plug:
			assert stat.S_ISSOCK(os.stat(x["socket"]["path"]).st_mode)
	with tool.folder() as d, _serve(d, "--device", "dsa,port=05.0") as r:
		text = r.until("dsa0.sock\"}}}\n")
		line = [l for l in text.splitlines() if l.startswith("# plug in by QMP: ")]
		assert json.loads(line[0].split(": ", 1)[1])["execute"] == "device_add"


def a_device_behind_a_port_comes_and_goes_with_its_client():
	with tool.folder() as d, _serve(d, "-v", "--device", "dsa,port=03.0",
					"--device", "dsa,port=03.0") as r:
		r.until("qemu-system")
		unit = vfu.Function(d + "/iommu.sock")

		def slots():
			state = json.loads(tool.run("inspect", "--json", d).stdout)
			return [x["slot"] for x in state["devices"]], state["ports"]

		assert slots() == ([None, None],
				   [{"slot": "00:03.0", "bus": 1, "bus_told": False}])
		first = vfu.Function(d + "/dsa0.sock")
		first.read32(vfu.CONFIG, 0)
		assert slots()[0] == ["01:00.0", None]
		# The guest says what bus it is, as the SSDT has it do.
		unit.write(vfu.CONFIG, 0xc4, b"\x07")
		assert slots() == (["07:00.0", None],
				   [{"slot": "00:03.0", "bus": 7, "bus_told": True}])
		second = vfu.Function(d + "/dsa1.sock")
		second.read32(vfu.CONFIG, 0)
		assert slots()[0] == ["07:00.0", None]
		second.close()
		first.close()
		r.until("device 0 behind port 03.0: gone", "stderr")
		assert slots()[0] == [None, None]
		second = vfu.Function(d + "/dsa1.sock")
		second.read32(vfu.CONFIG, 0)
		assert slots()[0] == [None, "07:00.0"]
		status, err = r.end(signal.SIGTERM)
		assert status == 0
		assert "another one is there already" in err, err


def sockets_are_for_their_user_alone():
	with tool.folder() as d, _serve(d + "/new") as r:
		r.until("qemu-system")
		assert stat.S_IMODE(os.stat(d + "/new").st_mode) == 0o700
		for name in ("iommu.sock", "dsa0.sock", "control.sock"):
			assert stat.S_IMODE(os.stat(d + "/new/" + name).st_mode) == 0o600, name


def signals_end_it_cleanly():
	for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
		with tool.folder() as d, _serve(d) as r:
			r.until("qemu-system")
			f = vfu.Function(d + "/iommu.sock")
			status, err = r.end(number)
			assert (status, err) == (0, ""), (number, status, err)
			assert os.listdir(d) == [], os.listdir(d)
			f.close()


def a_folder_of_its_own_goes_away():
	with tool.folder() as d, tool.Running("serve", env={"XDG_RUNTIME_DIR": d}) as r:
		r.until("qemu-system")
		names = os.listdir(d)
		assert len(names) == 1 and names[0].startswith("viommu-")
		assert stat.S_IMODE(os.stat(os.path.join(d, names[0])).st_mode) == 0o700
		assert r.end(signal.SIGTERM)[0] == 0
		assert os.listdir(d) == []


def a_socket_that_somebody_serves_is_an_error():
	with tool.folder() as d, _serve(d) as r:
		r.until("qemu-system")
		tool.one_line("serve", ["--dir", d], ["iommu.sock", "somebody serves there already"],
			      expect=1)
		vfu.Function(d + "/iommu.sock").close()	# still there


def a_socket_that_nobody_serves_is_replaced():
	with tool.folder() as d:
		s = socket.socket(socket.AF_UNIX)
		s.bind(d + "/iommu.sock")
		s.close()
		with _serve(d) as r:
			r.until("qemu-system")
			vfu.Function(d + "/iommu.sock").close()


def a_file_in_the_way_stays():
	with tool.folder() as d:
		with open(d + "/iommu.sock", "w") as f:
			f.write("mine")
		tool.one_line("serve", ["--dir", d], "iommu.sock", expect=1)
		assert open(d + "/iommu.sock").read() == "mine"


def a_link_is_not_followed():
	with tool.folder() as d:
		os.symlink(d + "/victim", d + "/dmar.aml")
		with open(d + "/victim", "w") as f:
			f.write("mine")
		tool.one_line("serve", ["--dir", d], "dmar.aml", expect=1)
		assert open(d + "/victim").read() == "mine"


def the_dmar_names_the_slots_and_the_address():
	with tool.folder() as d, _serve(d, "--registers", "0xfe700000", "--device", "dsa,slot=08.3") as r:
		r.until("qemu-system")
		dmar = open(d + "/dmar.aml", "rb").read()
		assert int.from_bytes(dmar[56:64], "little") == 0xfe700000
		assert dmar[64:72] == bytes([1, 8, 0, 0, 0, 0, 8, 3]), dmar[64:72]
		assert sum(dmar) & 0xff == 0


def a_wrong_address_is_told_once():
	with tool.folder() as d, _serve(d) as r:
		r.until("qemu-system")
		f = vfu.Function(d + "/iommu.sock")
		f.place(0xfe600000)
		f.place(0xfe600000)
		f.close()
		status, err = r.end(signal.SIGTERM)
		assert status == 0 and err.count("\n") == 1, err
		assert "0xfe600000" in err and "0xfebe0000" in err and "--registers 0xfe600000" in err


def the_next_vm_may_come():
	with tool.folder() as d, _serve(d) as r:
		r.until("qemu-system")
		for _ in range(3):
			f = vfu.Function(d + "/iommu.sock")
			g = vfu.Function(d + "/dsa0.sock")
			f.place(0xfebe0000)
			assert f.read32(vfu.BAR0, 0) >> 4 == 6	# VER, major
			assert f.read32(vfu.CONFIG, 0) == 0x09a28086
			assert g.read32(vfu.CONFIG, 0) == 0x0b258086
			f.write64(vfu.BAR0, 0x20, 0x12000)	# RTADDR
			assert f.read64(vfu.BAR0, 0x20) == 0x12000
			f.close()
			g.close()
			# The next client begins with registers as after power-on.
			f = vfu.Function(d + "/iommu.sock")
			assert f.read64(vfu.BAR0, 0x20) == 0
			f.close()


def a_guest_does_not_fill_the_log():
	with tool.folder() as d, _serve(d, "-v", "-v") as r:
		r.until("qemu-system")
		f = vfu.Function(d + "/iommu.sock")
		began = time.monotonic()
		for _ in range(600):	# an abort of all requests, and back
			f.write64(vfu.BAR0, 0x20, 0xc00)
			f.write32(vfu.BAR0, 0x18, 1 << 30)
			f.write32(vfu.BAR0, 0x18, 1 << 31)
			f.write32(vfu.BAR0, 0x18, 0)
		f.close()
		status, err = r.end(signal.SIGTERM)
		assert status == 0
		binds = [l for l in err.splitlines() if "bind " in l]
		# 64 a second, of those that have begun.
		assert 0 < len(binds) <= 64 * (time.monotonic() - began + 2), len(binds)


def profiles_and_caching_mode_are_announced():
	def cap_ecap(*words):
		with tool.folder() as d, _serve(d, *words) as r:
			r.until("qemu-system")
			f = vfu.Function(d + "/iommu.sock")
			cap, ecap = f.read64(vfu.BAR0, 8), f.read64(vfu.BAR0, 16)
			f.close()
			# The VMM delivers interrupts itself, so none could be remapped.
			assert not ecap >> 3 & 1, (words, "ECAP.IR")
			return cap >> 7 & 1, ecap >> 26 & 1, ecap >> 46 & 1, ecap >> 47 & 1
	# caching mode, nesting, second stage, first stage
	assert cap_ecap() == (0, 0, 0, 1)
	assert cap_ecap("--profile", "sva", "--caching-mode") == (1, 0, 0, 1)
	assert cap_ecap("--profile", "host")[1:] == (1, 1, 1)
	assert cap_ecap("--profile", "legacy-kernels")[0] == 1


def the_guest_is_given_pasids_of_the_host():
	for layout, capability, command, response, shift in (("new", 0xe30, 0xe00, 0xe10, 16),
							     ("old", 0xe00, 0xe10, 0xe20, 8)):
		with tool.folder() as d, _serve(d, "--virtual-commands", layout) as r:
			r.until("qemu-system")
			f = vfu.Function(d + "/iommu.sock")
			assert f.read64(vfu.BAR0, 8) >> 7 & 1 and f.read64(vfu.BAR0, 16) >> 44 & 1
			assert f.read64(vfu.BAR0, capability) & 1
			for n in range(3):
				f.write64(vfu.BAR0, command, 1)
				assert f.read64(vfu.BAR0, response) == (0x1000 + n) << shift
			f.write64(vfu.BAR0, command, 0x1001 << shift | 2)
			assert f.read64(vfu.BAR0, response) == 0
			f.close()
			# A guest that starts anew has none.
			f = vfu.Function(d + "/iommu.sock")
			f.write64(vfu.BAR0, command, 1)
			assert f.read64(vfu.BAR0, response) == 0x1000 << shift
			f.close()
	with tool.folder() as d, _serve(d, "--virtual-commands", "new",
					"--pasid-range", "0x20-0x21") as r:
		r.until("qemu-system")
		f = vfu.Function(d + "/iommu.sock")
		answers = []
		for _ in range(3):
			f.write64(vfu.BAR0, 0xe00, 1)
			answers.append(f.read64(vfu.BAR0, 0xe10))
		# None is left: a status, and no PASID.
		assert answers[:2] == [0x20 << 16, 0x21 << 16] and 0 < answers[2] < 1 << 8, answers
		f.close()


def without_a_quota_each_vm_has_an_even_share():
	# Of 32 host PASIDs two are those of the shared device's parts.
	with tool.folder() as d, _serve(d, "--json", "--vms", "2", "--shared-device", "dsa",
					"--pasid-range", "0x20-0x3f", "--memory", "512M") as r:
		r.until("\n")
		state = json.loads(tool.run("inspect", "--json", d).stdout)
		assert state["pasid_quota"] == 15
		for number in range(2):
			state = json.loads(tool.run("inspect", "--json",
						    "%s/vm%d/" % (d, number)).stdout)
			assert state["host_pasids"] == {"held": 0, "quota": 15}


def vms_are_given_pasids_that_no_other_has():
	for layout, capability, command, response, shift, none in (
			("new", 0xe30, 0xe00, 0xe10, 16, 16), ("old", 0xe00, 0xe10, 0xe20, 8, 2)):
		with tool.folder() as d, _serve(d, "--json", "--vms", "2", "--shared-device", "dsa",
						"--virtual-commands", layout, "--pasid-range",
						"0x20-0x3f", "--memory", "512M") as r:
			r.until("\n")
			units = [vfu.Function("%s/vm%d/iommu.sock" % (d, n)) for n in range(2)]
			parts = [json.loads(tool.run("inspect", "--json", "%s/vm%d/" % (d, n)).stdout)
				 ["devices"][0]["default_pasid"] for n in range(2)]

			def answer(unit, code, operand=0):
				unit.write64(vfu.BAR0, command, operand << shift | code)
				v = unit.read64(vfu.BAR0, response)
				return v >> 1 & (1 << shift - 1) - 1, v >> shift

			given = ([], [])
			for unit in units:
				assert unit.read64(vfu.BAR0, 8) >> 7 & 1
				assert unit.read64(vfu.BAR0, 16) >> 44 & 1
				assert unit.read64(vfu.BAR0, capability) & 1
			# The first takes all that it can: its share, an even one.
			for unit, mine in zip(units, given):
				while True:
					status, pasid = answer(unit, 1)
					if status:
						break
					mine.append(pasid)
				assert (status, pasid) == (none, 0), (status, pasid)
			assert [len(mine) for mine in given] == [15, 15], given
			assert sorted(given[0] + given[1] + parts) == list(range(0x20, 0x40))
			# Nobody gives back another's.
			for pasid in given[1] + parts:
				assert answer(units[0], 2, pasid) == (none, 0), pasid
			assert answer(units[0], 2, given[0][3]) == (0, 0)
			assert answer(units[1], 1) == (none, 0)
			assert answer(units[0], 1) == (0, given[0][3])
			# A guest that starts anew gives back its own, and is given them again.
			units[0].close()
			units[0] = vfu.Function(d + "/vm0/iommu.sock")
			assert answer(units[1], 1) == (none, 0)
			again = [answer(units[0], 1) for _ in given[0]]
			assert again == [(0, pasid) for pasid in sorted(given[0])], again
			for n in range(2):
				held = json.loads(tool.run("inspect", "--json",
							   "%s/vm%d/" % (d, n)).stdout)
				assert held["host_pasids"] == {"held": 15, "quota": 15}, held
			for unit in units:
				unit.close()


def several_vms_have_a_folder_each():
	with tool.folder() as d, _serve(d, "--json", "--vms", "2", "--shared-device",
					"dsa,queues=6,engines=3,entries=64,slot=07.0", "--device",
					"dsa", "--memory", "512M", "--pasid-quota", "9") as r:
		answer = json.loads(r.until("\n"))
		assert sorted(answer) == ["control", "vms"]
		assert answer["control"] == d + "/control.sock"
		for number, vm in enumerate(answer["vms"]):
			own = "%s/vm%d/" % (d, number)
			assert vm["control"] == own + "control.sock"
			devices = [json.loads(a) for a in vm["qemu_args"] if a.startswith("{")]
			# The shared device comes first.
			assert [x["addr"] for x in devices] == ["04.0", "07.0", "05.0"]
			assert all(x["socket"]["path"].startswith(own) for x in devices)
			state = json.loads(tool.run("inspect", "--json", own).stdout)
			assert state["vm"] == number and state["pasids"] == "host"
			assert state["host_pasids"] == {"held": 0, "quota": 9}
			shared, plain = state["devices"]
			assert (shared["shared"], plain["shared"]) == (True, False)
			assert shared["host_requester"] == "00:07.0"
			assert shared["default_pasid"] >= 0x1000
			# Requester ids of the host, where each is there once.
			assert plain["host_requester"] == "0%d:05.0" % number
			wqcap = vfu.Function(devices[1]["socket"]["path"]).read64(vfu.BAR0, 0x20)
			assert (wqcap & 0xffff, wqcap >> 16 & 0xff) == (32, 3), hex(wqcap)
		state = json.loads(tool.run("inspect", "--json", d).stdout)
		assert [vm["vm"] for vm in state["vms"]] == [0, 1] and state["pasid_quota"] == 9
		shared, = state["shared_devices"]
		assert (shared["host_requester"], shared["engines"]) == ("00:07.0", 3)
		assert len({f["default_pasid"] for f in shared["functions"]}) == 2
		assert [(b["vm"], b["guest_pasid"]) for b in shared["binds"]] == [(0, None), (1, None)]
		text = tool.run("inspect", d).stdout
		for said in ("2 VMs on one host", "Shared device 00:07.0, dsa, 3 engines",
			     "VM 1   requests without PASID"):
			assert said in text, text
		assert "a part of       00:07.0" in tool.run("inspect", d + "/vm1").stdout
		status, err = r.end(signal.SIGTERM)
		assert (status, err) == (0, ""), (status, err)
		assert sorted(os.listdir(d)) == ["vm0", "vm1"]
		assert os.listdir(d + "/vm0") == os.listdir(d + "/vm1") == []


def a_fleet_prints_the_arguments_of_each():
	with tool.Running("serve", "--vms", "2", "--shared-device", "dsa") as r:
		text = r.until("# What they share")
		text += r.until("\n") if not text.endswith("\n") else ""
		assert text.count("qemu-system-x86_64 ") == 2
		assert "# VM 0\n" in text and "# VM 1\n" in text
		d = text.split("# inspect: viommu inspect ")[1].split("/vm0/")[0]
		assert os.path.isdir(d + "/vm1")
		r.end(signal.SIGTERM)
		assert not os.path.exists(d)


def the_end_of_a_vm_leaves_the_others():
	with tool.folder() as d, _serve(d, "--vms", "2", "--shared-device", "dsa") as r:
		r.until("# What they share")
		units = [vfu.Function("%s/vm%d/iommu.sock" % (d, n)) for n in (0, 1)]
		parts = [vfu.Function("%s/vm%d/dsa0.sock" % (d, n)) for n in (0, 1)]
		for unit in units:
			unit.place(0xfebe0000)
			unit.write64(vfu.BAR0, 0x20, 0x12000)	# RTADDR
		parts[1].write32(vfu.BAR0, 0x500, 4)		# WQCFG, size
		units[0].close()
		parts[0].close()
		# Served after the end of the first VM was seen.
		assert vfu.Function(d + "/vm0/iommu.sock").read64(vfu.BAR0, 0x20) == 0
		assert units[1].read64(vfu.BAR0, 0x20) == 0x12000
		assert parts[1].read32(vfu.BAR0, 0x500) == 4


def it_gives_up_what_it_could_do():
	with tool.folder() as d, _serve(d) as r:
		r.until("qemu-system")
		vfu.Function(d + "/iommu.sock").close()
		with open("/proc/%d/status" % r.process.pid) as f:
			status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
		for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
			assert int(status[name], 16) == 0, (name, status[name])
		assert status["NoNewPrivs"] == "1"


def bad_usage_is_one_clear_line():
	for words, said in (
			(["--dir"], "--dir needs a value"),
			(["--user"], "--user needs a value"),
			(["--profile"], "--profile needs a value"),
			(["--profile", "fast"], ["fast", "sva, host or legacy-kernels"]),
			(["--unit"], "--unit needs a value"),
			(["--unit", "4"], ["--unit 4", "DD.F"]),
			(["--unit", "20.0"], "DD.F"),
			(["--unit", "04.8"], "DD.F"),
			(["--unit", "00.0"], "DD.F"),
			(["--pasids"], "--pasids needs a value"),
			(["--pasids", "mine"], ["mine", "identity or host"]),
			(["--pasid-range"], "--pasid-range needs a value"),
			(["--pasid-range", "7"], ["--pasid-range 7", "FIRST-LAST"]),
			(["--pasid-range", "-7"], "FIRST-LAST"),
			(["--pasid-range", "5-"], "FIRST-LAST"),
			(["--pasid-range", "1-2-3"], "FIRST-LAST"),
			(["--pasid-range", "0-5"], "within 1 to 0xfffff"),
			(["--pasid-range", "6-5"], "within 1 to 0xfffff"),
			(["--pasid-range", "1-0x100000"], "within 1 to 0xfffff"),
			(["--virtual-commands"], "--virtual-commands needs a value"),
			(["--virtual-commands", "newer"], ["newer", "new or old"]),
			(["--virtual-commands", "new", "--pasids", "host"], "the host's"),
			(["--virtual-commands", "new", "--profile", "legacy-kernels"], "no PASIDs"),
			(["--registers"], "--registers needs a value"),
			(["--registers", "fe000000"], ["fe000000", "0x"]),
			(["--registers", "0"], "multiple of 0x10000"),
			(["--registers", "0xfebe1000"], "multiple of 0x10000"),
			(["--registers", "0x100000000"], "below 4 GiB"),
			(["--memory"], "--memory needs a value"),
			(["--memory", "big"], ["big", "512M"]),
			(["--memory", "1G,x"], "512M"),
			(["--device"], "--device needs a value"),
			(["--device", "gpu"], ["gpu", "dsa"]),
			(["--device", "dsa,slot=5"], ["slot=5", "DD.F"]),
			(["--device", "dsa,queues=0"], ["queues=0", "1 to 8"]),
			(["--device", "dsa,queues=9"], "1 to 8"),
			(["--device", "dsa,queues=x"], "queues=x"),
			(["--device", "dsa,engines=5"], "1 to 4"),
			(["--device", "dsa,groups=5"], "1 to 4"),
			(["--device", "dsa,entries=1025"], "1 to 1024"),
			(["--device", "dsa,colour=red"], "colour"),
			(["--device", "dsa,fast"], "fast"),
			(["--device", "dsa,port=5"], ["port=5", "DD.F"]),
			(["--device", "dsa,slot=05.0,port=06.0"], ["slot=", "port="]),
			(["--device", "dsa,"], "none of"),
			(["--pasid-quota"], "--pasid-quota needs a value"),
			(["--pasid-quota", "0"], "1 to 1048575"),
			(["--vms"], "--vms needs a value"),
			(["--vms", "17"], "1 to 16"),
			(["--vms", "2", "--pasids", "identity"], ["identity", "one VM alone"]),
			(["--shared-device"], "--shared-device needs a value"),
			(["--shared-device", "gpu"], ["gpu", "dsa"]),
			(["--shared-device", "dsa,groups=1"], ["groups", "queues="]),
			(["--shared-device", "dsa,queues=65"], "1 to 64"),
			(["--shared-device", "dsa,engines=17"], "1 to 16"),
			(["--shared-device", "dsa,entries=0"], "1 to 1024"),
			(["--shared-device", "dsa,slot=5"], "DD.F"),
			(["--shared-device", "dsa,fast"], "fast"),
			(["--vms", "5", "--shared-device", "dsa"], "5 VMs"),
			(["--bogus"], "--bogus"),
			(["more"], "more")):
		tool.one_line("serve", words, said)
	tool.one_line("serve", ["--device", "dsa"] * 17, "16 at most")
	tool.one_line("serve", ["--shared-device", "dsa"] * 5, "4 at most")


def what_cannot_start_is_one_clear_line():
	with tool.folder() as d:
		for words, said in (
				(["--device", "dsa,slot=05.0", "--device", "dsa,slot=05.0"],
				 ["05.0", "taken"]),
				(["--device", "dsa,slot=04.0"], ["04.0", "taken"]),
				(["--device", "dsa,port=04.0"], ["04.0", "taken"]),
				(["--device", "dsa,slot=05.0", "--device", "dsa,port=05.0"],
				 ["05.0", "taken"]),
				(["--dir", d + "/not/there"], "not/there"),
				(["--dir", d + "/" + "x" * 200], "x" * 200)):
			words = words if "--dir" in words else ["--dir", d, *words]
			tool.one_line("serve", words, said, expect=1)
		assert [n for n in os.listdir(d) if n.endswith(".sock")] == []


if __name__ == "__main__":
	sys.exit(tool.main(tool.tests_of(sys.modules["__main__"])))
