#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates, keys and PSKs that are replaced while dtlsd runs, as people and programs do it, without a signal."""

import os
import shutil
import sys

import certs
import clients
from harness import case, check, main

RENEWED = r"notice: service .*: its files have changed: new handshakes use what is in them now"


def make(name):
    return certs.make(name, ["cn = " + name, "dns_name = localhost", "signing_key", "tls_www_server"])


def copy(pair, directory):
    """cert.pem and key.pem there."""
    os.makedirs(directory, exist_ok=True)
    shutil.copyfile(pair[0], os.path.join(directory, "cert.pem"))
    shutil.copyfile(pair[1], os.path.join(directory, "key.pem"))
    os.chmod(os.path.join(directory, "key.pem"), 0o600)


def start(t, directory, *more):
    return t.daemon("--x509certfile", os.path.join(directory, "cert.pem"), "--x509keyfile",
                    os.path.join(directory, "key.pem"), *more)


def subject(t, d, name):
    c = t.client(clients.openssl(d))
    c.expect(rf"^subject=CN ?= ?{name}$")
    c.ask("ping", r"^pong$")
    return c


@case("certificate and key are rewritten in place: new handshakes get the new one, sessions go on", seconds=60)
def _(t):
    here = os.path.join(t.dir(), "tls")
    copy(make("first"), here)
    d = start(t, here)
    live = subject(t, d, "first")
    copy(make("second"), here)
    d.expect(RENEWED)
    subject(t, d, "second")
    live.ask("ping", r"^pong$")


@case("certificate and key are renamed into place, the one long after the other: never a pair that does not fit",
      seconds=60)
def _(t):
    here = os.path.join(t.dir(), "tls")
    copy(make("first"), here)
    d = start(t, here)
    copy(make("second"), here + ".new")
    os.rename(here + ".new/cert.pem", here + "/cert.pem")
    d.expect(r"error: .*key\.pem: this private key does not belong to the first certificate of .*cert\.pem")
    d.expect(r"warning: service .*: its files have changed and are no good: what was read before stays in force")
    subject(t, d, "first")
    os.rename(here + ".new/key.pem", here + "/key.pem")
    d.expect(RENEWED)
    subject(t, d, "second")


@case("the directory behind a symbolic link is swapped, as Kubernetes does it, again and again", seconds=60)
def _(t):
    here = os.path.join(t.dir(), "secret")
    for n, name in enumerate(("first", "second", "third")):
        copy(make(name), f"{here}/..{n}")
    os.symlink("..0", here + "/..data")
    for name in ("cert.pem", "key.pem"):
        os.symlink("..data/" + name, f"{here}/{name}")
    d = start(t, here)
    subject(t, d, "first")
    for n, name in ((1, "second"), (2, "third")):
        since = d.mark()
        os.symlink(f"..{n}", here + "/..tmp")
        os.rename(here + "/..tmp", here + "/..data")
        d.expect(RENEWED, since=since)
        shutil.rmtree(f"{here}/..{n - 1}")
        subject(t, d, name)


@case("links lead to files of another number, as certbot does it", seconds=60)
def _(t):
    live, archive = (os.path.join(t.dir(), name) for name in ("live", "archive"))
    os.mkdir(live)
    for n, name in enumerate(("first", "second")):
        copy(make(name), f"{archive}/{n}")
    d = None
    for n in range(2):
        for name in ("cert.pem", "key.pem"):
            if n:
                os.unlink(f"{live}/{name}")
            os.symlink(f"../archive/{n}/{name}", f"{live}/{name}")
        d = d or start(t, live)
    d.expect(RENEWED)
    subject(t, d, "second")


@case("a pre-shared key that leaves the file takes its session along; a file that is gone takes nobody", seconds=60)
def _(t):
    def write(*names):
        path = t.file("psk.new", "".join(f"{name}:00112233445566778899aabbccddeeff\n" for name in names))
        os.rename(path, os.path.join(t.dir(), "psk.txt"))
        return os.path.join(t.dir(), "psk.txt")

    def client(name):
        c = t.client(clients.openssl(d, psk=(name, "00112233445566778899aabbccddeeff")))
        c.ask("ping", r"^pong$")
        return c

    d = t.daemon("--pskpasswd", write("stays", "goes"), "--workers", "2")
    stays, goes = client("stays"), client("goes")
    os.unlink(os.path.join(t.dir(), "psk.txt"))
    d.expect(r"warning: .*psk\.txt: this file is gone; what was read of it stays in force until it is back")
    client("goes")
    write("stays", "new")
    d.expect(r"notice: 2 sessions were closed: certificates and pre-shared keys that are not good any more")
    goes.expect(r"alert number 49|access denied")
    client("new")
    stays.ask("ping", r"^pong$")


@case("watch-files no: what changes is not read before a signal", seconds=60)
def _(t):
    here = os.path.join(t.dir(), "tls")
    copy(make("first"), here)
    d = start(t, here, "--watch-files", "no", "-v")
    watched = os.path.join(t.dir(), "watched")
    copy(make("first"), watched)
    other = start(t, watched)
    copy(make("second"), here)
    copy(make("second"), watched)
    other.expect(RENEWED)
    subject(t, d, "first")
    check("have changed" not in d.text, "it was read all the same")


if __name__ == "__main__":
    sys.exit(main())
