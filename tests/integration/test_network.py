#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Bad networks between real clients and the daemon: small paths, loss, copies, disorder, damage."""

import os
import random as pseudo
import sys
import time

import certs
import clients
import dtlsraw as raw
import netns
from harness import Failed, case, check, check_equal, main
from relay import IP_UDP, Relay, path

FLIGHT_TIMEOUT = 40  # seconds: several retransmission time-outs of 1, 2, 4 s


def converse(c):
    c.ask("ping", r"^pong$")
    c.end_input()
    check_equal(c.wait(), 0, f"exit status of {c.name}")


def black_hole(mtu):
    """A path that loses what is larger, and says nothing."""
    return lambda direction, number, datagram: [datagram] if len(datagram) + IP_UDP <= mtu else []


def path_mtu(name):
    @case(f"{name}: an RSA-2048 chain completes over a silent path of 576 bytes", FLIGHT_TIMEOUT)
    def _(t):
        d = t.daemon(*certs.server_options("rsa-server"))
        r = Relay(t, d, black_hole(576))
        converse(t.client(clients.ALL[name](r)))
        check(max(map(len, r.seen["down"])) + IP_UDP > 576, "the daemon began with small datagrams anyway")
        check(d.counters()["flight_resent"] >= 1, "no flight was resent")


for NAME in clients.ALL:
    path_mtu(NAME)


def long_chain(name):
    @case(f"{name}: an RSA-4096 chain completes over a silent path of 576 bytes", FLIGHT_TIMEOUT)
    def _(t):
        cert, key = certs.rsa_4096_server()
        d = t.daemon("--x509certfile", cert, "--x509keyfile", key)
        r = Relay(t, d, path(mtu=576)("seed"))
        converse(t.client(clients.ALL[name](r)))
        check(sum(map(len, r.seen["down"])) > 3500, "that was no long chain")


for NAME in clients.ALL:
    long_chain(NAME)


@case("a path of 576 bytes behind a router: the RSA-2048 chain completes by what ICMP tells")
def _(t):
    net = netns.Network(t, 576, "far")
    d = t.daemon(*certs.server_options("rsa-server"), addresses=[f"{net.server}:%d"],
                 wrapper=net.enter("server"))
    d.host = net.server
    more = ["-servername", "localhost"]
    c = t.client([*net.enter("client"), *clients.openssl(d, more=more)])
    converse(c)
    check_equal(d.counters()["handshake_done"], 1, "handshakes")


@case("a route of 576 bytes at the daemon's own end: EMSGSIZE is heeded, without a time-out")
def _(t):
    net = netns.Network(t, 576, "near")
    now = {"flight_resent": 0}
    while now["flight_resent"] != 1:  # more: a time-out came first, of a client that was kept waiting
        d = t.daemon(*certs.server_options("rsa-server"), addresses=["*:%d"], wrapper=net.enter("server"))
        d.host = net.server
        converse(t.client([*net.enter("client"), *clients.openssl(d)]))
        now = d.counters()
        check_equal(now["handshake_done"], 1, "handshakes")


@case("a route of 576 bytes: data larger than that goes out in IP fragments, and is counted")
def _(t):
    net = netns.Network(t, 576, "near")
    d = t.daemon(*certs.server_options(), addresses=["*:%d"], wrapper=net.enter("server"))
    d.host = net.server
    c = t.client([*net.enter("client"), *clients.openssl(d)])
    c.ask("echo " + "x" * 1000, r"^x{1000}$")
    converse(c)
    check(d.counters()["tx_fragmented"] >= 1, "no datagram was counted as fragmented")


# ---- loss ------------------------------------------------------------------------------------------------


def loses(direction, chosen):
    """A path that loses the datagrams for which chosen(number, datagram) is true."""
    return lambda where, number, datagram: (
        [] if where == direction and chosen(number, datagram) else [datagram])


def once(test):
    """True for the first datagram of which test is true."""
    done = []

    def chosen(_number, datagram):
        if not done and test(datagram):
            done.append(datagram)
            return True
        return False
    return chosen


def has(kind, epoch=0, message=None):
    def test(datagram):
        return any(r.type == kind and r.epoch == epoch and (message is None or r.body[0] == message)
                   for r in raw.records(datagram))
    return test


LOSSES = {
    "the first hello": ("up", has(raw.HANDSHAKE, message=raw.CLIENT_HELLO)),
    "the HelloVerifyRequest": ("down", has(raw.HANDSHAKE, message=raw.HELLO_VERIFY)),
    "the server's flight": ("down", has(raw.HANDSHAKE, message=raw.SERVER_HELLO)),
    "the client's key exchange": ("up", has(raw.HANDSHAKE, message=raw.CLIENT_KEY_EXCHANGE)),
    "the client's ChangeCipherSpec": ("up", has(raw.CCS)),
    "the client's Finished": ("up", has(raw.HANDSHAKE, epoch=1)),
    "the final flight": ("down", has(raw.HANDSHAKE, epoch=1)),
}


def loss(name, what):
    @case(f"{name}: {what} is lost", FLIGHT_TIMEOUT)
    def _(t):
        d = t.daemon(*certs.server_options())
        direction, test = LOSSES[what]
        r = Relay(t, d, loses(direction, once(test)))
        converse(t.client(clients.ALL[name](r)))
        now = d.counters()
        check_equal((now["handshake_done"], now["handshake_failed"]), (1, 0), "handshakes done and failed")
        if what == "the final flight":
            check(now["final_flight_resent"] >= 1, "the final flight was not sent again")


for NAME in clients.ALL:
    for WHAT in LOSSES:
        loss(NAME, WHAT)


def loses_finished(number):
    """A path that loses the client's Finished for the time given (1: the first)."""
    finished = []

    def policy(direction, _number, datagram):
        if direction == "up" and has(raw.HANDSHAKE, epoch=1)(datagram):
            finished.append(datagram)
            return [datagram] if len(finished) != number else []
        return [datagram]
    return policy


def resumption_loss(name, suite=None):
    @case(f"{name}: the client's Finished, last of a resumption, is lost, {suite or 'any suite'}", FLIGHT_TIMEOUT)
    def _(t):
        d = t.daemon(*certs.server_options())
        if name == "openssl":
            saved = os.path.join(t.dir(), "session")
            first = t.client(clients.openssl(d, more=["-sess_out", saved]))
            converse(first)
            c = t.client(clients.openssl(Relay(t, d, loses_finished(1)), more=["-sess_in", saved]))
        else:
            # these connect twice: the first Finished is that of the full handshake
            more = {"gnutls": ["--resume"], "mbedtls": ["--resume", "ticket"]}[name]
            c = t.client(clients.ALL[name](Relay(t, d, loses_finished(2)), suite=suite, more=more))
        # the client holds the handshake for done; the daemon must get its Finished again to serve it
        c.ask("ping", r"^pong$")
        check_equal(d.counters()["handshake_resumed"], 1, "resumptions")


for NAME in clients.ALL:
    resumption_loss(NAME)
for SUITE in ("AES-256-GCM-SHA384", "CHACHA20-POLY1305-SHA256", "AES-128-CCM", "AES-128-CCM-8"):
    resumption_loss("mbedtls", "TLS-ECDHE-ECDSA-WITH-" + SUITE)


# ---- copies, disorder, damage ----------------------------------------------------------------------------


def shaken(name, what, policy, options=()):
    @case(f"{name}: {what}", FLIGHT_TIMEOUT)
    def _(t):
        cert = certs.large_client()
        d = t.daemon(*certs.server_options("rsa-server"), *certs.ca_options("required"), *options)
        r = Relay(t, d, policy())
        more = {"openssl": ["-mtu", "500"], "gnutls": ["--mtu", "500"], "mbedtls": ["--mtu", "500"]}[name]
        c = t.client(clients.ALL[name](r, cert=cert, more=more))
        for n in range(20):
            c.ask(f"echo number {n}", rf"^number {n}$")
        converse(c)
        now = d.counters()
        check_equal((now["handshake_done"], now["session_opened"]), (1, 1), "handshakes, sessions opened")


def doubled():
    return lambda direction, number, datagram: [datagram, datagram, (0.05, datagram)]


def reversed_flights():
    """Client datagrams of a burst come in reverse: the later, the sooner."""
    return lambda direction, number, datagram: (
        [(max(0.0, 0.3 - 0.01 * number), datagram)] if direction == "up" and number < 29 else [datagram])


def shuffled():
    dice = pseudo.Random(3)
    return lambda direction, number, datagram: [(dice.random() * 0.03, datagram)]


def noisy():
    """Every datagram is followed by damaged and cut copies, and by an old one."""
    dice = pseudo.Random(4)
    old = {"up": [], "down": []}

    def policy(direction, _number, datagram):
        damaged = bytearray(datagram)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        # in the daemon's direction only: what clients make of damage is not our concern
        if direction == "down":
            return [datagram]
        old[direction].append(datagram)
        # damage in a plaintext message would be believed by any DTLS server: only protected records get it
        extra = [bytes(damaged)] if datagram[3:5] == b"\0\1" else []
        return [*extra, datagram, datagram[:dice.randrange(1, len(datagram))], dice.choice(old[direction])]
    return policy


def late_replay():
    """All that went up comes again, in order, half a second later."""
    return lambda direction, number, datagram: (
        [datagram, (0.5, datagram)] if direction == "up" else [datagram])


for NAME in clients.ALL:
    shaken(NAME, "every datagram comes three times", doubled)
    shaken(NAME, "a large client certificate with its fragments reversed", reversed_flights)
    shaken(NAME, "cut, damaged and old datagrams beside the good ones", noisy)
    shaken(NAME, "all comes again half a second later", late_replay)
shaken("openssl", "datagrams in disorder", shuffled)
shaken("mbedtls", "datagrams in disorder", shuffled)


# ---- weather: the short form of bench/weather ------------------------------------------------------------

WEATHERS = {
    "loss 20 %": path(loss=0.2),
    "loss 15 %, 20 % doubled, 30 % late": path(loss=0.15, double=0.2, late=0.3),
    "nothing down for 2.5 s": path(silent=("down", 2.5)),
    "nothing up for 2.5 s": path(silent=("up", 2.5)),
    "another port before the cookie comes back": path(moves=1),
}


def insist(t, c, line):
    """Says it until the answer comes: data is not repeated by anybody else."""
    while True:
        try:
            c.ask(f"echo {line}", rf"^{line}$", timeout=0.5)
            return
        except Failed:
            if c.closed or time.monotonic() > t.deadline:
                raise


def weathered(name, weather):
    @case(f"{name}: {weather}: the handshake comes through, and every answer is right", 60)
    def _(t):
        d = t.daemon(*certs.server_options("rsa-server"))
        r = Relay(t, d, WEATHERS[weather](f"{name} 2"))
        c = t.client(clients.ALL[name](r))
        for n in range(5):
            insist(t, c, f"number {n} of five")
        check_equal(d.counters()["session_opened"], 1, "sessions opened")
        d.lacks(r"handshake failed")


for NAME in clients.ALL:
    for WEATHER in WEATHERS:
        weathered(NAME, WEATHER)


@case("a client that restarts behind the same address and port gets in at once")
def _(t):
    d = t.daemon(*certs.server_options())
    r = Relay(t, d)
    first = t.client(clients.openssl(r))
    first.ask("ping", r"^pong$")
    first.kill()
    second = t.client(clients.openssl(r))
    second.ask("ping", r"^pong$", timeout=5)
    second.ask("stats", r"\b1 session")
    check_equal(d.counters()["session_closed_replaced"], 1, "replaced")


if __name__ == "__main__":
    sys.exit(main(jobs=8))
