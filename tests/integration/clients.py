# SPDX-License-Identifier: BSD-2-Clause
"""Command lines of other people's DTLS clients, and the differences between them.

All take the daemon (anything with .host and .port), cert: a client certificate's (file, key file) or None,
psk: True for the shared key or (identity, hex key), and check the server's certificate against the CA.
"""

import os

import certs
from harness import DTLSC, MBEDTLS_CLIENT, skip


class At:
    """One service of a daemon that has several."""

    def __init__(self, port):
        self.host, self.port = self.address = "127.0.0.1", port


def _psk(psk):
    return certs.psk() if psk is True else psk


def _have(program):
    for d in os.environ.get("PATH", "").split(":"):
        if os.access(os.path.join(d, program), os.X_OK):
            return True
    return False


def openssl(d, cert=None, psk=None, suite=None, ca=None, more=()):
    if not _have("openssl"):
        skip("no openssl")
    host = f"[{d.host}]" if ":" in d.host else d.host
    # without -nbio a dropped datagram makes it wait for another one, deaf to its input
    argv = ["openssl", "s_client", "-dtls1_2", "-nbio", "-connect", f"{host}:{d.port}"]
    if psk:
        identity, key = _psk(psk)
        argv += ["-psk_identity", identity, "-psk", key]
        suite = suite or "PSK-AES128-GCM-SHA256"
    else:
        argv += ["-CAfile", ca or certs.file("ca.pem"), "-verify_return_error"]
    if cert:
        argv += ["-cert", cert[0], "-key", cert[1], "-cert_chain", cert[0]]
    if suite:
        # level 0 lets CCM-8 in, whose tag OpenSSL holds for too short
        argv += ["-cipher", suite + ":@SECLEVEL=0"]
    return argv + list(more)


def gnutls(d, cert=None, psk=None, suite=None, ca=None, more=()):
    if not _have("gnutls-cli"):
        skip("no gnutls-cli")
    priority = "NORMAL:-VERS-ALL:+VERS-DTLS1.2"
    argv = ["gnutls-cli", "--udp", "-p", str(d.port)]
    if psk:
        identity, key = _psk(psk)
        argv += ["--pskusername", identity, "--pskkey", key]
        # not ECDHE-PSK: gnutls-cli 3.7.9 crashes when it prints what it has agreed on
        priority += ":-KX-ALL:+PSK"
    else:
        argv += ["--x509cafile", ca or certs.file("ca.pem"), "--verify-hostname", "localhost"]
    if cert:
        argv += ["--x509certfile", cert[0], "--x509keyfile", cert[1]]
    if suite:
        priority += suite
    return argv + ["--priority", priority, *more, d.host]


def mbedtls(d, cert=None, psk=None, suite=None, ca=None, more=()):
    if not MBEDTLS_CLIENT or not os.access(MBEDTLS_CLIENT, os.X_OK):
        skip("no mbedtls_client; set MBEDTLS_CLIENT")
    argv = [MBEDTLS_CLIENT]
    if psk:
        identity, key = _psk(psk)
        argv += ["--identity", identity, "--psk", key]
        suite = suite or "TLS-PSK-WITH-AES-128-GCM-SHA256"
    else:
        argv += ["--ca", ca or certs.file("ca.pem")]
    if cert:
        argv += ["--cert", cert[0], "--key", cert[1]]
    if suite:
        argv += ["--suite", suite]
    return argv + [*more, d.host, str(d.port)]


def dtlsc(d, cert=None, psk=None, ca=None, more=(), priority=None):
    if not os.access(DTLSC, os.X_OK):
        skip("no dtlsc; set DTLSC")
    host = f"[{d.host}]" if ":" in d.host else d.host
    argv = [DTLSC]
    if psk:
        identity, key = _psk(psk)
        argv += ["--pskusername", identity, "--pskkey", key]
    else:
        argv += ["--x509cafile", ca or certs.file("ca.pem")]
    if cert:
        argv += ["--x509certfile", cert[0], "--x509keyfile", cert[1]]
    if priority:
        argv += ["--priority", priority]
    return argv + [*more, f"{host}:{d.port}"]


ALL = {"openssl": openssl, "gnutls": gnutls, "mbedtls": mbedtls}
