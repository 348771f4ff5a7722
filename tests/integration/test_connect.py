#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Services that connect: plain datagrams of local peers, carried to DTLS servers of several kinds."""

import contextlib
import math
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time

import certs
import relay
from backend import Backend, named
from harness import (DTLSD, SANITIZER, Failed, Process, await_udp, case, check, check_equal, free_port, main, many_files,
                     readable, skip, udp_socket)

SIZES = [0, 1, 2, 31, 100, 1200, 1201, 1500, 9000, 16383, 16384]


class Peer:
    """A local program that sends plain datagrams."""

    def __init__(self, t, to):
        self.t = t
        if isinstance(to, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.bind(tempfile.mktemp(prefix="peer-", dir=t.dir()))
            self.say = lambda data: self.socket.sendto(data, to)
        else:
            self.socket = socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.connect(to)  # what is meant for whoever had the port before is not heard
            self.say = self.socket.send
        self.repeated = None  # what it has asked more than once, perhaps
        t.closing(self)

    def close(self):
        self.socket.close()

    def hear(self, timeout=None):
        deadline = self.t.until(timeout)
        while readable([self.socket], deadline - time.monotonic()):
            data = self.socket.recv(65536)
            if data != self.repeated:
                return data
        raise Failed("no answer")

    def ask(self, data, timeout=None):
        self.say(data)
        check_equal(self.hear(timeout), data, "the echo")

    def keep_asking(self, data):
        """Until it is answered: what is lost meanwhile is lost. Answers that come later than that are passed over."""
        self.repeated = None
        while self.repeated is None:
            with contextlib.suppress(Failed):
                self.ask(data, 0.2)
                self.repeated = data
            check(time.monotonic() < self.t.deadline, "no answer")


def echo_server(t, *options, **settings):
    return t.daemon(*certs.server_options(), *certs.psk_options(), "--handler", "echo", *options, **settings)


def by_ca():
    return ["--x509cafile", certs.file("ca.pem")]


def by_psk():
    return [*certs.psk_options(), "--psk-identity", certs.psk()[0]]


def connect(t, to, *options, host="localhost", **settings):
    return t.daemon("--to", f"{host}:{to}", *options, **settings)


# ---- what is carried

@case("UDP: datagrams of 0 to 16384 bytes keep their boundaries both ways")
def _(t):
    d = connect(t, echo_server(t).port, *by_ca())
    peer = Peer(t, d.address)
    for size in SIZES:
        peer.ask(os.urandom(size))
    counters = d.counters()
    check_equal(counters["connect_out"], len(SIZES), "connect_out")
    check_equal(counters["connect_in"], len(SIZES), "connect_in")
    check_equal(counters["connect_done"], 1, "sessions")


@case("IPv6, and several addresses to listen on")
def _(t):
    port = free_port()
    echo_server(t, addresses=[f"[::1]:{port}"])
    d = connect(t, port, *by_psk(), host="[::1]", addresses=["[::1]:%d", "127.0.0.1:%d"])
    for host in ("::1", "127.0.0.1"):
        Peer(t, (host, d.port)).ask(b"over IPv6")


@case("a unix socket: the same sizes, its name gone in the end, one left over replaced")
def _(t):
    path = os.path.join(t.dir(), "local")
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(path)
    left.close()
    d = connect(t, echo_server(t).port, *by_ca(), addresses=["unix:" + path])
    peers = [Peer(t, path) for _ in range(3)]
    for size in SIZES:
        for peer in peers:
            peer.ask(os.urandom(size))
    check_equal(d.counters()["connect_done"], 3, "sessions")
    for _ in range(200):
        peers[0].say(b"without reading the answer")
    d.await_counter("connect_lost", 1)
    check_equal(d.stop(), 0, "the status")
    check(not os.path.exists(path), "the socket is still there")


@case("a unix socket: a program that has connected to it and hangs does not keep others from their answers")
def _(t):
    path = os.path.join(t.dir(), "local")
    news = Backend(t, answer=lambda data: [bytes(1000)] * 200 if data == b"subscribe" else [data])
    far = t.daemon(*certs.psk_options(), "--forward", news.name)
    d = connect(t, far.port, *by_psk(), addresses=["unix:" + path])
    hangs, other = Peer(t, path), Peer(t, path)
    hangs.socket.connect(path)
    other.ask(b"before")
    while d.counters().get("connect_lost", 0) == 0:
        check(time.monotonic() < t.deadline, "nothing is lost")
        hangs.say(b"subscribe")
        time.sleep(0.05)
    for n in range(20):
        other.ask(b"%d" % n)


@case("a peer without a name is told of in the log; an abstract socket works as well")
def _(t):
    name = f"@dtlsd-test-{os.getpid()}-{time.monotonic_ns()}"
    d = connect(t, echo_server(t).port, *by_ca(), addresses=["unix:" + name])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        nobody.sendto(b"who am I", "\0" + name[1:])
        d.expect("from a unix socket without a name, and could not be answered")
    peer = Peer(t, "\0" + name[1:])
    peer.ask(b"x")


@case("a datagram that no record holds is dropped, counted and told of; the session goes on")
def _(t):
    d = connect(t, echo_server(t).port, *by_ca())
    peer = Peer(t, d.address)
    peer.ask(b"before")
    peer.say(bytes(16385))
    peer.ask(b"after")
    d.expect("a datagram of 16385 bytes does not fit into a record: dropped")
    check_equal(d.counters()["connect_too_large"], 1, "connect_too_large")


@case("what comes while the handshake is under way is held, as much as there is room for", seconds=40)
def _(t):
    with udp_socket() as silent:
        d = connect(t, silent.getsockname()[1], *by_ca(), "--handshake-timeout", "2")
        peer = Peer(t, d.address)
        for n in range(40):
            peer.say(b"%d" % n)
        d.await_counter("connect_dropped", 8)
        check_equal(d.counters()["connect_held"], 32, "connect_held")
        d.expect("no session with 127.0.0.1:.* no answer in 2 s: is it running")
        check_equal(d.await_counter("connect_dropped", 40)["connect_timeout"], 1, "connect_timeout")


# ---- the servers of others

def openssl_server(t, port, *options):
    if not shutil.which("openssl"):
        skip("no openssl")
    p = t.process(["openssl", "s_server", "-dtls1_2", "-accept", str(port), "-quiet", *options])
    await_udp(t, p, port)
    return p


def converse_with_openssl(t, options, d_options):
    port = free_port()
    p = openssl_server(t, port, *options)
    d = connect(t, port, *d_options, host="127.0.0.1")
    peer = Peer(t, d.address)
    peer.say(b"to s_server\n")
    p.expect("to s_server")
    p.send("from s_server")
    check_equal(peer.hear(), b"from s_server\n", "what came")
    check_equal(d.counters()["connect_done"], 1, "sessions")


def pem(name):
    cert, key = certs.pair(name)
    return ["-cert", cert, "-key", key]


@case("openssl s_server: ECDSA, with a cookie first")
def _(t):
    converse_with_openssl(t, [*pem("server"), "-listen"], by_ca())


@case("openssl s_server: RSA, small datagrams")
def _(t):
    chain = ["-cert_chain", certs.file("rsa-server.pem")]
    converse_with_openssl(t, [*pem("rsa-server"), *chain, "-mtu", "300"], by_ca())


@case("openssl s_server: a client certificate, which it demands")
def _(t):
    cert, key = certs.pair("client")
    converse_with_openssl(t, [*pem("server"), "-Verify", "2", "-CAfile", certs.file("ca.pem")],
                          [*by_ca(), "--x509certfile", cert, "--x509keyfile", key])


@case("openssl s_server: a pre-shared key")
def _(t):
    identity, key = certs.psk()
    for cipher in ("PSK-AES128-GCM-SHA256", "ECDHE-PSK-CHACHA20-POLY1305"):
        converse_with_openssl(t, ["-nocert", "-psk_identity", identity, "-psk", key, "-cipher", cipher],
                              by_psk())


def gnutls_server(t, port, *options):
    if not shutil.which("gnutls-serv"):
        skip("no gnutls-serv")
    cert, key = certs.pair("server")
    p = t.process(["gnutls-serv", "--udp", "--port", str(port), "--echo", "--x509certfile", cert, "--x509keyfile", key,
                   "--x509cafile", certs.file("ca.pem"), "--priority", "NORMAL:+VERS-DTLS1.2", *options])
    await_udp(t, p, port)


@case("gnutls-serv: a certificate, the name asked for, a protocol")
def _(t):
    port = free_port()
    gnutls_server(t, port, "--sni-hostname", "localhost", "--alpn", "coap")
    d = connect(t, port, *by_ca(), "--alpn", "coap", host="127.0.0.1", *["--server-name", "localhost"])
    Peer(t, d.address).ask(b"to gnutls-serv and back")


@case("gnutls-serv: a client certificate, which it demands")
def _(t):
    port = free_port()
    cert, key = certs.pair("client")
    gnutls_server(t, port, "--require-client-cert")
    d = connect(t, port, *by_ca(), "--x509certfile", cert, "--x509keyfile", key)
    Peer(t, d.address).ask(b"who I am")


# ---- many peers, one server

def crowd(t, d, count):
    """So many peers at a time, each of which has been answered once."""
    peers = [Peer(t, d.address) for _ in range(count)]
    poll = select.poll()
    waiting = {p.socket.fileno(): n for n, p in enumerate(peers)}
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        check(time.monotonic() < t.deadline, f"{len(waiting)} peers have no answer")
        for n in waiting.values():
            peers[n].say(b"%d" % n)
        while waiting:
            ready = poll.poll(1000)
            for fd, _ in ready:
                n = waiting.pop(fd)
                poll.unregister(fd)
                check_equal(peers[n].hear(), b"%d" % n, "whose answer this is")
            if not ready:
                break
    return peers


@case("1,200 peers at two workers: each has a session of its own, and all but the first resume", seconds=90)
def _(t):
    count = 300 if SANITIZER else 1200
    if many_files(2 * count) < 2 * count:
        skip("too few files may be open")
    # four sockets have room for the farewells of all at once, also where the system allows them little
    server = echo_server(t, "--workers", "4")
    # by number: where localhost is ::1 too, each worker tries that first, and takes a peer on again
    d = connect(t, server.port, *by_ca(), "--server-name", "localhost", "--workers", "2", host="127.0.0.1")
    peers = crowd(t, d, count)
    counters = d.counters()
    check_equal(counters["local_peers"], count, "local_peers")
    check_equal(counters["connect_peers"], count, "connect_peers")
    check_equal(counters["connect_done"], count, "connect_done")
    check_equal(counters["connect_resumed"], count - 1, "connect_resumed")
    check_equal(server.counters()["sessions"], count, "sessions at the server")
    for first in range(0, count, 50):  # one by one would take as many turns of a busy machine; all at once overflow buffers
        some = range(first, first + 50)
        for n in some:
            peers[n].say(b"again %d" % n)
        for n in some:
            while peers[n].hear() != b"again %d" % n:  # what was asked twice is answered twice
                pass
    check_equal(d.stop(), 0, "the status")
    d.expect(f"stopping: {count} sessions are told")
    server.await_counter("session_closed_peer", count)


@case("a server without tickets: sessions are resumed by their ids")
def _(t):
    server = echo_server(t)
    d = connect(t, server.port, *by_ca(), "--priority", "NORMAL:%NO_TICKETS")
    for n in range(5):
        Peer(t, d.address).ask(b"%d" % n)
    check_equal(d.counters()["connect_resumed"], 4, "connect_resumed")


@case("who is more than max-sessions is refused, who is there stays")
def _(t):
    path = t.file("dtlsd.conf", "")
    server, port = echo_server(t), free_port()
    t.file("dtlsd.conf", f"""service up {{
        listen = "127.0.0.1:{port}"
        to = "localhost:{server.port}"
        x509cafile = "{certs.file('ca.pem')}"
        max-sessions = 3
    }}""")
    d = t.daemon("--config", path, addresses=[])
    peers = [Peer(t, ("127.0.0.1", port)) for _ in range(4)]
    for peer in peers[:3]:
        peer.ask(b"in")
    peers[3].say(b"out")
    d.expect("local peer refused: service up has all that it may have: raise its max-sessions")
    for peer in peers[:3]:
        peer.ask(b"still in")
    check_equal(d.counters()["limited_connect"], 1, "limited_connect")


@case("who is more than forward-sockets has no session and is told so, not of a server that failed; others stay")
def _(t):
    server = echo_server(t)
    d = connect(t, server.port, *by_ca(), "--forward-sockets", "2")
    peers = [Peer(t, d.address) for _ in range(3)]
    for peer in peers[:2]:
        peer.ask(b"in")
    peers[2].say(b"out")
    d.expect("service dtlsd: no socket for another session: --forward-sockets are all taken")
    counters = d.counters()
    check_equal((counters["limited_sockets"], counters["connect_down"]), (1, 0), "limited_sockets and connect_down")
    while d.counters()["local_peers"] != 2:  # the third one is told of in the log just before it is gone
        check(time.monotonic() < t.deadline, "who has no socket is still counted")
    for peer in peers[:2]:
        peer.ask(b"still in")


# ---- servers that go and come

@case("a name is asked for again: new peers go to its new address, the others stay")
def _(t):
    port = free_port()
    old, new = (echo_server(t, addresses=[f"{host}:{port}"]) for host in ("127.0.0.2", "127.0.0.3"))
    d = connect(t, port, *by_psk(), "--forward-refresh", "1", host="server.test",
                wrapper=named(t, "127.0.0.2 server.test\n"))
    before = Peer(t, d.address)
    before.ask(b"before")
    t.file("hosts", "127.0.0.3 server.test\n")
    d.expect("names of backends have other addresses")
    while new.counters()["sessions"] == 0:  # the workers hear of it a little later
        Peer(t, d.address).ask(b"after")
    before.ask(b"before, again")
    check_equal(old.counters()["session_closed_peer"], 0, "sessions that left the old address")


@case("a server that is started again: its peers go on, by a new session", seconds=60)
def _(t):
    server = echo_server(t)
    port = server.port
    d = connect(t, port, *by_ca())
    peer = Peer(t, d.address)
    peer.ask(b"before")
    server.signal(signal.SIGKILL)
    server.wait()
    while "nothing listens on that UDP port" not in d.text:
        peer.say(b"to nobody")
        time.sleep(0.05)
        check(time.monotonic() < t.deadline, "it is not told of")
    d.expect("no session with 127.0.0.1:.* nothing listens on that UDP port")
    echo_server(t, port=port)
    peer.keep_asking(b"after")
    d.expect("answers again")
    peer.ask(b"and on")


@case("one that is started again twice in a minute: both times all go on as soon as one of them has heard of it",
      seconds=60)
def _(t):
    server = echo_server(t)
    port = server.port
    d = connect(t, port, *by_ca(), "--connect-silence", "0")
    peers = [Peer(t, d.address) for _ in range(8)]
    for peer in peers:
        peer.ask(b"before")
    for n in range(3):
        server.signal(signal.SIGKILL)
        server.wait()
        server = echo_server(t, port=port)
        peers.append(Peer(t, d.address))
        for peer in reversed(peers):  # the new one first, which finds that its session is not known
            peer.ask(b"after restart %d" % n)
    counters = d.counters()
    check_equal(counters["connect_renewed"], 8 + 9 + 10, "sessions that were made anew")
    check_equal(counters["connect_failed"], 0, "connect_failed")


@case("a server that forgets its sessions in silence is found out", seconds=60)
def _(t):
    server = echo_server(t)
    lost = []
    r = relay.Relay(t, server, lambda way, n, data: [] if lost and lost[0] == data[0] else [data])
    d = connect(t, r.port, *by_ca(), "--connect-silence", "1")
    peer = Peer(t, d.address)
    peer.ask(b"before")
    # from here on no record of data gets through to the session that there is; a new one needs a new socket
    lost.append(23)
    begin = time.monotonic()
    while d.counters()["connect_renewed"] == 0:
        peer.say(b"hello?")
        time.sleep(0.1)
        check(time.monotonic() < t.deadline, "the silence is not noticed")
    check(time.monotonic() - begin > 0.9, "it was noticed before connect-silence")
    lost.clear()
    peer.keep_asking(b"after")


@case("an alert in the clear has the session made anew beside the old one; forged ones do not do so all the time")
def _(t):
    r = relay.Relay(t, echo_server(t))
    d = connect(t, r.port, *by_ca())
    peer = Peer(t, d.address)
    peer.ask(b"before")
    time.sleep(5.1)
    for _ in range(20):
        r.inject("down", bytes.fromhex("15 fefd 0000 000000000009 0002 02 28"))
    d.await_counter("connect_done", 2)
    peer.ask(b"after")
    r.inject("down", bytes.fromhex("15 fefd 0000 000000000009 0002 02 28"))
    peer.ask(b"and on")
    counters = d.counters()
    check_equal((counters["connect_done"], counters["connect_peers"]), (2, 1), "sessions and peers")


@case("close_notify of the server ends a session; the next datagram begins another one", seconds=40)
def _(t):
    server = echo_server(t, "--idle-timeout", "1")
    d = connect(t, server.port, *by_ca())
    peer = Peer(t, d.address)
    peer.ask(b"before")
    d.await_counter("connect_closed_peer", 1)
    peer.ask(b"after")
    check_equal(d.counters()["connect_peers"], 2, "connect_peers")


@case("peers that are silent are let go, with close_notify", seconds=40)
def _(t):
    server = echo_server(t)
    d = connect(t, server.port, *by_ca(), "--idle-timeout", "1")
    Peer(t, d.address).ask(b"x")
    server.await_counter("session_closed_peer", 1)
    check_equal(d.counters()["connect_closed_idle"], 1, "connect_closed_idle")


@case("a server that is not there is asked less and less often, by all peers together", seconds=60)
def _(t):
    port = free_port()
    d = connect(t, port, *by_ca(), host="127.0.0.1")
    peers = [Peer(t, d.address) for _ in range(30)]
    begin, counters = time.monotonic(), d.counters()
    while time.monotonic() < begin + 4 or counters["connect_down"] <= 500:
        for peer in peers:
            peer.say(b"anybody?")
        time.sleep(0.05)
        counters = d.counters()
    # those that began together are 30 at most; then after 0.5 s, 1 s and so on, up to a quarter earlier
    more = math.log2((time.monotonic() - begin) / 0.375 + 1)
    check(counters["connect_failed"] <= 30 + more, f"it was asked {counters['connect_failed']} times")
    echo_server(t, port=port)
    peers[0].keep_asking(b"there you are")


@case("a server that ends sessions at once is not kept busy with handshakes", seconds=40)
def _(t):
    port = free_port()
    cert, key = certs.pair("server")
    t.daemon("--config", t.file("dtlsd.conf", f"""service far {{
        listen = "127.0.0.1:{port}"
        x509certfile = "{cert}"
        x509keyfile = "{key}"
        route all {{ sni = localhost deny = yes }}
    }}"""), addresses=[])
    d = connect(t, port, *by_ca())
    peer = Peer(t, d.address)
    begin, counters = time.monotonic(), d.counters()
    while time.monotonic() < begin + 2 or counters["connect_done"] < 2:
        peer.say(b"let me in")
        time.sleep(0.01)
        counters = d.counters()
    d.expect(r"service dtlsd: 127\.0\.0\.1:\d+ ends sessions as soon as they are made: its log should say why")
    most = (time.monotonic() - begin) / 0.375 + 2  # half a second apart, less up to a quarter
    check(counters["connect_done"] <= most, f"it was asked {counters['connect_done']} times")


@case("of two servers that one is taken which answers")
def _(t):
    server, dead = echo_server(t), free_port()
    d = t.daemon("--to", f"127.0.0.1:{dead},127.0.0.1:{server.port}", *by_ca(), "--server-name", "localhost")
    for n in range(6):
        Peer(t, d.address).ask(b"%d" % n)


# ---- what goes wrong, in words

def refused(t, options, pattern, *server_options, host="localhost"):
    server = t.daemon(*(server_options or (*certs.server_options(), *certs.psk_options())), "--handler", "echo")
    d = connect(t, server.port, *options, host=host)
    Peer(t, d.address).say(b"x")
    d.expect(r"warning: service dtlsd: no session with 127\.0\.0\.1:\d+: " + pattern)
    check_equal(d.await_counter("connect_failed", 1)["connect_done"], 0, "connect_done")


@case("a certificate of another CA is refused, with what to do")
def _(t):
    refused(t, ["--x509cafile", certs.file("foreign-ca.pem")],
            "the server's certificate is refused for localhost: its CA is not trusted here: name it with x509cafile")


@case("a certificate for another name is refused, with what to do")
def _(t):
    refused(t, [*by_ca(), "--server-name", "elsewhere.example"],
            "the server's certificate is refused for elsewhere.example: it is for another name: say with server-name")


@case("a revoked certificate of the server is refused")
def _(t):
    crl = os.path.join(t.dir(), "crl.pem")
    certs.revocation_list(crl, certs.file("server.pem"))
    refused(t, [*by_ca(), "--x509crlfile", crl], "the server's certificate is refused for localhost: it is revoked")


@case("a certificate that is for clients makes no server")
def _(t):
    lines = ["cn = localhost", "dns_name = localhost", "signing_key"]
    client, server = (certs.make("connect-" + n, [*lines, n]) for n in ("tls_www_client", "tls_www_server"))
    refused(t, by_ca(), "the server's certificate is refused for localhost: it is not for servers, by its key purposes",
            "--x509certfile", client[0], "--x509keyfile", client[1])
    good = t.daemon("--x509certfile", server[0], "--x509keyfile", server[1], "--handler", "echo")
    Peer(t, connect(t, good.port, *by_ca()).address).ask(b"to one that is for servers")


@case("a server that wants a client certificate says so with an alert", seconds=40)
def _(t):
    refused(t, by_ca(), r"the server refused with alert \d+ ", *certs.server_options(), *certs.ca_options("required"))


@case("a wrong pre-shared key looks like a handshake that does not end", seconds=40)
def _(t):
    wrong = t.file("wrong.psk", f"{certs.psk()[0]}:{'00' * 32}\n")
    refused(t, ["--pskpasswd", wrong, "--psk-identity", certs.psk()[0], "--handshake-timeout", "3"],
            "(the server refused with alert .*; check|the handshake did not end .*a wrong pre-shared key looks like)")


@case("a server that speaks something else is given up after handshake-timeout", seconds=40)
def _(t):
    backend = Backend(t)
    d = connect(t, backend.address[1], *by_ca(), "--handshake-timeout", "1")
    Peer(t, d.address).say(b"x")
    d.expect("no session with .* in 1 s")


# ---- bad networks

@case("through bad networks: sessions are made, resumed, and what gets through is right", seconds=120)
def _(t):
    weather = relay.path(loss=0.2, double=0.1, late=0.2)
    server = echo_server(t)
    for seed in range(4):
        r = relay.Relay(t, server, weather(seed))
        d = connect(t, r.port, *by_ca())
        peer = Peer(t, d.address)
        peer.keep_asking(b"first of %d" % seed)
        again = Peer(t, d.address)  # resumes; the relay knows one client at a time
        again.keep_asking(b"second of %d" % seed)
        check_equal(d.stop(), 0, "the status")


@case("damaged handshakes fail, and are begun again until one is whole", seconds=120)
def _(t):
    server = echo_server(t)
    r = relay.Relay(t, server, relay.path(damage=0.15)(1))
    d = connect(t, r.port, *by_ca())
    Peer(t, d.address).keep_asking(b"in the end")


@case("the last flight of a resumption is sent again when the server asks", seconds=60)
def _(t):
    server = echo_server(t)
    dropped = []

    def policy(way, _number, data):
        # the first datagram up of a resumption that ends with a Finished
        if way == "up" and r.armed and not dropped and data[0] == 20:
            dropped.append(data)
            return []
        return [data]
    r = relay.Relay(t, server, policy)
    r.armed = False
    d = connect(t, r.port, *by_ca(), "--connect-silence", "0")
    Peer(t, d.address).ask(b"first")
    r.armed = True
    Peer(t, d.address).keep_asking(b"second")
    check(dropped, "there was no such datagram")
    check_equal(d.counters()["connect_resumed"], 1, "connect_resumed")
    check(d.counters()["final_flight_resent"] >= 1, "it was not sent again")


# ---- reload

def conf_of(port, to, more=""):
    return f"""service up {{
        listen = "127.0.0.1:{port}"
        handler = connect
        to = "localhost:{to}"
        x509cafile = "{certs.file('ca.pem')}"
        {more}
    }}
    """


def reload_with(t, d, text, answer="reloaded:"):
    since = d.mark()
    t.file("dtlsd.conf", text)
    d.signal(signal.SIGHUP)
    d.expect(answer, since=since)


@case("a reload keeps sessions whose service is as it was, and moves those with another server", seconds=40)
def _(t):
    one, two, port = echo_server(t), echo_server(t), free_port()
    path = t.file("dtlsd.conf", conf_of(port, one.port))
    d = t.daemon("--config", path, addresses=[])
    peer = Peer(t, ("127.0.0.1", port))
    peer.ask(b"one")
    reload_with(t, d, conf_of(port, one.port, "idle-timeout = 100"))
    peer.ask(b"still one")
    check_equal(d.counters()["connect_done"], 1, "connect_done")
    reload_with(t, d, conf_of(port, "no port"), "reload failed")
    peer.ask(b"still one")
    check_equal(d.counters()["connect_done"], 1, "connect_done")
    reload_with(t, d, conf_of(port, two.port))
    one.await_counter("session_closed_peer", 1)
    peer.keep_asking(b"two")
    check_equal(two.counters()["sessions"], 1, "sessions of the other server")
    check_equal(d.counters()["connect_done"], 2, "connect_done")


@case("listeners come and go with a reload, unix sockets too; a service cannot turn from one kind into the other at once",
      seconds=40)
def _(t):
    server, port = echo_server(t), free_port()
    path = os.path.join(t.dir(), "local")
    conf = t.file("dtlsd.conf", conf_of(port, server.port))
    d = t.daemon("--config", conf, addresses=[])
    reload_with(t, d, conf_of(port, server.port, f'listen = "unix:{path}"'))
    Peer(t, path).ask(b"by its name")
    reload_with(t, d, conf_of(port, server.port))
    d.expect("no longer serving on unix:" + path)
    check(not os.path.exists(path), "the socket is still there")
    reload_with(t, d, f"""service up {{
        listen = "127.0.0.1:{port}"
        pskpasswd = "{certs.file('psk.txt')}"
    }}""", "cannot listen on 127.0.0.1:.* a service that connects and one that serves cannot take over")
    Peer(t, ("127.0.0.1", port)).ask(b"as before")


# ---- dtlsd at both ends

@case("a tunnel: UDP, DTLS between two dtlsd, UDP; either may be started again", seconds=90)
def _(t):
    game = Backend(t, answer=lambda data: [b"tick " + data, b"tock " + data])
    inner = free_port()

    def start_far():
        return t.daemon(*certs.psk_options(), "--forward", game.name, addresses=[f"127.0.0.1:{inner}"])

    def start_near(port=None):
        return connect(t, inner, *by_psk(), "--connect-silence", "1", host="127.0.0.1",
                       **({"port": port} if port else {}))
    far, near = start_far(), start_near()
    players = [Peer(t, near.address) for _ in range(20)]

    def play(p, n, timeout=None):
        p.say(b"%d" % n)
        return {p.hear(timeout), p.hear(timeout)} == {b"tick %d" % n, b"tock %d" % n}

    for n, p in enumerate(players):
        check(play(p, n), "the game's answers")
    check_equal(len(game.sources()), 20, "players that the game sees")
    far.signal(signal.SIGKILL)
    far.wait()
    far = start_far()
    for n, p in enumerate(players):
        while True:
            with contextlib.suppress(Failed):
                if play(p, n, 1):
                    break
            check(time.monotonic() < t.deadline, "a player is lost")
    port = near.port
    check_equal(near.stop(), 0, "the status")
    far.await_counter("session_closed_peer", 20)
    near = start_near(port)
    for n, p in enumerate(players):
        with contextlib.suppress(Failed):
            while p.hear(0):
                pass
        check(play(p, n), "the game's answers after a restart of the near end")


def in_one_process(t, player, more=""):
    """A tunnel whose far end forwards to that backend."""
    near, far = free_port(), free_port()
    cert, key = certs.pair("server")
    return near, t.file("tunnel.conf", f"""service near {{
        listen = "127.0.0.1:{near}"
        listen = "unix:{os.path.join(t.dir(), 'near')}"
        to = "127.0.0.1:{far}"
        server-name = localhost
        x509cafile = "{certs.file('ca.pem')}"
    }}
    service far {{
        listen = "127.0.0.1:{far}"
        x509certfile = "{cert}"
        x509keyfile = "{key}"
        {player % {"near": near, "dir": t.dir()}}
    }}
    """ + more)


@case("both ends of a tunnel may be services of one process")
def _(t):
    game = Backend(t)
    near, conf = in_one_process(t, f'forward = "{game.name}"')
    t.daemon("--config", conf, addresses=[])
    Peer(t, ("127.0.0.1", near)).ask(b"through both")


@case("services of one process that lead back to themselves are refused")
def _(t):
    third = 'service third { listen = "127.0.0.1:7" handler = connect to = "127.0.0.1:%d" x509cafile = "' + \
        certs.file("ca.pem") + '" server-name = x }'

    def check_of(status, player, message, more=""):
        near, conf = in_one_process(t, player)
        if more:
            with open(conf, "a", encoding="utf-8") as f:
                f.write(more % near)
        p = t.process([DTLSD, "--check", "--config", conf])
        check_equal(p.wait(), status, f"the status with {player}")
        p.expect(message)
    refused_at_4 = r"tunnel.conf:4: service near: to: 127\.0\.0\.1:\d+ is where service far listens, which leads back " \
        "here: what comes would go round for ever; name the server that is meant"
    check_of(1, 'forward = "127.0.0.1:%(near)d"', refused_at_4)
    check_of(1, 'forward = "127.0.0.1:1,127.0.0.1:%(near)d"', refused_at_4)
    check_of(1, 'forward = "unix:%(dir)s/near"', refused_at_4)
    check_of(1, 'forward = "127.0.0.1:7"', refused_at_4, third)
    # what comes back may be for another route
    check_of(0, 'forward = "127.0.0.1:%(near)d" route back { sni = localhost handler = echo }', "")


# ---- wrong settings

def wrong(t, settings, message):
    conf = t.file("wrong.conf", "service up {\n" + 'listen = "127.0.0.1:9"\n' + settings + "\n}\n")
    p = t.process([DTLSD, "--check", "--config", conf])
    check_equal(p.wait(), 1, f"the status with {settings}")
    p.expect(message)


@case("every wrong setting has a message with its place, and what to do")
def _(t):
    ca, psk = certs.file("ca.pem"), certs.file("psk.txt")
    to = f'to = "localhost:4433"\nx509cafile = "{ca}"\n'
    wrong(t, "handler = connect", r"wrong.conf:3: service up: handler: connect needs a server, as: to = \"192")
    wrong(t, f'to = "localhost"\nx509cafile = "{ca}"', r"wrong.conf:3: service up: to: .*its port is missing")
    wrong(t, f'to = "unix:/x"\nx509cafile = "{ca}"', r"wrong.conf:3: service up: to: DTLS is spoken over UDP")
    wrong(t, f'to = "127.0.0.1:9"\nx509cafile = "{ca}"', "to: 127.0.0.1:9 is where the service itself listens")
    wrong(t, to + 'forward-source = "192.0.2.77"', "wrong.conf:5: service up: forward-source: ")
    wrong(t, f'to = "a.invalid:1"\nx509cafile = "{ca}"', r"wrong.conf:3: service up: to: ")
    wrong(t, f'to = "127.0.0.1:1,127.0.0.2:1"\nx509cafile = "{ca}"', "to names several servers; say with server-name")
    for unused in ('forward = "127.0.0.1:1"', "verify-client = required", "allowed-names = x",
                   'ocsp-response = "x"', 'psk-socket = "/x"', "handshake-rate = 5", "allowed-fingerprints = " + "00" * 32):
        wrong(t, to + unused, r"wrong.conf:5: service up: \S+ is of no use to a client")
    wrong(t, to + "route x { handler = echo }", "routes are for the clients of a server")
    wrong(t, to + "handler = echo", "to is given, which makes a service a client, and handler echo")
    wrong(t, f'pskpasswd = "{psk}"\npsk-identity = alice', r"wrong.conf:4: service up: psk-identity is for clients")
    wrong(t, f'pskpasswd = "{psk}"\nserver-name = x', r"wrong.conf:4: service up: server-name is for clients")
    wrong(t, f'to = "127.0.0.1:1"\npskpasswd = "{psk}"', "pskpasswd and psk-identity belong together")
    wrong(t, f'to = "127.0.0.1:1"\npskpasswd = "{psk}"\npsk-identity = nobody', "the identity nobody of psk-identity is not in it")
    wrong(t, f'to = "127.0.0.1:1"\npskpasswd = "{psk}"\npsk-identity = alice\nx509cafile = "{ca}"',
          "pskpasswd is given, with which no certificates are used")
    wrong(t, to + f'x509certfile = "{ca}"', "x509certfile and x509keyfile belong together")
    wrong(t, 'to = "127.0.0.1:1"\nx509cafile = "missing.pem"', "missing.pem: ")
    wrong(t, to + "connect-silence = never", r"wrong.conf:5: connect-silence: 'never' is not a whole number")
    wrong(t, f'listen = "unix:/x/y"\npskpasswd = "{psk}"', r"wrong.conf:3: service up: unix:/x/y: DTLS is served on UDP only")
    wrong(t, to + 'listen = "unix:relative"', "wrong.conf:5: listen: \"unix:relative\": an absolute path belongs there")
    wrong(t, to + f'listen = "unix:/{"x" * 120}"', "a socket's path has at most 107 bytes")
    wrong(t, to + 'listen = "unix:/x"\nlisten = "unix:/x"', "wrong.conf:6: service up: listen: unix:/x is given twice")
    wrong(t, f'pskpasswd = "{psk}"\nroute x {{ handler = connect }}', "handler: connect is for whole services")


@case("a name that SNI cannot carry is found at the start")
def _(t):
    p = t.process([DTLSD, "--check", "--to", "127.0.0.1:1", "--server-name", "x\udcff.example", *by_ca()])
    check_equal(p.wait(), 1, "the status")
    p.expect("--server-name: give another one than x.*, for which no session can be made: .*UTF-8")


@case("a unix socket that cannot be made is told of when the daemon starts")
def _(t):
    p = t.process([DTLSD, "--to", "localhost:1", *by_ca(), "unix:/nonexistent/socket"])
    check_equal(p.wait(), 1, "the status")
    p.expect("cannot listen on unix:/nonexistent/socket: its directory does not exist")


@case("the CAs of the system are taken where none are given")
def _(t):
    server = echo_server(t)
    d = Process(t, [DTLSD, "--check", "--to", f"localhost:{server.port}"])
    status = d.wait()
    check(status == 0 or "this system has no CAs to verify the server with" in d.text, d.text)


if __name__ == "__main__":
    sys.exit(main())
