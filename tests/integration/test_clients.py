#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The daemon and other people's clients: every way to authenticate, every suite, the handlers."""

import os
import re
import sys

import certs
import clients
from harness import case, check, check_equal, main, skip

ECDSA = certs.server_options
SESSION = r"\b(Reused|New), TLSv1\.2"


def converse(c):
    c.ask("ping", r"^pong$")
    c.ask("echo good day", r"^good day$")


def hang_up(c):
    c.end_input()
    status = c.wait()
    check_equal(status, 0, f"exit status of {c.name}")


# ---- each library, each way to authenticate ---------------------------------------------------------------


def authentications(name, client):
    @case(f"{name}: ECDSA certificate of the server")
    def _(t):
        d = t.daemon(*ECDSA())
        c = t.client(client(d))
        converse(c)
        hang_up(c)
        d.await_counter("session_closed_peer", 1)

    @case(f"{name}: RSA certificate of the server with its intermediate CA")
    def _(t):
        d = t.daemon(*certs.server_options("rsa-server"))
        c = t.client(client(d))
        converse(c)
        hang_up(c)

    @case(f"{name}: PSK")
    def _(t):
        d = t.daemon(*certs.psk_options())
        c = t.client(client(d, psk=True))
        converse(c)
        c.ask("whoami", rf"^127\.0\.0\.1:\d+ psk:{certs.psk()[0]}$")
        hang_up(c)

    @case(f"{name}: certificate and PSK service at once, a client of each kind")
    def _(t):
        d = t.daemon(*ECDSA(), *certs.psk_options())
        for psk in (None, True):
            c = t.client(client(d, psk=psk))
            converse(c)
            hang_up(c)

    @case(f"{name}: certificate of the client, required")
    def _(t):
        d = t.daemon(*ECDSA(), *certs.ca_options("required"))
        c = t.client(client(d, cert=certs.pair("client")))
        converse(c)
        c.ask("whoami", r"^127\.0\.0\.1:\d+ .*CN=client\.example")
        hang_up(c)

    @case(f"{name}: certificate of the client, optional, given and not given")
    def _(t):
        d = t.daemon(*ECDSA(), *certs.ca_options("optional"))
        c = t.client(client(d, cert=certs.pair("client")))
        c.ask("whoami", r"^127\.0\.0\.1:\d+ .*CN=client\.example")
        hang_up(c)
        c = t.client(client(d))
        c.ask("whoami", r"^127\.0\.0\.1:\d+$")
        hang_up(c)

    @case(f"{name}: IPv6")
    def _(t):
        d = t.daemon(*ECDSA(), addresses=["[::1]:%d"])
        c = t.client(client(d))
        converse(c)
        c.ask("whoami", r"^\[::1\]:\d+$")
        hang_up(c)

    @case(f"{name}: certificate of the client in many fragments")
    def _(t):
        d = t.daemon(*ECDSA(), *certs.ca_options("required"))
        more = {"openssl": ["-mtu", "500"], "gnutls": ["--mtu", "500"], "mbedtls": ["--mtu", "500"]}[name]
        c = t.client(client(d, cert=certs.large_client(), more=more))
        c.ask("whoami", r"CN=large-client")
        hang_up(c)


for NAME, CLIENT in clients.ALL.items():
    authentications(NAME, CLIENT)


@case("dtlsc, which is GnuTLS: ECDHE-PSK")
def _(t):
    d = t.daemon(*certs.psk_options())
    c = t.client(clients.dtlsc(d, psk=True, priority="NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-PSK"))
    converse(c)
    d.expect(r"ECDHE-PSK")
    hang_up(c)


@case("openssl: ECDHE-PSK")
def _(t):
    d = t.daemon(*certs.psk_options())
    c = t.client(clients.openssl(d, psk=True, suite="ECDHE-PSK-CHACHA20-POLY1305"))
    converse(c)
    hang_up(c)


@case("mbedtls: ECDHE-PSK")
def _(t):
    d = t.daemon(*certs.psk_options())
    c = t.client(clients.mbedtls(d, psk=True, suite="TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"))
    converse(c)
    hang_up(c)


# ---- suites ----------------------------------------------------------------------------------------------

OPENSSL_SUITES = {
    "server": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
               "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES128-CCM8"],
    "rsa-server": ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                   "ECDHE-RSA-CHACHA20-POLY1305"],
    "psk": ["PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384", "PSK-CHACHA20-POLY1305", "PSK-AES128-CCM",
            "PSK-AES128-CCM8", "ECDHE-PSK-CHACHA20-POLY1305"],
}
MBEDTLS_SUITES = {
    "server": ["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
               "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256", "TLS-ECDHE-ECDSA-WITH-AES-128-CCM",
               "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8"],
    "rsa-server": ["TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
                   "TLS-ECDHE-RSA-WITH-CHACHA20-POLY1305-SHA256"],
    "psk": ["TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-256-GCM-SHA384",
            "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256", "TLS-PSK-WITH-AES-128-CCM",
            "TLS-PSK-WITH-AES-128-CCM-8"],
}
GNUTLS_CIPHERS = ["AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305", "AES-128-CCM", "AES-128-CCM-8"]


def suites(name, client, table):
    def one(kind, suite):
        @case(f"{name}: {suite}")
        def _(t):
            d = t.daemon(*(certs.psk_options() if kind == "psk" else certs.server_options(kind)))
            c = t.client(client(d, psk=kind == "psk" or None, suite=suite))
            converse(c)
            c.expect(rf"(Cipher is|connected DTLSv1.2) {re.escape(suite)}\b")
            hang_up(c)
    for kind, names in table.items():
        for suite in names:
            one(kind, suite)


def gnutls_suites():
    def one(cipher):
        @case(f"gnutls: {cipher}")
        def _(t):
            d = t.daemon(*ECDSA())
            c = t.client(clients.gnutls(d, suite=f":-CIPHER-ALL:+{cipher}:-MAC-ALL:+AEAD"))
            converse(c)
            c.expect(rf"\({cipher}\)")
            hang_up(c)
    for cipher in GNUTLS_CIPHERS:
        one(cipher)


suites("openssl", clients.openssl, OPENSSL_SUITES)
suites("mbedtls", clients.mbedtls, MBEDTLS_SUITES)
gnutls_suites()


# ---- resumption ------------------------------------------------------------------------------------------


def openssl_resumes(t, d, more, **who):
    saved = os.path.join(t.dir(), "session")
    c = t.client(clients.openssl(d, more=[*more, "-sess_out", saved], **who))
    converse(c)
    hang_up(c)
    c = t.client(clients.openssl(d, more=[*more, "-sess_in", saved], **who))
    c.expect(r"^Reused, TLSv1\.2")
    c.ask("ping", r"^pong$")
    check(d.counters()["handshake_resumed"] == 1, "the daemon did not count a resumption")
    return c


@case("openssl: resumption by ticket")
def _(t):
    hang_up(openssl_resumes(t, t.daemon(*ECDSA()), []))


@case("openssl: resumption by session ID, without tickets")
def _(t):
    hang_up(openssl_resumes(t, t.daemon(*ECDSA()), ["-no_ticket"]))


@case("openssl: a resumed session still knows the client's certificate")
def _(t):
    for more in ([], ["-no_ticket"]):
        d = t.daemon(*ECDSA(), *certs.ca_options("required"))
        c = openssl_resumes(t, d, more, cert=certs.pair("client"))
        c.ask("whoami", r"CN=client\.example")
        hang_up(c)


@case("openssl: a resumed PSK session still knows the identity")
def _(t):
    c = openssl_resumes(t, t.daemon(*certs.psk_options()), [], psk=True)
    c.ask("whoami", rf"psk:{certs.psk()[0]}")
    hang_up(c)


@case("openssl: resumption works with another worker than the first time")
def _(t):
    d = t.daemon(*ECDSA(), "--workers", "4")
    for more in ([], ["-no_ticket"]):
        saved = os.path.join(t.dir(), "session")
        hang_up(converse_with(t, d, [*more, "-sess_out", saved]))
        for _ in range(6):
            c = t.client(clients.openssl(d, more=[*more, "-sess_in", saved]))
            c.expect(r"^Reused, TLSv1\.2")
            hang_up(c)


def converse_with(t, d, more):
    c = t.client(clients.openssl(d, more=more))
    converse(c)
    return c


@case("gnutls: resumption by ticket and by session ID")
def _(t):
    for more in ([], ["--noticket"]):
        d = t.daemon(*ECDSA())
        c = t.client(clients.gnutls(d, more=["--resume", *more]))
        c.expect(r"This is a resumed session")
        c.ask("ping", r"^pong$")
        hang_up(c)
        check_equal(d.counters()["handshake_resumed"], 1, "resumptions")


@case("mbedtls: resumption by ticket and by session ID")
def _(t):
    for how in ("ticket", "id"):
        d = t.daemon(*ECDSA())
        c = t.client(clients.mbedtls(d, more=["--resume", how]))
        c.expect(r"^connected DTLSv1\.2 \S+ resumed$")
        converse(c)
        hang_up(c)
        check_equal(d.counters()["handshake_resumed"], 1, "resumptions")


@case("all libraries: a ticket larger than a datagram, with the client's certificate in it, resumes")
def _(t):
    cert = certs.large_client()
    d = t.daemon(*ECDSA(), *certs.ca_options("required"))
    hang_up(openssl_resumes(t, d, ["-mtu", "500"], cert=cert))
    for client, more in ((clients.gnutls, ["--resume"]), (clients.mbedtls, ["--resume", "ticket"])):
        c = t.client(client(d, cert=cert, more=more))
        c.expect(r"This is a resumed session|^connected \S+ \S+ resumed$")
        c.ask("whoami", r"CN=large-client")
        hang_up(c)


# ---- handlers --------------------------------------------------------------------------------------------


@case("command: help names every command, and an unknown one is told of help")
def _(t):
    d = t.daemon(*ECDSA())
    c = t.client(clients.openssl(d))
    since = c.mark()
    c.ask("help", r"^help\b.*$")
    for word in ("ping", "echo", "whoami", "stats", "bc"):
        c.expect(rf"^{word}\b", since=since)
    c.ask("frobnicate", r"unknown command.*help")
    c.ask("pingpong", r"unknown command.*help")
    c.ask("bc", r"bc TEXT")
    c.ask("ping", r"^pong$")
    hang_up(c)


@case("command: stats names the clients with their traffic")
def _(t):
    d = t.daemon(*ECDSA())
    one, two = (t.client(clients.openssl(d)) for _ in range(2))
    addresses = [c.ask("whoami", r"^(127\.0\.0\.1:\d+)$").group(1) for c in (one, two)]
    since = one.mark()
    one.ask("stats", r"\b2 sessions?")
    for address in addresses:
        one.expect(re.escape(address), since=since)
    hang_up(two)
    d.await_counter("session_closed_peer", 1)
    one.ask("stats", r"\b1 sessions?")
    hang_up(one)


@case("command: bc reaches clients of all libraries, the sender too")
def _(t):
    d = t.daemon(*ECDSA(), addresses=["127.0.0.1:%d", "[::1]:%d"])
    everyone = [t.client(client(d)) for client in clients.ALL.values()]
    d.host = "::1"
    everyone.append(t.client(clients.openssl(d)))
    for c in everyone:
        c.ask("ping", r"^pong$")
    everyone[0].send("bc hear, hear")
    for c in everyone:
        c.expect(r"^127\.0\.0\.1:\d+: hear, hear$")
    for c in everyone:
        hang_up(c)


@case("echo: what comes goes back, as it is")
def _(t):
    d = t.daemon(*ECDSA(), "--handler", "echo")
    for client in clients.ALL.values():
        c = t.client(client(d))
        c.ask("ping", r"^ping$")
        c.ask("x" * 1000, r"^x{1000}$")
        hang_up(c)


@case("discard: nothing comes back, and it is counted")
def _(t):
    d = t.daemon(*ECDSA(), "--handler", "discard")
    c = t.client(clients.openssl(d))
    since = c.mark()
    c.send("ping")
    now = d.await_counter("records_in", 1)
    hang_up(c)
    check_equal((now["bytes_in"], now["records_out"]), (5, 0), "bytes in and records out")
    c.lacks("ping", since)


@case("dtlsc: certificate, PSK and a conversation")
def _(t):
    d = t.daemon(*ECDSA(), *certs.psk_options())
    for psk in (None, True):
        c = t.client(clients.dtlsc(d, psk=psk))
        converse(c)
        hang_up(c)


@case("gnutls: renegotiation is refused and the session lives on")
def _(t):
    d = t.daemon(*ECDSA())
    c = t.client(clients.gnutls(d, more=["--inline-commands"]))
    c.ask("ping", r"^pong$")
    c.send("^renegotiate^")
    d.await_counter("renegotiation_refused", 1)
    # gnutls-cli asks again and again from then on; its session is there all the same
    other = t.client(clients.openssl(d))
    other.ask("stats", r"^2 sessions$")
    hang_up(other)


@case("SSLKEYLOGFILE: the secrets are written and a warning says so")
def _(t):
    path = os.path.join(t.dir(), "keys")
    d = t.daemon(*ECDSA(), env={"SSLKEYLOGFILE": path})
    d.expect(r"warning: .*SSLKEYLOGFILE")
    c = t.client(clients.openssl(d))
    c.ask("ping", r"^pong$")
    hang_up(c)
    if not os.path.exists(path):
        skip("this GnuTLS writes no key log")
    with open(path, encoding="utf-8") as f:
        secret = re.search(r"^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$", f.read(), re.MULTILINE)
    check(secret, "no secret in the file")


if __name__ == "__main__":
    sys.exit(main(jobs=3))
