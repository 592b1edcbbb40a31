#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Debian's accel-config and its tests, unmodified, in a guest with our device.

usage: accel.py --viommu PROGRAM --guest INIT --preload LIB --preload-run PROGRAM --fetch SCRIPT

accel-config configures one dedicated queue; dsa_test and its runner use it. TCG has no MOVDIR64B,
so a library of ours is preloaded that stands in for it (tests/vm/guest/movdir64b.c).
"""

import sys

import guests
import vmlib

# As many as the runner has in accel-config 4.1.8: each operation in both modes, by sizes, with and
# without block-on-fault, alone and in a batch. A later release may have more.
LEAST_PASSES = 400
LEAST_OF_KIND = {"single": 150, "batched": 150, "dif": 20, "dif_batched": 20,
		 "block_on_fault": 200, "no_block_on_fault": 200}
RUNNER_SECONDS = 1200


def run(tap, args, folder):
	setup = guests.Setup(args, folder, accel=True)
	tap.note(setup.about)
	with vmlib.Server(args.viommu, folder) as server, setup.boot(server) as guest:
		guest.start()
		guest.must(tap, "load idxd")
		guest.must(tap, "preload")
		guest.must(tap, "accel config")
		guest.check(tap, "dsa_test", 600)
		answer = guest.check(tap, "runner", RUNNER_SECONDS)
		passes = int(answer.value("runner_passes") or 0)
		tap.check("every run of the test runner passes",
			  [] if passes >= LEAST_PASSES and not answer.status else
			  ["%d passes, status %s" % (passes, answer.status)], "%d passes" % passes)
		kinds = dict(line.split() for line in answer.values.get("runner_kind", []))
		for kind, least in LEAST_OF_KIND.items():
			tap.check("among them: %s" % kind.replace("_", " "),
				  [] if int(kinds.get(kind, 0)) >= least else [str(kinds)],
				  kinds.get(kind, "none"))
		guest.check(tap, "accel off")
		tap.check("the kernel has nothing to complain of",
			  guest.do("probe").values.get("complaint", []))
		guests.check_end(tap, guest, server)


if __name__ == "__main__":
	sys.exit(guests.main("accel.py", run))
