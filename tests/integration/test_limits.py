#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every limit: its effect, its counter, and a log line that says what to change."""

import os
import sys
import time

import certs
import dtlsraw as raw
from harness import case, check, check_equal, main


def serve(t, *options, **settings):
    return t.daemon(*certs.psk_options(), "--workers", "1", *options, **settings)


def client(t, d, source=None):
    return raw.Client(t, d.address, certs.psk(), source)


def refused(t, d, source=None):
    """A client with a good cookie gets no answer."""
    c = client(t, d, source)
    c.get_cookie()
    c.send(c.hello_with_cookie()[0])
    raw.fence(t, d)
    check(not c.pending(), "the daemon answered a client over the limit")
    return c


@case("max-sessions: one more is refused, told in the log, and let in when one has left")
def _(t):
    d = serve(t, "--max-sessions", "3")
    inside = [client(t, d).connect() for _ in range(3)]
    refused(t, d)
    d.expect(r"warning: peer=127\.0\.0\.1:\d+ .*--max-sessions\b")
    check_equal(d.counters()["limited_sessions"], 1, "limited_sessions")
    for c in inside:
        c.alive()
    inside[0].close()
    client(t, d).connect().alive()


@case("max-handshakes: one more is refused, told in the log, and let in when one is over")
def _(t):
    d = serve(t, "--max-handshakes", "2")
    halves = [client(t, d) for _ in range(2)]
    for c in halves:
        c.get_cookie()
        c.send(c.hello_with_cookie()[0])
        c.take_flight(raw.SERVER_HELLO_DONE)
    refused(t, d)
    d.expect(r"warning: peer=127\.0\.0\.1:\d+ .*--max-handshakes\b")
    check_equal(d.counters()["limited_handshakes"], 1, "limited_handshakes")
    halves[0].send(b"".join(halves[0].final()))
    halves[0].take_finish()
    client(t, d).connect().alive()
    halves[0].alive()


@case("max-sessions-per-address: one more of an address is refused, another address is not")
def _(t):
    d = serve(t, "--max-sessions-per-address", "2")
    inside = [client(t, d, ("127.0.0.7", 0)).connect() for _ in range(2)]
    refused(t, d, ("127.0.0.7", 0))
    d.expect(r"warning: peer=127\.0\.0\.7:\d+ .*--max-sessions-per-address\b")
    check_equal(d.counters()["limited_address"], 1, "limited_address")
    client(t, d, ("127.0.0.8", 0)).connect().alive()
    inside[0].close()
    client(t, d, ("127.0.0.7", 0)).connect().alive()


@case("max-sessions-per-address counts handshakes under way, too")
def _(t):
    d = serve(t, "--max-sessions-per-address", "1", "--handshake-timeout", "1")
    half = client(t, d, ("127.0.0.7", 0))
    half.get_cookie()
    half.send(half.hello_with_cookie()[0])
    half.take_flight(raw.SERVER_HELLO_DONE)
    refused(t, d, ("127.0.0.7", 0))
    d.await_counter("handshake_timeout", 1)
    client(t, d, ("127.0.0.7", 0)).connect().alive()


@case("handshake-rate: what exceeds it is refused and told in the log")
def _(t):
    d = serve(t, "--handshake-rate", "2")
    asking = []
    for _ in range(12):
        c = client(t, d)
        c.get_cookie()
        asking.append(c)
    for c in asking:
        c.send(c.hello_with_cookie()[0])
    now = d.await_counter("limited_rate", 1)
    check(now["hello_admitted"] >= 2, "fewer admitted than the rate allows")
    d.expect(r"warning: .*--handshake-rate\b")


@case("idle-timeout: a silent peer gets close_notify and leaves, one that talks stays")
def _(t):
    d = serve(t, "--idle-timeout", "2")
    silent, talking = client(t, d).connect(), client(t, d).connect()
    silent.alive()
    begin = time.monotonic()
    while d.counters()["session_closed_idle"] == 0:
        talking.alive()
        check(time.monotonic() < t.deadline, "the silent session stays")
        time.sleep(0.1)
    check(time.monotonic() - begin > 1.5, "the session was closed too soon")
    check_equal(silent.next(), (raw.ALERT, bytes([1, raw.CLOSE_NOTIFY])), "what the silent peer gets")
    talking.alive()
    d.expect(r"peer=127\.0\.0\.1:\d+ .*session closed \(idle\)")


@case("idle-timeout: forged and replayed records do not keep a session alive")
def _(t):
    d = serve(t, "--idle-timeout", "2")
    c = client(t, d).connect()
    record = c.seal(raw.DATA, b"ping\n")
    c.send(record)
    c.next()
    while d.counters()["session_closed_idle"] == 0:
        check(time.monotonic() < t.deadline, "the session stays")
        c.send(record)
        c.send(raw.record(raw.DATA, os.urandom(40), epoch=1, seq=99))
        c.send(raw.alert(1, 90))
        time.sleep(0.1)


@case("idle-timeout 0: a session stays")
def _(t):
    d = serve(t, "--idle-timeout", "0")
    c = client(t, d).connect()
    time.sleep(2)
    c.alive()


@case("handshake-timeout: a handshake that does not end is given up, counted and told")
def _(t):
    d = serve(t, "--handshake-timeout", "1")
    c = client(t, d)
    c.get_cookie()
    c.send(c.hello_with_cookie()[0])
    c.take_flight(raw.SERVER_HELLO_DONE)
    now = d.await_counter("handshake_timeout", 1)
    check_equal(now["handshake_failed"], 1, "failed")
    d.expect(r"peer=127\.0\.0\.1:\d+ .*handshake failed: timed out")
    client(t, d).connect().alive()


@case("log lines that strangers cause are limited, and the held back are counted")
def _(t):
    d = serve(t, "--max-sessions", "1")
    client(t, d).connect()
    for _ in range(30):
        refused(t, d)
    check_equal(d.counters()["limited_sessions"], 30, "limited_sessions")
    lines = d.text.count("raise --max-sessions")
    check(1 <= lines <= 10, f"{lines} lines for 30 refusals")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
