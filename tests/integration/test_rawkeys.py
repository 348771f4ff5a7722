#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Raw public keys (RFC 7250) instead of certificates, with gnutls-cli, beside certificates and pre-shared keys."""

import hashlib
import os
import signal
import subprocess
import sys

import certs
import clients
from harness import DTLSD, case, check, check_equal, free_port, main

RAW_SERVER, RAW_CLIENT = "+CTYPE-SRV-RAWPK", "+CTYPE-CLI-RAWPK"
X509_SERVER, X509_CLIENT = "+CTYPE-SRV-X509", "+CTYPE-CLI-X509"
DENIED = r"Access (was )?denied|access_denied|alert number 49"


def openssl(*argv):
    return subprocess.run(["openssl", *argv], check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


class Key:
    """A private key, its public one, and the fingerprint of that."""

    def __init__(self, t, name, kind=("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), password=None):
        self.private, self.public = (os.path.join(t.dir(), name + end) for end in ("-key.pem", ".pem"))
        openssl("genpkey", "-algorithm", *kind, "-out", self.private)
        self.fingerprint = hashlib.sha256(openssl("pkey", "-in", self.private, "-pubout", "-outform", "der")).hexdigest()
        with open(self.public, "wb") as f:
            f.write(openssl("pkey", "-in", self.private, "-pubout"))
        if password:
            openssl("pkey", "-in", self.private, "-aes128", "-passout", "pass:" + password, "-out", self.private + "2")
            os.rename(self.private + "2", self.private)
        os.chmod(self.private, 0o600)


def raw_client(d, key=None, types=(RAW_SERVER, RAW_CLIENT), more=()):
    argv = clients.gnutls(d, more=["--insecure", *more])
    if key:
        argv[1:1] = ["--rawpkkeyfile", key.private, "--rawpkfile", key.public]
    argv[argv.index("--priority") + 1] = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CTYPE-ALL:" + ":".join(types)
    return argv


def allowed(t, *keys):
    return t.file("keys.allowed", "# who may come in\n\n" +
                  "".join(f"{key.fingerprint}  meter number {n}\n" for n, key in enumerate(keys)))


def let_in(t, d, argv, whoami):
    c = t.client(argv)
    c.ask("whoami", rf"^\S+ {whoami}\r?$" if whoami else r"^127\.0\.0\.1:\d+\r?$")
    return c


@case("server and client with raw public keys; who is not on the list is denied; PSKs are served beside", seconds=60)
def _(t):
    server, one, two, stranger = (Key(t, name) for name in ("server", "one", "two", "stranger"))
    d = t.daemon("--raw-public-key", server.private, "--allowed-raw-keys", allowed(t, one, two), "--verify-client",
                 "required", *certs.psk_options())
    for key in (one, two):
        let_in(t, d, raw_client(d, key), "rpk:sha256:" + key.fingerprint)
    d.expect(rf"session opened: ECDHE-ECDSA, AES-128-GCM, rpk:sha256:{one.fingerprint}")
    t.client(raw_client(d, stranger)).expect(DENIED)
    d.expect(r"handshake failed: client public key refused: it is none of those that are allowed "
             rf"\(rpk:sha256:{stranger.fingerprint}\)")
    let_in(t, d, clients.openssl(d, psk=True), "psk:" + certs.psk()[0])
    t.client(clients.openssl(d)).expect(r"alert number 40|handshake failure")


@case("keys of all kinds, one of them encrypted", seconds=60)
def _(t):
    for n, kind in enumerate((("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), ("ED25519",),
                              ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"))):
        server = Key(t, f"server{n}", kind, "correct horse" if n == 1 else None)
        d = t.daemon("--raw-public-key", server.private, "--key-password", t.file("password", "correct horse\n"))
        c = let_in(t, d, raw_client(d), None)
        c.expect("Certificate type: Raw Public Key")
        d.stop()


@case("certificates and raw public keys side by side: each client gets, and shows, what it knows", seconds=60)
def _(t):
    server, one = Key(t, "server"), Key(t, "one")
    d = t.daemon(*certs.server_options(), "--raw-public-key", server.private, *certs.ca_options("optional"),
                 "--allowed-raw-keys", allowed(t, one))
    let_in(t, d, clients.openssl(d), None)
    let_in(t, d, clients.openssl(d, cert=certs.pair("client")), "CN=client.*")
    c = let_in(t, d, raw_client(d, one), "rpk:sha256:" + one.fingerprint)
    c.expect("Certificate type: Raw Public Key")
    c = let_in(t, d, raw_client(d, one, (X509_SERVER, RAW_CLIENT)), "rpk:sha256:" + one.fingerprint)
    c.expect("Certificate type: X.509")
    c = let_in(t, d, raw_client(d, None, (RAW_SERVER, X509_CLIENT)), None)
    c.expect("Certificate type: Raw Public Key")


@case("a raw public key is the client's identity: by it a route leads, and it is denied by it", seconds=60)
def _(t):
    server, one, two = (Key(t, name) for name in ("server", "one", "two"))
    allowed(t, one, two)
    port = free_port()
    d = t.daemon("--config", t.file("dtlsd.conf", f"""
        service a {{
            listen = 127.0.0.1:{port}
            raw-public-key = server-key.pem
            allowed-raw-keys = keys.allowed
            verify-client = required
            route echo {{ identity = "rpk:sha256:{one.fingerprint}" handler = echo }}
            route lost {{ identity = "rpk:*" deny = yes }}
        }}"""), addresses=[], port=port)
    t.client(raw_client(d, one)).ask("whoami", r"^whoami\r?$")
    t.client(raw_client(d, two)).expect(DENIED)
    d.expect(rf"route lost denies the client rpk:sha256:{two.fingerprint}")


@case("a session that is resumed has its key still; a key that leaves the list takes its sessions along", seconds=60)
def _(t):
    server, one, two = (Key(t, name) for name in ("server", "one", "two"))
    d = t.daemon("--raw-public-key", server.private, "--allowed-raw-keys", allowed(t, one, two), "--verify-client",
                 "required")
    c = t.client(raw_client(d, one, more=["--resume"]))
    d.expect(rf"session opened: .*, resumed, rpk:sha256:{one.fingerprint}")
    c.ask("whoami", rf"rpk:sha256:{one.fingerprint}\r?$")
    other = let_in(t, d, raw_client(d, two), "rpk:sha256:" + two.fingerprint)
    allowed(t, two)
    d.signal(signal.SIGHUP)
    c.expect(DENIED)
    other.ask("ping", r"^pong\r?$")
    t.client(raw_client(d, one)).expect(DENIED)


def refused(name, pattern, *options):
    @case(f"{name}: dtlsd says so and does not start")
    def _(t):
        key = Key(t, "server")
        places = {"KEY": key.private, "PUBLIC": key.public, "LIST": allowed(t, key),
                  "BAD": t.file("bad.allowed", f"{key.fingerprint}\n{key.fingerprint[1:]}\n")}
        p = t.process([DTLSD, "--check", *[places.get(o, o) for o in options]])
        p.expect("error: .*" + pattern)
        check_equal(p.wait(), 1, "exit status")


refused("a public key where the private one is wanted", r"server\.pem: there is no private key in it; a PEM file with",
        "--raw-public-key", "PUBLIC")
refused("a list with a bad line", r"bad\.allowed:2: this is no SHA-256 fingerprint of a public key, which has 64",
        "--raw-public-key", "KEY", "--verify-client", "required", "--allowed-raw-keys", "BAD")
refused("a list that nobody is asked by", r"--allowed-raw-keys \S+ is of no use while clients are not asked for keys",
        "--raw-public-key", "KEY", "--allowed-raw-keys", "LIST")
refused("a list without a key of the server", r"--allowed-raw-keys \S+ is of no use without --raw-public-key or",
        "--pskpasswd", certs.file("psk.txt"), "--verify-client", "required", "--allowed-raw-keys", "LIST")
refused("a list that is not there", r"/nonexistent: cannot open the list of public keys: No such file",
        "--raw-public-key", "KEY", "--verify-client", "required", "--allowed-raw-keys", "/nonexistent")


@case("a list without a key in it: nobody comes in, which a warning says")
def _(t):
    server = Key(t, "server")
    p = t.process([DTLSD, "--check", "--raw-public-key", server.private, "--verify-client", "required",
                   "--allowed-raw-keys", allowed(t)])
    p.expect(r"warning: .*keys\.allowed: there is no public key in it: clients with such a key are all refused")
    check(p.wait() == 0, "exit status")


if __name__ == "__main__":
    sys.exit(main())
