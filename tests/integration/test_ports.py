#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Local ports of sockets to backends: a network namespace of its own has few, so that they run out."""

import itertools
import sys

import certs
import dtlsraw as raw
from backend import Backend
from harness import case, check, check_equal, main
from netns import own_loopback

FIRST, PORTS = 50000, 20
PORT = itertools.count(20000)  # of clients, which take none of those


def client(t, d):
    return raw.Client(t, d.address, certs.psk(), source=("127.0.0.1", next(PORT))).connect()


def serve(t, *options):
    backend = Backend(t, port=next(PORT))
    return backend, t.daemon(*certs.psk_options(), "--forward", backend.name, *options, port=next(PORT))


def ask(c, data):
    c.say(data)
    check_equal(c.next(), (raw.DATA, data), "the echo")


@case("when they are used up one more session is refused, counted and told what to do; the others never notice")
def _(t):
    _, d = serve(t)
    everyone = [client(t, d) for _ in range(PORTS)]
    more = client(t, d)
    check_equal(more.next(), (raw.ALERT, b"\x01\x00"), "the refusal")
    d.expect(r"warning: peer=\S+ .*no local port is left: give --forward-source more addresses")
    counters = d.counters()
    check_equal((counters["limited_ports"], counters["limited_sockets"]), (1, 0), "limited_ports, limited_sockets")
    for c in everyone:
        ask(c, b"still here")
    everyone[0].close()
    while d.counters()["sessions"] > PORTS - 1:
        pass
    ask(client(t, d), b"let in")


@case("--forward-source: each address has all of them, and they are taken by turn")
def _(t):
    addresses = [f"127.0.0.{n}" for n in range(2, 6)]
    backend, d = serve(t, "--forward-source", ",".join(addresses))
    everyone = [client(t, d) for _ in range(PORTS * len(addresses))]
    for n, c in enumerate(everyone):
        ask(c, b"%d" % n)
    sources = backend.sources()
    check_equal(len(sources), len(everyone), "sources")
    for address in addresses:
        check_equal(sum(source[0] == address for source in sources), PORTS, f"sessions from {address}")
    check(all(FIRST <= port < FIRST + PORTS for _, port in sources), "ports out of the range")
    more = client(t, d)
    check_equal(more.next(), (raw.ALERT, b"\x01\x00"), "the refusal")
    check_equal(d.counters()["limited_ports"], 1, "limited_ports")


@case("no session takes the port of a backend that is away: it would talk to itself, and the backend could not come back")
def _(t):
    backend = Backend(t, port=FIRST + 7)
    backend.stop()
    d = t.daemon(*certs.psk_options(), "--forward", backend.name, port=next(PORT))
    everyone = [client(t, d) for _ in range(PORTS - 1)]
    more = client(t, d)
    check_equal(more.next(), (raw.ALERT, b"\x01\x00"), "the refusal of the session that only that port is left for")
    backend.start()
    for c in everyone:
        ask(c, b"to the backend")


if __name__ == "__main__":
    why = own_loopback("ip link set lo up && "
                       f"echo {FIRST} {FIRST + PORTS - 1} >/proc/sys/net/ipv4/ip_local_port_range")
    if why is not None:
        print(f"1..0 # SKIP no network namespace: {why}")
        sys.exit(0)
    sys.exit(main(jobs=1))  # the ports are those of one case
