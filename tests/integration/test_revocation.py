#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sessions whose certificate or pre-shared key a reload takes away, with other people's clients."""

import os
import signal
import sys

import certs
import clients
from harness import case, check_equal, free_port, main

BY_SIGNAL = "--watch-files", "no"  # it is the signal's doing that is counted
DENIED = r"alert number 49|[Aa]ccess (was )?denied|access_denied"


def reload_closes(d, count):
    """SIGHUP; the log has one line that says how many sessions it was."""
    since = d.mark()
    before = d.counters()["session_closed_revoked"]
    d.signal(signal.SIGHUP)
    d.expect(r"notice: .*reloaded", since=since)
    if count:
        d.expect(rf"notice: {count} sessions? (was|were) closed: ", since=since)
    check_equal(d.counters()["session_closed_revoked"] - before, count, "sessions closed")
    check_equal(d.text[since:].count(" closed: certificates"), 1 if count else 0, "lines about it")


def connected(t, d, client, **how):
    c = t.client(client(d, **how))
    c.ask("ping", r"^pong$")
    return c


def still_there(*some):
    for c in some:
        c.ask("ping", r"^pong$")


@case("SIGHUP: who is on the new revocation list is told access_denied, others go on", seconds=60)
def _(t):
    path = os.path.join(t.dir(), "crl.pem")
    certs.revocation_list(path)
    d = t.daemon(*certs.server_options(), *certs.ca_options("optional"), *certs.psk_options(), "--x509crlfile", path,
                 "--workers", "3", *BY_SIGNAL)
    thief, other = certs.pair("client"), certs.make("other-client", ["cn = other-client", "signing_key",
                                                                     "tls_www_client"])
    go = [connected(t, d, client, cert=thief) for client in (clients.openssl, clients.gnutls, clients.dtlsc)]
    stay = [connected(t, d, clients.openssl, cert=other), connected(t, d, clients.openssl),
            connected(t, d, clients.openssl, psk=True)]
    reload_closes(d, 0)
    still_there(*go, *stay)
    certs.revocation_list(path, thief[0])
    reload_closes(d, 3)
    for c in go:
        c.expect(DENIED)
    still_there(*stay)
    d.expect(r"info: .*session closed \(its certificate or pre-shared key is not good any more\)")


@case("SIGHUP: whose pre-shared key is gone or another one goes, whose is the same stays; tickets of the old are void",
      seconds=60)
def _(t):
    keys = {name: f"{number:032x}" for number, name in enumerate(("gone", "other", "same"), 1)}

    def write():
        return t.file("psk.txt", "".join(f"{name}:{key}\n" for name, key in keys.items()))

    d = t.daemon("--pskpasswd", write(), *BY_SIGNAL)
    tickets = {name: os.path.join(t.dir(), name) for name in keys}
    live = {name: connected(t, d, clients.openssl, psk=(name, key), more=("-sess_out", tickets[name]))
            for name, key in keys.items()}
    old = dict(keys)
    del keys["gone"]
    keys["other"] = "ff" * 16
    write()
    reload_closes(d, 2)
    for name in ("gone", "other"):
        live[name].expect(DENIED)
    still_there(live["same"])
    connected(t, d, clients.openssl, psk=("other", keys["other"]))
    since = d.mark()
    t.client(clients.openssl(d, psk=("gone", old["gone"]), more=("-sess_in", tickets["gone"])))
    d.expect(r'handshake failed: PSK identity "gone" is not in the PSK file', since=since)
    d.lacks("resumed", since=since)


@case("SIGHUP: allowed names, fingerprints and CAs that a certificate does not fit any more end its session",
      seconds=60)
def _(t):
    one, two = (certs.make(f"meter-{n}", [f"cn = meter-{n}", f"dns_name = m{n}.meters.example", "signing_key",
                                          "tls_www_client"]) for n in (1, 2))
    foreign = os.path.join(t.dir(), "foreign.pem")
    certs.certtool("--generate-privkey", "--key-type=ecdsa", "--outfile=" + foreign + ".key")
    certs.certtool("--generate-self-signed", "--load-privkey=" + foreign + ".key",
                   "--template=" + t.file("ca.tmpl", "cn = foreign\nca\ncert_signing_key\n"), "--outfile=" + foreign)
    cert, key = certs.pair("server")
    port = free_port()

    def allow(names, ca=None):
        return t.file("dtlsd.conf", "\n".join([
            "service a {", f"listen = 127.0.0.1:{port}", f'x509certfile = "{cert}"',
            f'x509keyfile = "{key}"', f'x509cafile = "{ca or certs.file("ca.pem")}"', "verify-client = required",
            f'allowed-names = "{names}"', "}", ""]))

    d = t.daemon("--config", allow("*.meters.example"), addresses=[], port=port)
    first, second = (connected(t, d, clients.openssl, cert=c) for c in (one, two))
    allow("m1.*,m3.*")
    reload_closes(d, 1)
    second.expect(DENIED)
    still_there(first)
    allow("*", foreign)
    reload_closes(d, 1)
    first.expect(DENIED)


if __name__ == "__main__":
    sys.exit(main())
