#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""abi.py ROOT CHECK [ARGUMENT...]

Checks of what a program that links libviommu or libviommu-server depends on:

  exports  SHARED STATIC [viommu-server]
                           the shared library exports exactly the names of its map, each is declared
                           with VIOMMU_API in a public header of it, and nothing else that is declared
                           so exists and is not exported
  headers  COMPILER...     each public header compiles alone, strictly, as C11 and as C++11
  sizes    COMPILER...     size, offsets and values of every public structure and enumeration are those
                           recorded in tests/abi/sizes.txt
  record   COMPILER...     writes tests/abi/sizes.txt (not a test: for an intended change)

Sizes come from the debugging information of a program that includes all headers, so no structure can
be forgotten.
"""

import difflib
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]


# Library -> its map. Its headers are those of include/LIBRARY.
MAPS = {"viommu": "src/libviommu.map", "viommu-server": "src/server/libviommu-server.map"}


def header_names(root, libraries=tuple(MAPS)):
    return [library + "/" + os.path.basename(p) for library in libraries
            for p in sorted(glob.glob(os.path.join(root, "include", library, "*.h")))]


def header_text(root, name):
    with open(os.path.join(root, "include", name), encoding="utf-8") as f:
        return COMMENT.sub("", f.read())


# ---- exports

def map_names(root, library):
    with open(os.path.join(root, MAPS[library]), encoding="utf-8") as f:
        text = COMMENT.sub("", f.read())
    body = re.search(r"global:(.*?)local:", text, re.S)[1]
    return [n.strip() for n in body.split(";") if n.strip()]


def declared_names(root, library):
    """name -> header, for what is declared with VIOMMU_API."""
    found = {}
    for header in header_names(root, [library]):
        for m in re.finditer(r"\bVIOMMU_API\b([^;{]*)", header_text(root, header)):
            name = re.search(r"(\w+)\s*(?:\(|\[|$)", m[1].strip())
            if name and not m[1].strip().startswith("__"):
                found[name[1]] = header
    return found


def symbols(path, *options):
    out = subprocess.run(["nm", "--defined-only", *options, path], stdout=subprocess.PIPE, check=True)
    rows = [l.split() for l in out.stdout.decode().splitlines()]
    return {r[2].split("@")[0] for r in rows if len(r) == 3 and r[1] in "TDRBVW"}


def check_exports(root, shared, static, library="viommu"):
    mapped, declared = map_names(root, library), declared_names(root, library)
    exported, defined = symbols(shared, "-D"), symbols(static)
    twice = sorted({n for n in mapped if mapped.count(n) > 1})
    return [
        ("map_names_each_export_once", twice),
        ("every_name_in_the_map_is_exported", sorted(set(mapped) - exported)),
        ("nothing_else_is_exported", sorted(exported - set(mapped))),
        ("every_export_is_declared_in_a_public_header", sorted(exported - set(declared))),
        ("every_function_of_a_public_header_is_exported",
         [f"{n} ({declared[n]})" for n in sorted((set(declared) & defined) - exported)]),
        # A promise that nobody kept yet. The library is complete when this list is empty.
        ("every_function_of_a_public_header_exists" + ("" if COMPLETE else " # TODO"),
         [f"{n} ({declared[n]})" for n in sorted(set(declared) - defined)]),
    ]


# False while headers are ahead of the code: what is declared and missing is listed, not failed.
COMPLETE = True

# ---- headers


def compile_alone(command, language, root, header):
    source = f"#include <{header}>\n#include <{header}>\nextern int not_empty;\n"
    out = subprocess.run(
        command + ["-x", language] + STRICT + ["-I", os.path.join(root, "include"), "-"],
        input=source.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return [] if out.returncode == 0 else out.stdout.decode(errors="replace").splitlines()


def check_headers(root, *compiler):
    results = []
    cxx = shutil.which("g++") or shutil.which("clang++")
    for header in header_names(root):
        stem = header.split("/")[1][:-2].replace("-", "_")
        results.append((f"{stem}_h_compiles_alone_in_c",
                        compile_alone(list(compiler) + ["-std=c11"], "c", root, header)))
        name = f"{stem}_h_compiles_alone_in_cplusplus"
        if cxx:
            results.append((name, compile_alone([cxx, "-std=c++11"], "c++", root, header)))
        else:
            results.append((name + " # SKIP no C++ compiler", []))
    return results


# ---- sizes

class Die:
    """A debugging information entry: tag, attributes, children."""

    def __init__(self, offset, tag):
        self.offset, self.tag = offset, tag
        self.attributes, self.children = {}, []

    def number(self, key, default=0):
        text = self.attributes.get(key)
        if text is None:
            return default
        # Some versions of readelf name the form first: "(data1) 4".
        m = re.match(r"(?:\(\w+\) )?(-?\d+|0x[0-9a-f]+)\b(?! byte block)", text) or \
            re.search(r"DW_OP_plus_uconst: (\d+)", text)
        if not m:
            raise SystemExit(f"{self.name}: {key} is {text!r}")
        return int(m[1], 0)

    @property
    def name(self):
        # "(indirect string, offset: 0x1): name", "(string) name" or the name itself.
        return self.attributes.get("name", "").split(" ")[-1]


def read_dies(object_file):
    out = subprocess.run(["readelf", "--debug-dump=info", "--wide", object_file],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    dies, stack, die = {}, [], None
    for line in out.stdout.decode(errors="replace").splitlines():
        m = re.match(r"^ <([0-9a-f]+)><([0-9a-f]+)>: Abbrev Number: \d+ \((DW_TAG_\w+)\)", line)
        if m:
            depth = int(m[1], 16)
            die = Die(int(m[2], 16), m[3][len("DW_TAG_"):])
            dies[die.offset] = die
            del stack[depth:]
            if stack:
                stack[-1].children.append(die)
            stack.append(die)
            continue
        m = re.match(r"^\s+<[0-9a-f]+>\s+DW_AT_(\w+)\s*: (.*)$", line)
        if m and die:
            die.attributes[m[1]] = m[2].strip()
    return dies


def members(die, dies, base=0):
    """(offset, name) of each member; those of unnamed members in place."""
    for child in die.children:
        if child.tag != "member":
            continue
        offset = base + child.number("data_member_location")
        if child.name:
            yield offset, child.name
        else:
            inner = dies[int(re.search(r"<0x([0-9a-f]+)>", child.attributes["type"])[1], 16)]
            yield from members(inner, dies, offset)


def describe(root, compiler):
    """The text of sizes.txt: one block for each public structure, union and enumeration."""
    headers = header_names(root)
    public = set()
    for header in headers:
        public |= set(re.findall(r"\b(?:struct|union|enum)\s+(\w+)\s*\{", header_text(root, header)))
    with tempfile.TemporaryDirectory() as where:
        source, obj = os.path.join(where, "all.c"), os.path.join(where, "all.o")
        with open(source, "w", encoding="utf-8") as f:
            f.writelines(f"#include <{h}>\n" for h in headers)
        flags = ["-std=gnu11", "-g", "-O0", "-fno-eliminate-unused-debug-types", "-gdwarf-4"]
        if "clang" in os.path.basename(compiler[-1]):
            flags = ["-std=gnu11", "-g", "-O0", "-fstandalone-debug", "-gdwarf-4",
                     "-fno-eliminate-unused-debug-types"]
        subprocess.run(list(compiler) + flags +
                       ["-I", os.path.join(root, "include"), "-c", source, "-o", obj], check=True)
        dies = read_dies(obj)
    kinds = {"structure_type": "struct", "union_type": "union", "enumeration_type": "enum"}
    blocks = {}
    for die in dies.values():
        if die.tag not in kinds or die.name not in public or "declaration" in die.attributes:
            continue
        lines = [f"{kinds[die.tag]} {die.name} {die.number('byte_size')}"]
        if die.tag == "enumeration_type":
            lines += [f"\t{c.number('const_value')} {c.name}" for c in die.children]
        else:
            lines += [f"\t{offset} {name}" for offset, name in members(die, dies)]
        blocks[die.name] = lines
    missing = public - set(blocks)
    if missing:
        raise SystemExit(f"no debugging information for {sorted(missing)}")
    return [l for name in sorted(blocks) for l in blocks[name]]


HEAD = [
    "# SPDX-License-Identifier: BSD-3-Clause",
    "# What programs were compiled against, on a 64-bit machine: each public structure with its size and",
    "# the offsets of its members, each enumeration with its values. After an intended change:",
    "#",
    "#\ttests/abi/abi.py . record cc",
]


def sizes_path(root):
    return os.path.join(root, "tests/abi/sizes.txt")


def check_sizes(root, *compiler):
    with open(sizes_path(root), encoding="utf-8") as f:
        recorded = [l for l in f.read().splitlines() if l and not l.startswith("#")]
    actual = describe(root, compiler)
    diff = list(difflib.unified_diff(recorded, actual, "recorded", "now", lineterm="", n=1))
    if diff:
        diff.append("if this is intended: tests/abi/abi.py . record cc")
    return [("public_structures_keep_their_layout", diff)]


def record(root, *compiler):
    lines = HEAD + [""] + describe(root, compiler)
    with open(sizes_path(root), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def main():
    root, check, args = sys.argv[1], sys.argv[2], sys.argv[3:]
    if check == "record":
        record(root, *args)
        return
    results = {"exports": check_exports, "headers": check_headers, "sizes": check_sizes}[check](
        root, *args)
    print(f"1..{len(results)}")
    for i, (name, bad) in enumerate(results, 1):
        for b in bad:
            print("# " + b)
        print(f"{'not ok' if bad else 'ok'} {i} - {name}")


if __name__ == "__main__":
    main()
