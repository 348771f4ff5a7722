# SPDX-License-Identifier: BSD-2-Clause
"""System calls of dtlsd that fail when told to: faulty.c, compiled, preloaded and steered."""

import mmap
import os
import shlex
import struct
import subprocess
import threading

import certs
from harness import SANITIZER, check_equal, skip

NAMES = ("seed receive_eintr receive_eagain receive_enomem receive_short send_eintr send_eagain send_enobufs "
         "send_enomem send_short map_enomem wall_s boot_fails boot_errno disk_full boot_calls injected").split()

_lock = threading.Lock()
_built = {}


def shim():
    """faulty.c as a library, compiled once."""
    with _lock:
        if "path" not in _built:
            compiler = shlex.split(os.environ.get("CC") or "cc")
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faulty.c")
            out = os.path.join(certs.scratch(), "faulty.so")
            try:
                flags = ["-O2", "-shared", "-fPIC"] + ([] if SANITIZER else ["-DWITH_MALLOC"])
                done = subprocess.run([*compiler, *flags, "-o", out, source, "-ldl"],
                                      capture_output=True, text=True, check=False)
            except FileNotFoundError:
                skip(f"no compiler {compiler[0]}")
            check_equal(done.returncode, 0, f"exit status of the compiler ({done.stderr})")
            _built["path"] = out
        return _built["path"]


class Faults:
    """The numbers that faulty.c works with, by name."""

    def __init__(self, t, **settings):
        if SANITIZER == "thread":
            skip("the thread sanitizer wants the system calls for itself")
        path = t.file("faults", bytes(8 * len(NAMES)))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8 * len(NAMES))
        t.closing(self.map)
        self.set(**settings)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": shim(), "FAULTS_FILE": path,
                    "ASAN_OPTIONS": ":".join(filter(None, [asan, "verify_asan_link_order=0"]))}

    def set(self, **settings):
        for name, value in settings.items():
            struct.pack_into("q", self.map, 8 * NAMES.index(name), value)

    def get(self, name):
        return struct.unpack_from("q", self.map, 8 * NAMES.index(name))[0]

    def none(self):
        for name in NAMES[1:]:
            if name != "injected":
                self.set(**{name: 0})
