#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A clean end after mixed traffic under valgrind: no error, nothing definitely or indirectly lost."""

import re
import shutil
import signal
import sys

import certs
import clients
import dtlsraw as raw
from harness import case, check, check_equal, main, skip, skip_under_sanitizers

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--track-fds=no",
            "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]


@case("traffic of every kind, a reload, then SIGTERM: valgrind finds nothing", 150)
def _(t):
    skip_under_sanitizers("valgrind and sanitizers exclude each other")
    if not shutil.which("valgrind"):
        skip("no valgrind")
    d = t.daemon(*certs.server_options(), *certs.ca_options("optional"), *certs.psk_options(),
                 "--workers", "2", "--handshake-timeout", "20", addresses=["127.0.0.1:%d", "[::1]:%d"],
                 wrapper=VALGRIND)
    everyone = [t.client(clients.openssl(d, cert=certs.pair("client"))), t.client(clients.gnutls(d))]
    for c in everyone:
        c.ask("ping", r"^pong$")
    for host in ("127.0.0.1", "::1"):
        c = raw.Client(t, (host, d.port), certs.psk()).connect()
        c.alive()
        for word in ("help", "whoami", "stats", "nonsense", "bc all"):
            c.say(word)
            c.next()
    c.close()
    # what fails: no suite, an unknown identity, a refused certificate, garbage, half a handshake
    p = raw.Client(t, d.address, certs.psk())
    cookie = raw.cookie_for(p, p.random, suites=(0x008C,))
    p.send(raw.hello(p.random, cookie, 1, 1, suites=(0x008C,)))
    p.receive()
    p = raw.Client(t, d.address, ("nobody", "00"))
    p.get_cookie()
    p.send(p.hello_with_cookie(pieces=50)[0])
    p.send(b"\x16\xfe\xfd garbage")
    t.client(clients.openssl(d, cert=certs.pair("foreign-client"))).wait()
    old = raw.Client(t, d.address, certs.psk()).connect()
    new = raw.Client(t, d.address, certs.psk())
    new.sock.close()
    new.sock = old.sock
    new.connect().alive()
    d.signal(signal.SIGHUP)
    d.expect(r"reloaded")
    everyone[0].ask("ping", r"^pong$")
    raw.Client(t, d.address, certs.psk()).connect().alive()
    status = d.stop()
    found = re.findall(r"^==\d+== .*", d.text, re.MULTILINE)
    check_equal((status, found), (0, []), "exit status and what valgrind says")
    check(d.text.count("stopped") == 1, "the daemon did not say that it stopped")


if __name__ == "__main__":
    sys.exit(main(jobs=1))
