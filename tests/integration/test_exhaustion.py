#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Nothing to be had: descriptors, buffers, memory, disk, places, a steady clock. dtlsd refuses or degrades, says so."""

import errno
import os
import re
import resource
import subprocess
import sys
import time

import certs
import clients
import dtlsraw as raw
import harness
from faulty import Faults
from harness import DTLSD, Failed, case, check, check_equal, main, skip_under_sanitizers

DAY = 86400

def insist(c, tries=20):
    """ping until pong comes: datagrams may get lost."""
    for _ in range(tries):
        c.say("ping")
        try:
            check_equal(c.next(0.2), (raw.DATA, b"pong\n"), "answer")
            return
        except Failed as e:
            if "no answer" not in str(e):
                raise
    raise Failed(f"no answer to {tries} pings")


# ---- sockets ---------------------------------------------------------------------------------------------


def weather(name, seconds=60, counters=(), **faults):
    @case(f"sockets that fail at random, {name}: handshakes and sessions go on, nothing is altered", seconds)
    def _(t):
        f = Faults(t, seed=1)
        d = t.daemon(*certs.psk_options(), *certs.server_options(), "--workers", "1", env=f.env)
        before = raw.Client(t, d.address, certs.psk()).connect()
        f.set(**faults)
        talkers = [t.client(clients.openssl(d, psk=True)), t.client(clients.gnutls(d)),
                   t.client(clients.dtlsc(d, psk=True))]
        for _ in range(40):
            insist(before)
        for c in talkers:
            # each client sends a flight again when nothing comes; what is said on a session may get lost
            for attempt in range(40):
                try:
                    c.ask("ping", r"^pong", timeout=1)
                    break
                except Failed:
                    check(attempt < 39 and c.child.poll() is None, f"{c.name} gets no answer")
        check(f.get("injected") > 8, f"only {f.get('injected')} calls failed")
        now = d.counters()
        for counter in counters:
            check(now[counter] > 0, f"{counter} did not move: {now}")
        f.none()
        insist(before, 3)  # the first may come late, for one before
        raw.Client(t, d.address, certs.psk()).connect().alive()
        d.lacks("assert")


weather("interrupted and short", receive_eintr=300, receive_short=500, send_eintr=300, send_short=500)
weather("again later", receive_eagain=400, send_eagain=400)
weather("out of buffers", counters=("tx_errors",), send_enobufs=250)
weather("out of memory", counters=("rx_errors", "tx_errors"), receive_enomem=300, send_enomem=150)
weather("all of it", counters=("rx_errors", "tx_errors"), receive_eintr=100, receive_eagain=100, receive_enomem=100,
        receive_short=300, send_eintr=100, send_eagain=100, send_enobufs=50, send_enomem=50, send_short=300)


# ---- starting --------------------------------------------------------------------------------------------


def start(t, *options, wrapper=(), env=None):
    """A daemon that may refuse to start: (process, exit status or None when it serves)."""
    p = t.process([*wrapper, DTLSD, *certs.psk_options(), *options, f"127.0.0.1:{harness.free_port()}"],
                  env=env, stdin=subprocess.DEVNULL, name="dtlsd")
    try:
        p.expect(r"serving DTLS|error: ", timeout=10)
    except Failed:
        pass
    if "serving DTLS" in p.text:
        return p, None
    return p, p.wait()


def refused(p, status, cause):
    check_equal(status, 1, "exit status")
    check(re.search(rf"error: .*{cause}", p.text), f"no line on the cause: {p.text!r}")
    check(not harness.SANITIZER_REPORT.search(p.text), p.text)


@case("too few file descriptors: the daemon says so and what to raise, and exits with 1")
def _(t):
    for limit in (5, 8, 12, 20):
        p, status = start(t, "--workers", "16", wrapper=("prlimit", f"--nofile={limit}"))
        refused(p, status, r"(file descriptors|[Tt]oo many open files)")
        check("ulimit -n" in p.text, f"no advice with {limit} descriptors: {p.text!r}")


@case("each call that makes something, each allocation too, fails in turn at the start: it serves, or says why and exits with 1", 240)
def _(t):
    number, serving, refusing = 0, 0, 0
    f = Faults(t, boot_errno=errno.ENOMEM)
    while True:
        number += 1
        f.set(boot_fails=number, boot_calls=0, injected=0)
        p, status = start(t, "--workers", "2", env=f.env)
        if status is None:
            p.signal(15)
            status = p.wait()
            check_equal(status, 0, f"exit status when call {number} failed")
            serving += 1
        else:
            refused(p, status, r".")
            refusing += 1
        check(not harness.SANITIZER_REPORT.search(p.text), f"call {number}: {p.text!r}")
        p.finish()
        if f.get("injected") == 0:
            break
        check(number < 400, "it never starts")
    check(serving > 1 and refusing > 5, f"served {serving} times, refused {refusing} times")


# ---- disks -----------------------------------------------------------------------------------------------


@case("a log on a full disk, or a closed one, does not stop it")
def _(t):
    for to in ("2>/dev/full", "2>&-"):
        d = t.daemon(*certs.psk_options(), wrapper=("sh", "-c", f'exec "$@" {to}', "sh"), log="-vv")
        c = raw.Client(t, d.address, certs.psk()).connect()
        c.alive()
        raw.Client(t, d.address, (certs.psk()[0], "00" * 16)).get_cookie()
        c.alive()
        check_equal(d.stop(), 0, f"exit status with {to}")


@case("--syslog without a syslog: it serves")
def _(t):
    d = t.daemon(*certs.psk_options(), "--syslog", log="-vv")
    raw.Client(t, d.address, certs.psk()).connect().alive()


@case("a PID file on a full disk: it says so, exits with 1 and leaves no file behind")
def _(t):
    f = Faults(t, disk_full=1)
    path = os.path.join(t.dir(), "pid")
    p, status = start(t, "--pid-file", path, env=f.env)
    refused(p, status, re.escape(path) + ": cannot write: No space left")
    check(not os.path.exists(path), "an empty PID file is left")


# ---- clocks ----------------------------------------------------------------------------------------------


@case("the wall clock jumps forwards and backwards: sessions stay, old cookies are challenged anew")
def _(t):
    # keys of cookies turn with the minute: a second back over that makes a cookie one of the future
    phase = time.time() % 60
    if phase > 50:
        time.sleep(60 - phase)
    f = Faults(t)
    d = t.daemon(*certs.psk_options(), *certs.server_options(), "--workers", "1", "--idle-timeout", "60", env=f.env)
    witness = raw.Client(t, d.address, certs.psk()).connect()
    for jump in (DAY, -DAY, 3600 * DAY, 1, 0, -2 * DAY, 0):
        c = raw.Client(t, d.address, certs.psk())
        c.get_cookie()
        old = f.get("wall_s")
        f.set(wall_s=jump)
        witness.alive()
        if abs(jump - old) > 2 * 60:
            c.send(c.hello_with_cookie()[0])
            check(raw.is_verify_request(c.receive()), "a cookie from another day was good")
            c.begin()
            c.get_cookie()
        c.finish_handshake()
        c.alive()
        c.close()
    now = d.counters()
    check_equal((now["session_closed_idle"], now["session_closed_peer"]), (0, 7), "sessions closed (idle, by the peer)")
    check(now["hello_bad_cookie"] >= 5, f"hello_bad_cookie: {now['hello_bad_cookie']}")


@case("the wall clock jumps: openssl resumes or shakes hands in full, but always gets in", 60)
def _(t):
    f = Faults(t)
    d = t.daemon(*certs.server_options(), "--workers", "1", env=f.env)
    ticket = os.path.join(t.dir(), "ticket")
    # a certificate of today must stay good, so no years here
    for number, jump in enumerate((0, 3600, -3600, 2 * DAY, -DAY, 0)):
        f.set(wall_s=jump)
        more = ["-sess_out", ticket] + (["-sess_in", ticket] if number else [])
        c = t.client(clients.openssl(d, more=more))
        c.ask("ping", r"^pong")
        c.kill()


def crowd(t, d, hosts):
    """Handshakes from these addresses that are all begun at once, and no more than that."""
    everyone = [raw.Client(t, d.address, certs.psk(), (host, 0)) for host in hosts]
    for c in everyone:
        c.get_cookie()
    for c in everyone:
        c.send(c.hello_with_cookie()[0])


# ---- memory ----------------------------------------------------------------------------------------------


def data_size(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^VmData:\s+(\d+) kB", f.read(), re.MULTILINE).group(1)) * 1024


@case("memory runs out: new peers are refused and told, the old are served, and with more memory all get in", 60)
def _(t):
    skip_under_sanitizers("memory is the sanitizer's")
    d = t.daemon(*certs.psk_options(), "--workers", "1", "--max-handshakes", "20000", "--handshake-timeout", "2",
                 "--max-handshakes-per-address", "0")
    inside = [raw.Client(t, d.address, certs.psk()).connect() for _ in range(20)]
    resource.prlimit(d.pid, resource.RLIMIT_DATA, (data_size(d.pid) + (1 << 20), resource.RLIM_INFINITY))
    crowd(t, d, ["127.0.0.1"] * 300)
    now = d.await_counter("limited_memory", 10)
    check(now["hello_admitted"] > 30, f"only {now['hello_admitted']} were admitted")
    d.expect(r"peer=127\.0\.0\.1:\d+ .* out of memory[:;] lower --max-")
    for c in inside:
        c.alive()
    resource.prlimit(d.pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raw.Client(t, d.address, certs.psk()).connect().alive()
    for c in inside:
        c.alive()


# ---- places ----------------------------------------------------------------------------------------------


@case("every limit at its end at once: the old sessions serve, the new are refused and told, then let in", 60)
def _(t):
    d = t.daemon(*certs.psk_options(), "--workers", "1", "--max-sessions", "24", "--max-handshakes", "4",
                 "--max-sessions-per-address", "8", "--handshake-timeout", "3", "--handshake-rate", "1000")
    inside = [raw.Client(t, d.address, certs.psk(), (f"127.0.0.{1 + n % 3}", 0)).connect() for n in range(20)]
    crowd(t, d, [f"127.0.0.{1 + n % 7}" for n in range(60)])
    admitted = turned_away = 0
    while admitted + turned_away < 80:  # some wait for their turn
        check(time.monotonic() < t.deadline, f"{admitted} were admitted, {turned_away} refused")
        now = d.counters()
        admitted = now["hello_admitted"]
        turned_away = sum(now[f"limited_{what}"] for what in ("sessions", "handshakes", "address", "rate"))
    check_equal((now["sessions"], admitted, turned_away), (24, 24, 56), "places taken, admitted, refused")
    for c in inside:
        c.alive()
    d.await_counter("handshake_timeout", 4)
    for c in inside:
        c.close()
    raw.Client(t, d.address, certs.psk()).connect().alive()
    check_equal(d.counters()["sessions"], 1, "places taken in the end")


if __name__ == "__main__":
    sys.exit(main(jobs=3))
