#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tutorial.py TUTORIAL PROGRAM [EXCERPTS]

The tutorial's code is the program's: each block that is indented by four spaces is in the program as
it stands, line by line; there are at least EXCERPTS of them (11). And the program keeps its promise of
at most 150 lines without comments. TAP.
"""

import re
import sys

LINES = 150
INDENT = "    "


def blocks(text):
    """Runs of lines that begin with the indent; blank lines inside belong to them."""
    found, block = [], []
    for line in text.split("\n") + ["end"]:
        if line.startswith(INDENT):
            block.append(line[len(INDENT):])
        elif block and not line.strip():
            block.append("")
        elif block:
            found.append("\n".join(block).rstrip("\n"))
            block = []
    return found


def code_lines(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return [line for line in text.split("\n") if line.strip()]


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        wanted = blocks(f.read())
    with open(sys.argv[2], encoding="utf-8") as f:
        program = f.read()
    whole = "\n" + program + "\n"
    least = int(sys.argv[3]) if len(sys.argv) > 3 else 11
    missing = [b for b in wanted if "\n" + b + "\n" not in whole]
    count = len(code_lines(program))
    print("1..2")
    for block in missing:
        print("# not in the program:")
        for line in block.split("\n"):
            print("#   " + line)
    good = not missing and len(wanted) >= least
    print("%s 1 - every_excerpt_is_in_the_program (%d)" % ("ok" if good else "not ok", len(wanted)))
    print("%s 2 - the_program_has_at_most_%d_lines (%d)"
          % ("ok" if count <= LINES else "not ok", LINES, count))
    sys.exit(0 if good and count <= LINES else 1)


if __name__ == "__main__":
    main()
