#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Routes within a service, with other people's clients: by server name, protocol and identity, and who is denied."""

import os
import signal
import subprocess
import sys

import backend as b
import certs
import clients
import dtlsraw as raw
from backend import Backend
from harness import DTLSD, case, check, check_equal, free_port, main
from relay import Relay

DENIED = r"alert access denied|alert number 49"


def x509():
    cert, key = certs.pair("server")
    return [f'x509certfile = "{cert}"', f'x509keyfile = "{key}"']


def trust(verify="optional"):
    return [f'x509cafile = "{certs.file("ca.pem")}"', f"verify-client = {verify}"]


def psk():
    return [f'pskpasswd = "{certs.file("psk.txt")}"']


def route(name, *settings):
    return "\n\t\t".join([f"route {name} {{", *settings]) + "\n\t}"


def text(port, *settings):
    return "\n\t".join(["service s {", f'listen = "127.0.0.1:{port}"', *settings]) + "\n}\n"


def start(t, *settings):
    port = free_port()
    return t.daemon("--config", t.file("dtlsd.conf", text(port, *settings)), addresses=[]), clients.At(port)


def device(name, *more):
    return certs.make(name, ["cn = " + name, *more, "signing_key", "tls_www_client"])


def fingerprint(cert):
    out = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "der"], check=True, capture_output=True).stdout
    return subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=out, check=True,
                          capture_output=True).stdout.decode().split()[0]


def echoed(t, at, **how):
    t.client(clients.openssl(at, **how)).ask("ping", r"^ping$")


def commanded(t, at, **how):
    t.client(clients.openssl(at, **how)).ask("ping", r"^pong$")


def denied(t, d, at, name, **how):
    since = d.mark()
    t.client(clients.openssl(at, **how)).expect(DENIED)
    d.expect(rf"info: .*route {name}\n", since=since)
    d.expect(r"info: .*session closed \(denied\)", since=since)


@case("by the name that openssl and gnutls-cli ask for; the first that fits; none: the service's own handler")
def _(t):
    d, at = start(t, *x509(), route("one", "sni = '*.one.example'", "handler = echo"),
                  route("all", "sni = '*.example'", "handler = command"), "handler = discard")
    echoed(t, at, more=("-servername", "a.ONE.example"))
    commanded(t, at, more=("-servername", "two.example"))
    t.client(clients.gnutls(at, more=("--sni-hostname", "b.one.example"))).ask("ping", r"^ping$")
    c = t.client(clients.openssl(at, more=("-servername", "elsewhere")))
    c.expect(r"Verify return code: 0")
    d.expect(r"info: .*route one\n")
    d.expect(r"info: .*route all\n")


@case("a session that is resumed goes where its own handshake leads")
def _(t):
    d, at = start(t, *x509(), route("one", "sni = one.example", "handler = echo"))
    ticket = os.path.join(t.dir(), "ticket.pem")
    echoed(t, at, more=("-servername", "one.example", "-sess_out", ticket))
    echoed(t, at, more=("-servername", "one.example", "-sess_in", ticket))
    d.expect(r"session opened: .*, resumed")
    commanded(t, at, more=("-servername", "two.example", "-sess_in", ticket))


@case("by the protocol")
def _(t):
    d, at = start(t, *x509(), 'alpn = "coap,lwm2m"', route("r", "alpn = 'lw*'", "handler = echo"))
    echoed(t, at, more=("-alpn", "lwm2m"))
    commanded(t, at, more=("-alpn", "coap"))
    commanded(t, at)
    d.expect(r"info: .*route r\n")


@case("by what is in a client's certificate: subject, common name, DNS name, URI, fingerprint")
def _(t):
    cert = device("sensor-7", "organization = Works", "dns_name = seven.example", "uri = urn:dev:7")
    other = device("sensor-8")
    for pattern in ("CN=sensor-7*Works*", "*O=Works*", "sensor-7", "*.example", "urn:dev:*", "sha256:" + fingerprint(cert[0])):
        d, at = start(t, *x509(), *trust(), route("r", f"identity = '{pattern}'", "handler = echo"))
        echoed(t, at, cert=cert)
        commanded(t, at, cert=other)
        commanded(t, at)
        d.stop()


@case("a common name that looks like a PSK identity or a subject does not pass for one")
def _(t):
    d, at = start(t, *x509(), *trust(), route("r", "identity = 'psk:*'", "handler = echo"),
                  route("s", "identity = 'CN=admin'", "handler = echo"))
    commanded(t, at, cert=device("psk:device"))
    commanded(t, at, cert=device("CN=admin"))
    d.lacks("route r")


@case("whose names cannot all be read is denied, rather than taken for somebody who is not")
def _(t):
    d, at = start(t, *x509(), *trust(), route("r", "identity = 'sensor-66'", "deny = yes"), "handler = echo")
    echoed(t, at, cert=device("sensor-67"))
    denied(t, d, at, "r", cert=device("many-names", "dns_name = " + "x" * 1100))


@case("by PSK identity, with and without psk: before it")
def _(t):
    name = certs.psk()[0]
    for pattern in (name, "psk:" + name, name[:2] + "*"):
        d, at = start(t, *x509(), *psk(), route("r", f"identity = '{pattern}'", "handler = echo"))
        echoed(t, at, psk=True)
        commanded(t, at)
        d.stop()


@case("who is denied gets the alert access_denied, also with a ticket; it is logged with the place and counted")
def _(t):
    d, at = start(t, *x509(), *psk(), *trust(), route("bad", "identity = 'sensor-66'", "deny = yes"),
                  route("people", "identity = 'sensor-*'", "handler = echo"), route("rest", "deny = yes"))
    thief = device("sensor-66")
    ticket = os.path.join(t.dir(), "ticket.pem")
    denied(t, d, at, "bad", cert=thief, more=("-sess_out", ticket))
    d.expect(r"notice: .*dtlsd\.conf:\d+: route bad denies the client .*CN=sensor-66")
    denied(t, d, at, "bad", cert=thief, more=("-sess_in", ticket))
    d.expect(r"session opened: .*, resumed, .*CN=sensor-66")
    echoed(t, at, cert=device("sensor-1"))
    denied(t, d, at, "rest")
    t.client(clients.gnutls(at, psk=True)).expect(r"Access was denied")
    check_equal(d.counters()["session_closed_denied"], 4, "denied")
    denied(t, d, at, "rest", more=("-servername", "a.example"))
    d.expect(r"route rest denies the client without an identity, which asks for a\.example\n")


def loses_end(count):
    """A path that loses the first so many protected datagrams of the server: its Finished, and the alert."""
    left = [count]

    def policy(direction, _number, datagram):
        if direction == "up" or left[0] == 0 or all(r.epoch == 0 for r in raw.records(datagram)):
            return [datagram]
        left[0] -= 1
        return []
    return policy


def denied_again(name, client):
    @case(f"{name}, who is denied, is told with the final flight that it asks for again")
    def _(t):
        d, at = start(t, *x509(), route("all", "deny = yes"))
        t.client(client(Relay(t, at, loses_end(2)))).expect(r"alert number 49|[Aa]ccess (was )?denied|fatal alert")
        d.expect("session closed")
        now = d.counters()
        check(now["final_flight_resent"] >= 1, "it was not sent again")
        check_equal((now["session_opened"], now["session_closed_denied"]), (1, 1), "sessions, and of these denied")


for NAME in clients.ALL:
    denied_again(NAME, clients.ALL[NAME])


@case("routes forward to backends of their own, which are told of name and protocol")
def _(t):
    one, two = Backend(t), Backend(t)
    d, at = start(t, *x509(), "alpn = coap", f"forward = '{one.name}'",
                  route("r", "alpn = coap", f"forward = '{two.name}'", "forward-proxy = first"))
    c = t.client(clients.openssl(at, more=("-alpn", "coap", "-servername", "a.example")))
    c.ask("hello", r"hello$")
    head, rest = b.parse_proxy(two.take()[0][1])
    check_equal((head.tlvs.get(b.ALPN), head.tlvs.get(b.AUTHORITY)), (b"coap", b"a.example"), "what the backend is told")
    check_equal(rest, b"hello\n", "the datagram")
    t.client(clients.openssl(at)).ask("hi", r"hi$")
    check_equal(one.take()[0][1], b"hi\n", "the datagram without a header")


def reload(t, d, at, pattern, *settings):
    t.file("dtlsd.conf", text(at.port, *settings))
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(pattern, since=since)
    d.expect(r"notice: .*reloaded", since=since)


@case("SIGHUP: a session stays while the rules are the same, and begins anew under other ones")
def _(t):
    own = (*x509(), *psk())
    d, at = start(t, *own, route("r", "identity = 'psk:*'", "handler = echo"))
    c = t.client(clients.openssl(at, psk=True))
    c.ask("ping", r"^ping$")
    reload(t, d, at, r"service s: idle-timeout 300 -> 60", *own, "idle-timeout = 60",
           route("r", "identity = 'psk:*'", "handler = echo"))
    c.ask("still", r"^still$")
    reload(t, d, at, r"service s: route r: handler echo -> none", *own, "idle-timeout = 60",
           route("r", "identity = 'psk:*'", "deny = yes"))
    d.expect(r"session closed \(shutting down\)")
    denied(t, d, at, "r", psk=True)
    commanded(t, at)


for name, settings, cause in (
        ("an unknown handler", ["handler = nonsense"], r":6: service s: route r: handler: there is no handler 'nonsense'"),
        ("forward without backends", ["handler = forward"], r":6: service s: route r: handler: forward needs backends"),
        ("a bad backend", ["forward = 'x:y'"], r":6: service s: route r: forward: "),
        ("no handler at all", ["sni = a"], r":5: service s: route r: it leads nowhere: give it a handler"),
        ("deny and a handler", ["deny = yes", "handler = echo"], r":5: service s: route r: it denies and has a handler"),
        ("alpn where there is none", ["alpn = a", "deny = yes"], r":5: service s: route r: alpn: the service has no prot")):
    @case(f"--check of a route with {name}: it is told with file and line")
    def _(t, settings=settings, cause=cause):
        p = t.process([DTLSD, "--check", "--config", t.file("dtlsd.conf", text(1, *x509(), route("r", *settings)))])
        p.expect(rf"error: .*dtlsd\.conf{cause}")
        check_equal(p.wait(), 1, "exit status")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
