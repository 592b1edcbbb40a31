#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""output.py PAGE PROGRAM

What a page shows as the program's output is what the program prints: each block between lines of three
backquotes without a language, and there is one at least, is all of it, line by line. Addresses of this
process (0x7f0123456789 and the like) vary from run to run and count as one and the same. TAP.
"""

import difflib
import re
import subprocess
import sys

SECONDS = 60


def blocks(text):
    return re.findall(r"^```\n(.*?)^```$", text, flags=re.S | re.M)


def plain(text):
    return re.sub(r"\b0x[57][0-9a-f]{11}\b", "0xADDRESS", text).splitlines()


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        shown = blocks(f.read())
    done = subprocess.run([sys.argv[2]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          timeout=SECONDS, check=False)
    said = plain(done.stdout.decode())
    print("1..1")
    good = bool(shown) and done.returncode == 0
    if done.returncode:
        print("# the program ends with %d" % done.returncode)
    for block in shown:
        for line in difflib.unified_diff(plain(block), said, "shown", "printed", lineterm=""):
            print("# " + line)
            good = False
    print("%s 1 - the_page_shows_what_the_program_prints (%d)" % ("ok" if good else "not ok", len(shown)))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
