#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The handler forward: sessions and their backends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import backend as b
import certs
import clients
import dtlsraw as raw
from backend import Backend, named
from harness import DTLSD, Failed, SANITIZER, case, check, check_equal, free_port, main, many_files, need_ipv6, skip

SIZES = [0, 1, 2, 31, 100, 1200, 1201, 1500, 9000, 16383, 16384]
LOG_DOWN = r"warning: backend \S+ is down: "


def serve(t, backends, *options, **settings):
    if not isinstance(backends, str):
        backends = ",".join(x.name for x in backends)
    return t.daemon(*certs.psk_options(), "--forward", backends, *options, **settings)


def client(t, d):
    return raw.Client(t, d.address, certs.psk()).connect()


def ask(c, data):
    c.say(data)
    check_equal(c.answer(), data, "the echo")


def all_sizes(t, where):
    backend = Backend(t, where)
    d = serve(t, [backend], addresses=["[::1]:%d"] if where == "::1" else None)
    c = client(t, d)
    for size in SIZES:
        data = os.urandom(size)
        ask(c, data)
        check_equal(backend.take()[0][1], data, f"what the backend got of {size} bytes")
    counters = d.counters()
    for name in ("backend_out", "backend_in"):
        check_equal(counters[name], len(SIZES), name)


@case("UDP over IPv4: records of 0 to 16384 bytes keep their boundaries both ways")
def _(t):
    all_sizes(t, "127.0.0.1")


@case("UDP over IPv6: the same")
def _(t):
    all_sizes(t, "::1")


@case("a unix datagram socket: the same")
def _(t):
    all_sizes(t, "unix")


@case("an abstract unix address is written with @")
def _(t):
    name = f"dtlsd-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name)
        s.settimeout(20)
        c = client(t, serve(t, "unix:@" + name))
        c.say("to nowhere in the file system")
        data, source = s.recvfrom(1000)
        check_equal(data, b"to nowhere in the file system", "what came")
        s.sendto(b"and back", source)
        check_equal(c.answer(), b"and back", "the answer")


@case("records that come in one datagram are not joined, and stay in order")
def _(t):
    for where in ("127.0.0.1", "unix"):
        backend = Backend(t, where, answer=None)
        c = client(t, serve(t, [backend]))
        said = []
        for size in (50, 50, 50, 20, 50, 0, 50, 50, 300, 300):
            said.append(bytes([len(said)]) * size)
        c.send(b"".join(c.seal(raw.DATA, x) for x in said))
        check_equal([data for _, data in backend.take(len(said))], said, "what came by " + where)


@case("what a backend says comes one record each, in order, unasked as well")
def _(t):
    parts = [os.urandom(n) for n in (10, 10, 10, 4, 0, 700, 700, 1)]
    backend = Backend(t, answer=lambda data: parts)
    c = client(t, serve(t, [backend]))
    c.say("tell me")
    for p in parts:
        check_equal(c.answer(), p, "an answer")
    backend.say(backend.take()[0][0], b"by the way")
    check_equal(c.answer(), b"by the way", "what it said unasked")


@case("answers of one length that the kernel has joined are told apart again")
def _(t):
    backend = Backend(t, answer=None)
    c = client(t, serve(t, [backend]))
    c.say("hello")
    source = backend.take()[0][0]
    segment = 103  # UDP_SEGMENT
    try:
        backend.socket.setsockopt(socket.IPPROTO_UDP, segment, 100)
    except OSError:
        return
    parts = [bytes([n]) * 100 for n in range(20)] + [b"end"]
    backend.say(source, b"".join(parts))
    check_equal([c.answer() for _ in parts], parts, "the answers")


@case("an answer that no record holds is counted, logged and lost as a whole; the session goes on")
def _(t):
    backend = Backend(t, answer=lambda data: [bytes(int(data))])
    d = serve(t, [backend])
    c = client(t, d)
    for size in (16385, 65507):
        c.say(str(size))
    c.say("16384")
    check_equal(len(c.answer()), 16384, "the answer that fits")
    check_equal(d.counters()["send_too_large"], 2, "send_too_large")
    d.expect(r"warning: peer=\S+ .*handler forward: a message of 16385 bytes does not fit into a record")


@case("a session has one source address for all its life, and no two have the same")
def _(t):
    for where in ("127.0.0.1", "unix"):
        backend = Backend(t, where)
        d = serve(t, [backend])
        sources = []
        everyone = [client(t, d) for _ in range(5)]
        for c in everyone:
            for n in range(4):
                ask(c, b"%d" % n)
            sources.append({source for source, _ in backend.take(4)})
        check(all(len(s) == 1 for s in sources), f"sources: {sources}")
        check_equal(len(set.union(*sources)), 5, "different sources")


@case("OpenSSL and dtlsc are answered through it")
def _(t):
    d = t.daemon(*certs.server_options(), "--forward", Backend(t).name)
    for kind in (clients.openssl, clients.dtlsc):
        c = t.client(kind(d))
        c.ask("mirror, mirror", "^.*mirror, mirror")


# ---- PROXY protocol --------------------------------------------------------------------------------------


@case("--forward-proxy first: who speaks, in the first datagram only")
def _(t):
    backend = Backend(t)
    d = serve(t, [backend], "--forward-proxy", "first")
    c = client(t, d)
    c.say("one")
    header, rest = b.parse_proxy(backend.take()[0][1])
    check_equal(rest, b"one", "behind the header")
    check_equal(header.peer, c.address, "the client")
    check_equal(header.local, d.address, "the server")
    check_equal(header.tlvs, {b.PSK_IDENTITY: certs.psk()[0].encode()}, "TLVs")
    client_bits, verify, more = header.ssl
    check_equal(client_bits, 0x01, "client bits")
    check(verify != 0, "a client without certificate is not verified")
    check_equal(more[b.SSL_VERSION], b"DTLSv1.2", "version")
    check(b"PSK" in more[b.SSL_CIPHER] and b"AES_128_GCM" in more[b.SSL_CIPHER], f"cipher: {more[b.SSL_CIPHER]}")
    c.say("two")
    check_equal(backend.take()[0][1], b"two", "the second datagram")


@case("--forward-proxy every: in each datagram, also over IPv6 and for an empty record")
def _(t):
    backend = Backend(t, "unix")
    d = serve(t, [backend], "--forward-proxy", "every", addresses=["[::1]:%d"])
    c = client(t, d)
    for text in (b"one", b"", b"three"):
        c.say(text)
        header, rest = b.parse_proxy(backend.take()[0][1])
        check_equal(rest, text, "behind the header")
        check_equal(header.family, socket.AF_INET6, "the family")
        check_equal((header.peer, header.local), (c.address[:2], ("::1", d.port)), "the addresses")


@case("--forward-proxy: the name that was asked for, and the client's certificate, also after a resumption")
def _(t):
    backend = Backend(t)
    d = t.daemon(*certs.server_options(), *certs.ca_options("required"), "--forward", backend.name,
                 "--forward-proxy", "first")
    saved = os.path.join(t.dir(), "session")
    for more in (["-sess_out", saved], ["-sess_in", saved]):
        c = t.client(clients.openssl(d, cert=certs.pair("client"), more=["-servername", "localhost", *more]))
        c.expect(r"(?s)Verify return code: 0|read R BLOCK|Reused")
        c.send("hello")
        header, rest = b.parse_proxy(backend.take()[0][1])
        check_equal(rest, b"hello\n", "behind the header")
        check_equal(header.tlvs, {b.AUTHORITY: b"localhost"}, "TLVs")
        client_bits, verify, tlvs = header.ssl
        check_equal((client_bits, verify), (0x07, 0), "certificate and verification")
        check_equal(tlvs[b.SSL_CN], certs_common_name(), "the common name")
        c.send("Q")
        c.wait()


def certs_common_name():
    text = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline", "-in",
                           certs.file("client.pem")], capture_output=True, text=True, check=True).stdout
    return re.search(r"commonName\s*= (.*)", text).group(1).encode()


# ---- health ----------------------------------------------------------------------------------------------


def dies_and_comes_back(t, where):
    backend = Backend(t, where)
    d = serve(t, [backend])
    c = client(t, d)
    ask(c, b"before")
    backend.stop()
    while d.counters()["backend_down"] < 5:
        c.say("into the void")
    d.expect(r"warning: backend_down: \d+ records dropped.*: .*\w")
    check_equal(len(re.findall(LOG_DOWN, d.text)), 1, "lines that say so")
    if backend.unix:
        check(d.counters()["backend_lost"] > 0, "what found nobody there is counted")
    backend.start()
    c.keep_asking(b"again")
    d.expect(r"notice: backend \S+ is up again: it answers")
    ask(c, b"after")
    late = client(t, d)
    ask(late, b"a new session")


@case("a UDP backend that is gone: said once, the session stays, and goes on when it is back")
def _(t):
    dies_and_comes_back(t, "127.0.0.1")


@case("a unix backend that is gone and comes back as another socket: the same")
def _(t):
    dies_and_comes_back(t, "unix")


@case("a backend that is not there yet when the session begins")
def _(t):
    for where in ("127.0.0.1", "unix"):
        backend = Backend(t, where)
        backend.stop()
        d = serve(t, [backend])
        c = client(t, d)
        c.say("early")
        d.expect(LOG_DOWN)
        backend.start()
        c.keep_asking(b"again")


@case("a unix backend that is restarted between two records loses none of them")
def _(t):
    backend = Backend(t, "unix")
    d = serve(t, [backend])
    c = client(t, d)
    ask(c, b"before")
    backend.stop()
    backend.start()
    ask(c, b"after")
    d.lacks(LOG_DOWN)


@case("sessions are shared out by weight")
def _(t):
    many, few = Backend(t, answer=None), Backend(t, answer=None)
    d = serve(t, f"{many.name}*3,{few.name}", "--workers", "2")
    for c in [client(t, d) for _ in range(24)]:
        c.say("here")
        c.say("and again here")
    many.take(36)
    few.take(12)


@case("when one of two dies its sessions move to the other, and new ones go there; it gets some when it is back")
def _(t):
    first, second = Backend(t), Backend(t)
    d = serve(t, [first, second])
    everyone = [client(t, d) for _ in range(10)]
    for c in everyone:
        ask(c, b"all is well")
    first.stop()
    for c in everyone:
        c.keep_asking(b"again")
    check_equal(d.counters()["backend_moved"], 5, "backend_moved")
    for _ in range(6):
        ask_new(t, d)
    first.start()
    first.got.clear()
    while not first.sources():
        ask_new(t, d)
        time.sleep(0.1)
    d.expect("is up again")


def ask_new(t, d):
    """A new session; its first record may be the trial of a backend that is down."""
    c = client(t, d)
    c.keep_asking(b"new")
    c.close()


@case("--forward-move no: a session waits for its own backend")
def _(t):
    first, second = Backend(t), Backend(t)
    d = serve(t, [first, second], "--forward-move", "no")
    one, two = client(t, d), client(t, d)
    ask(one, b"1")
    ask(two, b"2")
    second.stop()
    while not d.counters()["backend_down"]:
        two.say("wait")
    ask(one, b"1 again")
    second.start()
    two.keep_asking(b"again")
    check_equal(d.counters()["backend_moved"], 0, "backend_moved")


@case("a backend that is silent while the other answers is left, and taken again when it speaks")
def _(t):
    good, bad = Backend(t), Backend(t, answer=None)
    d = serve(t, [good, bad], "--forward-silence", "1")
    one, two = client(t, d), client(t, d)
    ask(one, b"hello")
    two.say("hello?")
    while not d.counters()["backend_moved"]:
        ask(one, b"I am fine")
        two.say("hello?")
        time.sleep(0.1)
    d.expect(r"warning: backend \S+ is down: it has been silent for \d")
    two.keep_asking(b"again")
    bad.answer = lambda data: [data]
    bad.got.clear()
    while not bad.sources():
        ask_new(t, d)
        time.sleep(0.1)
    d.expect(r"notice: backend \S+ is up again: it answers")


# ---- limits and life -------------------------------------------------------------------------------------


def expect_refusal(t, d):
    """Let in, and told goodbye at once."""
    c = raw.Client(t, d.address, certs.psk()).connect()
    kind, data = c.next()
    check_equal((kind, data), (raw.ALERT, b"\x01\x00"), "the refusal")


@case("--forward-sockets: one more session is refused and told why in the log; the others never notice")
def _(t):
    d = serve(t, [Backend(t)], "--forward-sockets", "3")
    everyone = [client(t, d) for _ in range(3)]
    expect_refusal(t, d)
    d.expect(r"warning: peer=\S+ .*no socket.*--forward-sockets")
    check_equal(d.counters()["limited_sockets"], 1, "limited_sockets")
    for c in everyone:
        ask(c, b"still here")
    everyone[0].close()
    while d.counters()["sessions"] > 2:
        time.sleep(0.01)
    ask(client(t, d), b"let in")


@case("open files are kept for other things: with few of them sessions are refused, and a reload still works")
def _(t):
    backend = Backend(t)
    d = serve(t, [backend], "--workers", "1", wrapper=["prlimit", "--nofile=64:64"])
    everyone = []
    while not d.counters()["limited_sockets"]:
        everyone.append(raw.Client(t, d.address, certs.psk()).connect())
        check(len(everyone) < 64, "no refusal")
    d.signal(signal.SIGHUP)
    d.expect("reloaded")
    ask(everyone[0], b"still here")


@case("a thousand sessions, a reload, and a farewell under load", 120)
def _(t):
    backend = Backend(t)
    d = serve(t, [backend], "--workers", "2", "--max-handshakes-per-address", "0", log=None)
    everyone = [client(t, d) for _ in range(100 if SANITIZER else many_files(1300) - 300)]
    stop = threading.Event()

    def talk(some):
        with contextlib.suppress(ConnectionRefusedError):  # at the end
            while not stop.is_set():
                for c in some:
                    c.say("x" * 100)

    for n, c in enumerate(everyone):
        ask(c, b"%d" % n)
        if n == len(everyone) // 2:
            d.signal(signal.SIGHUP)
    d.expect("reloaded")
    check_equal(len(backend.sources()), len(everyone), "sources")
    talkers = [threading.Thread(target=talk, args=(everyone[k::2],)) for k in range(2)]
    for thread in talkers:
        thread.start()
    try:
        time.sleep(0.3)
        d.signal(signal.SIGHUP)
        time.sleep(0.3)
        check_equal(d.stop(), 0, "the exit status")
    finally:
        stop.set()
        for thread in talkers:
            thread.join()


class Reloadable:
    """A dtlsd with a service of a file, to which a reload gives other settings."""

    def __init__(self, t, *settings):
        self.t, self.port = t, free_port()
        self.d = t.daemon("--config", self.write(*settings), addresses=[], port=self.port)

    def write(self, *settings, process=""):
        lines = (f'listen = "127.0.0.1:{self.port}"', f'pskpasswd = "{certs.file("psk.txt")}"', *settings)
        return self.t.file("dtlsd.conf", process + "service s {\n" + "".join(f"\t{line}\n" for line in lines) + "}\n")

    def reload(self, *settings, **more):
        since = self.d.mark()
        self.write(*settings, **more)
        self.d.signal(signal.SIGHUP)
        self.d.expect("reloaded", since=since)


def to(backend):
    return f'forward = "{backend.name}"'


@case("a reload with other backends: sessions keep theirs, new ones get the new ones, and what was known stays")
def _(t):
    old, new = Backend(t), Backend(t)
    r = Reloadable(t, to(old))
    before = client(t, r.d)
    ask(before, b"before")
    r.reload(to(new))
    after = client(t, r.d)
    ask(after, b"after")
    ask(before, b"before, again")
    check_equal([data for _, data in old.take(2)], [b"before", b"before, again"], "the old backend's")
    check_equal(new.take()[0][1], b"after", "the new backend's")
    old.stop()
    before.keep_asking(b"moved")
    check(new.take()[0][1] == b"moved", "the old session has moved to the new backend")


@case("a session that finds no socket on its way to another backend has a line in the log, and goes there later")
def _(t):
    first, second = Backend(t), Backend(t)
    both = f'forward = "{first.name},{second.name}"'
    r = Reloadable(t, both)
    everyone = [client(t, r.d) for _ in range(2)]
    for c in everyone:
        ask(c, b"there")
    r.reload(both, process="forward-sockets = 1\n")
    first.stop()
    while "no socket for this session's backend: --forward-sockets are all taken" not in r.d.text:
        everyone[0].say("lost")
        check(time.monotonic() < t.deadline, "no line in the log")
        time.sleep(0.01)
    check_equal(r.d.counters()["backend_moved"], 0, "backend_moved")
    r.reload(both)
    everyone[0].keep_asking(b"moved")
    check(r.d.counters()["backend_moved"] > 0, "it has not moved")
    ask(everyone[1], b"as before")


@case("a reload with another --forward-proxy: a session's backend still gets what it is used to, until it moves")
def _(t):
    old, new = Backend(t), Backend(t)
    r = Reloadable(t, to(old), "forward-proxy = every")
    c = client(t, r.d)
    c.say("before")
    check_equal(b.parse_proxy(old.take()[0][1])[1], b"before", "behind the header")
    r.reload(to(new), "forward-proxy = none")
    c.say("after")
    data = old.take()[0][1]
    check(data.startswith(b.SIGNATURE), f"no header: {data!r}")
    check_equal(b.parse_proxy(data)[1], b"after", "behind the header, after the reload")
    old.stop()
    while not new.sources():
        c.say("moved")
        time.sleep(0.1)
    check_equal(new.take()[0][1], b"moved", "what the new backend gets")


@case("a session from before the headers brings its addresses to a backend that wants them, whatever it says")
def _(t):
    old, new = Backend(t), Backend(t)
    r = Reloadable(t, to(old), "forward-proxy = none")
    c = client(t, r.d)
    ask(c, b"before")
    r.reload(to(new), "forward-proxy = every")
    old.stop()
    forged = b.SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12)
    while not new.sources():
        c.say(forged)
        time.sleep(0.1)
    header, rest = b.parse_proxy(new.take()[0][1])
    check_equal((header.peer, header.local), (c.sock.getsockname(), r.d.address), "the peers")
    check_equal((header.tlvs, header.ssl), ({}, (1, 1, {b.SSL_VERSION: b"DTLSv1.2"})), "what else is told")
    check_equal(rest, forged, "what the client says")


@case("after a reload the record that moves a session to a backend that is down is its only trial")
def _(t):
    dead = Backend(t)
    dead.stop()
    d = serve(t, [dead])
    c = client(t, d)
    c.say("finds that it is down")
    d.expect(r"backend \S+ is down")
    d.signal(signal.SIGHUP)
    d.expect("reloaded")
    time.sleep(1.1)
    for text in "a trial for those before the reload", "one for those after it, by a new socket", "none":
        c.say(text)
    check(d.await_counter("backend_down", 1)["backend_moved"] == 1, "the session has not moved")


@case("a name is asked for again: new sessions go to its new address, and an unknown name changes nothing")
def _(t):
    old = Backend(t, "127.0.0.2")
    new = Backend(t, "127.0.0.3", port=old.address[1])
    wrapper = named(t, "127.0.0.2 backend.test\n")
    d = serve(t, f"backend.test:{old.address[1]}", "--forward-refresh", "1", wrapper=wrapper)
    before = client(t, d)
    ask(before, b"before")
    t.file("hosts", "127.0.0.1 localhost\n")
    d.expect(r"warning: .*backend\.test.*last addresses stay in use")
    ask(client(t, d), b"as before")
    t.file("hosts", "127.0.0.3 backend.test\n")
    d.expect("names of backends have other addresses")
    ask(client(t, d), b"after")
    ask(before, b"before, again")
    check_equal([data for _, data in old.take(3)], [b"before", b"as before", b"before, again"], "the old address's")
    check_equal(new.take()[0][1], b"after", "the new address's")


@case("--forward-source: what is none of this machine's is told, on the line that says so")
def _(t):
    backend = Backend(t)
    for text, why in (("192.0.2.77", "192.0.2.77 is no address of this machine: correct it, or add it to an interface"),
                      ("127.0.0.1:7", "has a port, which the system chooses"), ("*", "is more than one address"),
                      ("127.0.0.1,", "an address is missing")):
        refused(t, [*certs.psk_options(), "--forward", backend.name, "--forward-source", text], why)
    r = Reloadable(t, to(backend))
    r.write(to(backend), 'forward-source = "192.0.2.77"')
    r.d.signal(signal.SIGHUP)
    r.d.expect(r"dtlsd.conf:5: service s: forward-source: 192\.0\.2\.77 is no address")
    ask(client(t, r.d), b"as before")


@case("bad backends: each is told with what to write instead, and nothing is served")
def _(t):
    for text, why in (
            ("", "there is nothing in it"),
            ("127.0.0.1", "its port is missing; write 192.0.2.1:5683"),
            ("127.0.0.1:1,", "a backend is missing"),
            ("*:5683", "is every address"),
            ("127.0.0.1:1*0", "its weight is not a whole number from 1 to 100"),
            ("127.0.0.1:1*x", "its weight is not a whole number from 1 to 100"),
            ("127.0.0.1:1,127.0.0.1:1", "is given twice"),
            ("[::1:5", "the closing bracket is missing"),
            ("unix:relative", "an absolute path belongs there"),
            ("unix:/" + "x" * 120, "at most 107 bytes")):
        refused(t, ["--forward", text], why)
    refused(t, ["--handler", "forward"], "forward needs backends, as: --forward 127.0.0.1:5683")
    refused(t, ["--handler", "echo", "--forward", "127.0.0.1:1"], "echo does not forward")
    refused(t, ["--forward", "127.0.0.1:1", "--forward-proxy", "all"], "is none of none|first|every")


@case("a service is not its own backend, on an address of its own or by way of all of them")
def _(t):
    for listens in ("127.0.0.1:4433", "*:4433"):
        refused(t, ["--forward", "127.0.0.1:1,127.0.0.1:4433"],
                "--forward: 127.0.0.1:4433 is where the service itself listens: name the server", listens)
    need_ipv6()
    done = subprocess.run([DTLSD, "--check", *certs.psk_options(), "--forward", "127.0.0.1:4433", "[::1]:4433"],
                          capture_output=True, text=True, timeout=60, check=False)
    check_equal(done.returncode, 0, "--check of another address with the same port")


def refused(t, options, why, listens="127.0.0.1:0"):
    done = subprocess.run([DTLSD, "--check", *certs.psk_options(), *options, listens], capture_output=True,
                          text=True, timeout=60, check=False)
    check(done.returncode != 0, f"{options}: accepted")
    check(why in done.stderr, f"{options}: {done.stderr!r} lacks {why!r}")


if __name__ == "__main__":
    sys.exit(main())
