#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""qemu.py --fetch VM_FETCH --server TOY_SERVER: the server and a stock QEMU, without a guest.

QEMU runs with its test accelerator: no processor executes anything, this script makes the accesses
that a guest would make (ports, memory) by the qtest protocol. Interrupts are observed by having the
guest's MSI addresses point into RAM: then an interrupt is a number that appears there.
"""

import argparse
import errno
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))
import vmlib  # noqa: E402

RAM = 256 << 20
BAR0, BAR2 = 0xe0000000, 0xe1000000
SECONDS = 60


class Qtest:
    """QEMU with the test accelerator, and two of our functions at 04.0 and 05.0."""

    def __init__(self, qemu, firmware, sockets):
        here, there = socket.socketpair()
        self.end, self.buf = here, b""
        argv = [qemu, "-L", firmware, "-machine", "q35,accel=qtest,memory-backend=mem", "-m", "256M",
                "-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-nodefaults",
                "-display", "none", "-no-user-config",
                "-chardev", "socket,id=qtest,fd=%d" % there.fileno(), "-qtest", "chardev:qtest",
                "-qtest-log", "/dev/null"]
        for slot, path in zip(("04.0", "05.0"), sockets):
            argv += ["-device", '{"driver":"vfio-user-pci","addr":"%s",'
                     '"socket":{"type":"unix","path":"%s"}}' % (slot, path)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, pass_fds=[there.fileno()])
        there.close()

    def close(self):
        self.process.kill()
        self.end.close()
        return self.process.communicate()[0].decode("utf-8", "replace")

    def command(self, *words):
        self.end.sendall((" ".join(hex(w) if isinstance(w, int) else w for w in words) + "\n").encode())
        self.end.settimeout(SECONDS)
        while b"\n" not in self.buf:
            try:
                data = self.end.recv(4096)
            except socket.timeout:
                data = b""
            if not data:
                raise vmlib.Trouble("QEMU said nothing to %r: %s" % (words, self.close()))
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        reply = line.decode().split()
        if reply[0] != "OK":
            raise vmlib.Trouble("qtest: %r: %r" % (words, reply))
        return int(reply[1], 0) if len(reply) > 1 else None

    def config(self, slot, offset, value=None, size="l"):
        self.command("outl", 0xcf8, 1 << 31 | slot << 11 | offset & 0xfc)
        port = 0xcfc + (offset & 3)
        if value is None:
            return self.command("in" + size, port)
        return self.command("out" + size, port, value)

    def capability(self, slot, which):
        at = self.config(slot, 0x34, size="b")
        while at:
            word = self.config(slot, at, size="w")
            if word & 0xff == which:
                return at
            at = word >> 8
        raise vmlib.Trouble("no capability %#x" % which)

    def wait(self, address, value):
        """Until a quadword of RAM has this value; the accesses take their time."""
        deadline = time.monotonic() + SECONDS
        while True:
            got = self.command("readq", address)
            if got == value:
                return []
            if time.monotonic() > deadline:
                return ["%#x holds %#x, not %#x" % (address, got, value)]


def expect(what, got, want):
    return [] if got == want else ["%s: %#x, not %#x" % (what, got, want)]


def identity(q):
    bad = expect("id", q.config(4, 0), 0x10f01af4)
    q.config(4, 0x10, 0xffffffff)
    bad += expect("BAR 0", q.config(4, 0x10), 0xffffc000)
    q.config(4, 0x18, 0xffffffff)
    q.config(4, 0x1c, 0xffffffff)
    bad += expect("BAR 2", q.config(4, 0x18) & ~0xf, 0xffffe000)
    bad += expect("the other function", q.config(5, 0), 0x10f01af4)
    q.config(4, 0x10, BAR0)
    q.config(4, 0x18, BAR2)
    q.config(4, 0x1c, 0)
    q.config(4, 4, 6, size="w")
    return bad + expect("command", q.config(4, 4, size="w") & 6, 6)


def registers(q):
    bad = []
    for size, mask in (("b", 0xff), ("w", 0xffff), ("l", 0xffffffff), ("q", (1 << 64) - 1)):
        value = 0x8877665544332211 & mask
        q.command("write" + size, BAR2 + 0x100, value)
        bad += expect("read" + size, q.command("read" + size, BAR2 + 0x100), value)
    # Posted, in order.
    for i in range(500):
        q.command("writeq", BAR0 + 0x800 + i % 16 * 8, i)
    return bad + [p for i in range(16)
                  for p in expect("register", q.command("readq", BAR0 + 0x800 + i * 8),
                                  496 + i if i < 4 else 480 + i)]


def msix(q):
    at, bad = q.capability(4, 0x11), []
    bad += expect("vectors", q.config(4, at + 2, size="w") & 0x7ff, 7)
    for vector in range(8):
        entry = BAR0 + 0x1000 + vector * 16
        q.command("writel", entry, 0x3000 + vector * 8)
        q.command("writel", entry + 4, 0)
        q.command("writel", entry + 8, 0x4100 + vector)
        q.command("writel", entry + 12, 0)
    q.config(4, at + 2, 0x8000, size="w")
    for vector in range(8):
        q.command("writeq", BAR0 + 0x10, vector)
        bad += q.wait(0x3000 + vector * 8, 0x4100 + vector)
    return bad


def message(q):
    """A 4-byte write to an address: on this connection, by DMA_WRITE."""
    q.command("writeq", BAR0 + 0x38, 0x5000)
    q.command("writeq", BAR0 + 0x20, 0x12345678)
    return q.wait(0x5000, 0x12345678)


def copy(q):
    """DMA_READ and DMA_WRITE with answers: of RAM, and of an address where there is nothing."""
    for size, times in ((8, 1), (4096, 2), (65536, 3)):
        for at in range(0, size, max(8, size // 16)):
            q.command("writeq", 0x600000 + at, 0x1111111111111111 * times + at)
        q.command("writeq", BAR0 + 0x38, 0x600000)
        q.command("writeq", BAR0 + 0x40, size)
        bad = q.wait(BAR0 + 0x48, times)
        for at in range(0, size, max(8, size // 16)):
            bad += expect("copied", q.command("readq", 0x610000 + at),
                          0x1111111111111111 * times + at)
        if bad:
            return bad
    q.command("writeq", BAR0 + 0x38, 0xf0000000)
    q.command("writeq", BAR0 + 0x40, 8)
    bad = q.wait(BAR0 + 0x48, errno.ENODEV)
    q.command("writeq", BAR0 + 0x48, 0)
    return bad


def work(q):
    """Worker threads write into the guest's RAM, and interrupt by vector 1."""
    q.command("writeq", 0x3008, 0)
    q.command("writeq", BAR0 + 0x30, 0x1000000)
    q.command("writeq", BAR0 + 0x38, 0x100000)
    q.command("writeq", BAR0 + 0x28, 100)
    bad = q.wait(0x3008, 0x4101)
    for n in range(1, 101):
        bad += q.wait(0x100000 + n * 8, 0x1000000 + n)
    return bad


def no_bus_master(q):
    """What is sent while it may not master the bus does not arrive."""
    q.command("writeq", 0x3000, 0)
    q.config(4, 4, 2, size="w")
    q.command("writeq", BAR0 + 0x10, 0)
    q.command("readq", BAR0 + 0x10)
    bad = expect("RAM", q.command("readq", 0x3000), 0)
    q.config(4, 4, 6, size="w")
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fetch", required=True)
    parser.add_argument("--server", required=True)
    args = parser.parse_args()
    tap = vmlib.Tap()
    try:
        files = vmlib.fetch(args.fetch, "qemu")["qemu"]
    except vmlib.Trouble as trouble:
        return tap.bail_out(trouble)
    server = subprocess.Popen([args.server, "2"], stdout=subprocess.PIPE, text=True)
    sockets = [server.stdout.readline().strip() for _ in range(2)]
    try:
        for run in ("first", "second"):
            # The second one: the same server serves the next machine.
            q = Qtest(files["qemu-system-x86_64"], files["firmware"], sockets)
            try:
                for check in (identity, registers, msix, message, copy, work,
                              no_bus_master):
                    tap.check("%s_machine_%s" % (run, check.__name__), check(q))
            finally:
                said = q.close()
            tap.check(run + "_machine_complains_of_nothing", said.splitlines())
    except vmlib.Trouble as trouble:
        return tap.bail_out(trouble)
    finally:
        server.terminate()
        end = server.communicate(timeout=SECONDS)[0]
        tap.note(end)
    counts = dict(zip(*[iter(end.split()[:10])] * 2))
    tap.check("server_ends_by_a_signal", [] if server.returncode == 0 else ["status %d" % server.returncode])
    tap.check("server_refused_nothing", expect("errors", int(counts["errors"]), 0))
    tap.check("two_clients_came_and_went",
              expect("connected", int(counts["connected"]), 2) +
              expect("disconnected", int(counts["disconnected"]), 2))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
