#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Signals, the service manager, going into the background."""

import os
import re
import shutil
import signal
import sys
import time

import certs
import clients
import dtlsraw as raw
from harness import DTLSD, Notify, case, check, check_equal, free_port, main

CLOSE = (raw.ALERT, bytes([1, raw.CLOSE_NOTIFY]))


def client(t, d, psk=None):
    return raw.Client(t, d.address, psk or certs.psk())


def drains(number):
    @case(f"{signal.Signals(number).name}: every session gets close_notify, then the daemon ends with 0")
    def _(t):
        d = t.daemon(*certs.psk_options(), "--workers", "2")
        sessions = [client(t, d).connect() for _ in range(20)]
        for c in sessions:
            c.alive()
        half = client(t, d)
        half.get_flight()
        check_equal(d.stop(number), 0, "exit status")
        for c in sessions:
            check_equal(c.next(2), CLOSE, "what a session gets")
        d.notify.wait("STOPPING=1", d)
        d.expect(r"notice: .*stopping")
        d.expect(r"notice: .*stopped")


drains(signal.SIGTERM)
drains(signal.SIGINT)


@case("SIGTERM: real clients see the end of the session")
def _(t):
    d = t.daemon(*certs.server_options())
    everyone = [t.client(client(d)) for client in clients.ALL.values()]
    for c in everyone:
        c.ask("ping", r"^pong$")
    check_equal(d.stop(), 0, "exit status")
    for c in everyone:
        c.wait()


def reload_dir(t):
    """A directory with files that a test may change: the options that name them."""
    d = t.dir()
    for name in ("server.pem", "server-key.pem", "ca.pem", "psk.txt"):
        shutil.copy(certs.file(name), os.path.join(d, name))
    return ["--x509certfile", f"{d}/server.pem", "--x509keyfile", f"{d}/server-key.pem",
            "--x509cafile", f"{d}/ca.pem", "--verify-client", "optional", "--pskpasswd", f"{d}/psk.txt"]


def replace(t, name, source):
    shutil.copy(source, os.path.join(t.dir(), name))


def reload(d, pattern):
    since = d.mark()
    d.signal(signal.SIGHUP)
    return d.expect(pattern, since=since)


@case("SIGHUP: new handshakes get the new certificate, live sessions go on")
def _(t):
    d = t.daemon(*reload_dir(t))
    live = client(t, d).connect()
    first = t.client(clients.openssl(d))
    first.expect(r"server certificate|Server certificate")
    first.ask("ping", r"^pong$")
    cert, key = certs.make("renewed", ["cn = renewed", "dns_name = localhost", "signing_key",
                                       "tls_www_server"])
    replace(t, "server.pem", cert)
    replace(t, "server-key.pem", key)
    reload(d, r"notice: .*reloaded")
    live.alive()
    first.ask("ping", r"^pong$")
    second = t.client(clients.openssl(d))
    second.expect(r"^subject=CN ?= ?renewed$")
    second.ask("ping", r"^pong$")


def bad_reload(name, break_it, cause):
    @case(f"SIGHUP with {name}: the message names the file, the old files stay, live sessions go on")
    def _(t):
        d = t.daemon(*reload_dir(t))
        live = client(t, d).connect()
        resident = t.client(clients.openssl(d))
        resident.ask("ping", r"^pong$")
        break_it(t)
        reload(d, rf"error: .*{re.escape(t.dir())}.*{cause}")
        live.alive()
        resident.ask("ping", r"^pong$")
        for psk in (None, True):
            c = t.client(clients.openssl(d, psk=psk))
            c.ask("ping", r"^pong$")
        # and a later good reload works
        for file in ("server.pem", "server-key.pem", "ca.pem", "psk.txt"):
            replace(t, file, certs.file(file))
        reload(d, r"notice: .*reloaded")
        live.alive()


bad_reload("a certificate file that is gone", lambda t: os.unlink(os.path.join(t.dir(), "server.pem")),
           r"No such file")
bad_reload("a key of another certificate",
           lambda t: replace(t, "server-key.pem", certs.file("client-key.pem")), r"does not belong")
bad_reload("a CA file of nonsense", lambda t: t.file("ca.pem", "nonsense\n"), r"no certificate")
bad_reload("a PSK file with a bad second line", lambda t: t.file("psk.txt", "a:00ff\nb:xyz\n"),
           r"psk\.txt:2: .*hex")


@case("SIGHUP: a new PSK identity gets in, a removed one does not, and its live session ends")
def _(t):
    d = t.daemon(*reload_dir(t))
    live = client(t, d).connect()
    t.file("psk.txt", "newcomer:00112233445566778899aabbccddeeff\n")
    reload(d, r"notice: .*reloaded")
    client(t, d, ("newcomer", "00112233445566778899aabbccddeeff")).connect().alive()
    gone = client(t, d)
    gone.get_cookie()
    gone.send_handshake()
    d.expect(rf'handshake failed: .*"{certs.psk()[0]}" is not in the PSK file')
    d.expect(rf"info: peer=127\.0\.0\.1:{live.address[1]} .*session closed \(its certificate or pre-shared key is not")


@case("SIGHUP: who was removed cannot come back by resumption, with a ticket or without")
def _(t):
    options = reload_dir(t)
    options[options.index("optional")] = "required"
    d = t.daemon(*options)
    saved = {more: os.path.join(t.dir(), f"session{more}") for more in ("-ticket", "-no_ticket")}
    cert = certs.pair("client")

    def visit(*more, cert=cert):
        c = t.client(clients.openssl(d, cert=cert, more=more))
        return c
    for more, path in saved.items():
        flags = [] if more == "-ticket" else [more]
        c = visit(*flags, "-sess_out", path)
        c.ask("ping", r"^pong$")
        c.end_input()
        c.wait()
        c = visit(*flags, "-sess_in", path)
        c.expect(r"^Reused, TLSv1\.2")
    replace(t, "ca.pem", certs.file("foreign-ca.pem"))
    reload(d, r"notice: .*reloaded")
    for more, path in saved.items():
        flags = [] if more == "-ticket" else [more]
        c = visit(*flags, "-sess_in", path)
        check(c.wait() != 0, "the client was let in")
        c.lacks(r"^Reused")


@case("SIGHUP in numbers, with clients coming and going, loses nobody")
def _(t):
    d = t.daemon(*reload_dir(t), "--workers", "2")
    live = [client(t, d).connect() for _ in range(5)]
    for n in range(20):
        d.signal(signal.SIGHUP)
        client(t, d).connect().close()
        live[n % 5].alive()
    for c in live:
        c.alive()
    check_equal(d.counters()["handshake_failed"], 0, "failed")


@case("SIGUSR1: the counters are logged, and add up")
def _(t):
    d = t.daemon(*certs.psk_options())
    c = client(t, d).connect()
    for _ in range(3):
        c.alive()
    # what is sent counts when the call is over, which may be after the answer has come
    now = d.await_counter("tx_datagrams", 6)
    check_equal((now["sessions"], now["session_opened"], now["handshake_done"]), (1, 1, 1), "sessions")
    check_equal((now["records_in"], now["records_out"], now["bytes_in"], now["bytes_out"]), (3, 3, 12, 15),
                "records and bytes")
    check(now["rx_datagrams"] >= 6, f"datagrams: {now}")
    c.close()
    check_equal(d.counters()["sessions"], 0, "sessions left")


@case("sd_notify: RELOADING with a time, then READY again")
def _(t):
    d = t.daemon(*certs.psk_options())
    d.notify.forget()
    d.signal(signal.SIGHUP)
    d.notify.wait("RELOADING=1", d)
    d.notify.wait("READY=1", d)
    told = "\n".join(d.notify.seen)
    check(re.search(r"^MONOTONIC_USEC=\d+$", told, re.MULTILINE), f"no time: {told}")


# ---- in the background -----------------------------------------------------------------------------------


def background(t, *options):
    """dtlsd --daemon: (port, pid file, process of the parent)"""
    port, pid_file = free_port(), os.path.join(t.dir(), "dtlsd.pid")
    p = t.process([DTLSD, "--daemon", "--pid-file", pid_file, *options, f"127.0.0.1:{port}"], name="dtlsd")
    return port, pid_file, p


def read_pid(path):
    with open(path, encoding="ascii") as f:
        return int(f.read())


def is_dtlsd(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            stat = f.read()
        return "(dtlsd" in stat and ") Z " not in stat
    except OSError:
        return False


def stop_by_pid(pid):
    if is_dtlsd(pid):
        os.kill(pid, signal.SIGKILL)


@case("--daemon: the command returns 0 once it serves; --pid-file is written, locked and removed")
def _(t):
    port, pid_file, parent = background(t, *certs.psk_options())
    check_equal(parent.wait(), 0, "exit status of the command")
    pid = read_pid(pid_file)
    t.stack.callback(stop_by_pid, pid)
    check(pid != parent.pid and is_dtlsd(pid), "the PID file does not name the daemon")
    c = raw.Client(t, ("127.0.0.1", port), certs.psk()).connect()
    c.alive()
    # a second one with the same file is refused, and leaves it in place
    second = t.process([DTLSD, "--pid-file", pid_file, *certs.psk_options(), f"127.0.0.1:{free_port()}"])
    check_equal(second.wait(), 1, "exit status of the second")
    second.expect(r"PID file .*dtlsd\.pid: .*running")
    check_equal(read_pid(pid_file), pid, "PID in the file")
    os.kill(pid, signal.SIGTERM)
    check_equal(c.next(), CLOSE, "what the session gets")
    while os.path.exists(pid_file) or is_dtlsd(pid):
        check(time.monotonic() < t.deadline, "the daemon or its PID file stays")
        time.sleep(0.02)


@case("--daemon: started without standard streams it serves all the same")
def _(t):
    port, pid_file = free_port(), os.path.join(t.dir(), "dtlsd.pid")
    parent = t.process(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', DTLSD, "--daemon", "--pid-file", pid_file,
                        *certs.psk_options(), f"127.0.0.1:{port}"], name="dtlsd")
    check_equal(parent.wait(), 0, "exit status of the command")
    pid = read_pid(pid_file)
    t.stack.callback(stop_by_pid, pid)
    for fd in 0, 1, 2:
        check_equal(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null", f"descriptor {fd} of the daemon")
    raw.Client(t, ("127.0.0.1", port), certs.psk()).connect().alive()
    os.kill(pid, signal.SIGTERM)
    while is_dtlsd(pid):
        check(time.monotonic() < t.deadline, "the daemon stays")
        time.sleep(0.02)


@case("--daemon: what prevents the start is told on the terminal, with exit status 1")
def _(t):
    _, pid_file, parent = background(t, "--pskpasswd", "/nonexistent/psk.txt")
    check_equal(parent.wait(), 1, "exit status of the command")
    parent.expect(r"/nonexistent/psk\.txt: .*No such file")
    check(not os.path.exists(pid_file), "there is a PID file")


@case("--daemon: readiness goes to the service manager from the daemon")
def _(t):
    notify = Notify(t)
    t.closing(notify)
    pid_file = os.path.join(t.dir(), "dtlsd.pid")
    parent = t.process([DTLSD, "--daemon", "--pid-file", pid_file, *certs.psk_options(),
                        f"127.0.0.1:{free_port()}"], env={"NOTIFY_SOCKET": notify.path})
    parent.wait()
    t.stack.callback(stop_by_pid, read_pid(pid_file))
    notify.wait("READY=1")


@case("--pid-file in the foreground: written when ready, removed at the end")
def _(t):
    path = os.path.join(t.dir(), "pid")
    d = t.daemon(*certs.psk_options(), "--pid-file", path)
    check_equal(read_pid(path), d.pid, "PID in the file")
    check_equal(d.stop(), 0, "exit status")
    check(not os.path.exists(path), "the PID file stays")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
