# SPDX-License-Identifier: BSD-2-Clause
"""Certificates and keys: those of `make certs` where CERTS names them, else a set made the same way."""

import atexit
import os
import re
import subprocess
import tempfile
import threading

from harness import TOP, skip

_lock = threading.RLock()
_scratch_directory = None


def scratch():
    """A directory for what this program makes; removed when it ends."""
    global _scratch_directory
    with _lock:
        if _scratch_directory is None:
            _scratch_directory = tempfile.TemporaryDirectory(prefix="dtlsd-certs-")
            atexit.register(_scratch_directory.cleanup)
        return _scratch_directory.name


def directory():
    """The directory with the certificates that all tests share."""
    given = os.environ.get("CERTS")
    with _lock:
        if given and os.path.exists(os.path.join(given, "server.pem")):
            return given
        mine = os.path.join(scratch(), "set")
        if not os.path.isdir(mine):
            certs = os.path.join(TOP, "certs")
            subprocess.run(["sh", os.path.join(certs, "make-certs"), certs, mine], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return mine


def file(name):
    return os.path.join(directory(), name)


def pair(name):
    """(certificate, key)"""
    return file(name + ".pem"), file(name + "-key.pem")


def psk():
    """The first identity of psk.txt and its key in hexadecimal."""
    with open(file("psk.txt"), encoding="utf-8") as f:
        for line in f:
            if ":" in line and not line.startswith("#"):
                identity, key = line.strip().rsplit(":", 1)
                return identity, key
    raise RuntimeError("psk.txt holds no key")


def certtool(*args):
    try:
        done = subprocess.run(["certtool", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              check=False)
    except FileNotFoundError:
        skip("no certtool")
    if done.returncode:
        raise RuntimeError(f"certtool {args}: {done.stderr}")


def make(name, lines, issuer="ca", days=30, curve="secp256r1"):
    """A certificate of the shared CA from lines of a certtool template: (certificate, key)."""
    with _lock:
        path, key = (os.path.join(scratch(), name + end) for end in (".pem", "-key.pem"))
        if os.path.exists(path):
            return path, key
        template = os.path.join(scratch(), name + ".tmpl")
        with open(template, "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, f"expiration_days = {days}", ""]))
        certtool("--generate-privkey", "--key-type=ecdsa", "--curve=" + curve, "--outfile=" + key)
        certtool("--generate-certificate", "--load-privkey=" + key, "--template=" + template,
                 "--load-ca-certificate=" + file(issuer + ".pem"),
                 "--load-ca-privkey=" + file(issuer + "-key.pem"), "--outfile=" + path)
        return path, key


def revocation_list(path, *revoked):
    """Of the CA that all tests share, with these certificates on it."""
    template = path + ".tmpl"
    with open(template, "w", encoding="utf-8") as f:
        f.write("crl_next_update = 30\ncrl_number = 1\n")
    certtool("--generate-crl", "--load-ca-privkey=" + file("ca-key.pem"),
                   "--load-ca-certificate=" + file("ca.pem"), "--template=" + template,
                   *[arg for name in revoked for arg in ("--load-certificate=" + name,)], "--outfile=" + path)


def ocsp_response(path, cert, old=False, issuer="ca", revoked=False):
    """What a responder of the CA says of a certificate of the issuer's; an old one is not signed well."""
    serial = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", cert], check=True, text=True,
                            capture_output=True).stdout.strip().split("=")[1]
    index = path + ".index"
    with open(index, "w", encoding="ascii") as f:
        f.write(f"{'R' if revoked else 'V'}\t300101000000Z\t{'200101000000Z' if revoked else ''}\t{serial}\tunknown\t/CN=x\n")
    request = ["openssl", "ocsp", "-index", index, "-CA", file(issuer + ".pem"), "-rsigner", file("ca.pem"),
               "-rkey", file("ca-key.pem"), "-issuer", file(issuer + ".pem"), "-cert", cert,
               "-respout", path, "-noverify", "-ndays", "1"]
    subprocess.run(request, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if old:
        with open(path, "r+b") as f:
            der = re.sub(rb"(\x18\x0f)20\d\d", rb"\g<1>2020", f.read())
            f.seek(0)
            f.write(der)


def large_client():
    """A client certificate that fills several datagrams."""
    names = [f"dns_name = host-{n:04d}.of-a-rather-long-domain.example" for n in range(120)]
    return make("large-client", ["cn = large-client", *names, "signing_key", "tls_www_client"])


def rsa_4096_server():
    """A server's chain of two with RSA-4096 throughout: (certificates, key)."""
    with _lock:
        chain = os.path.join(scratch(), "rsa-4096-chain.pem")
        names = [os.path.join(scratch(), "rsa-4096-" + part) for part in ("ca", "leaf")]
        if os.path.exists(chain):
            return chain, names[1] + "-key.pem"
        issuer = os.path.join(directory(), "ca")
        texts = []
        for name, lines in zip(names, (["cn = rsa-4096-ca", "ca", "cert_signing_key"],
                                       ["cn = localhost", "dns_name = localhost", "ip_address = 127.0.0.1",
                                        "signing_key", "tls_www_server"])):
            with open(name + ".tmpl", "w", encoding="utf-8") as f:
                f.write("\n".join([*lines, "expiration_days = 30", ""]))
            certtool("--generate-privkey", "--key-type=rsa", "--bits=4096", "--outfile=" + name + "-key.pem")
            certtool("--generate-certificate", "--load-privkey=" + name + "-key.pem", "--template=" + name + ".tmpl",
                     "--load-ca-certificate=" + issuer + ".pem", "--load-ca-privkey=" + issuer + "-key.pem",
                     "--outfile=" + name + ".pem")
            with open(name + ".pem", encoding="ascii") as f:
                texts.insert(0, f.read())
            issuer = name
        with open(chain, "w", encoding="ascii") as f:
            f.write("".join(texts))
        return chain, names[1] + "-key.pem"


def server_options(kind="server"):
    """dtlsd's options for an X.509 service: kind is "server" or "rsa-server"."""
    return ["--x509certfile", file(kind + ".pem"), "--x509keyfile", file(kind + "-key.pem")]


def ca_options(verify):
    return ["--x509cafile", file("ca.pem"), "--verify-client", verify]


def psk_options():
    return ["--pskpasswd", file("psk.txt")]
