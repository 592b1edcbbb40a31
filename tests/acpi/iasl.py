#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The tables as ACPI's reference tool, iasl, reads them.

usage: iasl.py DUMP     (tests/acpi/dump.c)

iasl takes both apart without an error or a warning, finds in them what was put in, and makes the same
code of what it read.
"""

import os
import re
import subprocess
import sys
import tempfile

WANTED = {
	"dmar": ["Host Address Width : 2F", "Hardware Unit Definition",
		 "Register Base Address : 00000000FEBE0000", r"PCI Path : 05,00",
		 r"Device Scope Type : 02", r"Device Scope Type : 03",
		 "Reserved Memory Region", r"Base Address : 000000007F000000",
		 r"End Address \(limit\) : 000000007F0FFFFF", "Root Port ATS Capability"],
	"ssdt": [r'DefinitionBlock \("", "SSDT", 2, "VIOMMU"', r"Scope \(\\_SB\.PCI0\)", r"Device \(VIOM\)",
		 r"Name \(_ADR, 0x00040003\)", r"OperationRegion \(CFG, PCI_Config, Zero, 0x08\)",
		 r"Field \(CFG, WordAcc, NoLock, Preserve\)", r"Offset \(0x04\)", r"CMD,\s+16",
		 r"Method \(_INI", r"CMD \|= 0x06"],
	# The same with eight ports, the most there are.
	"ports": [r"Scope \(\\_SB\.PCI0\)", r"Name \(_ADR, 0x00040003\)", r"CMD \|= 0x06",
		  r"Device \(VP00\)\s+{\s+Name \(_ADR, 0x00020000\)[^\n]*\s+Name \(_STA, Zero\)",
		  r"Device \(VP01\)\s+{\s+Name \(_ADR, 0x00030002\)", r"Device \(VP07\)",
		  r"OperationRegion \(CFG, PCI_Config, 0x18, 0x04\)",
		  r"Field \(CFG, ByteAcc, NoLock, Preserve\)\s+{\s+Offset \(0x01\),\s+BUS,\s+8\s+}",
		  r"OperationRegion \(PRT, PCI_Config, 0xC4, 0x08\)", r"PB00,\s+8,", r"PB07,\s+8\s+}",
		  r"PB00 = \\_SB\.PCI0\.VP00\.BUS", r"PB07 = \\_SB\.PCI0\.VP07\.BUS"],
}

count = failed = 0


def check(name, ok, said=""):
	global count, failed
	count += 1
	failed += not ok
	print("%s %d - %s" % ("ok" if ok else "not ok", count, name))
	if not ok:
		print("\n".join("# " + line for line in said.splitlines()[-30:]))


def iasl(folder, *args):
	p = subprocess.run(["iasl", *args], cwd=folder, stdin=subprocess.DEVNULL, text=True, check=False,
			   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
	return p.returncode, p.stdout


def main(dump):
	with tempfile.TemporaryDirectory(prefix="viommu-acpi-") as folder:
		files = {name: os.path.join(folder, name + ".aml") for name in WANTED}
		subprocess.run([dump, files["dmar"], files["ssdt"], files["ports"]], check=True)
		for name, wanted in WANTED.items():
			status, said = iasl(folder, "-d", files[name])
			check("iasl takes the %s apart" % name.upper(), status == 0 and
			      not re.search(r"(?i)error|warning|invalid", said), said)
			with open(os.path.join(folder, name + ".dsl"), encoding="utf-8") as f:
				text = f.read()
			missing = [w for w in wanted if not re.search(w, text)]
			check("and finds in it what was put in", not missing,
			      "missing: %s\n%s" % (missing, text))
		for name in ("ssdt", "ports"):
			with open(files[name], "rb") as f:
				before = f.read()
			status, said = iasl(folder, "-p", "again", name + ".dsl")
			check("what it read of %s compiles" % name,
			      status == 0 and "0 Errors, 0 Warnings" in said, said)
			with open(os.path.join(folder, "again.aml"), "rb") as f:
				after = f.read()
			# It puts a declaration of what lies outside before the rest.
			check("to the same code", after.endswith(before[36:]),
			      "%s\n%s" % (before.hex(), after.hex()))
	print("1..%d" % count)
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1]))
