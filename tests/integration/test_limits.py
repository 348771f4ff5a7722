#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every limit: its effect, its counter, and a log line that says what to change."""

import os
import signal
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


def half_open(t, d, source=None):
    """A client that has been admitted and has the server's flight."""
    c = client(t, d, source)
    c.get_flight()
    return c


@case("max-handshakes: one more is refused, told in the log, and let in when one is over")
def _(t):
    d = serve(t, "--max-handshakes", "2")
    halves = [half_open(t, d) for _ in range(2)]
    finals = [c.final() for c in halves]
    for c, records in zip(halves, finals):
        c.send(records[0])  # they have gone on, and are not given up for others
    refused(t, d)
    d.expect(r"warning: peer=127\.0\.0\.1:\d+ .*--max-handshakes\b")
    check_equal(d.counters()["limited_handshakes"], 1, "limited_handshakes")
    halves[0].send(b"".join(finals[0][1:]))
    halves[0].take_finish()
    client(t, d).connect().alive()
    halves[0].alive()
    halves[1].send(b"".join(finals[1][1:]))
    halves[1].take_finish()
    halves[1].alive()
    check_equal(d.counters()["handshake_evicted"], 0, "evicted")


@case("max-handshakes: the oldest that has not gone on makes room for a new one, told in the log")
def _(t):
    d = serve(t, "--max-handshakes", "3")
    gone_on, oldest, newer = (half_open(t, d) for _ in range(3))
    final = gone_on.final()
    gone_on.send(final[0])
    client(t, d).connect().alive()
    d.expect(rf"warning: peer=127\.0\.0\.1:{oldest.address[1]}\b.*given up for a newer one.*--max-handshakes\b")
    now = d.counters()
    check_equal((now["handshake_evicted"], now["limited_handshakes"]), (1, 0), "evicted, refused")
    newer.send(b"".join(newer.final()))
    newer.take_finish()
    newer.alive()
    gone_on.send(b"".join(final[1:]))
    gone_on.take_finish()
    gone_on.alive()


@case("max-handshakes-per-address: one more is refused and evicts nobody; another address is let in")
def _(t):
    d = serve(t, "--max-handshakes", "3", "--max-handshakes-per-address", "2")
    halves = [half_open(t, d, ("127.0.0.7", 0)) for _ in range(2)]
    half_open(t, d, ("127.0.0.9", 0))
    refused(t, d, ("127.0.0.7", 0))
    d.expect(r"warning: peer=127\.0\.0\.7:\d+ .*--max-handshakes-per-address\b")
    now = d.counters()
    check_equal((now["limited_address_handshakes"], now["handshake_evicted"]), (1, 0), "refused, evicted")
    for c in halves:
        c.send(b"".join(c.final()))
        c.take_finish()
        c.alive()
    client(t, d, ("127.0.0.7", 0)).connect().alive()
    client(t, d, ("127.0.0.8", 0)).connect().alive()


@case("ipv6-prefix: addresses that differ behind it count as one")
def _(t):
    d = t.daemon(*certs.psk_options(), "--workers", "1", "--max-handshakes-per-address", "1", "--ipv6-prefix", "64",
                 addresses=["[::1]:%d"])
    half_open(t, d)
    refused(t, d)
    check_equal(d.counters()["limited_address_handshakes"], 1, "limited_address_handshakes")


@case("handshake-steps-per-turn: those that come together wait, are counted and all get in")
def _(t):
    d = serve(t, "--handshake-steps-per-turn", "1")
    asking = [client(t, d) for _ in range(30)]
    for c in asking:
        c.get_cookie()
    d.signal(signal.SIGSTOP)  # what comes now is there in one batch
    for c in asking:
        hello = c.hello_with_cookie()[0]
        c.send(hello)
    asking[-1].send(hello)
    d.signal(signal.SIGCONT)
    for c in asking:
        c.take_flight(raw.SERVER_HELLO_DONE)
        c.send(b"".join(c.final()))
        c.take_finish()
        c.alive()
    now = d.counters()
    check(now["hello_queued"] >= 20, f"{now['hello_queued']} hellos waited of 30")
    check_equal((now["hello_admitted"], now["limited_turn"]), (30, 0), "admitted, refused")


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
    half.get_flight()
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
    c.get_flight()
    now = d.await_counter("handshake_timeout", 1)
    check_equal(now["handshake_failed"], 1, "failed")
    d.expect(r"peer=127\.0\.0\.1:\d+ .*handshake failed: timed out")
    client(t, d).connect().alive()


@case("log lines that strangers cause are limited, and the held back are counted")
def _(t):
    d, begin = serve(t, "--max-sessions", "1"), time.monotonic()
    client(t, d).connect()
    for _ in range(30):
        refused(t, d)
    check_equal(d.counters()["limited_sessions"], 30, "limited_sessions")
    lines = d.text.count("raise --max-sessions")
    check(1 <= lines <= 10 + time.monotonic() - begin, f"{lines} lines for 30 refusals")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
