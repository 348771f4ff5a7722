#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The client: against gnutls-serv and openssl s_server, on a pipe and on a terminal, and against dtlsd."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import stat
import struct
import subprocess
import tempfile
import termios
import threading
import time

import certs
from harness import (DTLSC, DTLSD, Failed, Process, await_udp, case, check, check_equal, free_port, main, need_ipv6,
                     skip, udp_socket)
from relay import Relay

OK, LOCAL, USAGE, NETWORK, HANDSHAKE, VERIFY, TIMEOUT, ALERT = range(8)
IDENTITY, KEY = "alice", "000102030405060708090a0b0c0d0e0f"


class Server:
    """A peer of another library; .process is it, .address where it listens."""

    def __init__(self, t, argv, port):
        self.t, self.port, self.host = t, port, "127.0.0.1"
        self.address = (self.host, port)
        try:
            self.process = t.process(argv)
        except FileNotFoundError:
            skip(f"no {argv[0]}")
        await_udp(t, self.process, port)


def gnutls_echo(t, *options, kind="server"):
    cert, key = certs.pair(kind)
    port = free_port()
    psk = t.file("psk.txt", f"{IDENTITY}:{KEY}\n")
    return Server(t, ["gnutls-serv", "--udp", "--echo", "-p", str(port), "--x509certfile", cert, "--x509keyfile", key,
                      "--x509cafile", certs.file("ca.pem"), "--pskpasswd", psk,
                      "--priority", "NORMAL:+PSK:+ECDHE-PSK", *(options or ["--disable-client-cert"])], port)


def openssl_server(t, *options, kind="server"):
    cert, key = certs.pair(kind)
    port = free_port()
    return Server(t, ["openssl", "s_server", "-dtls1_2", "-4", "-accept", str(port), "-cert", cert, "-key", key,
                      *options], port)


def dtlsc(t, server, *options, **settings):
    return t.process(to(server, options, **settings))


def run(argv, text=b"", env=None):
    """(exit status, standard output, standard error) of a client that is fed text."""
    done = subprocess.run(argv, input=text, capture_output=True, timeout=60, check=False,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})))
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def run_until(argv, text, answer):
    """The same, of a client that is told to end when as much as the answer has come."""
    with tempfile.TemporaryFile() as err:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                              env=dict(os.environ, LC_ALL="C.UTF-8")) as c:
            c.stdin.write(text)
            c.stdin.close()
            out = c.stdout.read(len(answer))
            c.terminate()
            out += c.stdout.read()
        err.seek(0)
        return c.returncode, out, err.read().decode("utf-8", "replace")


def to(server, options, trust=True, host="127.0.0.1"):
    trusted = ["--x509cafile", certs.file("ca.pem")] if trust else []
    return [DTLSC, *trusted, *options, f"{host}:{server.port}"]


def talk(server, text, *options, **settings):
    return run(to(server, ["--wait", "0.4", *options], **settings), text)


def hear(server, text, *options, answer=None, **settings):
    """Until the answer has come, which is the echo where none is given; what is said on standard error."""
    code, out, err = run_until(to(server, ["--wait", "50", *options], **settings), text, answer or text)
    check_equal((code, out), (OK, answer or text), f"exit status and output ({err})")
    return err


def expect_failure(result, status, *words):
    code, out, err = result
    check_equal(code, status, f"exit status ({err.strip()})")
    check_equal(out, b"", "standard output")
    for word in words:
        check(word in err, f"the message does not say {word!r}: {err!r}")


class Terminal(Process):
    """The client on a terminal of its own; what it shows is collected in .text."""

    def __init__(self, t, argv, term="xterm", columns=80):  # pylint: disable=super-init-not-called
        self.t, self.name, self.argv, self.text = t, "dtlsc", argv, ""
        self.changed, self.closed = threading.Condition(), False
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.slave = slave
        self.modes = termios.tcgetattr(slave)
        self.child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      env=dict(os.environ, TERM=term, LC_ALL="C.UTF-8", HOME=t.dir()),
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.pid = self.child.pid
        Process.running.add(self)
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()

    def _collect(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self.changed:
                self.text += data.decode("utf-8", "backslashreplace")
                self.changed.notify_all()

    def keys(self, text):
        os.write(self.master, text.encode())

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.modes

    def wait(self, timeout=None):
        try:
            return self.child.wait(max(0.0, self.t.until(timeout) - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed("dtlsc: still runs") from None

    def finish(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        Process.running.discard(self)
        for fd in (self.slave, self.master):
            with contextlib.suppress(OSError):
                os.close(fd)


def terminal(t, server, *options, term="xterm", columns=80):
    if term == "xterm" and b"-libedit" in run([DTLSC, "--version"])[1]:
        skip("dtlsc is built without libedit")
    argv = [DTLSC, "--x509cafile", certs.file("ca.pem"), *options, f"127.0.0.1:{server.port}"]
    client = Terminal(t, argv, term, columns)
    t.processes.append(client)
    t.stack.callback(client.finish)
    client.expect(r"ctrl-d ends")
    if term == "xterm":
        client.expect(r"> ")
    return client


# ---- conversations on a pipe -----------------------------------------------------------------------------


@case("piped lines are answered, and the end of input is followed by close_notify")
def _(t):
    hear(gnutls_echo(t), b"ping\nsecond\n")


@case("a last line without a newline is sent as a line")
def _(t):
    s = openssl_server(t)
    check_equal(talk(s, b"whole\nrest")[0], OK, "exit status")
    s.process.expect(r"^whole\nrest\nDONE")


@case("empty lines, NUL and non-text bytes pass from pipe to pipe unchanged")
def _(t):
    data = b"\na\x00b\n\xff\xfe\x1b[31m\n"
    hear(gnutls_echo(t), data)


@case("a line that no record holds is refused by number, and the others are sent")
def _(t):
    s = openssl_server(t)
    code, _, err = talk(s, b"one\n" + b"x" * 1163 + b"\n" + b"y" * 1162 + b"\n" + b"z" * 100000 + b"\nlast\n")
    s.process.expect(r"^one\ny{1162}\nlast$")
    check("line 2: not sent: 1163 bytes, at most 1162 fit" in err and "larger --mtu" in err, err)
    check("line 4: not sent: 100000 bytes" in err, err)
    check_equal(code, LOCAL, "exit status")


@case("--mtu makes room for a longer line")
def _(t):
    s = openssl_server(t)
    code, _, err = talk(s, b"y" * 8000 + b"\n", "--mtu", "9000")
    check_equal((code, err), (OK, ""), "exit status and messages")
    s.process.expect(r"^y{8000}$")


@case("many lines arrive in order")
def _(t):
    s = openssl_server(t)
    lines = b"".join(b"line %d\n" % n for n in range(300))
    check_equal(talk(s, lines)[0], OK, "exit status")
    s.process.expect(r"^line 299$")
    got = re.findall(r"^line (\d+)$", s.process.text, re.MULTILINE)
    check_equal(got, [str(n) for n in range(300)], "lines at the server")


@case("what arrives is printed while input is silent, with a newline where it lacks one")
def _(t):
    s = openssl_server(t)
    c = dtlsc(t, s)
    c.send("hello")
    s.process.expect(r"^hello$")
    s.process.send("news from the server")
    c.expect(r"^news from the server$")
    s.process.child.stdin.write(b"no newline at the end")
    c.end_input()
    check_equal(c.wait(), OK, "exit status")


@case("a renegotiation is refused, and an error alert later ends it with status 7")
def _(t):
    s = openssl_server(t)
    c = dtlsc(t, s, "--verbose")
    c.send("hello")
    s.process.expect(r"^hello$")
    s.process.send("R")  # OpenSSL answers a refusal with a fatal alert
    c.expect(r"asked to renegotiate: refused")
    c.expect(r"ended the session with alert 40 \(Handshake failed\)")
    check_equal(c.wait(), ALERT, "exit status")


@case("after piped input it stays until --wait seconds of silence have passed")
def _(t):
    s = openssl_server(t)
    c = dtlsc(t, s, "--wait", "60")
    c.send("hello")
    s.process.expect(r"^hello$")
    c.end_input()
    s.process.send("late answer")
    c.expect(r"^late answer$")
    check(c.child.poll() is None, "it did not wait")
    c.signal(signal.SIGTERM)
    check_equal(c.wait(), OK, "exit status after SIGTERM")
    s.process.expect(r"^DONE")


@case("a signal ends the conversation with close_notify")
def _(t):
    s = openssl_server(t)
    c = dtlsc(t, s)
    c.send("hello")
    s.process.expect(r"^hello$")
    c.signal(signal.SIGINT)
    check_equal(c.wait(), OK, "exit status")
    s.process.expect(r"^DONE")


@case("output that cannot be written ends it with status 1")
def _(t):
    s = gnutls_echo(t)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([DTLSC, "--wait", "0.4", "--x509cafile", certs.file("ca.pem"), f"127.0.0.1:{s.port}"],
                              input=b"ping\n", stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
    check(b"standard output: No space left" in done.stderr, done.stderr)
    check_equal(done.returncode, LOCAL, "exit status")


# ---- credentials, verification, resumption ---------------------------------------------------------------


@case("the certificate is verified by host name and by address, and --verbose says what was agreed")
def _(t):
    s = gnutls_echo(t)
    for host in ("localhost", "127.0.0.1"):
        err = hear(s, b"ping\n", "-4", "--verbose", host=host)
        check(re.search(r"version DTLS1\.2, suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, group X25519", err), err)
        check("full handshake" in err and f"valid for '{host}'" in err, err)


@case("IPv6 by literal address")
def _(t):
    need_ipv6()
    hear(gnutls_echo(t), b"ping\n", "-6", host="[::1]")


@case("an unknown issuer is refused with status 5, and the server is told")
def _(t):
    s = openssl_server(t)
    expect_failure(talk(s, b"secret\n", trust=False), VERIFY, "issuer is unknown", "--x509cafile")
    s.process.expect(r"alert")
    s.process.lacks("secret")


@case("a name that is not in the certificate is refused with status 5")
def _(t):
    result = talk(gnutls_echo(t), b"ping\n", "--sni", "other.example")
    expect_failure(result, VERIFY, "'other.example'", "does not match")


@case("--sni names whom to ask for and to verify")
def _(t):
    s = openssl_server(t, "-servername", "localhost", "-cert2", certs.file("server.pem"), "-key2",
                       certs.file("server-key.pem"), "-servername_fatal")
    check_equal(talk(s, b"ping\n", "--sni", "localhost")[0], OK, "exit status")
    s.process.expect(r'Hostname in TLS extension: "localhost"')


@case("--insecure talks to anyone, and warns loudly twice")
def _(t):
    err = hear(gnutls_echo(t), b"ping\n", "--insecure", trust=False)
    check("WARNING: --insecure" in err and "issuer is unknown" in err, err)


@case("a pre-shared key")
def _(t):
    err = hear(gnutls_echo(t), b"ping\n", "--pskusername", IDENTITY, "--pskkey", KEY, "-v", trust=False)
    check("PSK" in err and "knows the pre-shared key of 'alice'" in err, err)


@case("the pre-shared key does not stay in the process list")
def _(t):
    c = dtlsc(t, gnutls_echo(t), "--pskusername", IDENTITY, "--pskkey", KEY, trust=False)
    c.ask("ping", r"^ping$")
    with open(f"/proc/{c.pid}/cmdline", "rb") as f:
        check(KEY.encode() not in f.read(), "the key is in /proc/PID/cmdline")


@case("a wrong pre-shared key times out with a hint at the key")
def _(t):
    result = talk(gnutls_echo(t), b"ping\n", "--pskusername", IDENTITY, "--pskkey", "ff" * 16, "--timeout", "3",
                  trust=False)
    expect_failure(result, TIMEOUT, "check --pskkey")


@case("a client certificate is sent, and its absence explained")
def _(t):
    s = gnutls_echo(t, "--require-client-cert", "--verify-client-cert")
    cert, key = certs.pair("client")
    hear(s, b"ping\n", "--x509certfile", cert, "--x509keyfile", key)
    s = openssl_server(t, "-Verify", "2", "-verify_return_error", "-CAfile", certs.file("ca.pem"))
    expect_failure(talk(s, b"ping\n"), HANDSHAKE, "refused the handshake", "client certificate")


@case("no suite in common is a handshake failure, status 4")
def _(t):
    s = openssl_server(t, "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
    result = talk(s, b"ping\n", "--priority", "NORMAL:-CIPHER-ALL:+AES-128-GCM")
    expect_failure(result, HANDSHAKE, "alert 40", "in common")


@case("--session-file resumes the second time, with both libraries")
def _(t):
    for s in (gnutls_echo(t), openssl_server(t)):
        path = os.path.join(t.dir(), f"session-{s.port}")
        code, _, err = talk(s, b"ping\n", "-v", "--session-file", path)
        check(code == OK and "full handshake" in err, f"first: {code} {err}")
        check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the session file")
        code, _, err = talk(s, b"ping\n", "-v", "--session-file", path)
        check(code == OK and ", resumed" in err, f"second: {code} {err}")
        check("valid for '127.0.0.1'" in err, f"a resumed server must be verified: {err}")


@case("a session made under --insecure does not make the next run trust the server")
def _(t):
    s = openssl_server(t)
    path = os.path.join(t.dir(), "session")
    code, _, err = talk(s, b"ping\n", "--insecure", "--session-file", path, trust=False)
    check_equal(code, OK, f"exit status ({err})")
    expect_failure(talk(s, b"secret\n", "--session-file", path, trust=False), VERIFY, "issuer is unknown")
    s.process.lacks("secret")


@case("a session file of another server, a broken one and a device are told apart and do no harm")
def _(t):
    s = gnutls_echo(t)
    path = os.path.join(t.dir(), "session")
    talk(s, b"ping\n", "--session-file", path)
    code, _, err = talk(s, b"ping\n", "-v", "--session-file", path, "-4", host="localhost")
    check(code == OK and "another server" in err and "full handshake" in err, f"{code} {err}")
    with open(path, "r+b") as f:
        header = f.readline()
        f.truncate(len(header) + 50)
    err = hear(s, b"ping\n", "-v", "--session-file", path, host="localhost")
    check("damaged: a full handshake" in err, err)
    code, _, err = talk(s, b"ping\n", "--session-file", t.file("junk", "junk"))
    check(code == OK and "not a session of dtlsc" in err, f"{code} {err}")
    code, _, err = talk(s, b"ping\n", "--session-file", "/dev/null")
    check(code == OK and "not a regular file" in err and stat.S_ISCHR(os.stat("/dev/null").st_mode), f"{code} {err}")


# ---- a network that is not kind --------------------------------------------------------------------------


@case("a refused port is said at once, status 3")
def _(_t):
    expect_failure(run([DTLSC, f"127.0.0.1:{free_port()}"]), NETWORK, "Connection refused", "nothing listens")


@case("a name that does not resolve, status 3")
def _(_t):
    expect_failure(run([DTLSC, "no-such-host.invalid:4433"]), NETWORK, "cannot resolve 'no-such-host.invalid'")


@case("silence ends in a time-out, status 6")
def _(_t):
    with udp_socket() as mute:
        port = mute.getsockname()[1]
        expect_failure(run([DTLSC, "--timeout", "0.5", f"127.0.0.1:{port}"]), TIMEOUT, "no answer in 0.5 s")


@case("all addresses of a name are tried in turn")
def _(t):
    need_ipv6()
    hosts = t.file("hosts", "::1 two-families\n127.0.0.1 two-families\n")
    inside = ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        skip("no right to make a mount namespace with a hosts file of its own")
    s = openssl_server(t)
    code, _, err = run([*inside, DTLSC, "--wait", "0.4", "--x509cafile", certs.file("ca.pem"), "--sni", "localhost",
                        f"two-families:{s.port}"], b"ping\n")
    check_equal(code, OK, f"exit status ({err})")
    check(f"cannot reach [::1]:{s.port}" in err and "trying the next address" in err, err)
    s.process.expect(r"^ping$")


@case("a server that vanished is noticed by the refusal, status 3")
def _(t):
    s = openssl_server(t)
    c = dtlsc(t, s)
    c.send("hello")
    s.process.expect(r"^hello$")
    s.process.kill()
    c.send("anyone there?")
    c.expect(r"connection refused: the server has stopped")
    check_equal(c.wait(), NETWORK, "exit status")


@case("lost handshake datagrams are sent again")
def _(t):
    s = openssl_server(t)
    r = Relay(t, s, lambda direction, number, d: [] if number == (0 if direction == "up" else 1) else [d])
    code, _, err = talk(r, b"through\n")
    check_equal(code, OK, f"exit status ({err})")
    s.process.expect(r"^through$")


@case("a path that loses large datagrams is met with smaller ones", seconds=60)
def _(t):
    s = gnutls_echo(t, "--require-client-cert")
    cert, key = certs.large_client()
    r = Relay(t, s, lambda direction, _, d: [] if direction == "up" and len(d) > 576 else [d])
    err = hear(r, b"small\n", "-v", "--timeout", "30", "--x509certfile", cert, "--x509keyfile", key)
    check("datagrams of 548 bytes" in err, err)


@case("junk, empty, cut and replayed datagrams change nothing")
def _(t):
    s = gnutls_echo(t)
    junk = [b"", b"\x00", b"junk" * 30, bytes.fromhex("16fefd00000000000000ff0100aabbcc"),
            bytes.fromhex("17fefd0001000000000009") + b"\x00\x20" + b"x" * 32]

    def policy(direction, _, d):
        return [*junk, d, d, *junk] if direction == "down" else [d]
    hear(Relay(t, s, policy), b"one\ntwo\nthree\n")


@case("plaintext alerts cannot end an established conversation")
def _(t):
    s = gnutls_echo(t)
    r = Relay(t, s)
    c = dtlsc(t, r)
    c.ask("one", r"^one$")
    for alert in (b"\x02\x28", b"\x01\x00"):
        r.inject("down", bytes.fromhex("15fefd000000000000004000 02".replace(" ", "")) + alert)
    c.ask("two", r"^two$")
    c.end_input()
    check_equal(c.wait(), OK, "exit status")


# ---- on a terminal ---------------------------------------------------------------------------------------


@case("terminal: what arrives is shown at once, above a half-typed line that stays")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("half")
    c.expect(r"half")
    since = c.mark()
    s.process.send("news")
    c.expect(r"\r\x1b\[Jnews\r\n(?s:.*)> half", since=since)
    c.keys("-line\r")
    s.process.expect(r"^half-line$")


@case("terminal: a half-typed line longer than the window is taken away and redrawn as a whole")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s, columns=40)
    c.keys("x" * 100)
    c.expect(r"(?:[^x]*x){100}")
    since = c.mark()
    s.process.send("news")
    c.expect(r"\x1b\[2A\r\x1b\[Jnews\r\n", since=since)
    c.keys("\r")
    s.process.expect(r"^x{100}$")


@case("terminal: ctrl-d ends with close_notify and gives the terminal back as it was")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    check(not c.is_as_before(), "the terminal is not in editing mode")
    c.keys("\x04")
    check_equal(c.wait(), OK, "exit status")
    s.process.expect(r"^DONE")
    check(c.is_as_before(), "the terminal's mode was not restored")


@case("terminal: ctrl-d within a line deletes the character under the cursor")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("abXc\x1b[D\x1b[D\x04\r")
    s.process.expect(r"^abc$")
    check(c.child.poll() is None, "it ended")


@case("terminal: earlier lines come back with the arrow key")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("first\r")
    s.process.expect(r"^first$")
    c.keys("second\r")
    s.process.expect(r"^second$")
    c.keys("\x1b[A\x1b[A again\r")
    s.process.expect(r"^first again$")


@case("terminal: control characters of the server are made visible, not obeyed")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("hello\r")
    s.process.expect(r"^hello$")
    since = c.mark()
    s.process.child.stdin.write(b"\x1b]0;title\x07 caf\xc3\xa9 \xe2\x80\xae \xc2\x9b \xff\r\n")
    s.process.child.stdin.flush()
    c.expect(re.escape(r"\x1b]0;title\x07 café \u202e \u009b \xff") + r"\r\n", since=since)


@case("terminal: ctrl-c ends with close_notify and restores the terminal")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("half\x03")
    check_equal(c.wait(), OK, "exit status")
    s.process.expect(r"^DONE")
    check(c.is_as_before(), "the terminal's mode was not restored")


@case("terminal: ctrl-z stops it with the terminal given back, and it goes on where it was")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s)
    c.keys("half")
    c.expect(r"half")
    c.keys("\x1a")
    while open(f"/proc/{c.pid}/stat", encoding="ascii", errors="replace").read().rsplit(")", 1)[1].split()[0] != "T":
        check(time.monotonic() < t.deadline, "it does not stop")
        time.sleep(0.02)
    check(c.is_as_before(), "the terminal is not given back")
    since = c.mark()
    c.signal(signal.SIGCONT)
    c.expect(r"> half", since=since)
    c.keys("-line\r")
    s.process.expect(r"^half-line$")


@case("terminal: a line too long for a record is refused and the next one is sent")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s, "--mtu", "256")
    c.keys("x" * 300 + "\r")
    c.expect(r"line 1: not sent: 300 bytes, at most 218 fit")
    c.keys("short\r")
    s.process.expect(r"^short$")


@case("terminal: a dumb one gets plain lines, and ctrl-d ends at once")
def _(t):
    s = openssl_server(t)
    c = terminal(t, s, "--wait", "60", term="dumb")
    c.keys("plain\n")
    s.process.expect(r"^plain$")
    s.process.send("answer")
    c.expect(r"^answer\r$")
    c.keys("\x04")
    check_equal(c.wait(10), OK, "exit status")


# ---- the command line ------------------------------------------------------------------------------------


@case("every bad option is refused with status 2 and a sentence that names it")
def _(_t):
    for words, says in (
            ([], "no server named"),
            (["a:1", "b:1"], "'b:1': only one"),
            (["--frobnicate", "a"], "'--frobnicate' is unknown"),
            (["-x", "a"], "'-x' is unknown"),
            (["--mtu"], "'--mtu' needs an argument"),
            (["--insecure=yes", "a"], "takes no argument"),
            (["--mtu", "255", "a"], "--mtu '255'"),
            (["--mtu", "16385", "a"], "--mtu '16385'"),
            (["--mtu", "1200x", "a"], "--mtu '1200x'"),
            (["--timeout", "0", "a"], "--timeout '0'"),
            (["--timeout", "nan", "a"], "--timeout 'nan'"),
            (["--wait", "-1", "a"], "--wait '-1'"),
            (["::1:4433"], "in brackets"),
            (["[::1:4433"], "give HOST:PORT"),
            (["[::1]4433"], "give HOST:PORT"),
            ([":4433"], "give HOST:PORT"),
            (["a:0"], "port must be"),
            (["a:65536"], "port must be"),
            (["a:dtls"], "port must be"),
            (["a:"], "port must be"),
            (["--pskkey", "0g", "--pskusername", "u", "a"], "--pskkey: not all are hexadecimal"),
            (["--pskkey", "0", "--pskusername", "u", "a"], "number of digits is odd"),
            (["--pskkey", "", "--pskusername", "u", "a"], "it is empty"),
            (["--pskkey", "00", "a"], "--pskkey without --pskusername"),
            (["--pskusername", "u", "a"], "--pskusername without --pskkey"),
            (["--x509keyfile", "k", "a"], "--x509keyfile without --x509certfile"),
            (["--sni", "", "a"], "--sni is empty"),
            (["--priority", "NORMAL:+NONSENSE", "a"], "--priority 'NORMAL:+NONSENSE'")):
        expect_failure(run([DTLSC, *words]), USAGE, "dtlsc: ", says)


@case("every bad file is refused with status 1 and a sentence that names it")
def _(t):
    junk = t.file("junk.pem", "junk\n")
    cert, key = certs.file("client.pem"), certs.file("server-key.pem")
    for words, says in (
            (["--x509cafile", "/nonexistent"], "--x509cafile /nonexistent: No such file"),
            (["--x509cafile", junk], f"--x509cafile {junk}"),
            (["--x509certfile", "/nonexistent"], "--x509certfile /nonexistent: No such file"),
            (["--x509certfile", cert, "--x509keyfile", "/nonexistent"], "--x509keyfile /nonexistent: No such file"),
            (["--x509certfile", cert, "--x509keyfile", key], "do not match"),
            (["--x509certfile", junk], f"--x509certfile {junk}")):
        expect_failure(run([DTLSC, *words, "127.0.0.1:1"]), LOCAL, "dtlsc: ", says)


@case("--help and --version answer and end with status 0")
def _(_t):
    code, out, err = run([DTLSC, "--help"])
    check_equal((code, err), (OK, ""), "--help")
    for option in ("--x509cafile", "--x509certfile", "--x509keyfile", "--pskusername", "--pskkey", "--sni",
                   "--insecure", "--mtu", "--timeout", "--priority", "--verbose", "--session-file", "--wait",
                   "-4", "-6", "Exit status"):
        check(option.encode() in out, f"--help does not tell {option}")
    code, out, err = run([DTLSC, "--version"])
    check_equal((code, err), (OK, ""), "--version")
    check(out.startswith(b"dtlsc ") and b"gnutls-" in out, out)


# ---- with dtlsd ------------------------------------------------------------------------------------------


def front_door(t, *options, **settings):
    try:
        says = subprocess.run([DTLSD, "--version"], capture_output=True, timeout=10, check=False).stdout
    except OSError:
        says = b""
    if b"dtlsd" not in says:
        skip("no dtlsd")
    return t.daemon(*certs.server_options(), *options, **settings)


@case("dtlsd: ping is answered by pong, in IPv4 and IPv6")
def _(t):
    d = front_door(t, addresses=["127.0.0.1:%d", "[::1]:%d"])
    for host in ("127.0.0.1", "[::1]"):
        hear(d, b"ping\necho one two\n", host=host, answer=b"pong\none two\n")


@case("dtlsd: close_notify is answered, so that nothing is waited for")
def _(t):
    code, _, err = talk(front_door(t), b"ping\n", "--verbose")
    check(code == OK and "no close_notify came back" not in err, f"{code} {err}")


@case("dtlsd: a session is resumed")
def _(t):
    d = front_door(t)
    path = os.path.join(t.dir(), "session")
    talk(d, b"ping\n", "--session-file", path)
    err = hear(d, b"ping\n", "--session-file", path, "-v", answer=b"pong\n")
    check(", resumed" in err, err)


@case("dtlsd: a broadcast reaches a terminal where nobody types")
def _(t):
    d = front_door(t)
    c = terminal(t, d)
    talk(d, b"bc to all of you\n")
    c.expect(r"to all of you\r\n")


@case("dtlsd: its end is said on the terminal, which is restored")
def _(t):
    d = front_door(t)
    c = terminal(t, d)
    c.keys("ping\r")
    c.expect(r"pong\r\n")
    c.keys("half")
    check_equal(d.stop(), 0, "dtlsd's exit status")
    c.expect(r"the server has closed the conversation")
    check_equal(c.wait(), OK, "exit status")
    check(c.is_as_before(), "the terminal's mode was not restored")


@case("dtlsd: its end by SIGTERM is a proper end, by SIGKILL it is noticed")
def _(t):
    d = front_door(t)
    c = dtlsc(t, d)
    c.ask("ping", r"^pong$")
    check_equal(d.stop(), 0, "dtlsd's exit status")
    c.expect(r"the server has closed the conversation")
    check_equal(c.wait(), OK, "exit status")
    d = front_door(t)
    c = dtlsc(t, d)
    c.ask("ping", r"^pong$")
    d.kill()
    c.send("ping")
    c.expect(r"connection refused")
    check_equal(c.wait(), NETWORK, "exit status")


if __name__ == "__main__":
    raise SystemExit(main())
