#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Floods at full rate from thousands of addresses: an established session's records get through, a new client
gets in, and the daemon does not grow. How long all that takes is measured by bench/flood, not here. Where the system
lets us, all runs in a network namespace, whose loopback takes every address of fd64::/16 for its own.
"""

import os
import random as pseudo
import shlex
import struct
import subprocess
import sys
import time

import certs
import clients
import dtlsraw as raw
from allocs import counted, resident
from harness import SANITIZER, TOP, Failed, case, check, check_equal, main, skip, skip_under_sanitizers
from netns import own_loopback

SPRAY = os.path.join(os.environ.get("top_builddir") or os.path.join(TOP, "build"), "bench", "spray")
MB = 1 << 20
IPV6 = {"addresses": ["[::1]:%d"]}
ONE_64, MANY_64 = "fd64::/64", "fd64::/32"  # behind the prefix is the number of the address


def serve(t, *options, workers=1, **settings):
    return t.daemon(*certs.server_options(), *certs.psk_options(), "--workers", str(workers), *options, **settings)


def flood(t, d, mode, peers, prefix=None):
    """Runs until the case ends."""
    if not os.access(SPRAY, os.X_OK):
        skip(f"no {SPRAY}: make check builds it")
    host = f"[{d.host}]" if prefix else d.host
    return t.process([SPRAY, mode, f"{host}:{d.port}", str(peers), "600", *([prefix] if prefix else [])])


def need_own_loopback():
    if LOOPBACK_IS_SHARED:
        skip(f"no network namespace: {LOOPBACK_IS_SHARED}")


def loopback_mtu(mtu):
    subprocess.run(["ip", "link", "set", "lo", "mtu", str(mtu)], check=True)


def ethernet_mtu(t):
    """Until the case ends, what is longer than an Ethernet's MTU travels in fragments."""
    need_own_loopback()
    loopback_mtu(1500)
    t.stack.callback(loopback_mtu, 65536)


def ip_counters():
    with open("/proc/net/snmp", encoding="ascii") as table:
        names, values = [line.split()[1:] for line in table if line.startswith("Ip: ")]
    return dict(zip(names, map(int, values)))


def session(t, d):
    c = raw.Client(t, d.address, certs.psk()).connect()
    c.alive()
    return c


def echoes_for(c, seconds):
    """Not one record is lost: each is answered before the next is sent."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end or n < 20:
        c.alive()
        n += 1
        time.sleep(0.005)


def newcomer(t, d):
    """Its hellos are lost in the flood like most of the others, or refused, and it waits longer and longer before it
    repeats them; its one record or the answer may be lost, too. So one is started each second until one is served.
    """
    came = []

    def served():
        return any(c.text.startswith("pong") for c in came)
    while not served():
        check(time.monotonic() < t.until(None) - 2, f"none of {len(came)} clients was served")
        came.append(t.client(clients.dtlsc(d, psk=True, more=("--timeout", "8", "--wait", "5"))))
        came[-1].send("ping")
        next_ = time.monotonic() + 1
        while not served() and time.monotonic() < next_:
            time.sleep(0.02)


def hellos(t, prefix, **settings):
    d, calls = counted(t, "--workers", "1", **settings)
    c = session(t, d)
    flood(t, d, "hello", 20000, prefix)
    d.await_counter("hello_challenged", 3000, 40)
    time.sleep(0.5)
    before, memory = calls.read(), resident(d)
    first, asked = d.counters()["hello_received"], 0
    while asked <= 1000:
        echoes_for(c, 1.5)
        asked = d.counters()["hello_received"] - first
    more, grown = calls.read() - before, resident(d) - memory
    # a line of the log now and then may allocate; a peer may not
    check(more < 50, f"{more} calls of the allocator for {asked} hellos")
    check(grown < MB // 2, f"{grown} bytes more for {asked} hellos")
    newcomer(t, d)
    c.alive()


@case("hellos of 20000 addresses: no allocation, no growth, no record lost, a new client gets in", 120)
def _(t):
    hellos(t, None)


@case("hellos of 20000 addresses of one IPv6 /64: the same", 120)
def _(t):
    need_own_loopback()
    hellos(t, ONE_64, **IPV6)


@case("hellos of 20000 IPv6 /64: the same", 120)
def _(t):
    need_own_loopback()
    hellos(t, MANY_64, **IPV6)


@case("hellos of 20000 addresses, two workers: no record of sessions of either lost, a new client gets in", 120)
def _(t):
    d = serve(t, workers=2)
    sessions = [session(t, d) for _ in range(8)]
    flood(t, d, "hello", 20000)
    d.await_counter("hello_challenged", 3000, 40)
    for c in sessions:
        echoes_for(c, 0.2)
    newcomer(t, d)
    for c in sessions:
        c.alive()


def half_open(t, prefix, workers, **settings):
    d = serve(t, "--max-handshakes", "1000", "--max-sessions-per-address", "0", workers=workers, **settings)
    c = session(t, d)
    memory = resident(d)
    flood(t, d, "halfopen", 20000, prefix)
    d.await_counter("handshake_evicted", 100, 40)
    d.expect(r"warning: .*half-open handshake given up for a newer one.*--max-handshakes")
    for _ in range(3):
        echoes_for(c, 0.3)
        now = d.counters()
        check(now["handshakes"] <= 1000, f"{now['handshakes']} handshakes under way")
    if not SANITIZER:
        grown = resident(d) - memory
        check(grown < 48 * MB, f"{grown} bytes more for 1000 handshakes")
    newcomer(t, d)
    c.alive()


@case("half-open peers of 20000 addresses: bounded, the oldest give way, no record lost, a client gets in", 120)
def _(t):
    half_open(t, None, 1)


@case("half-open peers of 20000 addresses, two workers: the bound is for both together", 120)
def _(t):
    half_open(t, None, 2)


@case("half-open peers of 20000 IPv6 /64, two workers: the same", 120)
def _(t):
    need_own_loopback()
    half_open(t, MANY_64, 2, **IPV6)


@case("half-open peers of one IPv6 /64, two workers: it has no more than its share and evicts nobody", 120)
def _(t):
    need_own_loopback()
    d = serve(t, "--max-handshakes-per-address", "50", workers=2, **IPV6)
    c = session(t, d)
    flood(t, d, "halfopen", 20000, ONE_64)
    now = d.await_counter("limited_address_handshakes", 1000, 40)
    check_equal((now["handshakes"], now["handshake_evicted"]), (50, 0), "handshakes under way, evicted")
    d.expect(r"warning: peer=\[fd64::.*--max-handshakes-per-address")
    echoes_for(c, 1)
    newcomer(t, d)  # from ::1, which is of another /64
    c.alive()


@case("half-open peers of one address: it has no more than its share, another address gets in at once", 60)
def _(t):
    d = serve(t, "--max-handshakes-per-address", "50")
    for _ in range(60):
        h = raw.Client(t, d.address, certs.psk(), ("127.0.0.7", 0))
        h.get_cookie()
        h.send(h.hello_with_cookie()[0])
    now = d.await_counter("limited_address_handshakes", 10)
    check(now["handshakes"] == 50, f"{now['handshakes']} handshakes of the address under way")
    session(t, d)


@case("handshakes of real clients at full rate: no record of a session is lost, a new client gets in", 120)
def _(t):
    d = serve(t)
    c = session(t, d)
    flood(t, d, "begin", 1)
    before = d.await_counter("handshake_done", 200, 40)
    echoes_for(c, 1.5)
    newcomer(t, d)
    now = d.counters()
    check(now["handshake_done"] > before["handshake_done"], "no more handshakes were done")
    check(now["handshake_failed"] == 0, f"{now['handshake_failed']} handshakes failed")
    c.alive()


def junk(t, mode):
    d = serve(t)
    c = session(t, d)
    flood(t, d, mode, 5000)
    d.await_counter("drop_malformed", 200, 40)
    memory = resident(d)
    before = d.counters()["rx_datagrams"]
    end, came = time.monotonic() + 1.5, 0
    while time.monotonic() < end or came <= 200:
        c.say("ping")
        try:  # junk comes in where records do, and may push one out
            c.next(0.5)
        except Failed:
            pass
        came = d.counters()["rx_datagrams"] - before
    grown = resident(d) - memory
    # the receive buffers have been touched up to the longest datagram in each by and by
    check(SANITIZER or grown < 5 * MB, f"{grown} bytes more")
    newcomer(t, d)


@case("junk from 5000 addresses: nothing dies, nothing grows, a session and a new client are served", 120)
def _(t):
    junk(t, "junk")


@case("64 KiB of junk in IP fragments from 5000 addresses: the same", 120)
def _(t):
    ethernet_mtu(t)
    before = ip_counters()["ReasmOKs"]
    junk(t, "large")
    whole = ip_counters()["ReasmOKs"] - before
    check(whole > 200, f"only {whole} datagrams were put together")


@case("IP fragments that are never completed: no record is lost, a new client gets in", 120)
def _(t):
    ethernet_mtu(t)
    d = serve(t)
    c = session(t, d)
    before = ip_counters()["ReasmFails"]
    flood(t, d, "pieces", 5000)
    while ip_counters()["ReasmFails"] < before + 1000:  # the kernel's memory for fragments is full
        check(time.monotonic() < t.deadline, "hardly any fragments came")
        time.sleep(0.02)
    echoes_for(c, 1.5)
    newcomer(t, d)
    c.alive()


def attacks(c):
    """Datagrams that come from the very address of a live session, which has their look and not its keys."""
    dice = pseudo.Random(7)
    seq = c.epoch_seq
    good = c.seal(raw.DATA, b"ping\n", seq=seq + 1000)
    far = (1 << 48) - 1
    yield "random bytes", dice.randbytes(300)
    yield "nothing", b""
    yield "one byte", b"\x17"
    yield "a header alone", good[:13]
    yield "a record cut off", good[:-1]
    yield "a record with a byte changed", good[:-1] + bytes([good[-1] ^ 1])
    yield "a record that claims more", good[:11] + struct.pack("!H", 5000) + good[13:]
    yield "a forged record", raw.record(raw.DATA, dice.randbytes(60), epoch=1, seq=seq + 5)
    yield "a forged record of the last number", raw.record(raw.DATA, dice.randbytes(60), epoch=1, seq=far)
    yield "a forged close_notify", raw.record(raw.ALERT, dice.randbytes(26), epoch=1, seq=seq)
    yield "a forged record of epoch 2", raw.record(raw.DATA, dice.randbytes(60), epoch=2, seq=0)
    yield "60000 bytes of a record", raw.record(raw.DATA, dice.randbytes(60000), epoch=1, seq=seq)
    yield "60000 bytes of junk", dice.randbytes(60000)
    yield "a fatal alert in the clear", raw.alert(2, 40)
    yield "close_notify in the clear", raw.alert(1, 0)
    yield "ChangeCipherSpec", raw.record(raw.CCS, b"\x01")
    yield "data in the clear", raw.record(raw.DATA, b"ping\n")
    yield "a hello", raw.hello(dice.randbytes(32))
    yield "a hello with a wrong cookie", raw.hello(dice.randbytes(32), dice.randbytes(16), 1, 1)
    yield "a tail of a hello", raw.record(raw.HANDSHAKE, raw.handshake(1, bytes(90), 1, 40))
    yield "ClientKeyExchange", raw.record(raw.HANDSHAKE, raw.handshake(16, dice.randbytes(40), 2))
    yield "Finished in the clear", raw.record(raw.HANDSHAKE, raw.handshake(20, dice.randbytes(12), 3))
    yield "a record with a connection ID", raw.record(raw.CID, dice.randbytes(60), epoch=1)


@case("junk from a live session's own address: it echoes at once, and is neither closed nor replaced", 60)
def _(t):
    d = serve(t, "--verbose")
    c = session(t, d)
    memory = resident(d)
    for round_ in range(20):
        for what, datagram in attacks(c):
            c.send(datagram)
            if "hello" in what and "tail" not in what:
                raw.verify_request(c.receive())  # the one answer there is
            try:
                c.alive()
            except Failed as e:
                raise Failed(f"after {what}, round {round_}: {e}") from None
    now = d.counters()
    check(now["session_opened"] == 1 and now["sessions"] == 1, f"sessions came or went: {now}")
    check(SANITIZER or resident(d) - memory < 5 * MB, "memory grows")


# ENOPROTOOPT for SO_ATTACH_REUSEPORT_CBPF
OLD_KERNEL = """
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	if (level == SOL_SOCKET && option == 51) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}
"""


@case("a kernel that refuses the lane of hellos: said once in the log, and all goes on through one socket")
def _(t):
    skip_under_sanitizers("a library before the sanitizer's is not possible")
    source, out = t.file("old.c", "#define _GNU_SOURCE\n" + OLD_KERNEL), os.path.join(t.dir(), "old.so")
    try:
        compiler = shlex.split(os.environ.get("CC") or "cc")
        done = subprocess.run([*compiler, "-shared", "-fPIC", "-o", out, source], capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        skip("no compiler")
    check(done.returncode == 0, done.stderr)
    d = t.daemon(*certs.psk_options(), "--workers", "3", addresses=["127.0.0.1:%d", "127.0.0.2:%d"],
                 env={"LD_PRELOAD": out})
    check(d.text.count("--hello-lane no") == 1, "the log does not say it, or not once")
    for _ in range(10):
        session(t, d)
    with open("/proc/net/udp", encoding="ascii") as table:
        sockets = sum(f":{d.port:04X} 00000000:0000" in line for line in table)
    check(sockets == 6, f"{sockets} sockets for 3 workers and 2 addresses")


@case("--hello-lane no: one socket for each worker and address")
def _(t):
    d = t.daemon(*certs.psk_options(), "--workers", "3", "--hello-lane", "no")
    session(t, d)
    with open("/proc/net/udp", encoding="ascii") as table:
        sockets = sum(f":{d.port:04X} 00000000:0000" in line for line in table)
    check(sockets == 3, f"{sockets} sockets")


if __name__ == "__main__":
    LOOPBACK_IS_SHARED = own_loopback("ip link set lo up && ip -6 route add local fd64::/16 dev lo")
    sys.exit(main(jobs=1))
