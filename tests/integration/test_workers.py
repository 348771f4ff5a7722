#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Several workers: many clients at once, what crosses workers, changes under load. Runs under TSan, too."""

import signal
import sys
import threading

import certs
import clients
import dtlsraw as raw
from harness import Failed, case, check, check_equal, main

WORKERS = ["--workers", "4"]


def serve(t, *options):
    return t.daemon(*certs.psk_options(), *WORKERS, *options, addresses=["127.0.0.1:%d", "[::1]:%d"])


def connect(t, d, n):
    """n sessions, from both address families."""
    return [raw.Client(t, ("127.0.0.1" if k % 4 else "::1", d.port), certs.psk()).connect() for k in range(n)]


def together(jobs):
    """Runs functions in threads; the first failure is the case's."""
    failures = []

    def guard(job):
        try:
            job()
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)
    threads = [threading.Thread(target=guard, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@case("64 clients: all are served, stats counts those of all workers and lists a few", 60)
def _(t):
    d = serve(t)
    everyone = connect(t, d, 64)
    for c in everyone:
        c.alive()
    for c in everyone[:8]:
        c.say("stats")
        text = c.next()[1].decode()
        check(text.startswith("64 sessions\n"), f"stats: {text!r}")
        lines = text.splitlines()
        check(lines[-1].startswith("and ") and len(lines) < 30, f"stats: {text!r}")
        check(len(text) <= 1200, "stats does not fit into a datagram")
    for c in everyone:
        c.close()
    check_equal(d.counters()["sessions"], 0, "sessions left")


@case("bc reaches the clients of all workers, each once", 60)
def _(t):
    d = serve(t)
    everyone = connect(t, d, 40)
    everyone[0].say("bc one for all")
    everyone[17].say("bc and all for one")
    for c in everyone:
        got = sorted(c.next()[1].decode().split(": ")[1] for _ in range(2))
        check_equal(got, ["and all for one\n", "one for all\n"], "broadcasts")
        c.alive()


@case("handshakes, traffic, broadcasts, stats, reloads and farewells all at once", 90)
def _(t):
    d = serve(t)

    def visitor(number):
        for turn in range(4):
            c = raw.Client(t, ("127.0.0.1" if number % 2 else "::1", d.port), certs.psk()).connect()
            for k in range(10):
                text = f"{number}-{turn}-{k}"
                c.say(f"echo {text}")
                # broadcasts of others may come in between
                while c.next()[1] != text.encode() + b"\n":
                    pass
            c.say("bc hello from one of many" if turn % 2 else "stats")
            c.next()
            c.send(c.seal(raw.ALERT, bytes([1, raw.CLOSE_NOTIFY])))
            while c.next()[0] != raw.ALERT:
                pass

    def reloader():
        for _ in range(10):
            d.signal(signal.SIGHUP)
            d.counters()
    together([*[lambda n=n: visitor(n) for n in range(8)], reloader])
    now = d.counters()
    check_equal((now["handshake_done"], now["handshake_failed"], now["sessions"]), (32, 0, 0), "sessions")


@case("limits hold across workers", 60)
def _(t):
    d = serve(t, "--max-sessions", "10")
    everyone = connect(t, d, 10)
    for _ in range(10):
        c = raw.Client(t, d.address, certs.psk())
        c.get_cookie()
        c.send(c.hello_with_cookie()[0])
    d.await_counter("limited_sessions", 10)
    for c in everyone:
        c.alive()
    check_equal(d.counters()["sessions"], 10, "sessions")


@case("SIGTERM with traffic on all workers: each session gets close_notify", 60)
def _(t):
    d = serve(t)
    everyone = connect(t, d, 32)
    for c in everyone:
        c.alive()
        c.say("ping")
    check_equal(d.stop(), 0, "exit status")
    for c in everyone:
        last = None
        try:
            while last is None or last[0] != raw.ALERT:
                last = c.next(2)
        except Failed:
            pass
        check_equal(last, (raw.ALERT, bytes([1, raw.CLOSE_NOTIFY])), "the last a session gets")


@case("real clients of all libraries, several of each, talk at once", 60)
def _(t):
    d = t.daemon(*certs.server_options(), *certs.psk_options(), *WORKERS)
    everyone = [t.client(client(d, psk=psk)) for client in clients.ALL.values() for psk in (None, True, None)]
    for c in everyone:
        c.ask("ping", r"^pong$")
    everyone[0].send("bc to everyone")
    for c in everyone:
        c.expect(r": to everyone$")
    everyone[1].ask("stats", rf"^{len(everyone)} sessions$")
    for c in everyone:
        c.end_input()
        c.wait()


if __name__ == "__main__":
    sys.exit(main(jobs=2))
