#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""mutants.py [-l] [-j JOBS] [NAME...]

Takes out one check at a time (tests/mutants.list) in a copy of the tree, builds the named tests and
expects one of them to fail. Prints a line for each mutant:

  killed          a test failed, or ran into its time limit
  survived        every named test passed: no test sees that the check is gone
  does not apply  the source has changed: the list needs an edit
  does not build  the same

NAME, with * and ?, selects mutants. -l only checks that every mutant applies. Exit status 0 if all
were killed. The random tests run with VIOMMU_SEED=1 unless it is set.
"""

import fnmatch
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRATCH = os.path.join(ROOT, "build", "mutants")
BUILD_SECONDS = 300
TEST_SECONDS = 300


class Mutant:
    def __init__(self, name, line):
        self.name, self.line = name, line
        self.file = self.below = None
        self.old, self.new, self.tests = [], [], []
        self.part = self.part_to = None

    def apply(self, text):
        """The changed text; None if it does not match, or at several places without "in"."""
        start = 0
        if self.below is not None:
            at = text.find(self.below)
            if at < 0:
                return None
            start = text.rfind("\n", 0, at) + 1
        head, body = text[:start], text[start:]
        if self.part is not None:
            if body.count(self.part) != 1 and (self.below is None or self.part not in body):
                return None
            return head + body.replace(self.part, self.part_to or "", 1)
        lines = body.split("\n")
        places = [i for i in range(len(lines) - len(self.old) + 1)
                  if [l.strip() for l in lines[i:i + len(self.old)]] == self.old]
        if not places or (len(places) > 1 and self.below is None):
            return None
        first = places[0]
        lines[first:first + len(self.old)] = self.new
        return head + "\n".join(lines)


def read_list(path):
    mutants = []
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            key, _, value = line.partition(" ")
            if key == "mutant":
                mutants.append(Mutant(value.strip(), n))
                continue
            m = mutants[-1]
            if key == "file":
                m.file = value.strip()
            elif key == "in":
                m.below = value.strip()
            elif key == "-":
                m.old.append(value.strip())
            elif key == "+":
                m.new.append(value.strip())
            elif key == "from":
                m.part = value
            elif key == "to":
                m.part_to = value
            elif key == "test":
                m.tests += value.split()
            else:
                sys.exit(f"{path}:{n}: no keyword '{key}'")
    names = [m.name for m in mutants]
    for m in mutants:
        if not m.file or not m.tests or bool(m.old) == (m.part is not None):
            sys.exit(f"{path}:{m.line}: {m.name} needs file, test, and either '-' lines or from")
        if names.count(m.name) > 1:
            sys.exit(f"{path}:{m.line}: two mutants are called {m.name}")
    return mutants


def source_of(mutant):
    try:
        with open(os.path.join(ROOT, mutant.file), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return None


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def copy_tree(where):
    """The tree into where; a file that is the same keeps its time, so that it is not built again."""
    wanted = set()
    for folder, dirs, names in os.walk(ROOT):
        rel = os.path.relpath(folder, ROOT)
        dirs[:] = [d for d in dirs if d not in ("build", ".git", "__pycache__")]
        os.makedirs(os.path.join(where, rel), exist_ok=True)
        for name in names:
            source, target = os.path.join(folder, name), os.path.join(where, rel, name)
            wanted.add(os.path.normpath(target))
            with open(source, "rb") as f:
                data = f.read()
            if os.path.exists(target):
                with open(target, "rb") as f:
                    if f.read() == data:
                        continue
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    for folder, _, names in os.walk(where):
        for name in names:
            path = os.path.normpath(os.path.join(folder, name))
            if path not in wanted:
                os.unlink(path)


def run(command, seconds):
    """(status, output); status None when the time is over. Ends the whole process group."""
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        out, _ = p.communicate(timeout=seconds)
        return p.returncode, out.decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        out, _ = p.communicate()
        return None, out.decode(errors="replace")


class Worker:
    """One copy of the tree with its build."""

    def __init__(self, number):
        self.source = os.path.join(SCRATCH, f"tree{number}")
        self.build = os.path.join(SCRATCH, f"build{number}")

    def prepare(self):
        copy_tree(self.source)
        if not os.path.exists(os.path.join(self.build, "build.ninja")):
            shutil.rmtree(self.build, ignore_errors=True)
            status, out = run(["meson", "setup", self.build, self.source, "--buildtype=debug",
                               "-Doptimization=1", "-Dtests=enabled"], BUILD_SECONDS)
            if status != 0:
                sys.exit(out)

    def make(self, tests):
        targets = []
        for test in tests:
            subject, what = test.split("/")
            targets.append(f"tests/fuzz/fuzz-{what}" if subject == "fuzz"
                           else f"tests/test-{subject}-{what}")
        return run(["ninja", "-C", self.build, "-j1"] + sorted(set(targets)), BUILD_SECONDS)

    def test(self, tests):
        return run(["meson", "test", "-C", self.build, "--no-rebuild", "--num-processes", "1"] +
                   list(tests), TEST_SECONDS)

    def judge(self, mutant):
        path, text = os.path.join(self.source, mutant.file), source_of(mutant)
        write(path, mutant.apply(text))
        try:
            status, out = self.make(mutant.tests)
            if status != 0:
                return "does not build", out
            status, out = self.test(mutant.tests)
            return ("survived" if status == 0 else "killed"), out
        finally:
            write(path, text)


def main():
    args, jobs, only_apply = sys.argv[1:], os.cpu_count() or 1, False
    if "-l" in args:
        args.remove("-l")
        only_apply = True
    if "-j" in args:
        at = args.index("-j")
        jobs = int(args[at + 1])
        del args[at:at + 2]
    mutants = read_list(os.path.join(ROOT, "tests/mutants.list"))
    if args:
        mutants = [m for m in mutants if any(fnmatch.fnmatch(m.name, a) for a in args)]
    if not mutants:
        sys.exit("no mutant is called that")

    counts = {"killed": 0, "survived": 0, "does not apply": 0, "does not build": 0}
    todo = queue.Queue()
    lock = threading.Lock()

    def report(mutant, verdict, seconds, out=""):
        with lock:
            counts[verdict] += 1
            print(f"{verdict:14} {mutant.name} ({mutant.file}), {seconds:.1f} s", flush=True)
            if verdict == "does not build":
                print(out[-2000:])

    for m in mutants:
        text = source_of(m)
        changed = m.apply(text) if text is not None else None
        if changed is None or changed == text:
            report(m, "does not apply", 0)
        elif only_apply:
            counts["killed"] += 1
        else:
            todo.put(m)
    if only_apply:
        print(f"{counts['killed']} apply, {counts['does not apply']} do not")
        sys.exit(1 if counts["does not apply"] else 0)

    os.environ.setdefault("VIOMMU_SEED", "1")
    os.environ.setdefault("CC", "gcc")
    workers = [Worker(i) for i in range(max(1, min(jobs, todo.qsize())))]

    # A test that fails without any mutant would kill them all.
    tests = sorted({t for m in mutants for t in m.tests})
    if todo.qsize():
        workers[0].prepare()
        for step in (workers[0].make, workers[0].test):
            status, out = step(tests)
            if status != 0:
                print(out)
                sys.exit("the tests do not pass without a mutant")

    def work(worker):
        if worker is not workers[0]:
            worker.prepare()
        while True:
            try:
                m = todo.get_nowait()
            except queue.Empty:
                return
            begin = time.monotonic()
            verdict, out = worker.judge(m)
            report(m, verdict, time.monotonic() - begin, out)

    threads = [threading.Thread(target=work, args=(w,)) for w in workers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    sys.exit(0 if counts["killed"] == len(mutants) else 1)


if __name__ == "__main__":
    main()
