#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""dtlsd explains itself: each refusal and failure moves a counter and writes a line with the cause and what to do.

MOVED_BY and the cases below name all counters of src/metrics.h: one that nobody can move is one too many.
"""

import os
import re
import signal
import socket
import struct
import sys
import time

import certs
import dtlsraw as raw
from faulty import Faults
from harness import TOP, case, check, check_equal, main, skip, udp_socket

# What counts no failure, or cannot be provoked from outside, and the test that makes it move.
MOVED_BY = {
    "rx_datagrams": "integration/test_signals.py", "tx_datagrams": "integration/test_signals.py",
    "tx_fragmented": "integration/test_network.py",
    "hello_received": "integration/test_floods.py", "hello_challenged": "integration/test_floods.py",
    "hello_admitted": "integration/test_limits.py", "hello_queued": "integration/test_limits.py",
    "hello_repeated": "integration/test_datagrams.py",
    "handshake_queued": "sim/turns.c", "handshake_replaced": "sim/turns.c", "handshake_drained": "sim/turns.c",
    "handshake_done": "integration/test_datagrams.py", "handshake_resumed": "integration/test_clients.py",
    "flight_resent": "sim/sim.c", "final_flight_resent": "integration/test_datagrams.py",
    "session_opened": "integration/test_signals.py", "session_closed_peer": "integration/test_clients.py",
    "session_closed_replaced": "integration/test_datagrams.py",
    "session_closed_local": "integration/test_exec.py", "session_closed_drain": "sim/sim.c", "session_closed_seq": "sim/sim.c",
    "session_closed_denied": "integration/test_routes.py", "session_closed_revoked": "integration/test_revocation.py",
    "psk_asked": "integration/test_psk_socket.py", "psk_remembered": "integration/test_psk_socket.py",
    "psk_unanswered": "integration/test_psk_socket.py", "psk_recheck_unanswered": "integration/test_psk_socket.py",
    "records_in": "integration/test_clients.py", "records_out": "integration/test_clients.py",
    "bytes_in": "integration/test_clients.py", "bytes_out": "integration/test_signals.py",
    "send_too_large": "sim/attacks.c",
    "backend_out": "integration/test_forward.py", "backend_in": "integration/test_forward.py",
    "backend_down": "integration/test_forward.py", "backend_moved": "integration/test_forward.py",
    "connect_peers": "integration/test_connect.py", "connect_done": "integration/test_connect.py",
    "connect_resumed": "integration/test_connect.py", "connect_failed": "integration/test_connect.py",
    "connect_timeout": "integration/test_connect.py", "connect_renewed": "integration/test_connect.py",
    "connect_closed_peer": "integration/test_connect.py", "connect_closed_idle": "integration/test_connect.py",
    "connect_out": "integration/test_connect.py", "connect_in": "integration/test_connect.py",
    "connect_held": "integration/test_connect.py", "connect_dropped": "integration/test_connect.py",
    "connect_down": "integration/test_connect.py", "connect_lost": "integration/test_connect.py",
    "connect_too_large": "integration/test_connect.py", "limited_connect": "integration/test_connect.py",
    "backend_lost": "integration/test_forward.py", "limited_sockets": "integration/test_forward.py",
    "limited_ports": "integration/test_ports.py",
    "limited_processes": "integration/test_exec.py", "exec_started": "integration/test_exec.py",
    "exec_restarted": "integration/test_exec.py", "exec_failed": "integration/test_exec.py",
    "exec_killed": "integration/test_exec.py", "exec_malformed": "integration/test_exec.py",
    "exec_lost": "integration/test_exec.py",
}
PROVOKED = set()


def provokes(counter, line=None, seconds=60):
    """A case: the function makes the counter move; then there is a line, by default the one a second writes."""
    def register(function):
        PROVOKED.add(counter)

        @case(f"{counter}: moves, and the log says why and what to do", seconds)
        def _(t):
            d = function(t)
            d.await_counter(counter, 1)
            d.expect(line or rf"(warning|notice|info): {counter}: \d+ [^:]+(: [^:]+)?: .*\w")
        return function
    return register


def serve(t, *options, **settings):
    return t.daemon(*certs.psk_options(), "--workers", "1", *options, **settings)


def client(t, d, source=None):
    return raw.Client(t, d.address, certs.psk(), source)


def half(t, d, source=None):
    """A client whose handshake is under way."""
    c = client(t, d, source)
    c.get_cookie()
    c.send(c.hello_with_cookie()[0])
    return c


# ---- what strangers send ---------------------------------------------------------------------------------


def sends(counter, *datagrams):
    @provokes(counter)
    def _(t):
        d = serve(t)
        p = raw.Peer(t, d.address)
        for datagram in datagrams:
            p.send(datagram)
        return d


sends("drop_malformed", b"\x16\xfe\xfd", b"GET / HTTP/1.1\r\n\r\n", b"")
sends("drop_plain_data", raw.record(raw.DATA, b"hello"))
sends("drop_unexpected", raw.alert(2, 40))
sends("drop_no_session", raw.record(raw.DATA, bytes(60), epoch=1))
sends("drop_too_large", raw.record(raw.DATA, bytes(20000), epoch=1))
sends("hello_bad_cookie", raw.hello(bytes(32), bytes(16), 1, 1))


@provokes("drop_bad_mac")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    c.send(raw.record(raw.DATA, os.urandom(60), epoch=1, seq=9))
    return d


@provokes("drop_replay")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    record = c.seal(raw.DATA, b"ping")
    c.send(record)
    c.send(record)
    return d


@provokes("renegotiation_refused", r"info: peer=.* renegotiation refused; the session goes on")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    c.send(c.seal(raw.HANDSHAKE, raw.handshake(1, raw.hello_body(os.urandom(32)))))
    return d


# ---- limits ----------------------------------------------------------------------------------------------


@provokes("limited_sessions", r"warning: peer=.* raise --max-sessions\b")
def _(t):
    d = serve(t, "--max-sessions", "1")
    client(t, d).connect()
    half(t, d)
    return d


@provokes("limited_handshakes", r"warning: peer=.* raise --max-handshakes\b.*--handshake-timeout")
def _(t):
    d = serve(t, "--max-handshakes", "1")
    c = half(t, d)
    c.take_flight(raw.SERVER_HELLO_DONE)
    c.send(c.final()[0])  # it has gone on, so that it is not given up for another
    raw.fence(t, d)
    half(t, d)
    return d


@provokes("handshake_evicted", r"warning: peer=.* given up for a newer one: .*--max-handshakes")
def _(t):
    d = serve(t, "--max-handshakes", "1")
    half(t, d)
    half(t, d)
    return d


@provokes("limited_address", r"warning: peer=127\.0\.0\.7:.* raise --max-sessions-per-address")
def _(t):
    d = serve(t, "--max-sessions-per-address", "1")
    client(t, d, ("127.0.0.7", 0)).connect()
    half(t, d, ("127.0.0.7", 0))
    return d


@provokes("limited_address_handshakes", r"warning: peer=127\.0\.0\.7:.* raise --max-handshakes-per-address")
def _(t):
    d = serve(t, "--max-handshakes-per-address", "1")
    half(t, d, ("127.0.0.7", 0))
    half(t, d, ("127.0.0.7", 0))
    return d


@provokes("limited_rate", r"warning: peer=.* --handshake-rate allows")
def _(t):
    d = serve(t, "--handshake-rate", "1")
    for _ in range(8):
        half(t, d)
    return d


@provokes("limited_turn", r"warning: peer=.* too many hellos wait for their turn.*--workers")
def _(t):
    # one socket alone may not have room for so many
    d = serve(t, "--handshake-steps-per-turn", "1", "--max-handshakes", "10000", "--hello-lane", "no",
              addresses=[f"127.0.0.{n}:%d" for n in range(1, 6)])
    sock = t.closing(udp_socket("0.0.0.0"))  # speaks from many addresses
    sock.settimeout(20)
    random, hellos = os.urandom(32), []

    def say(number, datagram):
        source = struct.pack("@i4s4s", 0, bytes((127, 1, number // 250, 1 + number % 250)), bytes(4))
        sock.sendmsg([datagram], [(socket.IPPROTO_IP, 8, source)], 0, (f"127.0.0.{1 + number % 5}", d.port))

    for number in range(2000):
        say(number, raw.hello(random))
        hellos.append(raw.hello(random, raw.verify_request(sock.recv(4096))[2], 1, 1))
    d.signal(signal.SIGSTOP)
    for number, hello in enumerate(hellos):
        say(number, hello)
    d.signal(signal.SIGCONT)
    return d


@provokes("limited_memory", r"warning: peer=.* out of memory: lower --max-sessions")
def _(t):
    f = Faults(t)
    d = serve(t, env=f.env)
    c = half(t, d)
    c.take_flight(raw.SERVER_HELLO_DONE)
    f.set(map_enomem=1000)  # the first session's memory is mapped when the handshake is done
    c.send(b"".join(c.final()))
    c.take_finish()
    check_equal(c.next(), (raw.ALERT, bytes([2, 80])), "what tells the client that it has no session")
    return d


@provokes("session_closed_idle", r"info: peer=.* session closed \(idle\)")
def _(t):
    d = serve(t, "--idle-timeout", "1")
    client(t, d).connect()
    return d


# ---- handshakes ------------------------------------------------------------------------------------------


@provokes("handshake_failed", r"notice: peer=.* handshake failed: no cipher suite in common; the client must offer")
def _(t):
    d = serve(t)
    c = client(t, d)
    cookie = raw.cookie_for(c, c.random, suites=(0x008C,))
    c.send(raw.hello(c.random, cookie, 1, 1, suites=(0x008C,)))
    return d


@provokes("handshake_timeout", r"notice: peer=.* handshake failed: timed out: no answer from the peer after \d+ resend")
def _(t):
    d = serve(t, "--handshake-timeout", "1")
    half(t, d).take_flight(raw.SERVER_HELLO_DONE)
    return d


# ---- the kernel ------------------------------------------------------------------------------------------


@provokes("rx_errors", r"warning: cannot receive on 127\.0\.0\.1:\d+: Cannot allocate memory.*more memory")
def _(t):
    f = Faults(t, receive_enomem=1000)
    d = serve(t, env=f.env)
    raw.Peer(t, d.address).send(raw.hello(os.urandom(32)))
    d.await_counter("rx_errors", 1)
    f.none()
    return d


@provokes("tx_errors", r"notice: peer=.* lost: No buffer space available: .*net\.core\.wmem_max")
def _(t):
    f = Faults(t, send_enobufs=1000)
    d = serve(t, env=f.env)
    raw.Peer(t, d.address).send(raw.hello(os.urandom(32)))
    return d


@provokes("tx_queue_full")
def _(t):
    f = Faults(t, send_eagain=1000)
    d = serve(t, env=f.env)
    p = raw.Peer(t, d.address)
    for n in range(30000):
        p.send(raw.hello(os.urandom(32)))
        if n % 100 == 99:
            time.sleep(0.002)
            if n % 2000 == 1999 and d.counters()["tx_queue_full"]:
                break
    f.none()
    return d


def overflow(t, d, counter, datagram):
    """More than fits into a socket's buffer, while the daemon does not look."""
    p = raw.Peer(t, d.address)
    d.signal(signal.SIGSTOP)
    for _ in range(20000):
        p.send(datagram)
    d.signal(signal.SIGCONT)
    while not d.counters()[counter]:  # the kernel tells of losses with the next datagram that finds room
        p.send(datagram)
    return d


@provokes("rx_kernel_drops")
def _(t):
    return overflow(t, serve(t), "rx_kernel_drops", raw.record(raw.DATA, bytes(1000), epoch=1))


@provokes("rx_hello_drops")
def _(t):
    d = serve(t)
    if "kernel refuses" in d.text:
        skip("the kernel gives hellos no lane of their own")
    body = raw.hello_body(bytes(32), extensions=raw.extension(21, bytes(900)))
    return overflow(t, d, "rx_hello_drops", raw.record(raw.HANDSHAKE, raw.handshake(raw.CLIENT_HELLO, body)))


# ---- all of them -----------------------------------------------------------------------------------------

IN_A_CONVERSATION = ("rx_bytes", "tx_bytes", "aead_set_up")


@case("a conversation moves what counts it")
def _(t):
    d = serve(t)
    client(t, d).connect().alive()
    for name in IN_A_CONVERSATION:
        d.await_counter(name, 1)


@case("every counter is moved by a test")
def _(t):
    with open(os.path.join(TOP, "src", "metrics.h"), encoding="utf-8") as f:
        counters = set(re.findall(r"^\tX\((\w+),", f.read(), re.MULTILINE))
    check(len(counters) > 40, "src/metrics.h reads otherwise than it did")
    known = PROVOKED | set(MOVED_BY) | set(IN_A_CONVERSATION)
    check_equal(sorted(counters - known), [], "counters that no test moves")
    check_equal(sorted(known - counters), [], "names here that are no counters")
    for name, where in MOVED_BY.items():
        with open(os.path.join(TOP, "tests", where), encoding="utf-8") as f:
            check(re.search(rf"\b{name}\b", f.read()), f"{where} does not know {name}")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
