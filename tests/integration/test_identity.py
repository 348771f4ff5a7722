#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who the server is and who may come in, with other people's clients: several certificates, revocation,
encrypted keys, stapled OCSP responses."""

import os
import re
import signal
import subprocess
import sys
import time

import certs
import clients
from harness import DTLSD, case, check, check_equal, free_port, main, skip


def names(*paths):
    return ",".join(paths)


def two_kinds():
    kinds = "rsa-server", "server"
    return ["--x509certfile", names(*[certs.pair(kind)[0] for kind in kinds]),
            "--x509keyfile", names(*[certs.pair(kind)[1] for kind in kinds])]


def key_seen(t, d, *more):
    """What the server's signature was made with, as openssl says it: 3.0 by key type, 3.5 by signature scheme."""
    c = t.client(clients.openssl(d, more=more))
    c.expect(r"^Peer signature type: (\S+)")
    c.ask("ping", r"^pong$")
    return "ECDSA" if re.search(r"^Peer signature type: (?i:ecdsa)", c.text, re.MULTILINE) else "RSA"


@case("of an ECDSA and an RSA certificate openssl gets what its signature algorithms allow")
def _(t):
    d = t.daemon(*two_kinds())
    for algorithms, want in (("ECDSA+SHA256:RSA+SHA256", "ECDSA"), ("RSA+SHA256", "RSA"), ("ECDSA+SHA256", "ECDSA"),
                             ("RSA-PSS+SHA256", "RSA")):
        got = key_seen(t, d, "-sigalgs", algorithms)
        check(got == want, f"with {algorithms} the server signed with {got}")


@case("of an ECDSA and an RSA certificate openssl gets one whose curve it knows")
def _(t):
    pairs = [certs.make("p384", ["cn = localhost", "dns_name = localhost", "signing_key", "tls_www_server"],
                        curve="secp384r1"), certs.pair("rsa-server")]
    d = t.daemon("--x509certfile", names(*[p[0] for p in pairs]), "--x509keyfile", names(*[p[1] for p in pairs]))
    for curves, want in (("P-256", "RSA"), ("X25519", "RSA"), ("P-384", "ECDSA"), ("X25519:P-384", "ECDSA")):
        got = key_seen(t, d, "-curves", curves)
        check(got == want, f"with {curves} the server signed with {got}")


@case("of an ECDSA and an RSA certificate every library's client gets one")
def _(t):
    d = t.daemon(*two_kinds())
    for client in (clients.openssl, clients.gnutls, clients.dtlsc):
        c = t.client(client(d))
        c.ask("ping", r"^pong$")


@case("of two certificates openssl gets the one whose name it asks for")
def _(t):
    pairs = [certs.make(name, ["cn = " + name, "dns_name = " + name, "signing_key", "tls_www_server"])
             for name in ("first.example", "second.example")]
    d = t.daemon("--x509certfile", names(*[p[0] for p in pairs]), "--x509keyfile", names(*[p[1] for p in pairs]))
    for asked, want in (("first.example", "first"), ("second.example", "second"), ("third.example", "first")):
        c = t.client(clients.openssl(d, more=("-servername", asked)))
        c.expect(rf"^subject=CN ?= ?{want}\.example$")
        c.ask("ping", r"^pong$")


@case("SIGHUP: a client on the new revocation list is refused, another is not")
def _(t):
    path = os.path.join(t.dir(), "crl.pem")
    certs.revocation_list(path)
    d = t.daemon(*certs.server_options(), *certs.ca_options("required"), "--x509crlfile", path)
    thief = certs.pair("client")
    other = certs.make("other-client", ["cn = other-client", "signing_key", "tls_www_client"])
    t.client(clients.openssl(d, cert=thief)).ask("ping", r"^pong$")
    certs.revocation_list(path, thief[0])
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(r"notice: .*reloaded", since=since)
    c = t.client(clients.openssl(d, cert=thief))
    c.expect(r"alert certificate revoked|alert number 44")
    d.expect(r"handshake failed: client certificate refused: it is revoked \(CN=client")
    t.client(clients.openssl(d, cert=other)).ask("ping", r"^pong$")


# ---- who may come in --------------------------------------------------------------------------------------


def fingerprint(cert):
    done = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", cert], check=True, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return done.stdout.strip().split("=")[1]


def denied(t, d, client, pair, pattern):
    since = d.mark()
    c = t.client(client(d, cert=pair))
    c.expect(pattern)
    d.expect(r"handshake failed: client certificate refused: it is none of those that are allowed \(CN=client",
             since=since)


@case("allowed names: others get access_denied, those with a certificate that fits come in, SIGHUP changes the list")
def _(t):
    meter = certs.make("meter", ["cn = meter", "dns_name = m7.meters.example", "signing_key", "tls_www_client"])
    urn = certs.make("urn-client", ["cn = x", "uri = urn:dev:7", "signing_key", "tls_www_client"])
    port = free_port()
    cert, key = certs.pair("server")

    def allow(names):
        return t.file("dtlsd.conf", "\n".join([
            "service a {", f"listen = 127.0.0.1:{port}", f'x509certfile = "{cert}"', f'x509keyfile = "{key}"',
            f'x509cafile = "{certs.file("ca.pem")}"', "verify-client = required", f'allowed-names = "{names}"', "}",
            ""]))

    d = t.daemon("--config", allow("*.meters.example,urn:dev:*"), addresses=[], port=port)
    for client in (clients.openssl, clients.gnutls, clients.dtlsc):
        t.client(client(d, cert=meter)).ask("ping", r"^pong$")
    t.client(clients.openssl(d, cert=urn)).ask("ping", r"^pong$")
    denied(t, d, clients.openssl, certs.pair("client"), r"alert number 49|access denied")
    denied(t, d, clients.gnutls, certs.pair("client"), r"[Aa]ccess (was )?denied")
    allow("client.*")
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(r"notice: .*reloaded", since=since)
    t.client(clients.openssl(d, cert=certs.pair("client"))).ask("ping", r"^pong$")
    c = t.client(clients.openssl(d, cert=meter))
    c.expect(r"alert number 49|access denied")


@case("allowed fingerprints, beside allowed names and alone")
def _(t):
    meter = certs.make("meter", ["cn = meter", "dns_name = m7.meters.example", "signing_key", "tls_www_client"])
    common = [*certs.server_options(), *certs.ca_options("required")]
    d = t.daemon(*common, "--allowed-fingerprints", fingerprint(meter[0]))
    t.client(clients.openssl(d, cert=meter)).ask("ping", r"^pong$")
    denied(t, d, clients.openssl, certs.pair("client"), r"alert number 49|access denied")
    d.stop()
    d = t.daemon(*common, "--allowed-names", "client*", "--allowed-fingerprints", fingerprint(meter[0]))
    for pair in (meter, certs.pair("client")):
        t.client(clients.openssl(d, cert=pair)).ask("ping", r"^pong$")


# ---- what runs out ----------------------------------------------------------------------------------------


@case("a certificate with six days to live: the log says so at the start and after SIGHUP, the counters always")
def _(t):
    begin = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - 24 * 86400))
    pair = certs.make("nearly-over", ["cn = localhost", "dns_name = localhost", "signing_key", "tls_www_server",
                                      f'activation_date = "{begin}"'], days=6)
    d = t.daemon("--x509certfile", pair[0], "--x509keyfile", pair[1])
    warning = r"warning: .*nearly-over\.pem: certificate 1 of the chain expires in 6 days, on \d+-\d+-\d+; renew it"
    d.expect(warning)
    check(d.counters()["expires_days"] in (5, 6), "whole days left")
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(warning, since=since)
    t.client(clients.openssl(d)).ask("ping", r"^pong$")


# ---- application protocols --------------------------------------------------------------------------------


@case("of the protocols that openssl and gnutls-cli offer the server takes what it wants most")
def _(t):
    d = t.daemon(*certs.server_options(), "--alpn", "coap,lwm2m", log="--verbose")
    for offered, want in (("lwm2m,coap", "coap"), ("other,lwm2m", "lwm2m")):
        c = t.client(clients.openssl(d, more=("-alpn", offered)))
        c.ask("whoami", rf"^127\.0\.0\.1:\d+, ALPN {want}$")
        c = t.client(clients.gnutls(d, more=[x for name in offered.split(",") for x in ("--alpn", name)]))
        c.ask("whoami", rf"^127\.0\.0\.1:\d+, ALPN {want}$")
        d.expect(rf"info: .*session opened: .*, ALPN {want}\n")
    t.client(clients.openssl(d)).ask("whoami", r"^127\.0\.0\.1:\d+$")


@case("a client that offers other protocols only is refused, with the alert for it")
def _(t):
    d = t.daemon(*certs.server_options(), "--alpn", "coap")
    t.client(clients.openssl(d, more=("-alpn", "h3,coaps"))).expect(r"alert no application protocol|alert number 120")
    d.expect(r"handshake failed: no application protocol \(ALPN\) in common: the client asks for h3, coaps")


@case("a session that is resumed has the protocol that its own handshake agreed on")
def _(t):
    d = t.daemon(*certs.server_options(), "--alpn", "coap,lwm2m", log="--verbose")
    ticket = os.path.join(t.dir(), "ticket.pem")
    c = t.client(clients.openssl(d, more=("-alpn", "coap", "-sess_out", ticket)))
    c.ask("whoami", r", ALPN coap$")
    c.kill()
    c = t.client(clients.openssl(d, more=("-alpn", "lwm2m", "-sess_in", ticket)))
    d.expect(r"info: .*session opened: .*, resumed, ALPN lwm2m")
    c.ask("whoami", r", ALPN lwm2m$")


for wrong, why in (("a,,b", "one of the names is empty"), (",".join("abcdefghi"), "more than 8 names"),
                   ("x" * 32, "the name x+ has more than 31 bytes")):
    @case(f"--alpn with {why}: dtlsd says so and does not start")
    def _(t, wrong=wrong, why=why):
        p = t.process([DTLSD, "--check", *certs.server_options(), "--alpn", wrong])
        p.expect(rf"error: --alpn.*{why}")
        check_equal(p.wait(), 1, "exit status")


# ---- encrypted keys ---------------------------------------------------------------------------------------


@case("encrypted keys, PKCS #8 and OpenSSL's old form, beside one that is not")
def _(t):
    cert, key = certs.pair("server")
    for form, text in ((["pkcs8", "-topk8", "-v2", "aes-256-cbc"], "correct horse\r\nignored\n"),
                       (["ec", "-aes128"], "correct horse")):
        password = t.file("password", text)
        os.chmod(password, 0o600)
        encrypted = os.path.join(t.dir(), form[0] + ".pem")
        subprocess.run(["openssl", *form, "-in", key, "-out", encrypted, "-passout", "pass:correct horse"], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)
        d = t.daemon("--x509certfile", names(cert, certs.file("rsa-server.pem")),
                     "--x509keyfile", names(encrypted, certs.file("rsa-server-key.pem")), "--key-password", password)
        check(key_seen(t, d) == "ECDSA", "the key was not used")
        d.stop()


# ---- PKCS#11 ----------------------------------------------------------------------------------------------

PIN = "2468"


def run(t, env, *argv):
    try:
        done = subprocess.run(argv, env=dict(os.environ, **env), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
    except FileNotFoundError:
        skip(f"no {argv[0]}")
    check(done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}")
    return done.stdout


def token(t, **objects):
    """A token of SoftHSM with these pairs in it, by label: what is to be added to the environment."""
    store = os.path.join(t.dir(), "tokens")
    os.makedirs(store, exist_ok=True)
    env = {"SOFTHSM2_CONF": t.file("softhsm2.conf", f"directories.tokendir = {store}\nobjectstore.backend = file\n")}
    run(t, env, "softhsm2-util", "--init-token", "--free", "--label", "dtlsd", "--pin", PIN, "--so-pin", "13579")
    if "token=dtlsd" not in run(t, env, "p11tool", "--list-token-urls"):
        skip("p11-kit does not know of SoftHSM")
    what = [("issuer", "--load-certificate=" + certs.file("intermediate.pem"))]
    for label, (cert, key) in objects.items():
        what += [(label, "--load-certificate=" + cert), (label, "--load-privkey=" + key)]
    for label, load in what:
        run(t, env, "p11tool", "--login", "--set-pin=" + PIN, "--batch", "--write", load, "--label=" + label,
            "pkcs11:token=dtlsd")
    return env


def in_token(label, kind):
    return f"pkcs11:token=dtlsd;object={label};type={kind}"


def pin_file(t, pin=PIN):
    path = t.file("pin", pin + "\n")
    os.chmod(path, 0o600)
    return path


@case("PKCS#11: keys and certificates in a token, by key type and by name, over SIGHUP", seconds=60)
def _(t):
    named = certs.make("first.example", ["cn = first.example", "dns_name = first.example", "signing_key",
                                         "tls_www_server"])
    env = token(t, rsa=certs.pair("rsa-server"), ec=certs.pair("server"), named=named)
    d = t.daemon("--x509certfile", names(certs.file("server.pem"), *[in_token(x, "cert") for x in ("rsa", "named")]),
                 "--x509keyfile", names(*[in_token(x, "private") for x in ("ec", "rsa", "named")]),
                 "--key-password", pin_file(t), env=env)
    for _ in range(2):
        check_equal(key_seen(t, d, "-sigalgs", "ECDSA+SHA256"), "ECDSA", "signature")
        check_equal(key_seen(t, d, "-sigalgs", "RSA+SHA256"), "RSA", "signature")
        c = t.client(clients.openssl(d, more=("-servername", "first.example")))
        c.expect(r"^subject=CN ?= ?first\.example$")
        c.ask("ping", r"^pong$")
        since = d.mark()
        d.signal(signal.SIGHUP)
        d.expect(r"notice: .*reloaded", since=since)


@case("PKCS#11: a wrong PIN, no PIN and an object that is not there are told, and a URI in dtlsd.conf is no path")
def _(t):
    env = token(t, ec=certs.pair("server"))
    uri = in_token("ec", "private")

    def refused(pattern, *options):
        p = t.process([DTLSD, "--check", *options], env=env)
        p.expect("error: .*" + pattern)
        check_equal(p.wait(), 1, "exit status")

    key = "--x509certfile", certs.file("server.pem"), "--x509keyfile"
    refused(r"object=ec;type=private: .*PIN", *key, uri, "--key-password", pin_file(t, "1111"))
    refused(r"object=ec;type=private: .*PIN", *key, uri)
    refused(r"object=none;type=private: .*p11tool --list-all", *key, in_token("none", "private"), "--key-password",
            pin_file(t))
    refused(r"object=ec;type=private: this private key does not belong to the first certificate of .*rsa-server\.pem",
            "--x509certfile", certs.file("rsa-server.pem"), "--x509keyfile", uri, "--key-password", pin_file(t))
    path = t.file("dtlsd.conf", f'service a {{\nlisten = "127.0.0.1:9"\nx509certfile = "{in_token("ec", "cert")}"\n'
                  f'x509keyfile = "{uri}"\nkey-password = pin\n}}\n')
    p = t.process([DTLSD, "--check", "--config", path], env=env)
    p.expect("notice: all is well")
    check_equal(p.wait(), 0, "exit status")


# ---- many pre-shared keys ---------------------------------------------------------------------------------


@case("SIGHUP with 100,000 pre-shared keys: a session goes on, the new keys hold", seconds=60)
def _(t):
    def keys(first):
        return t.file("psk.txt", "stays:0011223344556677\n" +
                      "".join(f"device-{n:08d}:{n:032x}\n" for n in range(first, first + 100000)))

    def ask(c):
        c.ask("ping", r"^pong$")

    path = keys(0)
    os.chmod(path, 0o600)
    d = t.daemon("--pskpasswd", path)
    live = t.client(clients.openssl(d, psk=("stays", "0011223344556677")))
    ask(live)
    keys(1)
    since = d.mark()
    d.signal(signal.SIGHUP)
    while not d.text[since:].count("reloaded"):
        ask(live)
    ask(live)
    ask(t.client(clients.openssl(d, psk=("device-00100000", f"{100000:032x}"))))
    gone = t.client(clients.openssl(d, psk=("device-00000000", f"{0:032x}")))
    d.expect(r'"device-00000000" is not in the PSK file')
    gone.kill()


# ---- stapled OCSP responses -------------------------------------------------------------------------------

GOOD, NONE = r"Cert Status: good", r"OCSP response: no response sent"


def stapled(t, d, pattern, *more):
    c = t.client(clients.openssl(d, more=("-status", *more)))
    c.expect(pattern)
    c.ask("ping", r"^pong$")


@case("an OCSP response goes to clients that ask, beside the certificate that it is about")
def _(t):
    path = os.path.join(t.dir(), "ocsp.der")
    certs.ocsp_response(path, certs.file("server.pem"))
    d = t.daemon(*two_kinds(), "--ocsp-response", path)
    stapled(t, d, GOOD)
    stapled(t, d, NONE, "-sigalgs", "RSA+SHA256")
    t.client(clients.openssl(d)).ask("ping", r"^pong$")
    t.client(clients.gnutls(d)).ask("ping", r"^pong$")


@case("SIGHUP: a new OCSP response is sent, and one that is out of date is not, which the log says")
def _(t):
    path = os.path.join(t.dir(), "ocsp.der")
    certs.ocsp_response(path, certs.file("server.pem"), old=True)
    d = t.daemon(*certs.server_options(), "--ocsp-response", path)
    d.expect(r"warning: .*ocsp\.der: this OCSP response is out of date and not sent")
    stapled(t, d, NONE)
    certs.ocsp_response(path, certs.file("server.pem"))
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(r"notice: .*reloaded", since=since)
    stapled(t, d, GOOD)


def bad_response(name, make, pattern):
    @case(f"an OCSP response {name}: dtlsd says so and does not start")
    def _(t):
        path = os.path.join(t.dir(), "ocsp.der")
        make(path)
        p = t.process([DTLSD, "--check", *certs.server_options("rsa-server"), "--ocsp-response", path])
        p.expect(r"error: .*ocsp\.der: " + pattern)
        check_equal(p.wait(), 1, "exit status")


def nonsense(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("nonsense")


bad_response("that is none", nonsense, r"bad OCSP response: .*; get one with")
bad_response("about another certificate", lambda path: certs.ocsp_response(path, certs.file("server.pem")),
             r"this OCSP response is about none of the certificates; ask for one")


bad_response("signed by another CA than the certificate",
             lambda path: certs.ocsp_response(path, certs.file("rsa-server.pem"), issuer="intermediate"),
             r"this OCSP response was not signed for the issuer of the certificate; ask")


@case("an OCSP response that revokes is told of")
def _(t):
    path = os.path.join(t.dir(), "ocsp.der")
    certs.ocsp_response(path, certs.file("server.pem"), revoked=True)
    t.daemon(*certs.server_options(), "--ocsp-response", path).expect(
        r"warning: .*calls the certificate revoked and is not sent")


if __name__ == "__main__":
    sys.exit(main())
