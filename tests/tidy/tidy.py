#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tidy.py ROOT CHECK [ARGUMENT...]

Checks of the source text, one TAP test each:

  floors      a file includes only from its own and lower floors, cmd/ and examples/ only public headers
  spdx        each source file starts with the licence line, C files say next what they do
  calls       calls that a file must not make: allocation, output, time, threads, ... in the library
  bit-fields  no C bit-fields in what a guest or a wire can see (all of src/ and include/)
  layout      lines of at most 100 columns (110 in scripts), no space at their ends
  format      clang-format changes nothing ('format --fix' runs scripts/format.py instead)
  mutants     every mutant of tests/mutants.list applies to the source as it is
  man         TOOL: each command and option that the tool's --help names is in its manual page
  globals     ARCHIVE: no mutable variable in the library, and no forbidden symbol in its objects

Each check is a function from a tree to a list of violations, so that self_test.py can run it over a
tree that breaks the rules.
"""

import os
import re
import shutil
import subprocess
import sys

COLUMNS = 100
SCRIPT_COLUMNS = 110

# Folder -> floor (ARCHITECTURE.md). guest, dma and acpi share one and never include each other.
FLOORS = {
    "base": 0, "spec": 1, "mem": 2, "walk": 3, "pasid": 4, "host": 5,
    "guest": 6, "dma": 6, "acpi": 6, "dev": 7, "board": 8, "server": 9,
}

# Public header -> the folder that implements it. "viommu.h", if it exists, includes all of them.
HEADERS = {
    "types": "base", "error": "base", "version": "base", "state": "base",
    "vtd": "spec", "dsa_spec": "spec",
    "mem": "mem",
    "walk": "walk",
    "pasid": "pasid", "path": "pasid",
    "host": "host", "gpasid": "host", "legacy": "host",
    "dma": "dma", "guest": "guest", "acpi": "acpi",
    "pci": "dev", "dsa": "dev",
    "board": "board",
    "server": "server",
}

# What only one file of the library may call.
OWNED_CALLS = {
    "src/base/alloc.c": """malloc calloc realloc reallocarray free posix_memalign aligned_alloc
                           memalign valloc strdup strndup asprintf vasprintf getline""",
    "src/base/assert.c": """printf fprintf vprintf vfprintf dprintf puts fputs putchar putc fputc
                            fwrite perror psignal abort exit _exit quick_exit""",
}

# What no file of the library below floor 9 may call. The server has threads, clocks and sockets.
LIBRARY_CALLS = """
    rand srand random srandom rand_r drand48 getrandom arc4random
    time clock gettimeofday clock_gettime clock_nanosleep nanosleep sleep usleep
    pthread_create fork vfork execve system popen
    open openat creat fopen socket accept connect bind listen poll select epoll_create1 timerfd_create
    eventfd memfd_create syslog getenv assert __assert_fail
"""

# What nobody calls: no bound on the destination.
ALL_CALLS = "strcpy strcat stpcpy sprintf vsprintf gets alloca strtok"

# Mutable variables that the library has after all: symbol -> why.
GLOBALS = {
    "guard_state": "src/mem/guard.c: a signal handler belongs to the process and gets no argument",
    "viommu__mem_lost": "the same: what the handler counts",
}

# Symbols that look like a forbidden call at the level of objects: (object, symbol) -> why.
SYMBOLS = {
}

SOURCES = (".c", ".h")
SCRIPTS = (".py", ".sh", ".build", ".map", ".yml")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def files(root, folders, endings):
    found = []
    for folder in folders:
        for where, dirs, names in os.walk(os.path.join(root, folder)):
            dirs[:] = sorted(d for d in dirs
                             if d not in ("build", "corpus", "__pycache__") and d[0] != ".")
            found += [os.path.relpath(os.path.join(where, n), root)
                      for n in sorted(names) if n.endswith(endings)]
    return found


ALL_FOLDERS = ("include", "src", "cmd", "examples", "tests", "scripts", "man", "docs")


def blank(match):
    """The same lines and columns with nothing in them."""
    return re.sub(r"[^\n]", " ", match.group())


COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
TEXT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def code(root, path):
    """The text without comments and string literals, line numbers kept."""
    return TEXT.sub(blank, read(root, path))


def numbered(text):
    return enumerate(text.split("\n"), 1)


# ---- floors

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")')


def header_floor(name):
    """'viommu/mem.h' -> 2; None if the header has no floor yet."""
    stem = re.sub(r"\.h$", "", name.split("/", 1)[1])
    if stem == "viommu":
        return max(FLOORS.values())
    return FLOORS.get(HEADERS.get(stem))


def place(path):
    """A library file -> (folder, floor), folder None for a public header."""
    parts = path.split("/")
    if parts[0] == "include":
        return None, header_floor("/".join(parts[1:]))
    return parts[1], FLOORS.get(parts[1])


def check_floors(root):
    bad = []
    for path in files(root, ("src", "include"), SOURCES):
        folder, floor = place(path)
        if floor is None:
            bad.append(f"{path}: no floor is known for it (tests/tidy/tidy.py)")
            continue
        for n, line in numbered(COMMENT.sub(blank, read(root, path))):
            m = INCLUDE.match(line)
            if m:
                why = include_is_wrong(root, path, folder, floor, m[1], m[2])
                if why:
                    bad.append(f"{path}:{n}: {why}")
    for path in files(root, ("cmd", "examples"), SOURCES):
        for n, line in numbered(COMMENT.sub(blank, read(root, path))):
            m = INCLUDE.match(line)
            if m and m[2] and not os.path.exists(
                    os.path.join(root, os.path.dirname(path), m[2])):
                bad.append(f"{path}:{n}: includes \"{m[2]}\", which is no public header")
            elif m and (m[1] or m[2]).find("..") >= 0:
                bad.append(f"{path}:{n}: leaves its folder")
    return bad


def include_is_wrong(root, path, folder, floor, system, own):
    name = system or own
    if ".." in name.split("/"):
        return "leaves its folder"
    if system:
        if not system.startswith("viommu"):
            return None
        other = header_floor(system)
        if other is None:
            return f"<{system}> has no floor (tests/tidy/tidy.py)"
        return f"<{system}> is floor {other}, this is {floor}" if other > floor else None
    if folder is None:
        return f"a public header includes \"{own}\""
    if "/" not in own or own.split("/")[0] not in FLOORS:
        here = os.path.join(root, os.path.dirname(path), own)
        return None if os.path.exists(here) else f"\"{own}\" is not in this folder"
    target = own.split("/")[0]
    if target == folder or FLOORS[target] < floor:
        return None
    return f"{folder} (floor {floor}) includes {target} (floor {FLOORS[target]})"


# ---- spdx

LICENCE = "SPDX-License-Identifier: BSD-3-Clause"


def check_spdx(root):
    bad = []
    top = [n for n in ("Makefile", "meson.build", "meson_options.txt", ".ci/run", ".clang-format")
           if os.path.exists(os.path.join(root, n))]
    for path in top + files(root, ALL_FOLDERS, SOURCES + SCRIPTS):
        lines = read(root, path).split("\n")
        if path.endswith(SOURCES):
            if lines[0] != f"/* {LICENCE} */":
                bad.append(f"{path}: the first line is not /* {LICENCE} */")
            elif not any(l.startswith("/*") for l in lines[1:3]):
                bad.append(f"{path}: no comment says what the file does")
        elif not any(l.strip("#* ") == LICENCE for l in lines[:3]):
            bad.append(f"{path}: no licence line at the top")
    return bad


# ---- calls

def call_pattern(words):
    return re.compile(r"(?<![\w.>])(" + "|".join(words.split()) + r")\s*\(")


def check_calls(root):
    bad = []
    owned = {owner: call_pattern(words) for owner, words in OWNED_CALLS.items()}
    library, everywhere = call_pattern(LIBRARY_CALLS), call_pattern(ALL_CALLS)
    for path in files(root, ("include", "src", "cmd", "examples", "tests"), SOURCES):
        rules = [everywhere]
        if path.startswith(("src/", "include/")) and not path.startswith("src/server/"):
            rules += [library] + [r for owner, r in owned.items() if owner != path]
        for n, line in numbered(code(root, path)):
            bad += [f"{path}:{n}: calls {m[1]}" for r in rules for m in r.finditer(line)]
    return bad


# ---- bit-fields

TYPE = r"(?:unsigned|signed|int|char|short|long|bool|_Bool|u?int\d+_t|size_t|enum\s+\w+|u\d+)"
BIT_FIELD = re.compile(rf"(?:^|[;{{])\s*(?:const\s+|volatile\s+)*{TYPE}(?:\s+\w+)*\s*:\s*\w[^;]*;")


def check_bit_fields(root):
    return [f"{path}:{n}: bit-field"
            for path in files(root, ("include", "src"), SOURCES)
            for n, line in numbered(code(root, path)) if BIT_FIELD.search(line)]


# ---- layout

# Files that are still too wide: none may be added.
WIDE = set()

# A row of a table in a comment may be wider.
TABLE_ROW = re.compile(r"^\s*/?\*(.*(\S\t+|\S {3,})|\t\t+)\S")


def check_layout(root):
    bad = []
    for path in files(root, ALL_FOLDERS, SOURCES + SCRIPTS):
        for n, line in numbered(read(root, path)):
            columns = len(line.expandtabs(8))
            most = COLUMNS if path.endswith(SOURCES) else SCRIPT_COLUMNS
            if columns > most and path not in WIDE and not TABLE_ROW.match(line):
                bad.append(f"{path}:{n}: {columns} columns ('make format' wraps comments)")
            if line != line.rstrip():
                bad.append(f"{path}:{n}: space at the end of the line")
    return bad


# ---- format

def clang_format():
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name):
            return name
    return None


def formatted_files(root):
    return files(root, ("include", "src", "cmd", "examples", "tests"), SOURCES)


def check_format(root):
    tool = clang_format()
    if not tool:
        return None
    paths = formatted_files(root)
    out = subprocess.run([tool, "--dry-run", "-Werror", "-ferror-limit=1"] + paths, cwd=root,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = out.stdout.decode(errors="replace").splitlines()
    bad = [l for l in lines if ": error: " in l] or (lines if out.returncode else [])
    return bad + ["'make format' mends it"] if bad else []


# ---- mutants

def check_mutants(root):
    out = subprocess.run([sys.executable, "scripts/mutants.py", "-l"], cwd=root,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return out.stdout.decode().splitlines() if out.returncode else []


# ---- man

def help_of(tool, *command):
    out = subprocess.run([tool, *command, "--help"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, check=True)
    return out.stdout.decode()


def page(root, name):
    path = os.path.join(root, "man", name + ".1")
    return read(root, path).replace("\\-", "-") if os.path.exists(path) else ""


def check_man(root, tool):
    """A command's options are in viommu-COMMAND.1 or, if it has no page of its own, in viommu.1."""
    bad = []
    top = page(root, "viommu")
    commands = re.findall(r"^  (\w+) ", help_of(tool), re.M)
    if not commands:
        bad.append("the tool's --help names no command")
    for command in commands:
        if not re.search(rf"^\.BR? (viommu-)?{command}\b", top, re.M):
            bad.append(f"man/viommu.1: no command {command}")
        own = page(root, "viommu-" + command) or top
        for option in sorted(set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_of(tool, command)))):
            if not re.search(rf"{option}(?![\w-])", own):
                bad.append(f"man: viommu {command} {option} is not described")
    return bad


# ---- globals

MUTABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*|COMMON)")


def check_globals(_root, archive):
    """Not from the text but from the symbols: a static in a function is found as well."""
    bad = []
    forbidden = {w: owner for owner, words in OWNED_CALLS.items() for w in words.split()}
    forbidden.update({w: None for w in (LIBRARY_CALLS + ALL_CALLS).split()})
    out = subprocess.run(["nm", "-A", "--format=sysv", archive], stdout=subprocess.PIPE, check=True)
    for line in out.stdout.decode().splitlines():
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 7:
            continue
        where, _, name = fields[0].rpartition(":")
        obj = where.split(":")[-1] if ".a:" in where else os.path.basename(where)
        name, section = re.sub(r"\.\d+$", "", name), fields[6]
        plain = re.sub(r"^__(\w+)_chk$", r"\1", name)
        if section == "*UND*" and plain in forbidden:
            owner = forbidden[plain]
            if owner and obj == owner[len("src/"):].replace("/", "_") + ".o":
                continue
            if (obj, plain) not in SYMBOLS:
                bad.append(f"{obj}: uses {name}")
        elif MUTABLE.match(section) and fields[3] not in ("FILE", "SECTION"):
            if name not in GLOBALS and not name.startswith("."):
                bad.append(f"{obj}: {name} is a mutable variable ({section})")
    return bad


CHECKS = {
    "floors": ("files_include_only_lower_floors", check_floors),
    "spdx": ("files_begin_with_licence_and_purpose", check_spdx),
    "calls": ("nobody_makes_a_forbidden_call", check_calls),
    "bit-fields": ("library_has_no_c_bit_fields", check_bit_fields),
    "layout": ("lines_fit_and_end_clean", check_layout),
    "format": ("clang_format_changes_nothing", check_format),
    "mutants": ("every_mutant_applies", check_mutants),
    "man": ("manual_pages_name_each_command_and_option", check_man),
    "globals": ("library_has_no_mutable_variable", check_globals),
}


def main():
    root, check, args = sys.argv[1], sys.argv[2], sys.argv[3:]
    if check == "format" and args == ["--fix"]:
        sys.exit(subprocess.call([sys.executable, "scripts/format.py"] + formatted_files(root),
                                 cwd=root))
    name, run = CHECKS[check]
    bad = run(root, *args)
    print("1..1")
    if bad is None:
        print(f"ok 1 - {name} # SKIP clang-format is not installed")
        return
    for b in bad:
        print("# " + b)
    print(f"{'not ok' if bad else 'ok'} 1 - {name}")


if __name__ == "__main__":
    main()
