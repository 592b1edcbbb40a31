#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""viommu demo, as a user runs it.

usage: demo.py --viommu PROGRAM

Every test is a function; its name is the sentence that TAP shows.
"""

import argparse
import json
import os
import pty
import re
import subprocess
import sys

PROGRAM = None


def run(*options, expect=0):
	p = subprocess.run([PROGRAM, "demo", *options], capture_output=True, text=True, timeout=60)
	assert p.returncode == expect, (options, p.returncode, p.stdout, p.stderr)
	return p


def demo(*options, expect=0):
	return json.loads(run("--json", *options, expect=expect).stdout)


def reads(d):
	return [s for s in d["walk"]["steps"] if s["kind"] == "read" and s["stage"] != "path"]


def four_and_four_levels_are_24_reads():
	d = demo()
	assert d["walk"]["reads"] == 24 == len(reads(d)), d["walk"]["reads"]


def five_and_five_levels_are_35_reads():
	d = demo("--levels", "5")
	assert d["walk"]["reads"] == 35 == len(reads(d)), d["walk"]["reads"]


def large_pages_shorten_the_walk():
	for pages, levels, n, size in (("2m", "4", 15, 1 << 21), ("1g", "4", 8, 1 << 30),
				       ("2m", "5", 24, 1 << 21), ("1g", "5", 15, 1 << 30)):
		d = demo("--pages", pages, "--levels", levels)
		assert d["walk"]["reads"] == n, (pages, levels, d["walk"]["reads"])
		assert d["walk"]["page_size"] == size
		assert d["dma"]["bytes_equal"] and d["page_fault"]["bytes_equal"]


def bytes_arrive_and_come_back():
	d = demo()
	assert d["dma"]["ok"] and d["dma"]["bytes_equal"] and d["dma"]["read"]["bytes_equal"]


def the_last_read_leads_to_the_output():
	d = demo()
	last = int(reads(d)[-1]["value"], 16)
	out = int(d["walk"]["output"], 16)
	assert last & 0xffffffffff000 == out & ~0xfff


def the_pasid_entry_names_both_roots():
	d = demo()
	pe = [int(w, 16) for w in d["bind"]["pasid_entry"]]
	assert pe[0] & 1 and pe[0] >> 6 & 7 == 3
	assert pe[0] & ~0xfff == int(d["bind"]["second_stage_root"], 16)
	assert pe[2] & ~0xfff == int(d["bind"]["first_stage_root"], 16)
	assert pe[1] & 0xffff == d["bind"]["domain_id"]


def the_guests_flush_is_trapped_and_binds():
	d = demo("--gpasid", "300")
	b = d["bind"]
	pe = [int(w, 16) for w in b["guest_pasid_entry"]]
	assert pe[0] == 0x41 and pe[2] == int(b["first_stage_root"], 16), pe
	flush = int(b["flush"][0], 16)
	assert flush & 0xf == 7 and flush >> 4 & 3 == 1 and flush >> 32 == 300, hex(flush)
	assert b["trap"] == {"kind": "bind", "cause": "PASID cache", "gpasid": 300,
			     "hpasid": b["hpasid"], "domain_id": pe[1] & 0xffff}
	u = d["after_unbind"]["trap"]
	assert u["kind"] == "unbind" and u["hpasid"] == b["hpasid"], u


def the_guests_record_has_the_guests_pasid():
	for gp in (0, 1, 5, 0xfffff):
		d = demo("--gpasid", str(gp), "--hpasid", "77")
		r = d["after_unbind"]["record"]
		assert r["reason"] == 0x59 and r["pasid"] == gp and r["sid"] == d["bind"]["device"], r
		assert int(r["address"], 16) == int(d["after_unbind"]["address"], 16) & ~0xfff
		p = d["page_fault"]
		assert p["request_gpasid"] == gp and p["request_hpasid"] == 77, p


def an_invalidation_brings_the_new_page():
	d = demo()
	assert d["invalidation"]["before"]["bytes_equal"]
	assert d["invalidation"]["after"]["bytes_equal"]


def a_missing_page_is_asked_for():
	d = demo()
	p = d["page_fault"]
	assert p["requests"] == 1 and p["bytes_equal"]
	assert p["request_address"] == p["address"] and p["request_gpasid"] == d["bind"]["gpasid"]


def dma_after_unbind_ends_in_a_fault_report():
	d = demo()
	a = d["after_unbind"]
	f = a["fault"]
	assert not a["ok"] and not a["bytes_equal"] and a["reports"] == 1
	assert f["reason"] == 0x59 and f["name"] == "VTD_FR_PE_NP" and f["stage"] == "path"
	assert f["sid"] == d["bind"]["device"] and f["pasid"] == d["bind"]["hpasid"]
	assert f["address"] == a["address"]


def guest_and_host_pasid_may_differ():
	d = demo("--gpasid", "9", "--hpasid", "0x4d")
	assert d["bind"]["gpasid"] == 9 and d["bind"]["hpasid"] == 77
	assert d["dma"]["bytes_equal"] and d["after_unbind"]["fault"]["pasid"] == 77


def a_seed_repeats_addresses_and_data():
	a = demo("--seed", "7")["walk"]["address"]
	assert a == demo("--seed", "7")["walk"]["address"]
	assert a != demo("--seed", "8")["walk"]["address"]


def one_changed_entry_changes_the_walk():
	was = demo("--seed", "7")
	leaf = [s for s in reads(was) if s["stage"] == 0][-1]
	at = leaf["entry_address"]
	moved = int(leaf["value"], 16) + 0x5000
	now = demo("--seed", "7", "--entry", "1=%#x" % moved)
	there = [s for s in reads(now) if s["stage"] == 0][-1]
	assert there["entry_address"] == at and int(there["value"], 16) == moved
	gpa = [int(s["value"], 16) for s in now["walk"]["steps"]
	       if s["kind"] == "output" and s["stage"] == 0][-1]
	assert gpa == (moved & ~0xfff)
	assert not now["dma"]["bytes_equal"]	# the bytes went to the other page


def every_level_can_be_broken():
	for level in (1, 2, 3, 4):
		d = demo("--entry", "%d=0" % level)
		f = d["walk"]["fault"]
		assert f["reason"] == 0x71 and f["level"] == level and f["stage"] == 0, f
		assert d["walk"]["reads"] == 5 * (4 - level + 1)
		assert not d["dma"]["ok"]


def a_page_without_write_permission_faults_the_write():
	d = demo("--entry", "1^2")
	assert d["walk"]["fault"]["reason"] == 0x85
	assert not d["dma"]["ok"] and d["dma"]["fault"]["reason"] == 0x85


def text_shows_each_read_and_the_fault():
	text = run().stdout
	assert len(re.findall(r"^ +\d+ .*entry +at (?:GPA|HPA)", text, re.M)) == 24
	assert "24 reads" in text and "fault 59h" in text and "\x1b" not in text
	assert "the unit has no shadow of it: bind, guest PASID 5 -> host PASID 1" in text
	assert "the guest's fault record: reason 59h, source 00:05.0, PASID 5" in text
	assert max(len(l) for l in text.splitlines()) <= 120


def colour_on_a_terminal_only():
	master, slave = pty.openpty()
	env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
	p = subprocess.Popen([PROGRAM, "demo"], stdout=slave, env=dict(env, TERM="xterm"))
	os.close(slave)
	out = b""
	while True:
		try:
			more = os.read(master, 65536)
		except OSError:
			break
		if not more:
			break
		out += more
	p.wait(60)
	os.close(master)
	assert b"\x1b[" in out and b"24 reads" in out


def bad_usage_is_one_clear_line():
	for options, words in (
			(("--gpasid", "1048576"), "1048575"),
			(("--gpasid", "x"), "'x'"),
			(("--hpasid", "0"), "1..1048575"),
			(("--levels", "3"), "4 or 5"),
			(("--pages", "8k"), "4k, 2m or 1g"),
			(("--entry", "5=0"), "level 5"),
			(("--entry", "1"), "LEVEL=VALUE"),
			(("--pages", "2m", "--entry", "1=0"), "level 1"),
			(("--seed",), "--seed"),
			(("--bogus",), "--bogus"),
			(("more",), "more")):
		p = run(*options, expect=2)
		assert p.stdout == "" and p.stderr.count("\n") == 1, p.stderr
		assert words in p.stderr, p.stderr


TESTS = [v for k, v in list(globals().items())
	 if callable(v) and k not in ("run", "demo", "reads") and v.__module__ == "__main__"]


def main():
	global PROGRAM
	parser = argparse.ArgumentParser()
	parser.add_argument("--viommu", required=True)
	PROGRAM = parser.parse_args().viommu
	tests = [t for t in TESTS if t is not main]
	print("1..%d" % len(tests))
	failed = 0
	for i, test in enumerate(tests, 1):
		try:
			test()
			print("ok %d - %s" % (i, test.__name__))
		except Exception as e:
			failed += 1
			print("# %s: %s" % (type(e).__name__, str(e)[:2000].replace("\n", "\n# ")))
			print("not ok %d - %s" % (i, test.__name__))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
