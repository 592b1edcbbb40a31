#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""self_test.py COMPILER...: shows that each check of abi.py can fail, over a small library that breaks
its rules."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import abi  # noqa: E402

HEADER = """
#define VIOMMU_API __attribute__((visibility("default")))
#ifndef A_H
#define A_H
struct a { int x; union { char c; long l; }; };
enum e { E_ONE = 1, E_NINE = 9 };
/* VIOMMU_API int commented(void); */
VIOMMU_API int good(struct a *a);
VIOMMU_API int forgotten(void);
VIOMMU_API extern const int table[4];
VIOMMU_API int promised(void);
#endif
"""

SOURCE = """
#include <viommu/a.h>
int good(struct a *a) { return a->x; }
int forgotten(void) { return 0; }
const int table[4] = { 1 };
VIOMMU_API int secret(void);
int secret(void) { return 0; }
VIOMMU_API int undeclared(void);
int undeclared(void) { return 0; }
"""

MAP = """V { global:
good; good; table; undeclared; absent;
local: *; };
"""


def library(root, compiler):
    for path, text in {"include/viommu/a.h": HEADER, "src/a.c": SOURCE, "src/libviommu.map": MAP,
                       "tests/abi/none": ""}.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)
    flags = ["-fPIC", "-fvisibility=hidden", "-I", os.path.join(root, "include")]
    obj, static, shared = (os.path.join(root, n) for n in ("a.o", "a.a", "a.so"))
    subprocess.run(compiler + flags + ["-c", os.path.join(root, "src/a.c"), "-o", obj], check=True)
    subprocess.run(["ar", "rcs", static, obj], check=True)
    # "secret" gets out through a second map, as a wrong build would let it.
    wrong = os.path.join(root, "wrong.map")
    with open(wrong, "w", encoding="utf-8") as f:
        f.write("V { global: good; table; undeclared; secret; local: *; };\n")
    subprocess.run(compiler + ["-shared", "-o", shared, obj, "-Wl,--version-script=" + wrong],
                   check=True)
    return shared, static


def exports(root, compiler):
    shared, static = library(root, compiler)
    found = {name.split(" ")[0]: bad for name, bad in abi.check_exports(root, shared, static)}
    return found == {
        "map_names_each_export_once": ["good"],
        "every_name_in_the_map_is_exported": ["absent"],
        "nothing_else_is_exported": ["secret"],
        "every_export_is_declared_in_a_public_header": ["secret", "undeclared"],
        "every_function_of_a_public_header_is_exported": ["forgotten (viommu/a.h)"],
        "every_function_of_a_public_header_exists": ["promised (viommu/a.h)"],
    }, found


def headers(root, compiler):
    for name, text in {"good": "#include <stdint.h>\n#ifndef G\n#define G\n"
                               "struct g { uint32_t x; };\n#endif\n",
                       "needs_types": "uint32_t x(void);\n",
                       "twice": "struct t { int x; };\n",
                       "not_cplusplus": "static inline char *f(void *p) { return p; }\n"}.items():
        path = os.path.join(root, "include/viommu", name + ".h")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text if name in ("twice", "good") else f"#ifndef G\n#define G\n{text}#endif\n")
    found = {name for name, bad in abi.check_headers(root, *compiler) if bad}
    return found == {
        "needs_types_h_compiles_alone_in_c", "needs_types_h_compiles_alone_in_cplusplus",
        "twice_h_compiles_alone_in_c", "twice_h_compiles_alone_in_cplusplus",
        "not_cplusplus_h_compiles_alone_in_cplusplus",
    }, found


def sizes(root, compiler):
    library(root, compiler)
    abi.record(root, *compiler)
    [(_, same)] = abi.check_sizes(root, *compiler)
    found = [same]
    for old, new in [("int x;", "int x, y;"), ("char c;", "short c[9];"), ("E_NINE = 9", "E_NINE"),
                     ("int x;", "int renamed;"), ("enum e {", "struct n { int i; }; enum e {")]:
        with open(os.path.join(root, "include/viommu/a.h"), "w", encoding="utf-8") as f:
            f.write(HEADER.replace(old, new))
        [(_, bad)] = abi.check_sizes(root, *compiler)
        found.append(bad)
    return same == [] and all(found[1:]), found


TESTS = [
    ("exports_check_finds_each_difference", exports),
    ("headers_check_finds_each_header_that_needs_help", headers),
    ("sizes_check_finds_each_change", sizes),
]


def main():
    print(f"1..{len(TESTS)}")
    for i, (name, run) in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as root:
            good, found = run(root, sys.argv[1:])
        if not good:
            print(f"# {found}")
        print(f"{'ok' if good else 'not ok'} {i} - {name}")


if __name__ == "__main__":
    main()
