#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Raw public keys (RFC 7250) instead of certificates, with gnutls-cli and, for services that connect, gnutls-serv; beside
certificates and pre-shared keys."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import certs
import clients
from harness import (DTLSD, await_udp, case, check, check_equal, free_port, main, readable, skip)

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


# ---- services that connect: whom they talk to, and as whom


class Local:
    """A local program behind a service that connects."""

    def __init__(self, t, to):
        self.t = t
        self.socket = t.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.socket.connect(to)

    def ask(self, data):
        self.socket.send(data)
        check(readable([self.socket], self.t.deadline - time.monotonic()), "no answer")
        check_equal(self.socket.recv(4096), data, "the echo")

    def keep_asking(self, data):
        """Until it is answered: the service may not be there yet."""
        while True:
            self.socket.send(data)
            if readable([self.socket], 0.2):
                break
            check(time.monotonic() < self.t.deadline, "no answer")


def connects(t, port, *options):
    return t.daemon("--to", f"localhost:{port}", *options)


@case("a service that connects knows its server by its raw key, and is known by its own; others resume that", seconds=60)
def _(t):
    server, one = Key(t, "server"), Key(t, "one")
    d = t.daemon("--raw-public-key", server.private, "--allowed-raw-keys", allowed(t, one), "--verify-client", "required",
                 "--handler", "echo")
    c = connects(t, d.port, "--allowed-raw-keys", t.file("servers", server.fingerprint + "\n"), "--raw-public-key",
                 one.private)
    Local(t, c.address).ask(b"one")
    d.expect(rf"session opened: ECDHE-ECDSA, AES-128-GCM, rpk:sha256:{one.fingerprint}")
    Local(t, c.address).ask(b"two")
    d.expect(rf"session opened: .*, resumed, rpk:sha256:{one.fingerprint}")


@case("a service that connects talks to no server with another raw key, says which it was, and is content with a "
      "list that has it; one that leaves the list ends its sessions", seconds=60)
def _(t):
    server, other = Key(t, "server"), Key(t, "other")
    d = t.daemon("--raw-public-key", server.private, "--handler", "echo")
    servers = t.file("servers", other.fingerprint + "\n")
    c = connects(t, d.port, "--allowed-raw-keys", servers)
    local = Local(t, c.address)
    local.socket.send(b"lost")
    c.expect(rf"the server's public key is refused: {server.fingerprint} is not in allowed-raw-keys: write it there if it "
             "is the server's")
    d.expect("handshake failed: the peer refused us with alert|handshake failed: .*alert")
    t.file("servers", f"{other.fingerprint}\n{server.fingerprint}\n")
    c.signal(signal.SIGHUP)
    c.expect("notice: reloaded")
    local.keep_asking(b"found")
    since = d.mark()
    t.file("servers", other.fingerprint + "\n")
    c.signal(signal.SIGHUP)
    d.expect(r"session closed \(by the peer\)", since=since)
    since = c.mark()
    t.file("servers", server.fingerprint + "\n") # which is seen without a signal
    c.expect("notice: service .*: its sessions end, as its server, trust or identity is another", since=since)
    local.keep_asking(b"found again")


@case("a service that connects, with CAs and a list: the server shows what it has, and gets the certificate or key that it "
      "takes", seconds=60)
def _(t):
    server, one = Key(t, "server"), Key(t, "one")
    cert, key = certs.pair("client")
    own = ("--x509cafile", certs.file("ca.pem"), "--allowed-raw-keys", t.file("servers", server.fingerprint + "\n"),
           "--x509certfile", cert, "--x509keyfile", key, "--raw-public-key", one.private)
    asks = ("--verify-client", "required", "--handler", "echo")
    takes_raw = ("--allowed-raw-keys", allowed(t, one))
    for served, whom in (((*certs.server_options(), "--x509cafile", certs.file("ca.pem")), "CN="),
                         ((*certs.server_options(), *takes_raw), "rpk:sha256:"),
                         (("--raw-public-key", server.private, "--x509cafile", certs.file("ca.pem")), "CN="),
                         (("--raw-public-key", server.private, *takes_raw), "rpk:sha256:")):
        d = t.daemon(*served, *asks)
        Local(t, connects(t, d.port, *own).address).ask(b"who am I")
        d.expect(rf"session opened: ECDHE-ECDSA, AES-128-GCM, {whom}")


@case("a service that connects: gnutls-serv with a raw key, which demands one", seconds=60)
def _(t):
    if not shutil.which("gnutls-serv"):
        skip("no gnutls-serv")
    port = free_port()
    server, one = Key(t, "server"), Key(t, "one")
    p = t.process(["gnutls-serv", "--udp", "--port", str(port), "--echo", "--rawpkkeyfile", server.private, "--rawpkfile",
                   server.public, "--require-client-cert", "--priority",
                   f"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CTYPE-ALL:{RAW_SERVER}:{RAW_CLIENT}"])
    await_udp(t, p, port)
    c = connects(t, port, "--allowed-raw-keys", t.file("servers", server.fingerprint + "\n"), "--raw-public-key", one.private)
    Local(t, c.address).ask(b"to gnutls-serv and back")


@case("a service that connects and its server have no kind of key in common: it says what to check")
def _(t):
    server = Key(t, "server")
    d = t.daemon(*certs.server_options())
    c = connects(t, d.port, "--allowed-raw-keys", allowed(t, server))
    Local(t, c.address).socket.send(b"lost")
    c.expect(r"the server's certificate is refused for localhost: its CA is not trusted here: name it with x509cafile")
    d = t.daemon("--raw-public-key", server.private)
    c = connects(t, d.port, "--x509cafile", certs.file("ca.pem"))
    Local(t, c.address).socket.send(b"lost")
    c.expect(r"the server refused with alert \d+ \([^)]+\): .*allowed-raw-keys")


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


refused("public keys beside a pre-shared key, in a service that connects",
        r"--pskpasswd is given, with which no public keys are used; leave out --pskpasswd, or --raw-public-key and",
        "--to", "localhost:1", *certs.psk_options(), "--psk-identity", "alice", "--allowed-raw-keys", "LIST")
refused("a bad list in a service that connects", r"bad\.allowed:2: this is no SHA-256 fingerprint of a public key, which has 64",
        "--to", "localhost:1", "--allowed-raw-keys", "BAD")


@case("a list without a key in it: nobody comes in, which a warning says")
def _(t):
    server = Key(t, "server")
    p = t.process([DTLSD, "--check", "--raw-public-key", server.private, "--verify-client", "required",
                   "--allowed-raw-keys", allowed(t)])
    p.expect(r"warning: .*keys\.allowed: there is no public key in it: whoever shows one is refused")
    check(p.wait() == 0, "exit status")


if __name__ == "__main__":
    sys.exit(main())
