#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""self_test.py COMPILER: shows that each check of tidy.py can fail.

For every check a small tree that breaks its rule in named ways, and one beside it that looks similar
and does not. A check passes if it reports exactly the places named.
"""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

HEAD = "/* SPDX-License-Identifier: BSD-3-Clause */\n/* What it does. */\n"


def tree(root, contents):
    for path, text in contents.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)


def places(bad):
    return sorted(b.split(": ")[0] for b in bad)


def floors(root):
    tree(root, {
        "include/viommu/types.h": "#include <stdint.h>\n",
        "include/viommu/mem.h": "#include <viommu/types.h>\n#include <viommu/host.h>\n",
        "include/viommu/host.h": '#include "base/list.h"\n',
        "include/viommu/novel.h": "",
        "src/base/list.h": "#include <stddef.h>\n#include <viommu/types.h>\n",
        "src/base/up.c": '#include "walk/walk.h"\n#include <viommu/mem.h>\n',
        "src/walk/walk.h": '#include "base/list.h"\n#include <viommu/walk.h>\n',
        "src/dma/dma.c": '#include "guest/guest.h"\n#include "host/host.h"\n#include "dma.h"\n'
                         '#include "../host/host.h"\n/*\n#include "guest/guest.h"\n*/\n',
        "src/dma/dma.h": '#include "absent.h"\n',
        "src/attic/old.c": "",
        "cmd/main.c": '#include "cmd.h"\n#include <viommu/host.h>\n#include "base/list.h"\n',
        "cmd/cmd.h": "",
        "examples/one.c": '#include "../src/base/list.h"\n',
    })
    return places(tidy.check_floors(root)), sorted([
        "include/viommu/mem.h:2", "include/viommu/host.h:1", "include/viommu/novel.h",
        "src/base/up.c:1", "src/base/up.c:2", "src/dma/dma.c:1", "src/dma/dma.c:4",
        "src/dma/dma.h:1", "src/attic/old.c", "cmd/main.c:3", "examples/one.c:1",
    ])


def spdx(root):
    tree(root, {
        "src/base/good.c": HEAD,
        "src/base/none.c": "int x;\n",
        "src/base/late.c": "\n" + HEAD,
        "src/base/silent.c": HEAD.split("\n")[0] + "\nint x;\nint y;\n",
        "src/meson.build": "# SPDX-License-Identifier: BSD-3-Clause\n",
        "src/libviommu.map": "/*\n * SPDX-License-Identifier: BSD-3-Clause\n */\n",
        "scripts/good.sh": "#!/bin/sh\n# SPDX-License-Identifier: BSD-3-Clause\n",
        "scripts/bad.sh": "#!/bin/sh\n",
        "scripts/other.py": "# SPDX-License-Identifier: GPL-2.0\n",
        "Makefile": "all:\n",
    })
    return places(tidy.check_spdx(root)), sorted([
        "src/base/none.c", "src/base/late.c", "src/base/silent.c", "scripts/bad.sh",
        "scripts/other.py", "Makefile",
    ])


def calls(root):
    tree(root, {
        "src/base/alloc.c": "p = malloc(1);\nprintf(x);\n",
        "src/base/assert.c": "abort();\nfree(p);\n",
        "src/mem/mem.c": "p = malloc(1);\nops->free(p); ops.open(x); viommu__free(p); reopen(f);\n"
                         "/* calls malloc() */\nx = \"free(p)\";\nfree (p);\nclock_gettime(a, b);\n",
        "src/server/server.c": "pthread_create(a, b, c, d);\nstrcpy(a, b);\n",
        "cmd/main.c": "printf(x); malloc(1);\nsprintf(a, b);\n",
        "tests/a/a.c": "snprintf(a, n, b);\nstrcat(a, b);\n",
    })
    return places(tidy.check_calls(root)), sorted([
        "src/base/alloc.c:2", "src/base/assert.c:2", "src/mem/mem.c:1", "src/mem/mem.c:5",
        "src/mem/mem.c:6", "src/server/server.c:2", "cmd/main.c:2", "tests/a/a.c:2",
    ])


def bit_fields(root):
    tree(root, {
        "include/viommu/a.h": "struct a {\n\tuint32_t low : 12;\n\tunsigned int b:1;\n"
                              "\tunsigned : 3;\n\tuint64_t c; /* int x : 3; */\n};\n",
        "src/base/a.c": "switch (x) {\ncase VIOMMU_A: y = 1;\ndefault: y = 2;\n}\n"
                        "int v = a ? b : 3;\nstruct b { bool f : 1; };\n",
    })
    return places(tidy.check_bit_fields(root)), sorted([
        "include/viommu/a.h:2", "include/viommu/a.h:3", "include/viommu/a.h:4", "src/base/a.c:6",
    ])


def layout(root):
    tree(root, {
        "src/base/a.c": "\n".join(["x" * 100, "x" * 101, "\t" + "x" * 92, "\t" + "x" * 93,
                                   " *\ta" + " " * 100 + "b", " * " + "x " * 50 + "x"]),
        "src/meson.build": "x \nx\n" + "x" * 111,
    })
    return places(tidy.check_layout(root)), sorted([
        "src/base/a.c:2", "src/base/a.c:4", "src/base/a.c:6",
        "src/meson.build:1", "src/meson.build:3",
    ])


def clang_format(root):
    if not tidy.clang_format():
        return None, None
    with open(os.path.join(os.path.dirname(__file__), "../../.clang-format"), encoding="utf-8") as f:
        style = f.read()
    tree(root, {
        "./.clang-format": style,
        "src/base/good.c": "int f(void)\n{\n\treturn 1;\n}\n",
        "src/base/bad.c": "int f(void) {\n    return 1;\n}\n",
        "src/base/table.h": "/* clang-format off */\n#define T(F)  \\\n  F(a,   1)\n"
                            "/* clang-format on */\n",
    })
    bad = tidy.check_format(root)
    return sorted({b.split(":")[0] for b in bad if ": error: " in b}), ["src/base/bad.c"]


def globals_(root):
    tree(root, {
        "src/a.c": "#include <stdlib.h>\n"
                   "static const char *const names[] = { \"a\", \"b\" };\n"
                   "const int constant = 3;\n"
                   "int counter;\nint preset = 4;\n"
                   "const char *f(int i);\n"
                   "const char *f(int i)\n{\n\tstatic int calls;\n\tstatic _Thread_local int mine;\n"
                   "\tmine++;\n\tif (calls++)\n\t\tfree(malloc(1));\n\treturn names[i];\n}\n",
    })
    obj, archive = os.path.join(root, "a.o"), os.path.join(root, "a.a")
    subprocess.run(sys.argv[1:] + ["-O0", "-fPIC", "-c", os.path.join(root, "src/a.c"), "-o", obj],
                   check=True)
    subprocess.run(["ar", "rcs", archive, obj], check=True)
    bad = tidy.check_globals(root, archive)
    return sorted(b.split(": ")[1].split(" (")[0] for b in bad), sorted([
        "calls is a mutable variable", "counter is a mutable variable",
        "mine is a mutable variable", "preset is a mutable variable", "uses free", "uses malloc",
    ])


def mutants(root):
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/mutants.py")
    with open(here, encoding="utf-8") as f:
        script = f.read()
    lines = ["mutant {}", "file src/a.c", "from {}", "to 0", "test a/a", ""]
    tree(root, {
        "scripts/mutants.py": script,
        "src/a.c": "int once;\nint twice, twice;\nint in(void)\n{\n\treturn twice;\n}\n",
        "tests/mutants.list": "\n".join(l.format(word) for word in ("once", "twice", "never")
                                        for l in lines) +
                              "\nmutant below\nfile src/a.c\nin int in(\n- return twice;\ntest a/a\n",
    })
    bad = [b for b in tidy.check_mutants(root) if b.startswith("does not apply")]
    return sorted(b.split()[3] for b in bad), ["never", "twice"]


def man(root):
    tree(root, {
        "man/viommu.1": ".B walk\n.BR \\-\\-help\n",
        "man/viommu-walk.1": "\\-\\-json \\-\\-help\n\\-\\-levels\n",
        "tool": "#!/bin/sh\n"
                "case $1 in walk) echo '[--json] --levels N --level N -j --help';;\n"
                "demo) echo --help;;\n*) echo '  walk     text'; echo '  demo     text';; esac\n",
    })
    tool = os.path.join(root, "tool")
    os.chmod(tool, 0o755)
    return sorted(tidy.check_man(root, tool)), sorted([
        "man/viommu.1: no command demo", "man: viommu walk --level is not described",
        "man: viommu walk -j is not described",
    ])


TESTS = [
    ("floors_check_finds_each_wrong_include", floors),
    ("spdx_check_finds_each_bare_file", spdx),
    ("calls_check_finds_each_forbidden_call", calls),
    ("bit_fields_check_finds_each_bit_field", bit_fields),
    ("layout_check_finds_long_and_unclean_lines", layout),
    ("format_check_finds_the_unformatted_file", clang_format),
    ("mutants_check_finds_each_that_does_not_apply", mutants),
    ("man_check_finds_each_page_that_lags", man),
    ("globals_check_finds_variables_and_symbols", globals_),
]


def main():
    print(f"1..{len(TESTS)}")
    for i, (name, run) in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as root:
            found, wanted = run(root)
        if found is None:
            print(f"ok {i} - {name} # SKIP clang-format is not installed")
            continue
        for x in sorted(set(found) - set(wanted)):
            print(f"# reported and should not be: {x}")
        for x in sorted(set(wanted) - set(found)):
            print(f"# not reported: {x}")
        print(f"{'ok' if found == wanted else 'not ok'} {i} - {name}")


if __name__ == "__main__":
    main()
