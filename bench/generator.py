# SPDX-License-Identifier: BSD-2-Clause
"""The load generator, as the rest sees it: one function for each kind of work.

Each gives a dictionary. Work under the clock: ns_per_unit of server CPU, lost, busy. Latency: p50, p99, p99_9
and max in ns, lost, rate. Memory: before_kb, held_kb, after_kb, bytes_per_session.
"""
import contextlib
import json
import os
import subprocess

from servers import PSK, PSK_IDENTITY

LATENCY_SESSIONS = 64
STORM_SECONDS = 3600  # it is ended before


class Failed(Exception):
    """The server did not do what was asked of it; the text says what came instead."""


def words(options):
    """The command line for them: names with underscores, True for an option without a value."""
    for name, value in options.items():
        yield "--" + name.replace("_", "-")
        if value is not True:
            yield str(value)


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return json.loads(done.stdout)


class Generator:
    def __init__(self, builddir, cpu):
        self.pin = ("taskset", "-c", str(cpu))
        self.load = os.path.join(builddir, "bench", "load")
        self.dtlsbench = os.path.join(builddir, "src", "dtlsbench")

    # ---- by bench/load

    def _load(self, server, mode, **options):
        return run([*self.pin, self.load, "--pid", str(server.pid), *words(options), mode, server.address])

    def hello(self, server, count):
        return self._load(server, "hello", count=count, warmup=count // 10, window=64,
                          answer=server.kind.hello_answer)

    def handshake(self, server, count):
        return self._load(server, "handshake", count=count, warmup=max(count // 10, 16), sessions=250)

    def echo(self, server, size, count, window=64, sessions=64, gso=1):
        plain = {} if server.kind.dtls else {"plain": True}
        return self._load(server, "echo", size=size, count=count, warmup=count // 10, window=window,
                          sessions=sessions, gso=gso, **plain)

    def idle(self, server, sessions, settle):
        return self._load(server, "idle", sessions=sessions, settle=settle)

    # ---- by dtlsbench

    def _command(self, server, mode, **options):
        if not os.access(self.dtlsbench, os.X_OK):
            raise Failed("no dtlsbench in this tree")
        return [*self.pin, self.dtlsbench, "--quiet", "--server-pid", str(server.pid), *words(options), mode,
                server.address]

    def _handshakes(self, server, count, **options):
        found = run(self._command(server, "handshake", json="-", count=count, warmup=max(count // 10, 16),
                                  sessions=250, handshakes=16, insecure=True, **options))["results"]
        return {"ns_per_unit": found["server_cpu_per_handshake"] * 1000,
                "busy": found["server_busy_handshakes"], "lost": found["failed_handshakes"]}

    def resumed(self, server, count):
        return self._handshakes(server, count, resume=True)

    def psk(self, server, count):
        return self._handshakes(server, count, lean=True, pskusername=PSK_IDENTITY, pskkey=PSK.hex())

    def latency(self, server, rate, seconds):
        how = {"lean": True, "insecure": True} if server.kind.dtls else {"plain": True}
        found = run(self._command(server, "latency", json="-", rate=int(rate), duration=seconds, size=64,
                                  sessions=LATENCY_SESSIONS, **how))
        echo = found["histograms"]["echo"]
        return {"rate": rate, "lost": found["results"]["unanswered_records"],
                **{key: echo[f"{key}_ns"] for key in ("p50", "p99", "p99_9", "max")}}

    @contextlib.contextmanager
    def storm(self, server, rate):
        """Handshakes beside the rest, by a generator that runs only when the other one sleeps."""
        storm = subprocess.Popen(
            ["chrt", "--idle", "0", *self._command(server, "churn", rate=rate, duration=STORM_SECONDS,
                                                   sessions=LATENCY_SESSIONS, lean=True, insecure=True)],
            stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            storm.terminate()
            storm.wait()
