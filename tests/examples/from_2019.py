#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""from_2019.py PAGE ROOT LIBRARY COMPILER...

The C blocks of docs/from-2019.md compile, each alone against the public headers, and do what the
page says: from_2019.c, beside this, runs them. And the page is whole: it names every function and
every field of viommu/gpasid.h's structures. TAP.
"""

import os
import re
import subprocess
import sys
import tempfile

STRICT = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
HEAD = "#include <viommu/viommu.h>\n"
COMMENT = re.compile(r"/\*.*?\*/", re.S)
# Fields whose name in the page is another, or that are part of a union.
CALLED = {"vtd": "vtd.flags", "granu": "union", "event": "| event |", "prm": "| page request |",
          "u": "then one of", "padding2": "64 bytes", "emt": "vtd.emt", "pat": "vtd.pat"}


def run(*command):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return out.returncode, out.stdout.decode(errors="replace")


def compiles(compiler, root, text):
    with tempfile.TemporaryDirectory() as where:
        path = os.path.join(where, "block.c")
        with open(path, "w", encoding="utf-8") as f:
            f.write(HEAD + text)
        status, out = run(*compiler, *STRICT, "-fsyntax-only", "-I", os.path.join(root, "include"), path)
        return [] if status == 0 else out.splitlines()


def missing_names(page, header):
    header = COMMENT.sub("", header)
    names = set(re.findall(r"\b(viommu_gpasid_\w+)\s*\(", header))
    names |= set(re.findall(r"\bstruct (viommu_gpasid_(?:bind_data|inv_info|response|fault)\w*) \{", header))
    names -= {"viommu_gpasid_fault_event", "viommu_gpasid_fault_prm"}
    # Functions of the first form are told of as a suffix.
    missing = sorted(n for n in names
                     if not covered(page, n[:-4] if n.endswith("_v55") and n + "(" in header else n))
    for body in re.findall(r"\bstruct viommu_gpasid_\w+ \{(.*?)\n\};", header, re.S):
        for field in re.findall(r"\b(\w+)(?:\[\w+\])?;", body):
            if CALLED.get(field, f"`{field}`") not in page:
                missing.append("field " + field)
    return missing


def covered(page, name):
    short = "_" + name.split("_", 2)[2]
    return name in page or f"`{short}()`" in page


def driver(compiler, root, library, blocks):
    here = os.path.dirname(os.path.abspath(__file__))
    folder = os.path.dirname(library)
    with tempfile.TemporaryDirectory() as where:
        with open(os.path.join(where, "blocks.h"), "w", encoding="utf-8") as f:
            f.write(HEAD + "\n".join(blocks))
        exe = os.path.join(where, "from_2019")
        status, out = run(*compiler, *STRICT, "-I", where, "-I", os.path.join(root, "include"),
                          "-I", os.path.join(root, "examples"), os.path.join(here, "from_2019.c"),
                          "-o", exe, library, "-Wl,-rpath," + folder, "-lpthread")
        if status:
            return out.splitlines()
        status, out = run(exe)
        return [] if status == 0 and out.count("\nok ") == 9 else out.splitlines()


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        page = f.read()
    root, library, compiler = sys.argv[2], os.path.abspath(sys.argv[3]), sys.argv[4:]
    with open(os.path.join(root, "include/viommu/gpasid.h"), encoding="utf-8") as f:
        header = f.read()
    blocks = re.findall(r"^```c\n(.*?)^```$", page, re.S | re.M)
    results = [("there_are_blocks", [] if len(blocks) >= 7 else [f"{len(blocks)}"])]
    for n, block in enumerate(blocks, 1):
        results.append((f"block_{n}_compiles", compiles(compiler, root, block)))
    results += [
        ("a_broken_block_is_found",
         [] if compiles(compiler, root, blocks[0].replace(".gpgd", ".pgd")) else ["not found"]),
        ("the_blocks_do_what_the_page_says", driver(compiler, root, library, blocks)),
        ("every_name_of_gpasid_h_is_on_the_page", missing_names(page, header)),
        ("a_missing_field_is_found",
         [] if missing_names(page.replace("`gpgd`", ""), header) else ["not found"]),
    ]
    print(f"1..{len(results)}")
    for n, (name, bad) in enumerate(results, 1):
        for b in bad:
            print("# " + b)
        print(f"{'not ok' if bad else 'ok'} {n} - {name}")
    sys.exit(1 if any(bad for _, bad in results) else 0)


if __name__ == "__main__":
    main()
