#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Answers leave from the address that was addressed, on wildcard sockets too, and sockets coexist."""

import os
import socket
import sys

import certs
import clients
import dtlsraw as raw
import netns
from harness import SCALE, case, check, check_equal, main, need_ipv6, udp_socket


def source_of_answer(t, to):
    """Where the answer to a hello comes from: the socket is not connected, so it takes any."""
    sock = t.closing(udp_socket("::" if ":" in to[0] else "0.0.0.0"))
    sock.settimeout(10 * SCALE)
    sock.sendto(raw.hello(os.urandom(32)), to)
    datagram, source = sock.recvfrom(4096)
    raw.verify_request(datagram)
    return source[:2]


def talk(t, d, host):
    c = raw.Client(t, (host, d.port), certs.psk()).connect()
    c.alive()
    c.close()


IPV4 = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.1.2.3"]


@case("0.0.0.0: cookies and sessions on several loopback addresses")
def _(t):
    d = t.daemon(*certs.psk_options(), addresses=["0.0.0.0:%d"])
    for host in IPV4:
        check_equal(source_of_answer(t, (host, d.port)), (host, d.port), "source of the answer")
        talk(t, d, host)


@case("[::]: cookies and a session over IPv6, and none of IPv4's traffic")
def _(t):
    need_ipv6()
    d = t.daemon(*certs.psk_options(), addresses=["[::]:%d"])
    check_equal(source_of_answer(t, ("::1", d.port)), ("::1", d.port), "source of the answer")
    talk(t, d, "::1")
    four = t.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    four.bind(("0.0.0.0", d.port))  # the port is free in IPv4


@case("[::] and 0.0.0.0 on one port, together")
def _(t):
    need_ipv6()
    d = t.daemon(*certs.psk_options(), addresses=["[::]:%d", "0.0.0.0:%d"])
    for host in [*IPV4, "::1"]:
        check_equal(source_of_answer(t, (host, d.port)), (host, d.port), "source of the answer")
        talk(t, d, host)


@case("*: both families")
def _(t):
    need_ipv6()
    d = t.daemon(*certs.psk_options(), addresses=["*:%d"])
    for host in [*IPV4, "::1"]:
        check_equal(source_of_answer(t, (host, d.port)), (host, d.port), "source of the answer")
        talk(t, d, host)


@case("[::]: several IPv6 addresses of one link")
def _(t):
    net = netns.Network(t, 1500, "far")
    for address in ("fd09::1", "fd09::2", "fd09::3"):
        net.run("server", "ip", "address", "add", address + "/64", "dev", "eth", "nodad")
    net.run("router", "ip", "address", "add", "fd09::9/64", "dev", "r-server", "nodad")
    d = t.daemon(*certs.server_options(), addresses=["[::]:%d"], wrapper=net.enter("server"))
    for d.host in ("fd09::1", "fd09::2", "fd09::3"):
        # its socket is connected: an answer from another address would not reach it
        c = t.client([*net.enter("router"), *clients.openssl(d)])
        c.ask("whoami", r"^\[fd09::9\]:\d+$")


@case("one client socket has a session of its own with each address")
def _(t):
    d = t.daemon(*certs.psk_options(), addresses=["*:%d"])
    first = raw.Client(t, ("127.0.0.1", d.port), certs.psk(), ("127.0.0.1", 0)).connect()
    port = first.address[1]
    first.sock.connect(("127.0.0.2", d.port))
    second = raw.Client(t, ("127.0.0.2", d.port), certs.psk())
    second.sock.close()
    second.sock = first.sock
    second.connect()
    check_equal(second.address[1], port, "port")
    second.alive()
    first.sock.connect(("127.0.0.1", d.port))
    first.alive()
    first.ask("whoami", f"127.0.0.1:{port} psk:{certs.psk()[0]}\n")
    check_equal(d.counters()["session_closed_replaced"], 0, "replaced")


@case("several addresses and ports are served at once, answers come from the right one")
def _(t):
    d = t.daemon(*certs.psk_options(), "--workers", "2",
                 addresses=["127.0.0.1:%d", "127.0.0.2:%d", "[::1]:%d"])
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        check_equal(source_of_answer(t, (host, d.port)), (host, d.port), "source of the answer")
        talk(t, d, host)


@case("openssl, whose socket is connected, talks with a wildcard socket in both families")
def _(t):
    need_ipv6()
    d = t.daemon(*certs.server_options(), addresses=["*:%d"])
    for host in ("127.0.0.2", "::1"):
        d.host = host
        c = t.client(clients.openssl(d))
        c.ask("ping", r"^pong$")
        c.end_input()
        check(c.wait() == 0, "exit status")


if __name__ == "__main__":
    sys.exit(main(jobs=3))
