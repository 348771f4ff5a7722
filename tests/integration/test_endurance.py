#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Round after round sessions come and go through every handler, while backends, processes and remote servers die and
come back, and the configuration, keys and certificates are read anew. After each round all is served again, and
nothing of it is left.

ENDURANCE_SECONDS and ENDURANCE_ROUND make the long form of it (./dev soak).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import certs
from allocs import resident
from backend import Backend
from harness import DTLSBENCH, SANITIZER, SCALE, case, check, check_equal, free_port, main

ROUND = float(os.environ.get("ENDURANCE_ROUND") or 3)
SECONDS = float(os.environ.get("ENDURANCE_SECONDS") or 0)
ROUNDS = 2          # at least
WARM = 4            # rounds after which memory grows no more
GROWTH = 1 << 20    # bytes that it may, all the same
PATIENCE = 90       # seconds; handshakes whose clients have gone take 30
LONG, SHORT = 3600, 1  # idle-timeout in seconds

# one process for all sessions of a service
ALL = """
import os
while data := os.read(0, 20000):
    if data[1] == ord("d"):
        os.write(1, data)
"""


def service(name, port, *lines):
    return "\n\t".join([f"service {name} {{", f"listen = 127.0.0.1:{port}", *lines]) + "\n}\n"


def content(path):
    with open(path, "rb") as f:
        return f.read()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


class Watched:
    """A dtlsd that lives from the first round to the last one, with a file that is written anew for each reload."""

    def __init__(self, t, name, services, processes):
        """services: a function that gives the text of the file. processes: that it has with no session."""
        self.t, self.name, self.services, self.number = t, name, services, 0
        self.conf = os.path.join(t.dir(), name)
        self._write(LONG)
        self.d = t.daemon("--config", self.conf, addresses=[], log=None)
        self.expected = {"sessions": 0, "handshakes": 0, "local peers": 0, "processes": processes}

    def _write(self, idle):
        limits = "workers = 2\nmax-sessions-per-address = 0\nmax-handshakes-per-address = 0\n"
        self.t.file(self.name, limits + self.services(self.number, idle))

    def reload(self, idle=LONG):
        self.number = 0 if idle == SHORT else self.number + 1
        self._write(idle)
        since = self.d.mark()
        self.d.signal(signal.SIGHUP)
        self.d.expect("reloaded", since=since)

    def processes(self):
        """What its keeper runs, where it has one: process IDs."""
        return [pid for keeper in children(self.d.pid) for pid in children(keeper)]

    def leftovers(self):
        counters = self.d.counters()
        found = {name: counters[name.replace(" ", "_")] for name in ("sessions", "handshakes", "local peers")}
        found["processes"] = len(self.processes())
        found["threads"] = len(os.listdir(f"/proc/{self.d.pid}/task"))
        found["files"], found["files of the keeper"] = (
            [len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.d.pid, *children(self.d.pid))] + [0])[:2]
        return found

    def holds(self, found):
        return all(found[name] <= most for name, most in self.expected.items())

    def rest(self):
        """Waits until nobody is there, and nothing is left but what was left the first time. The counters."""
        self.reload(SHORT)
        end = self.t.until(PATIENCE)
        while not self.holds(found := self.leftovers()):
            check(time.monotonic() < end, f"{self.name}: left over is {found}, and should be {self.expected}")
            time.sleep(0.3)
        if "files" not in self.expected:
            time.sleep(1)  # what closes a little later is not to be taken for what stays
            self.expected = self.leftovers()
        self.reload(LONG)
        return self.d.counters()


class Path:
    """A way to an echo, and the load that goes it. plain: through somebody who speaks DTLS for us."""

    def __init__(self, name, port, rate, plain=False):
        self.name, self.address, self.rate, self.plain = name, f"127.0.0.1:{port}", rate, plain
        self.identity = ["--plain"] if plain else ["--pskusername", certs.psk()[0], "--pskkey", certs.psk()[1]]

    def bench(self, mode, *options):
        words = [DTLSBENCH, "--quiet", *map(str, options), mode, self.address]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def load(self, number):
        """While what it needs dies and comes back; what is lost then is lost."""
        if self.plain:
            return self.bench("echo", "--rate", self.rate * 4, "--sessions", 20 + number % 7, "--duration", ROUND,
                              *self.identity)
        manners = ([*self.identity, "--resume"], ["--insecure", "--stay"], [*self.identity, "--lean"],
                   ["--insecure", "--resume"], self.identity)[number % 5]
        # so many that a handshake has some seconds before it is its session's turn to end
        return self.bench("churn", "--rate", self.rate, "--sessions", 4 * self.rate, "--duration", ROUND,
                          "--handshake-timeout", 5, *manners)

    def await_service(self, t):
        end = t.until(PATIENCE)
        while True:
            with self.bench("echo", "--sessions", 1, "--count", 1, "--timeout", 0.5, "--handshake-timeout", 2,
                            *self.identity) as child:
                child.communicate()
            if child.returncode == 0:
                return
            check(time.monotonic() < end, f"{self.name} does not serve")
            time.sleep(0.1)

    def insist(self):
        """All is well: everything has to be answered."""
        with self.bench("echo", "--sessions", 5, "--window", 5, "--count", 100, "--timeout", 60, "--handshake-timeout",
                        60, "--size", 700, *self.identity) as child:
            said = child.communicate()[1]
        check_equal(child.returncode, 0, f"exit status of the load on {self.name}: {said}")


class Town:
    """Who is there: a dtlsd with each handler, one that connects, what they need, and a server that comes and goes."""

    def __init__(self, t):
        self.t = t
        self.psk = t.file("keys.psk", content(certs.file("psk.txt")))
        self.backends = Backend(t, port=free_port()), Backend(t, "unix")
        self.everybody = t.file("all.py", ALL)
        self.ports = {name: free_port() for name in (
            "echo", "udp", "unix", "each", "all", "swing", "tunnel", "far", "remote")}
        self.certificate = t.file("server.pem", content(certs.file("server.pem")))
        self.server = Watched(t, "server.conf", self._server, 1)
        self.remote = None
        self.restart_remote()
        self.client = Watched(t, "client.conf", self._client, 0)
        rates = {"echo": 50, "udp": 50, "unix": 50, "each": 15, "all": 30, "swing": 30, "tunnel": 50, "far": 50}
        self.paths = [Path(name, self.ports[name], rate, name in ("tunnel", "far")) for name, rate in rates.items()]

    def _server(self, number, idle):
        udp, unix = self.backends
        everybody = f'command = {{"{sys.executable}", "{self.everybody}"}}\n\texec-mode = service'
        swing = ("handler = echo", f'forward = "{udp.name}"', "command = /bin/cat")[number % 3]
        own = (f"idle-timeout = {idle}", f'pskpasswd = "{self.psk}"', f'x509certfile = "{self.certificate}"',
               f'x509keyfile = "{os.path.abspath(certs.file("server-key.pem"))}"')
        return "".join(service(name, self.ports[name], what, *own) for name, what in (
            ("echo", "handler = echo"), ("udp", f'forward = "{udp.name}"'), ("unix", f'forward = "{unix.name}"'),
            ("each", "command = /bin/cat"), ("all", everybody), ("swing", swing)))

    def _client(self, _number, idle):
        own = (f'pskpasswd = "{self.psk}"', f"psk-identity = {certs.psk()[0]}", f"idle-timeout = {idle}",
               "connect-silence = 2")
        return (service("tunnel", self.ports["tunnel"], f"to = 127.0.0.1:{self.ports['udp']}", *own) +
                service("far", self.ports["far"], f"to = 127.0.0.1:{self.ports['remote']}", *own))

    def restart_remote(self, number=signal.SIGKILL):
        if self.remote:
            self.remote.signal(number)
            self.remote.wait()
        self.remote = self.t.daemon(*certs.psk_options(), "--handler", "echo", "--max-sessions-per-address", "0",
                                    port=self.ports["remote"], log=None)

    def restart(self, backend):
        backend.stop()
        time.sleep(0.2)
        backend.got.clear()
        backend.start()

    def kill_processes(self, number):
        """That of all sessions more seldom: before it is started again there is a pause, which would grow."""
        for pid in self.server.processes():
            with contextlib.suppress(OSError):
                if number % 5 == 0 or b"all.py" not in content(f"/proc/{pid}/cmdline"):
                    os.kill(pid, signal.SIGKILL)

    def renew_files(self):
        """As a program that renews them does."""
        for path, data in ((self.psk, content(certs.file("psk.txt")) + b"somebody:%032x\n" % time.monotonic_ns()),
                           (self.certificate, content(self.certificate) + b"\n")):
            os.rename(self.t.file("fresh", data), path)

    def disturb(self, number):
        udp, unix = self.backends
        for act in (self.server.reload, lambda: self.restart(udp), self.client.reload, lambda: self.restart(unix),
                    lambda: self.kill_processes(number), self.renew_files,
                    lambda: self.restart_remote(signal.SIGTERM if number % 2 else signal.SIGKILL)):
            time.sleep(ROUND / 10)
            act()


def loaded(town, number):
    """A round under load."""
    children = [path.load(number) for path in town.paths]
    try:
        town.disturb(number)
    finally:
        for child in children:
            child.communicate(timeout=ROUND + 60 * SCALE)
    for path, child in zip(town.paths, children):
        check(child.returncode in (0, 1, 2), f"dtlsbench on {path.name}: {child.returncode}")


def check_sums(counters):
    """What began has ended, once."""
    ends = [name for name in counters if name.startswith("session_closed_")]
    check_equal(sum(counters[name] for name in ends), counters["session_opened"], f"sessions that ended, of {counters}")
    ends = ("handshake_" + name for name in ("done", "failed", "evicted", "replaced", "drained"))
    check_equal(sum(counters[name] for name in ends), counters["hello_admitted"], f"handshakes that ended, of {counters}")


def check_memory(t, watched, sizes):
    """sizes: in bytes, after each round. What is free goes back to the system a little later."""
    if SANITIZER or len(sizes) <= 2 * WARM:
        return
    most, end = max(sizes[:WARM]) + GROWTH, t.until(PATIENCE)
    while resident(watched.d) > most:
        check(time.monotonic() < end, f"{watched.name}: {resident(watched.d)} bytes, where it had {sizes[:WARM]} at first")
        time.sleep(0.3)


def calm(t, town):
    """All is well: all are served, and leave nothing."""
    for path in town.paths:
        path.await_service(t)
        path.insist()
    check_sums(town.server.rest())
    town.client.rest()


@case("round after round all is served again, and nothing is left", SECONDS + (ROUNDS + 2) * (ROUND + PATIENCE))
def _(t):
    town = Town(t)
    sizes = {watched: [] for watched in (town.server, town.client)}
    calm(t, town)
    begun, number = time.monotonic(), 0
    while number < ROUNDS or time.monotonic() < begun + SECONDS:
        loaded(town, number)
        number += 1
        calm(t, town)
        for watched, seen in sizes.items():
            seen.append(resident(watched.d))
    for watched, seen in sizes.items():
        print(f"# {watched.name}: {dict(watched.d.counters())}")
        print(f"# {watched.name}: KiB in memory after each round:", *(size // 1024 for size in seen))
        check_memory(t, watched, seen)


if __name__ == "__main__":
    raise SystemExit(main())
