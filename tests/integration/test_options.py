#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every bad option and bad file by its message and exit status; --help and --version."""

import os
import re
import socket
import sys

import certs
from harness import DTLSD, case, check, check_equal, free_port, main, skip

USAGE, FAILED = 2, 1


def run(t, *args):
    """(exit status, output) of a dtlsd that must end by itself."""
    p = t.process([DTLSD, *args])
    return p.wait(10), p.text


def fails(name, status, pattern, *args):
    """args may hold functions of t, for files to be made."""
    @case(name)
    def _(t):
        got, text = run(t, *[a(t) if callable(a) else a for a in args])
        check(re.search(pattern, text), f"no {pattern!r} in: {text!r}")
        check_equal(got, status, f"exit status ({text!r})")
        lines = [line for line in text.splitlines() if "warning:" not in line]
        check_equal(len(lines), 1, f"lines of complaint in {text!r}")
        check("AddressSanitizer" not in text and "runtime error" not in text, text)


def text_file(name, content):
    return lambda t: t.file(name, content)


def pem(name):
    return lambda t: certs.file(name)


SERVER = ["--x509certfile", pem("server.pem"), "--x509keyfile", pem("server-key.pem")]
PSK = ["--pskpasswd", pem("psk.txt")]
HERE = "127.0.0.1:0"

# ---- the command line ------------------------------------------------------------------------------------

fails("an unknown option", USAGE, r"--frobnicate.*--help", "--frobnicate")
fails("an unknown letter", USAGE, r"-z.*--help", "-z")
fails("an unknown letter among others", USAGE, r"option -z;.*--help", "-vzq")
fails("an option without its argument", USAGE, r"--mtu needs an argument", "--mtu")
fails("a flag with an argument", USAGE, r"--daemon=yes", "--daemon=yes")

NUMBERS = {
    "workers": (0, 256), "idle-timeout": (0, 31536000), "handshake-timeout": (1, 3600),
    "max-sessions": (1, 100000000), "max-handshakes": (1, 10000000), "handshake-steps-per-turn": (0, 10000),
    "max-sessions-per-address": (0, 100000000), "handshake-rate": (0, 10000000), "mtu": (228, 16384),
    "cookie-lifetime": (1, 86400), "drain-time": (1, 3600), "connect-silence": (0, 86400),
}


def bad_numbers(option, least, most):
    wanted = rf"--{option}: '.*' is not a whole number from {least} to {most}"
    values = ["", "x", "1x", "-1", "+1", " 1", "0x10", "1.5", str(most + 1), "99999999999999999999999"]
    values += [str(least - 1)] if least > 0 else []

    @case(f"--{option}: numbers that are none, or out of range")
    def _(t):
        for value in values:
            status, text = run(t, f"--{option}={value}", *certs.psk_options(), HERE)
            check(re.search(wanted, text), f"--{option}={value}: {text!r}")
            check_equal(status, USAGE, f"exit status with --{option}={value}")


for OPTION, (LEAST, MOST) in NUMBERS.items():
    bad_numbers(OPTION, LEAST, MOST)

fails("--verify-client: no such choice", USAGE,
      r"--verify-client: 'maybe' is none of none\|optional\|required", "--verify-client", "maybe")
fails("--handler: no such handler", FAILED, r"--handler: .*'nonsense'", "--handler", "nonsense", *PSK, HERE)

for WHAT, ADDRESS, CAUSE in (
        ("port too large", "127.0.0.1:70000", "70000 is out of range"),
        ("port not a number", "127.0.0.1:dtls", r'"dtls" is not a number'),
        ("port missing", "127.0.0.1:", "no port follows"),
        ("bracket missing", "[::1:4433", "closing bracket"),
        ("IPv6 without brackets", "::1:4433", "brackets"),
        ("not an IPv6 address", "[::zz]:4433", "not an IPv6 address"),
        ("not an IPv4 address", "127.0.0.300:4433", "not an IPv4 address"),
        ("a name that does not exist", "no-such-host.invalid:4433", "cannot resolve"),
        ("link-local without a zone", "[fe80::1]:4433", "zone"),
        ("a zone that does not exist", "[fe80::1%nonsense]:4433", "nonsense"),
        ("empty", "", "empty")):
    fails(f"address: {WHAT}", USAGE, rf"address .*{CAUSE}", *PSK, ADDRESS)

fails("the same address twice", USAGE, r"127\.0\.0\.1:4433 is given twice", *PSK,
      "127.0.0.1:4433", "127.0.0.1:4433")
fails("the same address by a wildcard twice", USAGE, r"given twice", *PSK, "*:4433", "[::]:4433")
fails("an address beside all of them", USAGE, r"127\.0\.0\.1:4433 is given twice, also by 0\.0\.0\.0:4433: ", *PSK,
      "*:4433", "127.0.0.1:4433")
fails("more addresses than there is room for", USAGE, r"more than 64 addresses", *PSK,
      *[f"127.0.1.{n}:4433" for n in range(70)])

# ---- files -----------------------------------------------------------------------------------------------

fails("neither certificate nor PSK", FAILED, r"neither a certificate nor a PSK file.*--x509certfile", HERE)
fails("a certificate without its key", FAILED, r"--x509certfile .* without --x509keyfile", *SERVER[:2], HERE)
fails("a key without its certificate", FAILED, r"--x509keyfile .* without --x509certfile", *SERVER[2:], HERE)
fails("--verify-client without a CA", FAILED, r"--verify-client .*--x509cafile", *SERVER,
      "--verify-client", "required", HERE)
fails("a CA without a certificate", FAILED, r"--x509cafile .*without --x509certfile", *PSK,
      "--x509cafile", pem("ca.pem"), HERE)

for OPTION, REST in (("x509certfile", SERVER[2:]), ("x509keyfile", SERVER[:2]),
                     ("x509cafile", [*SERVER, "--verify-client", "optional"]), ("pskpasswd", [])):
    fails(f"--{OPTION}: no such file", FAILED, r"/nonexistent/file: .*No such file", *REST,
          f"--{OPTION}", "/nonexistent/file", HERE)
    fails(f"--{OPTION}: a directory", FAILED, r"/tmp: .*directory", *REST, f"--{OPTION}", "/tmp", HERE)
for OPTION, REST in (("x509certfile", SERVER[2:]), ("x509keyfile", SERVER[:2]),
                     ("x509cafile", [*SERVER, "--verify-client", "optional"])):
    fails(f"--{OPTION}: not PEM", FAILED, r"nonsense\.pem: .*(no certificate|no private key)", *REST,
          f"--{OPTION}", text_file("nonsense.pem", "this is not PEM\n"), HERE)
    fails(f"--{OPTION}: empty", FAILED, r"empty\.pem: ", *REST, f"--{OPTION}", text_file("empty.pem", ""),
          HERE)
    fails(f"--{OPTION}: damaged PEM", FAILED, r"damaged\.pem: .*(bad|no) ", *REST, f"--{OPTION}",
          text_file("damaged.pem", "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n".format(
              "EC PRIVATE KEY" if OPTION == "x509keyfile" else "CERTIFICATE")), HERE)

fails("the key of another certificate", FAILED, r"client-key\.pem: .*does not belong .*server\.pem",
      *SERVER[:2], "--x509keyfile", pem("client-key.pem"), HERE)


@case("a chain in the wrong order")
def _(t):
    with open(certs.file("rsa-server.pem"), encoding="ascii") as f:
        parts = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", f.read(), re.DOTALL)
    check_equal(len(parts), 2, "certificates in the chain")
    path = t.file("wrong-order.pem", "".join(reversed(parts)))
    status, text = run(t, "--x509certfile", path, "--x509keyfile", certs.file("rsa-server-key.pem"), HERE)
    check_equal(status, FAILED, "exit status")
    check(re.search(r"wrong-order\.pem: |rsa-server-key\.pem: .*does not belong", text), text)


@case("a file that may not be read")
def _(t):
    if os.geteuid() == 0:
        skip("root may read everything")
    path = t.file("secret.txt", "a:00\n")
    os.chmod(path, 0)
    status, text = run(t, "--pskpasswd", path, HERE)
    check_equal(status, FAILED, "exit status")
    check(re.search(r"secret\.txt: .*Permission denied", text), text)


for WHAT, CONTENT, LINE, CAUSE in (
        ("no colon", "alice:00\nbob\n", 2, "no colon"),
        ("no key", "alice:\n", 1, "key is missing"),
        ("no identity", "# x\n\n:00\n", 3, "identity .*empty"),
        ("key not hexadecimal", "alice:zz\n", 1, "not hexadecimal"),
        ("odd number of digits", "alice:000\n", 1, "odd number"),
        ("an identity twice", "alice:00\nbob:11\nalice:22\n", 3, "line 1"),
        ("a key too long", "alice:" + "00" * 1000 + "\n", 1, "1000 bytes"),
        ("an identity too long", "a" * 1000 + ":00\n", 1, "1000 bytes"),
        ("a NUL byte", "alice:00\nb\0b:00\n", 2, "NUL")):
    fails(f"PSK file: {WHAT}", FAILED, rf"psk-bad\.txt:{LINE}: .*{CAUSE}",
          "--pskpasswd", text_file("psk-bad.txt", CONTENT), HERE)
fails("PSK file: no identity in it", FAILED, r"psk-bad\.txt: .*no identity", "--pskpasswd",
      text_file("psk-bad.txt", "# nobody\n"), HERE)

fails("--priority: not a priority string", FAILED, r"--priority: NONSENSE", *PSK,
      "--priority", "NONSENSE", HERE)
fails("--priority: no AEAD cipher left", FAILED, r"--priority: .*AEAD", *PSK, "--priority",
      "NORMAL:-CIPHER-ALL:+AES-128-CBC", HERE)
fails("--priority: no key exchange for the certificate", FAILED, r"--priority: .*no key exchange", *SERVER,
      "--priority", "NORMAL:-KX-ALL:+PSK", HERE)

# ---- sockets and the PID file ----------------------------------------------------------------------------


@case("a port that is taken")
def _(t):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", port))
        status, text = run(t, *certs.psk_options(), f"127.0.0.1:{port}")
    check_equal(status, FAILED, "exit status")
    check(re.search(rf"cannot listen on 127\.0\.0\.1:{port}: another program serves this UDP port", text),
          text)


@case("a port that another dtlsd serves, with several workers each")
def _(t):
    d = t.daemon(*certs.psk_options(), "--workers", "2")
    status, text = run(t, *certs.psk_options(), "--workers", "2", f"127.0.0.1:{d.port}")
    check_equal(status, FAILED, "exit status")
    check(re.search(r"another program serves this UDP port", text), text)


fails("an address that this machine does not have", FAILED,
      r"cannot listen on 192\.0\.2\.1:4433: .*no such address", *PSK, "192.0.2.1:4433")


@case("a port below 1024 without the privilege")
def _(t):
    if os.geteuid() == 0:
        skip("root may")
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as f:
        if int(f.read()) <= 443:
            skip("this system lets everybody")
    status, text = run(t, *certs.psk_options(), "127.0.0.1:443")
    check_equal(status, FAILED, "exit status")
    check(re.search(r"cannot listen on 127\.0\.0\.1:443: not permitted", text), text)


fails("--pid-file in a directory that is not there", FAILED,
      r"PID file /nonexistent/pid: .*No such file", *PSK, "--pid-file", "/nonexistent/pid", HERE)
fails("--cookie-secret in a directory that is not there", FAILED,
      r"--cookie-secret /nonexistent/s: No such file.*directory that dtlsd may write", *PSK, "--cookie-secret",
      "/nonexistent/s", HERE)

# ---- warnings, help, version -----------------------------------------------------------------------------


@case("warnings: a key that everybody may read, a CA that is not used")
def _(t):
    with open(certs.file("server-key.pem"), encoding="ascii") as f:
        key = t.file("open-key.pem", f.read())
    os.chmod(key, 0o644)
    d = t.daemon("--x509certfile", certs.file("server.pem"), "--x509keyfile", key,
                 "--x509cafile", certs.file("ca.pem"))
    d.expect(r"warning: .*open-key\.pem: .*chmod o-rwx")
    d.expect(r"warning: .*--x509cafile .*--verify-client")


@case("warnings: a CA that has expired")
def _(t):
    d = t.daemon(*certs.server_options(), "--verify-client", "optional", "--x509cafile", certs.file("expired-client.pem"))
    d.expect(r"warning: .*expired-client\.pem: CA 1 has expired: certificates that come from it are refused; put its successor")


@case("warnings: a certificate that has expired")
def _(t):
    d = t.daemon("--x509certfile", certs.file("expired-client.pem"), "--x509keyfile",
                 certs.file("expired-client-key.pem"))
    d.expect(r"warning: .*expired-client\.pem: .*expired")


@case("--quiet says nothing when all is well, twice --verbose says more")
def _(t):
    d = t.daemon(*certs.psk_options(), log="--quiet")
    check_equal(d.stop(), 0, "exit status")
    check_equal(d.text, "", "output")
    d = t.daemon(*certs.psk_options(), "--verbose")
    d.expect(rf"notice: .*127\.0\.0\.1:{d.port}")


@case("--help: every option, and exit status 0")
def _(t):
    status, text = run(t, "--help")
    check_equal(status, 0, "exit status")
    for option in [*NUMBERS, "handler", "x509certfile", "x509keyfile", "x509cafile", "x509crlfile", "verify-client",
                   "ocsp-response", "key-password", "allowed-names", "allowed-fingerprints", "pskpasswd", "priority",
                   "alpn", "to", "server-name", "psk-identity", "daemon", "pid-file", "cookie-secret", "syslog", "verbose", "quiet",
                   "help", "version"]:
        check(re.search(rf"--{option}\b", text), f"--{option} is not in the help")
    check("largest handshake datagram, without IP and UDP headers (1200; 228 to 16384)\n" in text, "no range of a number")
    check(all(len(line) <= 130 for line in text.splitlines()), "a line is too long")


@case("--version: name, version and features, and exit status 0")
def _(t):
    status, text = run(t, "--version")
    check_equal(status, 0, "exit status")
    check(re.match(r"dtlsd \d+\.\d+.*\n", text), text)
    for word in ("gnutls", "nettle", "libev"):
        check(word in text, f"{word} is not named in {text!r}")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
