#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Pre-shared keys that a program is asked for, with other people's clients and the program of the examples."""

import os
import signal
import socket
import sys
import threading
import time

import certs
import clients
from harness import DTLSD, TOP, case, check, check_equal, free_port, main

KEY = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"


def path_of(t):
    return os.path.join(t.dir(), "psk.sock")


def example(t, *lines):
    """The program of the examples, answering."""
    t.file("keys", "".join(line + "\n" for line in lines))
    p = t.process([sys.executable, os.path.join(TOP, "examples", "psk.py"), path_of(t),
                   os.path.join(t.dir(), "keys")])
    p.expect("answering at")
    return p


class Program:
    """One that does as the case says: answer(question) gives what is sent back, None: nothing."""

    def __init__(self, t, answer):
        self.t = t
        self.answer = answer
        self.questions = []
        self.asked = threading.Condition()
        self.path = path_of(t)
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        t.closing(self)

    def _serve(self):
        while True:
            question, peer = self.sock.recvfrom(4096)
            if question == b"end":
                self.sock.close()
                return
            with self.asked:
                self.questions.append(question.decode())
                self.asked.notify_all()
            said = self.answer(question.decode())
            for text in [said] if isinstance(said, str) else said or []:
                self.sock.sendto(text.encode(), peer)

    def expect(self, question, times):
        """Waits until it was put so often."""
        left = self.t.until(None) - time.monotonic()
        with self.asked:
            check(self.asked.wait_for(lambda: self.questions.count(question) >= times, left),
                  f"questions: {self.questions}")

    def close(self):
        if self.thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(b"end", self.path)
        self.thread.join(5)


def hexed(name):
    return name.encode().hex()


def knows(**keys):
    def answer(question):
        identity = question.split()[1]
        key = keys.get(bytes.fromhex(identity).decode())
        return f"key {identity} {key}" if key else f"no {identity}"
    return answer


def good(t, d, name, key=KEY, client=clients.openssl, more=()):
    c = t.client(client(d, psk=(name, key), more=more))
    c.ask("ping", r"^pong$")
    return c


@case("every library's client comes in with a key of the example program, and no other identity, nor a wrong key",
      seconds=60)
def _(t):
    example(t, f"alice:{KEY}", f"bob:with a colon:{OTHER}")
    d = t.daemon("--psk-socket", path_of(t), "--workers", "2")
    for client in (*clients.ALL.values(), clients.dtlsc):
        good(t, d, "alice", client=client)
        c = t.client(client(d, psk=("bob:with a colon", OTHER)))
        c.ask("whoami", r"psk:bob:with a colon$")
    for name, key in (("alice", OTHER), ("mallory", KEY)):
        t.client(clients.openssl(d, psk=(name, key))).expect(r"alert number (20|51)|decrypt error|bad record mac")
    d.expect(r'handshake failed: PSK identity "mallory" is not known at the psk-socket')
    d.expect(r"handshake failed: the peer's Finished does not open: it has another pre-shared key for its identity")
    for _ in range(4): # on either worker
        good(t, d, "alice", client=lambda d, **how: clients.gnutls(d, **how))
    counters = d.counters()
    check(counters["psk_remembered"] > 0 and counters["psk_asked"] <= 6, f"asked too often: {counters}")


@case("ECDHE-PSK, and many clients at a time", seconds=60)
def _(t):
    keys = {f"device{n}": f"{n:032x}" for n in range(40)}
    p = Program(t, knows(**keys))
    d = t.daemon("--psk-socket", path_of(t), "--workers", "2")
    c = t.client(clients.openssl(d, psk=("device1", keys["device1"]), suite="ECDHE-PSK-CHACHA20-POLY1305"))
    c.ask("ping", r"^pong$")
    many = [t.client(clients.openssl(d, psk=item)) for item in keys.items()]
    for c in many:
        c.ask("ping", r"^pong$")
    check(len(p.questions) <= 2 * len(keys), f"{len(p.questions)} questions")


@case("the file goes before the program, and certificates are served beside both")
def _(t):
    p = Program(t, knows(alice=OTHER, carol=KEY))
    d = t.daemon("--pskpasswd", t.file("psk.txt", f"alice:{KEY}\n"), "--psk-socket", path_of(t), *certs.server_options())
    good(t, d, "alice")
    check_equal(p.questions, [], "questions")
    good(t, d, "carol")
    check_equal(p.questions, [f"get {hexed('carol')}"], "questions")
    t.client(clients.openssl(d)).ask("ping", r"^pong$")


@case("resumption: not for who comes with a PSK, whose program is asked; for who comes with certificates as ever")
def _(t):
    known = {"alice": KEY}
    Program(t, lambda question: knows(**known)(question))
    d = t.daemon("--psk-socket", path_of(t), "--psk-cache", "1", *certs.server_options())
    ticket, other = (os.path.join(t.dir(), name) for name in ("ticket", "other"))
    c = t.client(clients.openssl(d, more=("-sess_out", other)))
    c.ask("ping", r"^pong$")
    c.kill()
    t.client(clients.openssl(d, more=("-sess_in", other))).expect(r"^Reused, TLSv1\.2")
    c = good(t, d, "alice", more=("-sess_out", ticket))
    c.kill()
    c = good(t, d, "alice", more=("-sess_in", ticket) if os.path.exists(ticket) else ())
    c.lacks(r"^Reused")
    known.clear()
    while "not known at the psk-socket" not in d.text:  # once what was remembered has run out
        c = t.client(clients.openssl(d, psk=("alice", KEY)))
        c.expect(r"alert number|^New, TLSv1\.2")
        c.kill()


@case("routes by identity lead where the program's identities are", seconds=30)
def _(t):
    Program(t, knows(**{"sensor-1": KEY, "sensor-66": KEY}))
    port = free_port()
    d = t.daemon("--config", t.file("dtlsd.conf", f"""
        service a {{
            listen = 127.0.0.1:{port}
            psk-socket = psk.sock
            route lost {{ identity = "psk:sensor-66" deny = yes }}
            handler = command
        }}"""), addresses=[], port=port)
    good(t, d, "sensor-1")
    t.client(clients.openssl(d, psk=("sensor-66", KEY))).expect(r"alert number 49|access denied")
    d.expect(r"route lost denies the client psk:sensor-66")


@case("the program goes: what is remembered lets clients in, others are refused at once with the cause; it comes back",
      seconds=60)
def _(t):
    p = example(t, f"alice:{KEY}", f"bob:{KEY}")
    d = t.daemon("--psk-socket", path_of(t), "--workers", "1")
    live = good(t, d, "alice")
    p.kill()
    good(t, d, "alice")
    c = t.client(clients.openssl(d, psk=("bob", KEY)))
    c.expect(r"alert number 80|internal error")
    d.expect(r"handshake failed: the client's key is not known: nobody is there at the psk-socket /.*psk\.sock")
    d.expect(r"warning: psk-socket /.*psk\.sock: nobody answers there: Connection refused; start the program")
    check(d.counters()["psk_unanswered"] >= 1, "not counted")
    os.unlink(path_of(t))
    c = t.client(clients.openssl(d, psk=("bob", KEY)))
    c.expect(r"alert number 80|internal error")
    live.ask("ping", r"^pong$")
    example(t, f"alice:{KEY}", f"bob:{KEY}")
    while not d.text.count("the program answers again"):
        c = t.client(clients.openssl(d, psk=("bob", KEY)))
        c.expect(r"alert number 80|internal error|^New, TLSv1\.2")
        c.kill()
    good(t, d, "bob")


@case("a program that says nothing, and one that talks nonsense: the handshake waits and fails, others do not notice",
      seconds=60)
def _(t):
    said = {"mute": None, "liar": ["key 00", "no", "key zz 00", "key " + hexed("other") + " 0011", "x" * 3000, ""]}

    def answer(question):
        name = bytes.fromhex(question.split()[1]).decode()
        return said.get(name, f"key {hexed(name)} {KEY}\n")

    p = Program(t, answer)
    d = t.daemon("--psk-socket", path_of(t), "--workers", "1")
    waiting = [t.client(clients.openssl(d, psk=(name, KEY))) for name in said]
    good(t, d, "alice")
    for c in waiting:
        c.expect(r"alert number 80|internal error")
    d.expect(r"handshake failed: the client's key is not known: no answer came in 5 seconds at the psk-socket")
    d.expect(r"warning: .*psk-socket /.*: an answer is neither 'key IDENTITY KEY' nor 'no IDENTITY'")
    check(2 <= p.questions.count(f"get {hexed('mute')}") <= 7, f"questions: {p.questions}")


def reloading(t, how, port):
    """A daemon with a service of these settings; to write others, and to have them read."""
    def write(how):
        return t.file("dtlsd.conf", f"workers = 2\nservice a {{\nlisten = 127.0.0.1:{port}\n{how}\n}}\n")

    def reload(how=how):
        write(how)
        since = d.mark()
        d.signal(signal.SIGHUP)
        d.expect(r"notice: reloaded", since=since)

    d = t.daemon("--config", write(how), addresses=[], port=port)
    return d, reload


DENIED = r"alert number 49|access denied"


@case("SIGHUP forgets what the program said, and asks it about the sessions that are there: who is unknown now or has "
      "another key is told and closed, others go on; without the program its sessions end", seconds=60)
def _(t):
    known = {"alice": KEY, "bob": KEY, "carol": KEY}
    p = Program(t, lambda question: knows(**known)(question))
    t.file("psk.txt", f"dave:{KEY}\n")
    d, reload = reloading(t, "psk-socket = psk.sock\npskpasswd = psk.txt", free_port())
    live = {name: good(t, d, name) for name in ("alice", "bob", "carol", "dave")}
    reload()
    p.expect(f"get {hexed('alice')}", 2)
    known.update(carol=OTHER)
    del known["bob"]
    reload()
    for name in ("bob", "carol"):
        live[name].expect(DENIED)
    p.expect(f"get {hexed('alice')}", 3)
    for name in ("alice", "dave"):
        live[name].ask("ping", r"^pong$")
    check_equal(d.counters()["session_closed_revoked"], 2, "sessions closed")
    check_equal(p.questions.count(f"get {hexed('dave')}"), 0, "questions about who is in the file")
    reload("pskpasswd = psk.txt")
    live["alice"].expect(DENIED)
    live["dave"].ask("ping", r"^pong$")


@case("a program that says nothing after SIGHUP, or is away, closes nobody; it is asked until it answers", seconds=60)
def _(t):
    known = {"alice": KEY, "bob": KEY}
    silent = threading.Event()
    p = Program(t, lambda question: None if silent.is_set() else knows(**known)(question))
    d, reload = reloading(t, "psk-socket = psk.sock", free_port())
    live = {name: good(t, d, name) for name in known}
    silent.set()
    reload()
    d.await_counter("psk_recheck_unanswered", 1)
    d.expect(r"warning: peer=.* psk-socket /.*psk\.sock: no answer in 5 seconds about a session of before the reload, which "
             "goes on: see to the program")
    p.close()
    for c in live.values():
        c.ask("ping", r"^pong$")
    example(t, f"bob:{KEY}")
    live["alice"].expect(DENIED)
    live["bob"].ask("ping", r"^pong$")
    d.expect(r"notice: 1 session was closed: certificates and pre-shared keys that are not good any more")
    check_equal(d.counters()["session_closed_revoked"], 1, "sessions closed")


def refused(name, pattern, *options):
    @case(f"--psk-socket with {name}: dtlsd says so and does not start")
    def _(t):
        p = t.process([DTLSD, "--check", *[o.replace("DIR", t.dir()) for o in options]])
        p.expect(pattern)
        check(p.wait() != 0, "exit status 0")


refused("a path that is too long", r"error: --psk-socket /x+: the path has more than the 107 bytes", "--psk-socket",
        "/" + 120 * "x")
refused("a directory", r"error: --psk-socket /\S+: this is no unix socket; name the one of the program", "--psk-socket", "DIR")
refused("a wrong time for answers", r"--psk-cache: '0' is not a whole number from 1 to 86400", "--psk-socket", "DIR/x",
        "--psk-cache", "0")


@case("--psk-socket with nobody there yet: a warning")
def _(t):
    p = t.process([DTLSD, "--check", "--psk-socket", os.path.join(t.dir(), "none")])
    p.expect(r"warning: --psk-socket /\S+none: No such file or directory: no program is there yet; start the one")
    check_equal(p.wait(), 0, "exit status")


if __name__ == "__main__":
    sys.exit(main())
