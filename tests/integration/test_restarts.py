#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Somebody goes and comes back: clients in every phase, the daemon killed and started anew, reloaded and stopped
under load. RESTART_SESSIONS and RESTART_RELOADS make the long form of it (./dev soak)."""

import contextlib
import os
import signal
import sys
import threading
import time

import certs
import clients
import dtlsraw as raw
from harness import SANITIZER, SCALE, Failed, case, check, check_equal, main, many_files
from relay import Relay

SESSIONS = int(os.environ.get("RESTART_SESSIONS") or (1000 if SANITIZER else 10000))
RELOADS = int(os.environ.get("RESTART_RELOADS") or 50)
CLOSE = (raw.ALERT, bytes([1, raw.CLOSE_NOTIFY]))
BOTH = [*certs.server_options(), *certs.psk_options()]


def converse(c):
    c.ask("ping", r"^pong$")
    c.end_input()
    check_equal(c.wait(), 0, f"exit status of {c.name}")


def kill(d):
    d.signal(signal.SIGKILL)
    d.wait()


# ---- clients go and come back ----------------------------------------------------------------------------


class Trap:
    """A relay's policy that rings when the n-th datagram of a direction has passed, whole or only its first
    records, and loses what follows it."""

    def __init__(self, direction, number, most=None):
        self.at, self.most = (direction, number), most
        self.sprung = threading.Event()
        self.open = False

    def __call__(self, direction, number, datagram):
        if self.open:
            return [datagram]
        if self.sprung.is_set():
            return []
        if (direction, number) == self.at:
            self.sprung.set()
            if self.most:
                sizes = [13 + len(r.body) for r in raw.records(datagram)]
                datagram = datagram[:sum(sizes[:self.most])]
        return [datagram]


# datagrams up: the first hello, the one with the cookie, the last flight; down: challenge, flight, last flight
PHASES = [("up", 0), ("down", 0), ("up", 1), ("down", 1), ("up", 2), ("down", 2)]
# and only the first one or two records of the last flight
PHASES += [("up", 2, 1), ("up", 2, 2)]


def gets_in(t, argv):
    """A client that has got its pong. What was on its way to the one before may make it give up: it is started anew,
    as a user would."""
    for last in False, False, True:
        c = t.client(argv)
        try:
            c.ask("ping", r"^pong$")
            return c
        except Failed:
            if last or not c.closed:
                raise


def comes_back(name):
    @case(f"{name}: killed in any phase of its handshake, it gets in again from the same port", 60)
    def _(t):
        for direction, number, *cut in PHASES:
            d = t.daemon(*certs.server_options(), "--workers", "1")
            trap = Trap(direction, number, *cut)
            r = Relay(t, d, trap)
            first = t.client(clients.ALL[name](r))
            check(trap.sprung.wait(10 * SCALE), f"no datagram {number} {direction}")
            first.kill()
            trap.open = True
            begun = time.monotonic()
            second = gets_in(t, clients.ALL[name](r))
            check(time.monotonic() - begun < 10 * SCALE, f"{direction} {number}: getting in again took too long")
            second.ask("stats", r"\b1 session")
            d.stop()


for NAME in clients.ALL:
    comes_back(NAME)


def forged(name):
    @case(f"{name}: hellos forged in its name, with a good cookie too, leave its session alone", 30)
    def _(t):
        d = t.daemon(*certs.server_options())
        r = Relay(t, d)
        c = t.client(clients.ALL[name](r))
        c.ask("ping", r"^pong$")
        for n in range(10):
            # who sees all can even return the cookie; the session goes on beside that handshake
            random, seen = os.urandom(32), len(r.seen["down"])
            r.inject("up", raw.hello(random, suites=(0xC02B,)))
            while not any(map(raw.is_verify_request, r.seen["down"][seen:])):
                check(time.monotonic() < t.deadline, "no HelloVerifyRequest")
                time.sleep(0.005)
            answer = next(filter(raw.is_verify_request, r.seen["down"][seen:]))
            r.inject("up", raw.hello(random, raw.verify_request(answer)[2], record_seq=1, message_seq=1,
                                     suites=(0xC02B,)))
            c.ask(f"echo number {n}", rf"^number {n}$")
        # hellos are served after records: the last one may come later than the answer
        now = d.await_counter("hello_admitted", 11)
        check_equal((now["session_closed_replaced"], now["sessions"]), (0, 1), "replaced, sessions")
        check_equal(now["hello_admitted"], 11, "admitted")
        converse(c)


for NAME in clients.ALL:
    forged(NAME)


# ---- the daemon is killed and comes back -----------------------------------------------------------------


def between_hellos(name, kept):
    what = "goes on with its cookie" if kept else "is asked for a cookie again"
    how = "with" if kept else "without"
    @case(f"{name}: the daemon is killed and started anew between the two hellos, {how} --cookie-secret: it {what}")
    def _(t):
        options = [*BOTH, "--workers", "1"]
        if kept:
            options += ["--cookie-secret", os.path.join(t.dir(), "secret")]
        old = t.daemon(*options)
        fresh = []

        def policy(direction, number, datagram):
            if direction == "up" and number == 1:
                kill(old)
                fresh.append(t.daemon(*options, port=old.port))
            return [datagram]
        r = Relay(t, old, policy)
        converse(t.client(clients.ALL[name](r)))
        now = fresh[0].counters()
        check_equal(now["handshake_done"], 1, "handshakes of the new daemon")
        # a slow start has the client repeat itself
        check_equal(now["hello_challenged"] > 0, not kept, "whether it was challenged")
        if kept:
            check_equal(os.stat(options[-1]).st_mode & 0o7777, 0o600, "mode of the secret")


for NAME in clients.ALL:
    for KEPT in True, False:
        between_hellos(NAME, KEPT)


@case("--cookie-secret: a cookie of one daemon is good at another with the same file, not at one with another")
def _(t):
    secret = t.file("secret", b"not random, but long enough for a test")
    first, same = (t.daemon(*certs.psk_options(), "--workers", "1", "--cookie-secret", secret) for _ in range(2))
    other = t.daemon(*certs.psk_options(), "--workers", "1", "--cookie-secret", os.path.join(t.dir(), "other"))
    # a cookie is bound to the server's port as well: the daemons take turns on one
    port = first.port
    c = raw.Client(t, first.address, certs.psk())
    c.get_cookie()
    for d in first, same, other:
        kill(d)
    d = t.daemon(*certs.psk_options(), "--workers", "1", "--cookie-secret", secret, port=port)
    c.finish_handshake()
    c.alive()
    check_equal(d.counters()["hello_challenged"], 0, "challenges")
    kill(d)
    d = t.daemon(*certs.psk_options(), "--workers", "1", "--cookie-secret", os.path.join(t.dir(), "other"), port=port)
    c.send(raw.hello(c.random, c.cookie, record_seq=1, message_seq=1))
    check(raw.is_verify_request(c.receive()), "a cookie made with another secret was taken")
    check_equal(d.counters()["hello_admitted"], 0, "admitted")


class Resident(threading.Thread):
    """A client that says ping all the time, and begins anew, from its port, when nothing comes back."""

    def __init__(self, t, address):
        super().__init__(daemon=True)
        self.t, self.address = t, address
        self.client = raw.Client(t, address, certs.psk())
        self.connects = self.pongs = 0
        self.stopping = False
        self.error = None

    def _turn(self):
        try:
            if not self.client.server_verified:
                self.client.begin()
                self.client.pending()
                self.client.connect()
                self.connects += 1
            self.client.say("ping")
            if self.client.next(1) == (raw.DATA, b"pong\n"):
                self.pongs += 1
            time.sleep(0.01)
        except (Failed, OSError):
            # silence, a refused port, what was meant for the life before
            self.client.server_verified = False
            time.sleep(0.02)

    def run(self):
        try:
            while not self.stopping:
                # every wait in a handshake is bounded by this
                self.client.t = Patience(self.t)
                self._turn()
        except Exception as e:  # pylint: disable=broad-except
            self.error = e


class Patience:
    """A context for waits of no more than two seconds."""

    def __init__(self, t):
        self.deadline = min(t.deadline, time.monotonic() + 2 * SCALE)

    def until(self, timeout):
        return self.deadline if timeout is None else min(self.deadline, time.monotonic() + timeout * SCALE)


@contextlib.contextmanager
def residents(t, address, number):
    everyone = [Resident(t, address) for _ in range(number)]
    for r in everyone:
        r.start()
    try:
        yield everyone
    finally:
        for r in everyone:
            r.stopping = True
        for r in everyone:
            r.join(10 * SCALE)
    for r in everyone:
        check(r.error is None, f"a client failed: {r.error!r}")


def all_have(t, everyone, progress, what):
    """Waits until each has made progress since now."""
    before = [progress(r) for r in everyone]
    while not all(progress(r) > b for r, b in zip(everyone, before)):
        late = sum(progress(r) <= b for r, b in zip(everyone, before))
        check(time.monotonic() < t.deadline, f"{what}: {late} of {len(everyone)} are without")
        time.sleep(0.02)


@case("killed under load and started anew, three times: every client notices and is served again", 60)
def _(t):
    d = t.daemon(*BOTH, "--cookie-secret", os.path.join(t.dir(), "secret"))
    with residents(t, d.address, 16) as everyone:
        all_have(t, everyone, lambda r: r.pongs, "first pong")
        for _ in range(3):
            kill(d)
            before = [r.connects for r in everyone]
            d = t.daemon(*BOTH, "--cookie-secret", os.path.join(t.dir(), "secret"), port=d.port)
            all_have(t, everyone, lambda r: r.pongs, "pong after the restart")
            check(all(r.connects > b for r, b in zip(everyone, before)), "a client was served without connecting")
    check_equal(d.counters()["handshake_failed"], 0, "failed handshakes")


@case("killed and started anew: real clients hear nothing more, and get in again", 60)
def _(t):
    d = t.daemon(*BOTH)
    everyone = {name: t.client(make(d)) for name, make in {**clients.ALL, "dtlsc": clients.dtlsc}.items()}
    for c in everyone.values():
        c.ask("ping", r"^pong$")
    kill(d)
    d = t.daemon(*BOTH, port=d.port)
    for name, c in everyone.items():
        with contextlib.suppress(Failed):
            # the session is gone: silence, which no forger could have made of a live one
            since = c.mark()
            c.send("ping")
            c.expect(r"pong", timeout=0.5, since=since)
            raise AssertionError(f"{name}: an answer in a session that is gone")
        c.kill()
        converse(t.client({**clients.ALL, "dtlsc": clients.dtlsc}[name](d)))
    check(d.counters()["drop_no_session"] >= 1, "nothing was counted")


# ---- reloads and the end, under load ---------------------------------------------------------------------


class Visitors(threading.Thread):
    """One client after another: a handshake, a ping, close_notify."""

    def __init__(self, t, address):
        super().__init__(daemon=True)
        self.t, self.address = t, address
        self.visits = 0
        self.stopping = False
        self.error = None

    def run(self):
        try:
            while not self.stopping:
                c = raw.Client(self.t, self.address, certs.psk())
                c.connect()
                c.alive()
                c.close()
                c.sock.close()
                self.visits += 1
        except Exception as e:  # pylint: disable=broad-except
            self.error = e


@case(f"SIGHUP {RELOADS} times while clients come and go without a pause: nobody fails", 120)
def _(t):
    d = t.daemon(*BOTH, "--workers", "2", log=None)
    resident = raw.Client(t, d.address, certs.psk()).connect()
    everyone = [Visitors(t, d.address) for _ in range(4)]
    for v in everyone:
        v.start()
    for n in range(RELOADS):
        d.notify.forget()
        d.signal(signal.SIGHUP)
        d.notify.wait("READY=1", d)
        while sum(v.visits for v in everyone) <= n:  # that there is a load beside it
            check(time.monotonic() < t.deadline and not any(v.error for v in everyone), "clients do not come and go")
            time.sleep(0.002)
        if n % 10 == 0:
            # with certificates, too
            converse(t.client(list(clients.ALL.values())[n // 10 % 3](d)))
            resident.alive()
    for v in everyone:
        v.stopping = True
    for v in everyone:
        v.join(10 * SCALE)
        check(v.error is None, f"a client failed: {v.error!r}")
    resident.alive()
    check_equal(d.counters()["handshake_failed"], 0, "failed handshakes")


@case(f"SIGTERM with {SESSIONS} sessions: each gets its close_notify, well within the drain time", 300)
def _(t):
    number = min(SESSIONS, many_files(SESSIONS + 200) - 200)
    d = t.daemon(*certs.psk_options(), "--workers", "2", "--drain-time", "10", "--max-sessions-per-address", "0",
                 log=None)
    everyone = [raw.Client(t, d.address, certs.psk()).connect() for _ in range(number)]
    check_equal(d.counters()["sessions"], number, "sessions")
    begun = time.monotonic()
    check_equal(d.stop(), 0, "exit status")
    took = time.monotonic() - begun
    for c in everyone:
        check_equal(c.next(2), CLOSE, "what a session gets")
    t.note(f"{number} sessions left in {took:.2f} s")
    check(took < 9 * SCALE, f"the end took {took:.1f} s: the drain time ran out")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
