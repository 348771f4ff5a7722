#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Nothing is allocated per peer before a cookie has come back: the allocator's calls are counted."""

import os
import socket
import struct
import sys
import time

import certs
import dtlsraw as raw
from allocs import counted, resident
from harness import Failed, case, check, check_equal, main, skip_under_sanitizers, udp_socket

IP_PKTINFO = 8
STRANGERS = 6000


class Crowd:
    """One socket that speaks from any address of 127.0.0.0/8 and hears what is sent there."""

    def __init__(self, t):
        self.sock = t.closing(udp_socket("0.0.0.0"))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.settimeout(10)

    def say(self, number, datagram, to):
        source = struct.pack("!BBBB", 127, 1 + number // 65536, number // 256 % 256, number % 256)
        info = struct.pack("@i4s4s", 0, source, bytes(4))
        self.sock.sendmsg([datagram], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, to)

    def hear(self):
        return self.sock.recv(4096)


def calls_for(calls, crowd, send, answers=True):
    """The calls of the allocator while send(k) sends datagram k, all but the first few, which warm up."""
    before = 0
    for burst in range(STRANGERS // 50 + 1):
        if burst == 1:
            before = calls.settled()
        for k in range(50):
            send(burst * 50 + k)
        for _ in range(50 if answers else 0):
            crowd.hear()
    return calls.read() - before


@case("hellos without a cookie from thousands of addresses cause no allocation", 60)
def _(t):
    d, calls = counted(t, "--workers", "1")
    crowd = Crowd(t)
    n = calls_for(calls, crowd, lambda k: crowd.say(k, raw.hello(os.urandom(32)), d.address))
    check_equal(n, 0, f"calls of the allocator for {STRANGERS} strangers")
    now = d.counters()
    check(now["hello_challenged"] >= STRANGERS, f"only {now['hello_challenged']} were answered")


@case("hellos with wrong cookies cause no allocation", 60)
def _(t):
    d, calls = counted(t, "--workers", "1")
    crowd = Crowd(t)
    n = calls_for(calls, crowd,
                  lambda k: crowd.say(k, raw.hello(os.urandom(32), os.urandom(16), 1, 1), d.address))
    check_equal(n, 0, f"calls of the allocator for {STRANGERS} strangers")


@case("fragments, alerts, protected records and garbage of strangers cause no allocation", 60)
def _(t):
    d, calls = counted(t, "--workers", "1")
    crowd = Crowd(t)
    body = raw.hello_body(bytes(32))
    kinds = [raw.record(raw.HANDSHAKE, raw.handshake(1, body, offset=9)), raw.alert(2, 40),
             raw.record(raw.DATA, os.urandom(60), epoch=1), raw.record(raw.CCS, b"\x01"),
             raw.record(raw.HANDSHAKE, raw.handshake(16, bytes(60))), os.urandom(100), b"", b"\x16",
             raw.record(raw.CID, os.urandom(60), epoch=1)]

    def send(k):
        crowd.say(k, kinds[k % len(kinds)], d.address)
        if k % 50 == 49:  # answered: the others have been handled, too
            crowd.say(k, raw.hello(os.urandom(32)), d.address)
            crowd.hear()
    n = calls_for(calls, crowd, send, answers=False)
    check_equal(n, 0, "calls of the allocator")


@case("an admitted hello does allocate: the counter would have told", 30)
def _(t):
    d, calls = counted(t, "--workers", "1")
    c = raw.Client(t, d.address, certs.psk())
    c.get_cookie()
    before = calls.read()
    c.send(c.hello_with_cookie()[0])
    c.take_flight(raw.SERVER_HELLO_DONE)
    check(calls.read() > before + 10, "a handshake without an allocation?")


@case("the memory of a hundred sessions is given back or used again", 60)
def _(t):
    skip_under_sanitizers("memory is the sanitizer's")
    d = t.daemon(*certs.psk_options(), "--workers", "1")

    def crowd():
        everyone = [raw.Client(t, d.address, certs.psk()).connect() for _ in range(100)]
        for c in everyone:
            c.close()
            c.sock.close()
    crowd()
    first = resident(d)
    for _ in range(3):
        crowd()
    deadline = time.monotonic() + 1
    while resident(d) > first + (1 << 20):
        if time.monotonic() > deadline:
            raise Failed(f"memory grew from {first} to {resident(d)} bytes")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(jobs=2))
