#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Handshakes that fail: the right alert, and one line in the log that names the cause."""

import os
import sys
import time

import certs
import clients
import dtlsraw as raw
from harness import case, check, check_equal, main

FATAL = 2


def one_line(d, cause, total=1):
    """The daemon has logged one line on the failure, with peer and cause."""
    d.expect(rf"notice: peer=127\.0\.0\.1:\d+ local=127\.0\.0\.1:{d.port} handshake failed: .*{cause}")
    check_equal(d.counters()["handshake_failed"], total, "handshakes failed")
    check_equal(d.text.count("handshake failed:"), total, "lines on it")
    check_equal(d.counters()["session_opened"], 0, "sessions opened")


def alert_of(c):
    """The description of the fatal alert that a client by hand gets next."""
    while True:
        for r in raw.records(c.receive()):
            if r.type == raw.ALERT:
                check_equal((r.epoch, r.body[0]), (0, FATAL), "epoch and level of the alert")
                return r.body[1]


def refused(c, number):
    """A real client ends, after it has got the alert."""
    c.expect(rf"alert number {number}\b")
    check(c.wait() != 0, "the client ended as if all was well")


# ---- the hello -------------------------------------------------------------------------------------------


@case("no cipher suite in common: handshake_failure")
def _(t):
    d = t.daemon(*certs.psk_options())
    c = raw.Client(t, d.address, certs.psk())
    fields = {"suites": (0x008C, 0xC035)}  # PSK with AES-128-CBC, ECDHE-PSK the same: no AEAD
    cookie = raw.cookie_for(c, c.random, **fields)
    c.send(raw.hello(c.random, cookie, 1, 1, **fields))
    check_equal(alert_of(c), 40, "alert")
    one_line(d, "no cipher suite in common")


@case("openssl with CBC only: handshake_failure")
def _(t):
    d = t.daemon(*certs.server_options())
    refused(t.client(clients.openssl(d, suite="ECDHE-ECDSA-AES128-SHA")), 40)
    one_line(d, "no cipher suite in common; .*; of these it offers nothing")


@case("openssl with a curve that is not served: handshake_failure")
def _(t):
    d = t.daemon(*certs.server_options(), "--priority", "NORMAL:-GROUP-ALL:+GROUP-X25519")
    refused(t.client([*clients.openssl(d), "-curves", "X448"]), 40)
    one_line(d, "no elliptic curve in common; .*; it offers X448")


@case("openssl that takes no signatures with the server's key: handshake_failure")
def _(t):
    d = t.daemon(*certs.server_options())
    refused(t.client([*clients.openssl(d), "-sigalgs", "RSA+SHA256"]), 40)
    one_line(d, "the service has no key that the client takes; it takes X.509 certificates, and signatures with RSA")


@case("a PSK client at a service without PSKs: handshake_failure")
def _(t):
    d = t.daemon(*certs.server_options())
    refused(t.client(clients.openssl(d, psk=("nobody", "00112233"))), 40)
    one_line(d, "no cipher suite in common; .* with the service's kind of certificate, as it has no pre-shared keys; of these it offers .*PSK")


@case("a client without PSKs at a service with nothing else: handshake_failure")
def _(t):
    d = t.daemon(*certs.psk_options())
    refused(t.client(clients.openssl(d)), 40)
    one_line(d, "no cipher suite in common; .* with a pre-shared key .*, as the service has no certificate")


@case("openssl with DTLS 1.0: protocol_version")
def _(t):
    d = t.daemon(*certs.server_options())
    argv = clients.openssl(d, suite="ALL")
    argv[argv.index("-dtls1_2")] = "-dtls1"
    refused(t.client(argv), 70)
    one_line(d, r"DTLS 1\.0")


# ---- pre-shared keys -------------------------------------------------------------------------------------


def psk_refused(t, psk, cause):
    d = t.daemon(*certs.psk_options())
    c = raw.Client(t, d.address, psk)
    c.get_flight()
    began = time.monotonic()
    c.send(b"".join(c.final()))
    got = alert_of(c)
    one_line(d, cause)
    return got, time.monotonic() - began


@case("unknown PSK identity: the same alert as a wrong key, so that nobody learns who exists")
def _(t):
    unknown, _ = psk_refused(t, ("no-such-identity", "00" * 16), r'"no-such-identity" is not in the PSK file')
    wrong, _ = psk_refused(t, (certs.psk()[0], "00" * 16), r"key")
    check_equal(unknown, wrong, "alert for an unknown identity and for a wrong key")
    check_equal(unknown, 51, "alert (decrypt_error)")


@case("an identity of odd bytes does no harm to the log")
def _(t):
    psk_refused(t, ("\x1b[31mred\nnotice: forged", "00" * 16), r'\\x1b\[31mred\\x0a.* is not in the PSK file')


@case("openssl, gnutls and mbedtls with an unknown PSK identity are refused in time")
def _(t):
    for client in clients.ALL.values():
        d = t.daemon(*certs.psk_options())
        c = t.client(client(d, psk=("stranger", "000102030405060708090a0b0c0d0e0f")))
        d.expect(r'handshake failed: .*"stranger" is not in the PSK file')
        check(c.wait() != 0, "the client ended as if all was well")


# ---- certificates ----------------------------------------------------------------------------------------


def certificate_refused(name, cert, number, cause, verify="required"):
    @case(f"client certificate, {name}: alert {number}")
    def _(t):
        d = t.daemon(*certs.server_options(), *certs.ca_options(verify))
        refused(t.client(clients.openssl(d, cert=cert())), number)
        one_line(d, cause)

    for other in ("gnutls", "mbedtls"):
        @case(f"client certificate, {name}, with {other}: the same line")
        def _(t, client=clients.ALL[other]):
            d = t.daemon(*certs.server_options(), *certs.ca_options(verify))
            c = t.client(client(d, cert=cert()))
            one_line(d, cause)
            check(c.wait() != 0, "the client ended as if all was well")


certificate_refused("expired", lambda: certs.pair("expired-client"), 45, r"expired.*expired\.example")
certificate_refused("of a foreign CA", lambda: certs.pair("foreign-client"), 48, r"issuer .*client\.example")
certificate_refused("of a foreign CA where it is optional", lambda: certs.pair("foreign-client"), 48,
                    r"issuer .*client\.example", "optional")
certificate_refused("made for a server", lambda: certs.make("not-a-client", [
    "cn = not-a-client", "signing_key", "tls_www_server"]), 43, r"extended key usage .*not-a-client")


@case("no client certificate where one is required")
def _(t):
    for name, client in clients.ALL.items():
        d = t.daemon(*certs.server_options(), *certs.ca_options("required"))
        c = t.client(client(d))
        one_line(d, "sent no certificate")
        check(c.wait() != 0, f"{name} ended as if all was well")


@case("a client that does not trust the server: its alert is named")
def _(t):
    for name, client in clients.ALL.items():
        d = t.daemon(*certs.server_options())
        t.client(client(d, ca=certs.file("foreign-ca.pem")))
        d.expect(r"handshake failed: .*alert.*")
        check_equal(d.counters()["handshake_failed"], 1, f"handshakes of {name} that failed")


# ---- the rest --------------------------------------------------------------------------------------------


@case("a message that claims to be enormous is told, and takes no memory")
def _(t):
    d = t.daemon(*certs.psk_options(), "--handshake-timeout", "5")
    c = raw.Client(t, d.address, certs.psk())
    c.get_flight()
    with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
        before = [line for line in f if line.startswith("VmSize")][0]
    for offset in range(0, 60):
        lie = raw.handshake(16, os.urandom(20), c.message_seq, total=(1 << 24) - 1)
        c.send(raw.record(raw.HANDSHAKE, lie, seq=100 + offset))
    d.expect(r"claims 16777215 bytes, more than")
    with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
        after = [line for line in f if line.startswith("VmSize")][0]
    check(int(after.split()[1]) - int(before.split()[1]) < 8192, f"memory grew: {before} {after}")
    d.expect(r"handshake failed: timed out")


@case("a client that vanishes in mid-handshake: one line says timed out")
def _(t):
    d = t.daemon(*certs.server_options(), *certs.psk_options(), "--handshake-timeout", "1")
    c = raw.Client(t, d.address, certs.psk())
    c.get_flight()
    one_line(d, "timed out")


@case("failures in numbers: all are counted, the log is not flooded, the daemon serves on")
def _(t):
    d, begin = t.daemon(*certs.psk_options()), time.monotonic()
    for _ in range(40):
        c = raw.Client(t, d.address, certs.psk())
        cookie = raw.cookie_for(c, c.random, suites=(0x008C,))
        c.send(raw.hello(c.random, cookie, 1, 1, suites=(0x008C,)))
        alert_of(c)
    check_equal(d.counters()["handshake_failed"], 40, "handshakes failed")
    lines = d.text.count("handshake failed")
    check(1 <= lines <= 12 + time.monotonic() - begin, f"{lines} lines for 40 failures")
    raw.Client(t, d.address, certs.psk()).connect().alive()


if __name__ == "__main__":
    sys.exit(main(jobs=4))
