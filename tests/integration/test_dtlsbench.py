#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The load generator: every mode against dtlsd, what it tells, other servers, bad networks, exit statuses.

No rate or time is asserted, only what was done and what became of it.
"""

import json
import os
import signal
import subprocess
import threading
import time

import certs
from allocs import resident
from harness import DTLSBENCH, SANITIZER, SCALE, Failed, case, check, check_equal, free_port, main, skip, udp_socket
from relay import Relay, path

OK, FAILED, UNANSWERED = 0, 1, 2


def serve(t, *options, **settings):
    return t.daemon(*certs.server_options(), *certs.psk_options(), "--handler", "echo", "--workers", "1",
                    "--max-sessions-per-address", "0", "--max-handshakes-per-address", "0", *options, log=None,
                    **settings)


def trust():
    return ["--x509cafile", certs.file("ca.pem")]


def psk():
    identity, key = certs.psk()
    return ["--pskusername", identity, "--pskkey", key]


class Run:
    """dtlsbench from its start to its end."""

    def __init__(self, t, address, mode, *options, begun=None, wrapper=()):
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.t = t
        self.child = subprocess.Popen(
            [*wrapper, DTLSBENCH, "--json", "-", *map(str, options), mode, f"{host}:{address[1]}"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        t.stack.callback(self._end)
        if begun:
            begun(self.child)
        try:
            self.out, self.err = self.child.communicate(timeout=max(1, t.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed(f"dtlsbench {mode} still runs") from None
        self.status = self.child.returncode
        t.note(f"dtlsbench {mode} {options}: {self.status}: " + " | ".join(self.err.splitlines()[:30]))
        check(self.status in (OK, FAILED, UNANSWERED), f"dtlsbench {mode}: status {self.status}: {self.err}")
        self.report = json.loads(self.out) if self.out else None

    def _end(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def __getitem__(self, name):
        return self.report["results"][name]

    def count(self, name):
        return self.report["histograms"][name]["count"]


def run(t, d, mode, *options, status=OK, **settings):
    r = Run(t, d if isinstance(d, tuple) else d.address, mode, *options, **settings)
    check_equal(r.status, status, f"exit status of {mode} {options}: {r.err}")
    return r


# ---- modes


@case("hello: every hello is answered, and the server makes nothing of them")
def _(t):
    d = serve(t)
    r = run(t, d, "hello", "--count", 3000, "--sessions", 700)
    check_equal(r["hellos"], 3000, "hellos")
    check_equal(r["answers"], 3000, "answers")
    check_equal(r.count("hello"), 3000, "times")
    check_equal(d.counters()["handshake_begun"], 0, "handshakes begun")


@case("hello --flood waits for no answer")
def _(t):
    r = run(t, serve(t), "hello", "--count", 2000, "--flood")
    check_equal(r["hellos"], 2000, "hellos")


@case("handshake: full, resumed, with a pre-shared key, by GnuTLS and lean", 60)
def _(t):
    d = serve(t)
    for count, options in enumerate((trust(), [*trust(), "--resume"], psk(), ["--lean", "--insecure"],
                                     ["--lean", *psk()]), 1):
        r = run(t, d, "handshake", "--count", 30, "--sessions", 12, "--warmup", 5, *options)
        check_equal(r["handshakes"], 30, "handshakes")
        check_equal(r.count("handshake"), 30, "times")
        check_equal(r["resumed_handshakes"] > 0, "--resume" in options, f"whether they are resumed ({count})")
        check_equal(r["failed_handshakes"], 0, "failed")
    check_equal(d.counters()["sessions"], 0, "sessions that are left")


@case("echo: all records come back, one by one, in runs, at random, at a rate, sealed ahead", 60)
def _(t):
    d = serve(t)
    for options in ([], ["--run", 8, "--size", 500], ["--order", "random", "--sessions", 200], ["--rate", 20000],
                    ["--size", 16384, "--window", 4], ["--ahead"], ["--ahead", "--run", 4, "--warmup", 100]):
        r = run(t, d, "echo", "--count", 2000, "--lean", *psk(), *options)
        check_equal(r["records"], 2000, f"records {options}")
        check_equal(r["wrong_answers"], 0, "wrong answers")


@case("latency: as many records as the rate asks for, and the time of each")
def _(t):
    r = run(t, serve(t), "latency", "--rate", 500, "--count", 300, *trust())
    check_equal(r["records"], 300, "records")
    check_equal(r.count("echo"), 300, "times")
    check("sent_late" in r.report["results"], "it does not say whether it was late itself")


@case("idle: thousands of sessions are held, and all of them echo", 60)
def _(t):
    d = serve(t)
    seen = []

    def look(_child):
        seen.append(d.await_counter("sessions", 3000, timeout=40)["sessions"])
    r = run(t, d, "idle", "--sessions", 3000, "--duration", 3 * SCALE, "--settle", 0, "--verify", "all", "--lean",
            *psk(), "--server-pid", d.pid, begun=look)
    check_equal(seen, [3000], "sessions that the server counts")
    check_equal(r["sessions_opened"], 3000, "opened")
    check_equal(r["sessions_that_echoed"], 3000, "sessions that echoed")
    check(0 < r["server_rss_per_session"] < 100000, f"memory of a session: {r['server_rss_per_session']}")
    check_equal(d.counters()["sessions"], 0, "sessions that are left")


@case("idle: sessions that the server gives up are told", 60)
def _(t):
    d = serve(t, "--idle-timeout", "1")
    r = run(t, d, "idle", "--sessions", 50, "--duration", 4 * SCALE, "--lean", *psk(), status=UNANSWERED)
    check_equal(r["closed_by_server"], 50, "closed by the server")


@case("churn: sessions come and go, and each newcomer is served")
def _(t):
    d = serve(t)
    r = run(t, d, "churn", "--sessions", 40, "--rate", 200, "--count", 150, "--lean", *psk())
    check_equal(r["handshakes"], 150, "handshakes")
    check_equal(r.count("echo"), 150, "newcomers that echoed")
    check_equal(d.counters()["sessions"], 0, "sessions that are left")


@case("churn faster than handshakes are done: each is done before its session gives way to another")
def _(t):
    r = run(t, serve(t), "churn", "--sessions", 10, "--rate", 1000000, "--count", 150, "--lean", *psk())
    check_equal((r["handshakes"], r.count("echo")), (150, 150), "handshakes, newcomers that echoed")


@case("mixed: handshakes and records in their shares")
def _(t):
    r = run(t, serve(t), "mixed", "--sessions", 100, "--mix", "1:9:30", "--count", 1000, "--lean", *psk())
    check_equal(r["operations"], 1000, "operations")
    check_equal(r["handshakes"], 100, "handshakes")
    check_equal(r["records"], 900, "records")


# ---- networks and servers


@case("IPv6, and a port for each client")
def _(t):
    d = serve(t, addresses=["[::1]:%d"])
    check_equal(run(t, d, "echo", "--sessions", 30, "--count", 500, "--run", 4, *trust(), "--sni", "localhost")["records"],
                500, "records")
    check_equal(run(t, d, "hello", "--sessions", 100, "--count", 500)["answers"], 500, "answers")


@case("lost, doubled and late datagrams: handshakes complete", 90)
def _(t):
    d = serve(t)
    clients = (["--lean", *psk()], ["--lean", "--insecure"], trust(), [*trust(), "--resume"])
    for seed in range(16):
        # a relay for each: behind one, a client would hear what the server repeats for the one before
        r = Relay(t, d, path(loss=0.1, double=0.1, late=0.1)(f"dtlsbench {seed}"))
        found = run(t, (r.host, r.port), "handshake", "--sessions", 1, "--count", 1, "--handshake-timeout", 60,
                    "--timeout", 0.1, *clients[seed % 4])
        check_equal(found["handshakes"], 1, f"handshakes with {clients[seed % 4][0]}")


@case("gnutls-serv echoes, as far as it goes: one session")
def _(t):
    port = free_port()
    cert, key = certs.pair("server")
    try:
        t.process(["gnutls-serv", "--udp", "--echo", "-p", str(port), "--x509certfile", cert, "--x509keyfile", key])
    except FileNotFoundError:
        skip("no gnutls-serv")
    # it is there as soon as it answers a hello
    for options in (trust(), ["--lean", "--insecure"]):
        r = run(t, ("127.0.0.1", port), "echo", "--sessions", 1, "--count", 200, "--handshake-timeout", 25, *options)
        check_equal(r["records"], 200, "records")


@case("openssl s_server: handshakes, one after the other")
def _(t):
    port = free_port()
    cert, key = certs.pair("rsa-server")
    try:
        t.process(["openssl", "s_server", "-dtls1_2", "-4", "-accept", f"127.0.0.1:{port}", "-quiet", "-cert", cert,
                   "-cert_chain", cert, "-key", key])
    except FileNotFoundError:
        skip("no openssl")
    for options in (trust(), ["--lean", "--insecure"]):
        r = run(t, ("127.0.0.1", port), "handshake", "--sessions", 1, "--handshakes", 1, "--count", 3,
                "--handshake-timeout", 25, *options)
        check_equal(r["handshakes"], 3, "handshakes")


@case("an IPv6 prefix that is routed here: an address for each client")
def _(t):
    inside = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
              "ip link set lo up && ip -6 route add local fd64::/32 dev lo && exec \"$@\"", "sh"]
    try:
        probe = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        skip(f"no {e.filename}")
    if probe.returncode:
        skip(f"no network namespace with such a route: {probe.stderr.strip()}")
    # from one /64 the server would let 20 in
    d = t.daemon(*certs.psk_options(), *certs.server_options(), "--handler", "echo", "--max-sessions-per-address", "20",
                 addresses=["[::1]:%d"], wrapper=inside, log=None)
    r = run(t, d, "echo", "--prefix", "fd64::/32", "--sessions", 200, "--count", 1000, "--lean", *psk(),
            wrapper=["nsenter", "-t", str(d.pid), "--user", "--preserve-credentials", "--net"])
    check_equal((r["sessions_opened"], r["records"]), (200, 1000), "sessions and records")


class Echo:
    """A UDP server without DTLS; change makes of each datagram what goes back, None for nothing."""

    def __init__(self, t, change):
        self.socket = udp_socket()
        self.socket.settimeout(0.05)
        self.address = self.socket.getsockname()
        self.change, self.stopping = change, False
        self.thread = threading.Thread(target=self._turn, daemon=True)
        self.thread.start()
        t.closing(self)

    def _turn(self):
        number = 0
        while not self.stopping:
            try:
                data, peer = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            answer = self.change(number, data)
            number += 1
            if answer is not None:
                self.socket.sendto(answer, peer)

    def close(self):
        self.stopping = True
        self.thread.join(5)
        self.socket.close()


@case("--plain asks any UDP echo server")
def _(t):
    e = Echo(t, lambda _number, data: data)
    check_equal(run(t, e, "echo", "--plain", "--count", 300)["records"], 300, "records")
    check_equal(run(t, e, "latency", "--plain", "--rate", 1000, "--count", 200).count("echo"), 200, "times")


@case("what is not answered, or wrongly, is counted and sets the exit status")
def _(t):
    e = Echo(t, lambda number, data: None if number % 10 == 0 else data)
    r = run(t, e, "echo", "--plain", "--count", 200, "--timeout", 0.5, status=UNANSWERED)
    check_equal((r["records"], r["unanswered_records"]), (180, 20), "echoed and not")
    e = Echo(t, lambda number, data: data[:-1] + b"?" if number % 10 == 0 else data)
    r = run(t, e, "echo", "--plain", "--count", 200, "--timeout", 0.5, status=UNANSWERED)
    check_equal((r["records"], r["wrong_answers"]), (180, 20), "echoed rightly and wrongly")
    check("20 answered wrongly" in r.err, r.err)


@case("hellos: another answer than a HelloVerifyRequest is wrong, a copy of one is none")
def _(t):
    r = run(t, Echo(t, lambda _number, data: data), "hello", "--count", 20, "--timeout", 3, status=UNANSWERED)
    check_equal((r["answers"], r["unanswered_hellos"]), (0, 20), "right answers and none")
    check(r["wrong_answers"] > 0, "no answer was wrong")
    r = Relay(t, serve(t), lambda direction, _number, datagram: [datagram] * (1 + (direction == "down")))
    found = run(t, (r.host, r.port), "hello", "--sessions", 1, "--count", 50)
    check_equal((found["answers"], found["unanswered_hellos"]), (50, 0), "answers to one client, each doubled")


@case("what is lost while it warms up is not held against the server")
def _(t):
    e = Echo(t, lambda number, data: None if number < 20 else data)
    r = run(t, e, "echo", "--plain", "--sessions", 1, "--window", 20, "--warmup", 20, "--count", 100, "--timeout", 0.5)
    check_equal((r["records"], r["unanswered_records"]), (100, 0), "echoed and not")


@case("the memory of AEAD handles and handshakes goes back to the system when the sessions have ended")
def _(t):
    if SANITIZER:
        skip("a sanitizer keeps what is freed")
    d = serve(t)
    lean = "--lean", *psk()
    run(t, d, "idle", "--sessions", 100, "--verify", "all", "--duration", 0.1, *lean)
    before = resident(d)
    run(t, d, "idle", "--sessions", 5000, "--verify", "all", "--duration", 0.1, *lean)
    # 4096 pairs of handles alone are 6 MB
    while resident(d) - before > 2048 * 1024:
        check(time.monotonic() < t.deadline - 1, f"{resident(d)} bytes, {before} before")
        time.sleep(0.2)


@case("latency counts from when a record was due: a stall of the server is in all the records of that time")
def _(t):
    def stall(number, data):
        if number == 100:
            time.sleep(0.3)
        return data
    r = run(t, Echo(t, stall), "latency", "--plain", "--rate", 500, "--count", 300)
    slow = sum(count for low, _high, count in r.report["histograms"]["echo"]["buckets"] if low > 100e6)
    # 300 ms at 500 a second: the 100 due in its first 200 ms waited more than 100 ms, whoever is late
    check(slow >= 95, f"{slow} records waited for more than 100 ms")


# ---- what it says


@case("nobody there: a hello is unanswered, a handshake has failed")
def _(t):
    nobody = ("127.0.0.1", free_port())
    r = run(t, nobody, "hello", "--count", 10, "--timeout", 0.2, status=UNANSWERED)
    check_equal(r["unanswered_hellos"], 10, "unanswered")
    r = run(t, nobody, "handshake", "--count", 2, "--handshake-timeout", 0.3, "--insecure", status=FAILED)
    check("no answer at all" in r.err, r.err)


@case("a certificate that cannot be verified: failed, and why")
def _(t):
    d = serve(t)
    r = run(t, d, "handshake", "--count", 2, "--x509cafile", certs.file("foreign-ca.pem"), status=FAILED)
    check("certificate" in r.err and "2 handshakes failed" in r.err, r.err)
    r = run(t, d, "handshake", "--count", 1, "--x509cafile", "/nonexistent", status=FAILED)
    check("/nonexistent" in r.err, r.err)


def dies_under(t, d, *options):
    """A run in which the server is killed when its 200th datagram would come."""
    def kill(direction, number, datagram):
        if direction == "up" and number >= 200:
            d.kill()
            return []
        return [datagram]
    d.finish = lambda: d.notify.close()
    r = Relay(t, d, kill)
    return run(t, (r.host, r.port), "echo", "--sessions", 1, "--count", 1000, "--timeout", 0.2, "--lean", *psk(), *options,
               status=UNANSWERED)


@case("the server dies under load: what is out is unanswered")
def _(t):
    r = dies_under(t, serve(t))
    check(r["unanswered_records"] > 0, "nothing is unanswered")


@case("the server dies under --server-pid: what it cost is not known, and nothing is made up")
def _(t):
    d = serve(t)
    r = dies_under(t, d, "--server-pid", d.pid)
    check_equal([r[name] for name in ("server_cpu_per_record", "server_busy_records", "server_rss_after")], [None] * 3,
                "what is told of the server")
    check(f"process {d.pid} has ended meanwhile" in r.err, r.err)
    r = Run(t, d.address, "echo", "--count", 1, "--server-pid", d.pid)
    check_equal(r.status, FAILED, "status without such a process")
    check("there is no such process" in r.err, r.err)


@case("the server says goodbye to all while they are asked one by one")
def _(t):
    d = serve(t)

    def stop(_child):
        d.await_counter("records_in", 3000 + 20) # all spoke when they had come; now they are verified
        d.signal(signal.SIGTERM)
    r = run(t, d, "idle", "--sessions", 3000, "--window", 1, "--verify", "all", "--duration", 0.5, "--timeout", 0.5, "--lean",
            *psk(), status=UNANSWERED, begun=stop)
    check_equal(d.wait(), 0, "the server's exit status")
    check(r["sessions_that_echoed"] < r["sessions_asked"], "nobody is unanswered")


@case("ctrl-c ends it, and what there is by then is told")
def _(t):
    d = serve(t)

    def interrupt(child):
        d.await_counter("sessions", 30)
        child.send_signal(signal.SIGINT)
    r = run(t, d, "idle", "--sessions", 30, "--duration", 600, "--lean", *psk(), begun=interrupt)
    # a session is open for the server before the client knows
    check(d.counters()["sessions"] <= 30 - r["sessions_opened"], "sessions that the client knows are left")


@case("--server-pid: what it cost the server")
def _(t):
    d = serve(t)
    r = run(t, d, "echo", "--count", 2000, "--server-pid", d.pid, "--lean", *psk())
    check(r["server_cpu_per_record"] > 0 and r["own_cpu_per_record"] > 0, r.out)


@case("--server-children: what it cost the children of a process that does nothing itself")
def _(t):
    d = serve(t, wrapper=["sh", "-c", 'trap "kill \\$!" TERM; "$@" & wait $!; wait $!', "sh"])
    parent = d.pid
    r = run(t, d, "echo", "--count", 2000, "--server-pid", parent, "--lean", *psk())
    check(r["server_cpu_per_record"] < 1, r.out)
    r = run(t, d, "echo", "--count", 2000, "--server-pid", parent, "--server-children", "--lean", *psk())
    check(r["server_cpu_per_record"] > 0.1, r.out)


@case("--csv and --svg write files, and the table goes where JSON does not")
def _(t):
    d = serve(t)
    csv, svg = os.path.join(t.dir(), "out.csv"), os.path.join(t.dir(), "out.svg")
    r = run(t, d, "echo", "--count", 100, "--csv", csv, "--svg", svg, "--lean", *psk())
    check("records per second" in r.err, r.err)
    with open(csv, encoding="ascii") as f:
        check_equal(len(f.read().splitlines()), 2, "lines of CSV")
    with open(svg, encoding="ascii") as f:
        check("<svg" in f.read(), "no SVG")
    r = Run(t, d.address, "echo", "--count", 10, "--csv", "/nonexistent/x", "--lean", *psk())
    check_equal(r.status, FAILED, "status when a file cannot be written")


@case("a wrong command line: a sentence and status 1")
def _(t):
    for words in (["echo"], ["dance", "127.0.0.1"], ["--size", "1", "echo", "127.0.0.1"]):
        done = subprocess.run([DTLSBENCH, *words], capture_output=True, text=True, check=False)
        check_equal((done.returncode, done.stdout), (FAILED, ""), f"status and output of {words}")
        check(done.stderr.startswith("dtlsbench: "), done.stderr)
    done = subprocess.run([DTLSBENCH, "--help"], capture_output=True, text=True, check=False)
    check(done.returncode == OK and "Usage: dtlsbench" in done.stdout, done.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
