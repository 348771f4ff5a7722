# SPDX-License-Identifier: BSD-2-Clause
"""The load generator, as the rest sees it: one function for each kind of work.

Each gives a dictionary. Work under the clock: ns_per_unit of server CPU, lost, busy. Latency: p50, p99, p99_9
and max in ns, lost, rate, late (the share that left later than it should have). Memory: before_kb, held_kb,
after_kb, bytes_per_session.
"""
import contextlib
import json
import os
import subprocess

from servers import PSK, PSK_IDENTITY

SESSIONS = 64
RECORD_OVERHEAD = 13 + 8 + 16  # header, explicit nonce and tag of AES-GCM
STORM_SECONDS = 3600  # it is ended before
RETRANSMIT = 0.02     # seconds: a hello that is lost to a race in the server must not let it fall asleep
UNANSWERED = 2  # dtlsbench's exit status; its figures say how many


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
    if done.returncode not in (0, UNANSWERED) or not done.stdout:
        raise Failed((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return json.loads(done.stdout)


def cost(results, what, lost):
    """what: the singular in the names of the generator's figures. lost: the name of another one."""
    if not results.get(f"{what}s"):
        raise Failed("no answer")
    if results[f"server_cpu_per_{what}"] is None:
        raise Failed("the server has ended")
    return {"ns_per_unit": results[f"server_cpu_per_{what}"] * 1000, "busy": results[f"server_busy_{what}s"],
            "lost": results[lost]}


def on_the_wire(server, size):
    """A server without DTLS is to be sent what is as long as the others' records."""
    return size if server.kind.dtls else size + RECORD_OVERHEAD


class Generator:
    def __init__(self, builddir, cpu):
        self.pin = ("taskset", "-c", str(cpu))
        self.dtlsbench = os.path.join(builddir, "src", "dtlsbench")

    def _command(self, server, mode, **options):
        client = {}
        if not server.kind.dtls and mode != "hello":
            client = {"plain": True}
        elif server.kind.dtls:
            # The lean client does not resume sessions.
            client = {"insecure": True}
            if server.kind.lean and "resume" not in options:
                client["lean"] = True
        if server.kind.forks:
            # It loses the hellos of others while it makes a process.
            client.update(server_children=True, handshakes=1)
        return [*self.pin, self.dtlsbench, "--quiet", "--json", "-", "--server-pid", str(server.pid),
                *words({**client, **options}), mode, server.address]

    def hello(self, server, count):
        return cost(run(self._command(server, "hello", count=count, warmup=count // 10, window=64,
                                      sessions=SESSIONS))["results"], "answer", "unanswered_hellos")

    def _handshakes(self, server, count, **options):
        found = run(self._command(server, "handshake", count=count, warmup=max(count // 10, 16), sessions=250,
                                  handshakes=16, retransmit=RETRANSMIT, **options))
        return cost(found["results"], "handshake", "failed_handshakes")

    def handshake(self, server, count):
        return self._handshakes(server, count)

    def resumed(self, server, count):
        return self._handshakes(server, count, resume=True)

    def psk(self, server, count):
        return self._handshakes(server, count, pskusername=PSK_IDENTITY, pskkey=PSK.hex())

    def echo(self, server, size, count, window=64, sessions=SESSIONS, in_one=1):
        """in_one: records that leave in one message."""
        sealed = {"ahead": True} if server.kind.dtls else {}
        found = run(self._command(server, "echo", size=on_the_wire(server, size), count=count,
                                  warmup=count // 10, window=window, sessions=sessions, run=in_one, **sealed))
        return cost(found["results"], "record", "unanswered_records")

    def latency(self, server, rate, seconds):
        found = run(self._command(server, "latency", rate=int(rate), duration=seconds,
                                  size=on_the_wire(server, 64), sessions=SESSIONS))
        echo, results = found["histograms"]["echo"], found["results"]
        return {"rate": rate, "lost": results["unanswered_records"],
                "late": results["sent_late"] / max(results["records"] + results["unanswered_records"], 1),
                **{key: echo[f"{key}_ns"] for key in ("p50", "p99", "p99_9", "max")}}

    def idle(self, server, sessions, settle):
        """Each session echoes once before it sits there."""
        found = run(self._command(server, "idle", sessions=sessions, settle=settle, verify="all",
                                  duration=0.1))["results"]
        return {"sessions": sessions, "before_kb": found["server_rss_before"] // 1024, "held_kb": found["server_rss_held"] // 1024,
                "after_kb": found["server_rss_after"] // 1024,
                "bytes_per_session": (found["server_rss_held"] - found["server_rss_before"]) / sessions}

    @contextlib.contextmanager
    def storm(self, server, rate):
        """Handshakes beside the rest, by a generator that runs only when the other one sleeps."""
        storm = subprocess.Popen(
            ["chrt", "--idle", "0", *self._command(server, "churn", rate=rate, duration=STORM_SECONDS,
                                                   sessions=SESSIONS)],
            stdout=subprocess.DEVNULL)
        try:
            yield
            if storm.poll() is not None:
                raise Failed("the storm of handshakes was over too soon")
        finally:
            storm.terminate()
            storm.wait()
