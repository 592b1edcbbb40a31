#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""format.py FILE...

What 'make format' does to C files: brings comments that are too wide into 100 columns, which
clang-format is told not to do (it would reflow tables), then runs clang-format. A trailing comment
that does not fit moves above its line, a one-line comment becomes a block, and the paragraph of a
block is wrapped anew. Lines with a tab or several spaces inside are taken for tables and left.
"""

import re
import shutil
import subprocess
import sys
import textwrap

COLUMNS = 100


def width(line):
    return len(line.expandtabs(8))


def join_broken(lines):
    """Undo what clang-format did to a line whose trailing comment was too long."""
    out = []
    for line in lines:
        trailing = re.match(r"^\s+(\S.*/\* .* \*/)$", line)
        head = re.match(r"^(\s*(?:#define \w+|\w[\w ]*?[\w*=]))\s*\\?$", out[-1]) if out else None
        if trailing and head and (out[-1].endswith("\\") or width(line) > COLUMNS - 10) and \
                not line.strip().startswith("/*") and \
                not re.match(r"\s*(return|else|do|case)\b", out[-1]):
            out[-1] = head[1] + " " + trailing[1]
        else:
            out.append(line)
    return out


def raise_trailing(lines):
    out = []
    for line in lines:
        m = re.match(r"^(\s*)(\S.*?[;,]|#define .*?\S)\s*(/\* .* \*/)$", line)
        if m and width(line) > COLUMNS:
            out += [m[1] + m[3], m[1] + m[2]]
        else:
            out.append(line)
    return out


def wrap(text, columns):
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def wrap_comments(lines):
    out = []
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        one = re.match(r"^(\t*)/\* (.*) \*/$", line)
        if one and width(line) > COLUMNS:
            if re.match(r"^-+ .* -+$", one[2]):
                # A ruler with a title keeps its form.
                title = one[2].strip("- ")
                start = f"{one[1]}/* ---- {title} "
                out.append(start + "-" * (COLUMNS - 3 - width(start)) + " */")
                continue
            out.append(one[1] + "/*")
            out += [one[1] + " * " + t for t in wrap(one[2], COLUMNS - 8 * len(one[1]) - 3)]
            out.append(one[1] + " */")
            continue
        first = re.match(r"^(\t*) \* ( *(?:- )?)(\S.*)$", line)
        if not first or "\t" in first[3]:
            out.append(line)
            continue
        indent, lead = first[1], first[2]
        rest = " " * len(lead)
        paragraph, text = [line], [first[3]]
        while i < len(lines):
            more = re.match(r"^(\t*) \* ( *)([^\s].*)$", lines[i])
            if not more or more[1] != indent or more[2] != rest or \
                    more[3].startswith("- ") or "\t" in more[3]:
                break
            paragraph.append(lines[i])
            text.append(more[3])
            i += 1
        table = any(re.search(r"\S   +\S", t) for t in text)
        if table or all(width(p) <= COLUMNS for p in paragraph):
            out += paragraph
            continue
        for n, t in enumerate(wrap(" ".join(text), COLUMNS - 8 * len(indent) - 3 - len(lead))):
            out.append(indent + " * " + (rest if n else lead) + t)
    return out


def main():
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool:
        sys.exit("format.py: clang-format is not installed")
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if any(width(line) > COLUMNS for line in text.split("\n")):
            lines = text.split("\n")
            for step in (join_broken, raise_trailing, wrap_comments):
                lines = step(lines)
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(lines))
    if sys.argv[1:]:
        subprocess.run([tool, "-i"] + sys.argv[1:], check=True)


if __name__ == "__main__":
    main()
