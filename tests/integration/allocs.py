# SPDX-License-Identifier: BSD-2-Clause
"""dtlsd with the calls of its allocator counted, and the memory that a process has."""

import mmap
import os
import shlex
import struct
import subprocess
import time

import certs
from harness import check, check_equal, skip, skip_under_sanitizers


class Counter:
    """The number that malloc_count.c keeps in a file."""

    def __init__(self, t):
        self.path = t.file("calls", bytes(8))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)
        t.closing(self.map)

    def read(self):
        return struct.unpack("Q", self.map[:8])[0]

    def settled(self):
        """When threads that were woken by what came before have done with it."""
        before = None
        while before != (now := self.read()):
            before = now
            time.sleep(0.1)
        return now


def library(t):
    compiler = shlex.split(os.environ.get("CC") or "cc")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "malloc_count.c")
    out = os.path.join(t.dir(), "malloc_count.so")
    try:
        done = subprocess.run([*compiler, "-O2", "-shared", "-fPIC", "-o", out, source, "-ldl"],
                              capture_output=True, text=True, check=False)
    except FileNotFoundError:
        skip(f"no compiler {compiler[0]}")
    check_equal(done.returncode, 0, f"exit status of the compiler ({done.stderr})")
    return out


def counted(t, *options, **settings):
    skip_under_sanitizers("the allocator is the sanitizer's")
    calls = Counter(t)
    d = t.daemon(*certs.server_options(), *certs.psk_options(), *options, **settings,
                 env={"LD_PRELOAD": library(t), "MALLOC_COUNT_FILE": calls.path})
    check(calls.read() > 100, "the calls of the allocator are not counted")
    return d, calls


def resident(d):
    """The memory of a process in bytes."""
    with open(f"/proc/{d.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * mmap.PAGESIZE
