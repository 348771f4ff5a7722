#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What each kind of datagram gets: answers and silence, from strangers and from known peers."""

import os
import random as pseudo
import struct
import sys
import time

import certs
import dtlsraw as raw
from harness import Failed, case, check, check_equal, free_port, main


def serve(t, *options, **settings):
    return t.daemon(*certs.psk_options(), "--workers", "1", *options, **settings)


def client(t, d, source=None):
    return raw.Client(t, d.address, certs.psk(), source)


def silent(t, d, p, datagrams, counter=None, count=None):
    """The datagrams get no answer, which is certain once a later one of another socket has been answered."""
    before = d.counters() if counter else None
    for datagram in datagrams:
        p.send(datagram)
    raw.fence(t, d)
    got = p.pending()
    check(not got, f"an answer where silence is due: {[g.hex()[:120] for g in got]}")
    if counter:
        more = d.counters()[counter] - before[counter]
        check_equal(more, len(datagrams) if count is None else count, f"counter {counter} went up by")


# ---- what is not DTLS ------------------------------------------------------------------------------------


@case("silence: nothing, and every length below a record header")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    full = raw.hello(os.urandom(32))
    silent(t, d, p, [full[:n] for n in range(1, 13)], "drop_malformed")
    silent(t, d, p, [b""])


@case("silence: other protocols")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    tls = b"\x16\x03\x01\x00\x40" + bytes(64)
    stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    coap = b"\x40\x01\x12\x34\xbb.well-known\x04core"
    quic = b"\xc3\x00\x00\x00\x01\x08" + bytes(1200)
    http = b"GET / HTTP/1.1\r\n\r\n"
    silent(t, d, p, [tls, stun, coap, quic, http, b"\xff" * 100, bytes(100)], "drop_malformed")


@case("silence: random bytes, also behind a good record type and version")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    dice = pseudo.Random(1)
    for _ in range(20):
        noise = [dice.randbytes(dice.randrange(1, 600)) for _ in range(10)]
        # as an alert or a ChangeCipherSpec: no hello can come of it
        noise += [dice.choice([b"\x14", b"\x15", b"\x17", b"\x19"]) + b"\xfe\xfd"
                  + dice.randbytes(dice.randrange(1, 300)) for _ in range(10)]
        silent(t, d, p, noise)


@case("silence: lengths that lie, in the record and in the message")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    body = raw.hello_body(os.urandom(32))
    whole = raw.handshake(raw.CLIENT_HELLO, body)
    lies = [
        raw.record(raw.HANDSHAKE, whole, length=len(whole) + 1),
        raw.record(raw.HANDSHAKE, whole, length=0xFFFF),
        raw.record(raw.HANDSHAKE, whole[:-1]),                  # fragment longer than the record
        raw.record(raw.HANDSHAKE, whole[:11]),                  # no whole handshake header
        raw.record(raw.HANDSHAKE, b""),
        raw.record(raw.HANDSHAKE, raw.handshake(1, body, total=len(body) - 1)),  # reaches past its message
        raw.record(raw.HANDSHAKE, whole, version=0x0303),
        raw.record(raw.HANDSHAKE, whole, version=0xFE00),
    ]
    silent(t, d, p, lies, "drop_malformed")


@case("silence: hellos too short or too odd to vouch for")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    random = os.urandom(32)
    body = raw.hello_body(random)
    odd = [raw.record(raw.HANDSHAKE, raw.handshake(1, body, length=n)) for n in (1, 34, 35, 36)]
    odd.append(raw.record(raw.HANDSHAKE, raw.handshake(1, body[:34] + b"\x21" + bytes(33) + body[35:])))
    odd.append(raw.record(raw.HANDSHAKE, raw.handshake(1, raw.hello_body(random, version=0x0303))))
    odd.append(raw.record(raw.HANDSHAKE, raw.handshake(1, body[:35] + b"\xff")))
    silent(t, d, p, odd)
    check_equal(d.counters()["hello_admitted"], 0, "admitted")


@case("silence: later fragments of a hello from a stranger")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    body = raw.hello_body(os.urandom(32))
    tails = [raw.handshake(1, body, offset=n) for n in (1, 30, len(body) - 1)]
    silent(t, d, p, [raw.record(raw.HANDSHAKE, tail) for tail in tails], "drop_unexpected")


@case("silence: alerts, ChangeCipherSpec, other handshake messages and data in epoch 0 from a stranger")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    silent(t, d, p, [raw.alert(2, 40), raw.alert(1, 0), raw.record(raw.CCS, b"\x01")]
           + [raw.record(raw.HANDSHAKE, raw.handshake(kind, bytes(40)))
              for kind in (0, 2, 3, 11, 14, 16, 20)], "drop_unexpected")
    silent(t, d, p, [raw.record(raw.DATA, b"ping\n")], "drop_plain_data")


@case("silence: protected records and connection IDs from a stranger")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    silent(t, d, p, [raw.record(kind, os.urandom(60), epoch=epoch, seq=7)
                     for kind in (20, 21, 22, 23) for epoch in (1, 2, 0xFFFF)], "drop_no_session")
    silent(t, d, p, [raw.record(raw.CID, os.urandom(60), epoch=1)])


# ---- the cookie exchange ---------------------------------------------------------------------------------


@case("a hello gets a HelloVerifyRequest that is not larger, and repeats its numbers")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    for seq, message_seq in ((0, 0), (1, 0), (0xFF, 0), (0x100, 0), (0x010203040506, 0), (9, 1), (300, 2)):
        datagram = raw.hello(os.urandom(32), record_seq=seq, message_seq=message_seq)
        p.send(datagram)
        answer = p.receive()
        r, m, cookie = raw.verify_request(answer)
        check(len(answer) <= len(datagram), "the answer is larger than the question")
        check_equal((r.version, r.seq, m.seq), (raw.V10, seq, message_seq), "version and sequence numbers")
        check(8 <= len(cookie) <= 32, f"a cookie of {len(cookie)} bytes")
    check_equal(d.counters()["hello_admitted"], 0, "admitted")


@case("the smallest hello that is answered is larger than the answer")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    body = raw.hello_body(os.urandom(32))
    for n in range(1, len(body)):
        p.send(raw.record(raw.HANDSHAKE, raw.handshake(1, body, length=n)))
    raw.fence(t, d)
    answers = p.pending()
    check(answers, "no fragment was answered")
    # those that hold the byte after the empty cookie: version, random, two lengths and one more
    check_equal(len(answers), len(body) - 37, "fragments answered")
    check(all(len(a) <= 13 + 12 + 37 for a in answers), "an answer is larger than its question")


@case("the cookie is bound to the random, the address, the port and our address")
def _(t):
    d = serve(t, addresses=["127.0.0.1:%d", "127.0.0.2:%d"])
    random = os.urandom(32)
    port = free_port()
    p = raw.Peer(t, d.address, ("127.0.0.1", port))
    cookie = raw.cookie_for(p, random)
    other_random = bytes([random[0] ^ 1]) + random[1:]
    tries = [
        (p, raw.hello(other_random, cookie, 1, 1)),
        (raw.Peer(t, d.address), raw.hello(random, cookie, 1, 1)),
        (raw.Peer(t, d.address, ("127.0.0.9", port)), raw.hello(random, cookie, 1, 1)),
        (raw.Peer(t, ("127.0.0.2", d.port), ("127.0.0.1", free_port())), raw.hello(random, cookie, 1, 1)),
        (p, raw.hello(random, cookie[:-1] + bytes([cookie[-1] ^ 1]), 1, 1)),
        (p, raw.hello(random, cookie[:-1], 1, 1)),
        (p, raw.hello(random, cookie + b"\0", 1, 1)),
        (p, raw.hello(random, bytes(255), 1, 1)),
    ]
    for peer, datagram in tries:
        peer.send(datagram)
        raw.verify_request(peer.receive())
    now = d.counters()
    check_equal((now["hello_admitted"], now["hello_bad_cookie"]), (0, len(tries)), "admitted and bad cookies")
    p.send(raw.hello(random, cookie, 2, 1))
    flight = raw.messages(raw.records(p.receive())[0].body)
    check_equal(flight[0].type, raw.SERVER_HELLO, "answer to the right cookie")


@case("a stale cookie gets a second HelloVerifyRequest whose numbers go on, and the handshake completes")
def _(t):
    d = serve(t, "--cookie-lifetime", "1")
    c = client(t, d)
    c.get_cookie()
    first = c.cookie
    time.sleep(2.2)
    c.get_cookie()
    check(c.cookie != first, "the stale cookie came back")
    check_equal((c.record_seq, c.message_seq), (2, 2), "hellos sent")
    c.finish_handshake()
    check_equal(c.server_messages[raw.SERVER_HELLO].seq, 2, "message_seq of the ServerHello")
    c.alive()
    check(d.counters()["hello_bad_cookie"] >= 1, "no stale cookie was counted")


@case("a hello whose first fragment holds the cookie is admitted and its tails reach the handshake")
def _(t):
    d = serve(t)
    for together in (True, False):
        c = client(t, d)
        c.get_cookie()
        pieces = c.hello_with_cookie(pieces=60)
        check(len(pieces) >= 2, "the hello is in one piece")
        if together:
            c.send(b"".join(pieces))
        else:
            for piece in [pieces[0], pieces[0], *reversed(pieces[1:])]:
                c.send(piece)
        c.take_flight(raw.SERVER_HELLO_DONE)
        c.send(b"".join(c.final()))
        c.take_finish()
        c.alive()


@case("an unproven address never gets more bytes than it sent")
def _(t):
    d = serve(t, *certs.server_options())
    p = raw.Peer(t, d.address)
    dice = pseudo.Random(7)
    for _ in range(300):
        random, cookie = dice.randbytes(32), dice.randbytes(dice.choice([0, 0, 16, 20, 32]))
        p.send(raw.hello(random, cookie, dice.randrange(1 << 48), dice.randrange(3),
                         session_id=dice.randbytes(dice.choice([0, 32]))))
        p.receive()
        check(p.received <= p.sent, f"{p.received} bytes for {p.sent}")


@case("the admitted hello, sent again, gets the same flight and no second handshake")
def _(t):
    d = serve(t)
    c = client(t, d)
    datagram = c.get_flight()
    random = c.server_messages[raw.SERVER_HELLO].body
    c.send(datagram)
    raw.fence(t, d)
    c.pending()
    # a client that missed the flight repeats itself after a while, in a record of a new number
    time.sleep(0.4)
    again = raw.record(raw.HANDSHAKE, datagram[13:], seq=c.record_seq)
    c.record_seq += 1
    c.send(again)
    flight = [m for r in raw.records(c.receive(5)) for m in raw.messages(r.body)]
    check_equal(flight[0].body, random, "ServerHello sent again")
    c.send(b"".join(c.final()))
    c.take_finish()
    c.alive()
    now = d.counters()
    check_equal((now["hello_admitted"], now["handshake_done"]), (1, 1), "handshakes begun and done")
    check(now["hello_repeated"] >= 1, "the copies were not counted")


@case("only DTLS 1.2: an older client gets protocol_version")
def _(t):
    d = serve(t)
    p = raw.Peer(t, d.address)
    random = os.urandom(32)
    cookie = raw.cookie_for(p, random, version=raw.V10)
    p.send(raw.hello(random, cookie, 1, 1, version=raw.V10))
    r = raw.records(p.receive())[0]
    check_equal((r.type, r.body), (raw.ALERT, bytes([2, raw.PROTOCOL_VERSION])), "answer")
    d.expect(r"peer=127\.0\.0\.1:\d+ .*handshake failed: .*DTLS 1\.0")


# ---- records of a session --------------------------------------------------------------------------------


@case("records: a bad MAC is dropped in silence, every bit counts, the session lives on")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    good = c.seal(raw.DATA, b"ping\n", seq=70)
    c.epoch_seq = 71
    bad = []
    for at in (0, 3, 4, 10, 13, 20, 21, len(good) - 17, len(good) - 1):
        for bit in (1, 0x80):
            flipped = bytearray(good)
            flipped[at] ^= bit
            if at == 0 and not 20 <= flipped[0] <= 23 or at in (3, 4):
                continue  # another record type or epoch: not a question of the MAC
            bad.append(bytes(flipped))
    silent(t, d, c, bad, "drop_bad_mac")
    c.send(good)
    check_equal(c.next(), (raw.DATA, b"pong\n"), "answer to the good record")
    c.alive()


@case("records: replays are dropped in silence, late ones within the window are taken once")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    held = [c.seal(raw.DATA, f"echo {n}\n".encode()) for n in range(64)]
    c.send(held[-1])
    check_equal(c.next()[1], b"63\n", "answer")
    silent(t, d, c, [held[-1]] * 5, "drop_replay")
    for n in (62, 30, 0):
        c.send(held[n])
        check_equal(c.next()[1], f"{n}\n".encode(), "answer to a late record")
    silent(t, d, c, [held[n] for n in (62, 30, 0)], "drop_replay")
    far = c.seal(raw.DATA, b"ping\n", seq=100000)
    c.send(far)
    check_equal(c.next()[1], b"pong\n", "answer after a jump")
    silent(t, d, c, [held[1], held[40], far], "drop_replay")


@case("records: several in one datagram are all served, also around ones that are not")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    bad = bytearray(c.seal(raw.DATA, b"ping\n"))
    bad[-1] ^= 1
    c.send(c.seal(raw.DATA, b"echo 1\n") + bytes(bad) + raw.alert(2, 40) + c.seal(raw.DATA, b"echo 2\n")
           + raw.record(99, b"what is this", epoch=1, seq=5) + c.seal(raw.DATA, b"echo 3\n"))
    check_equal([c.next()[1] for _ in range(3)], [b"1\n", b"2\n", b"3\n"], "answers")
    # a lying length voids what follows it, not what precedes it
    c.send(c.seal(raw.DATA, b"echo 4\n") + c.seal(raw.DATA, b"echo 5\n")[:-1])
    check_equal(c.next()[1], b"4\n", "answer before the cut")
    c.alive()


@case("records: plaintext from the peer's address never hurts its session")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    forged = [raw.alert(2, 40, seq=50), raw.alert(1, 0, seq=51), raw.record(raw.CCS, b"\x01", seq=52),
              raw.record(raw.HANDSHAKE, raw.handshake(raw.FINISHED, bytes(12), 3), seq=53),
              raw.record(raw.DATA, b"ping\n", seq=54),
              raw.record(raw.HANDSHAKE, raw.handshake(16, bytes(8), 2, total=1 << 23), seq=55),
              raw.record(raw.CID, bytes(40), epoch=1), raw.record(raw.DATA, bytes(40), epoch=2)]
    silent(t, d, c, forged)
    c.alive()
    check_equal(d.counters()["session_closed_peer"], 0, "sessions closed")


@case("records: an empty one and those of the largest size go through, a larger one does not")
def _(t):
    d = serve(t, "--handler", "echo")
    c = client(t, d).connect()
    for size in (0, 1, 1200, 9000, 16383, 16384):
        data = os.urandom(size)
        c.say(data)
        check(c.next() == (raw.DATA, data), f"a record of {size} bytes came back changed")
    silent(t, d, c, [c.seal(raw.DATA, bytes(16385))])
    silent(t, d, c, [raw.record(raw.DATA, bytes(18433), epoch=1, seq=99)], "drop_too_large")
    c.say(b"still here")
    check_equal(c.next()[1], b"still here", "answer")


@case("records: data that overtook the Finished is served once the keys are there")
def _(t):
    d = serve(t)
    c = client(t, d)
    c.get_flight()
    flight = c.final()
    c.say("echo early")
    raw.fence(t, d)
    c.send(b"".join(flight))
    c.take_finish()
    check_equal(c.next(), (raw.DATA, b"early\n"), "answer to the record that came too soon")
    c.alive()


@case("records: data sent before a Finished that had to be sent again is served, once")
def _(t):
    d = serve(t)
    c = client(t, d)
    c.get_flight()
    flight = c.final()
    early = [c.seal(raw.DATA, f"echo {n}\n".encode()) for n in range(3)]
    # the first Finished is lost, and one of the records comes only after the second
    for datagram in (flight[0] + flight[1], early[0], early[1], early[0], c.seal(raw.HANDSHAKE, c.finished)):
        c.send(datagram)
    c.take_finish()
    check_equal([c.next()[1] for _ in range(2)], [b"0\n", b"1\n"], "answers to what came too soon")
    c.send(early[2])
    check_equal(c.next()[1], b"2\n", "answer to what came late")
    silent(t, d, c, early, "drop_replay")
    c.alive()


@case("close_notify is answered in kind and the session is gone")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    c.close()
    silent(t, d, c, [c.seal(raw.DATA, b"ping\n")], "drop_no_session")
    check_equal(d.counters()["session_closed_peer"], 1, "sessions closed by the peer")


@case("a fatal alert ends the session without an answer")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    silent(t, d, c, [c.seal(raw.ALERT, bytes([2, 40]))])
    silent(t, d, c, [c.seal(raw.DATA, b"ping\n")], "drop_no_session")


@case("renegotiation gets the warning no_renegotiation, and the session lives on")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    c.send(c.seal(raw.HANDSHAKE, raw.handshake(1, raw.hello_body(os.urandom(32)))))
    check_equal(c.next(), (raw.ALERT, bytes([1, raw.NO_RENEGOTIATION])), "answer")
    c.alive()
    check_equal(d.counters()["renegotiation_refused"], 1, "refused")


@case("other protected records of a known peer do nothing")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    silent(t, d, c, [c.seal(raw.CCS, b"\x01"), c.seal(raw.HANDSHAKE, raw.handshake(0, b"")),
                     c.seal(raw.HANDSHAKE, b"\x01"), c.seal(raw.HANDSHAKE, raw.handshake(16, bytes(10))),
                     c.seal(raw.ALERT, b"\x01"), c.seal(raw.ALERT, bytes([1, 90]))])
    c.alive()


# ---- the final flight ------------------------------------------------------------------------------------


@case("the client's last flight again, byte for byte or renumbered, gets the final flight again")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    first = b"".join(c.final_flight)
    time.sleep(0.3)
    c.send(b"".join(c.last_flight))
    again = c.receive(5)
    check_equal(again[-60:], first[-60:], "the end of the final flight, sent again")
    time.sleep(0.3)
    # a client such as OpenSSL seals its Finished anew
    c.send(c.seal(raw.HANDSHAKE, c.finished))
    check_equal(c.receive(5)[-60:], first[-60:], "the end of the final flight, sent a third time")
    c.alive()
    check_equal(d.counters()["final_flight_resent"], 2, "resent")


@case("the final flight is not resent to those who replay a recorded Finished after data has come")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    c.alive()
    silent(t, d, c, [b"".join(c.last_flight)] * 3)
    check_equal(d.counters()["final_flight_resent"], 0, "resent")


# ---- a peer that restarts on the same port ----------------------------------------------------------------


def restarted(t, c):
    """A second client on the socket of the first."""
    fresh = raw.Client(t, c.server, (c.identity.decode(), c.psk.hex()))
    fresh.sock.close()
    fresh.sock = c.sock
    return fresh


@case("a restart on the same port replaces the session after the Finished and not before")
def _(t):
    d = serve(t)
    old = client(t, d).connect()
    new = restarted(t, old)
    new.get_cookie()
    old.alive()
    new.send(new.hello_with_cookie()[0])
    new.take_flight(raw.SERVER_HELLO_DONE)
    old.alive()
    flight = new.final()
    new.send(flight[0] + flight[1])
    raw.fence(t, d)
    old.alive()
    new.send(flight[2])
    new.take_finish()
    new.alive()
    check_equal(d.counters()["session_closed_replaced"], 1, "replaced")
    silent(t, d, old, [old.seal(raw.DATA, b"ping\n")], "drop_bad_mac")
    new.ask("echo one session only", "one session only\n")


@case("a restart without the key never replaces the session")
def _(t):
    d = serve(t)
    old = client(t, d).connect()
    forger = restarted(t, old)
    forger.psk = bytes(16)
    forger.get_cookie()
    forger.send_handshake()
    raw.fence(t, d)
    old.alive()
    d.await_counter("handshake_failed", 1)
    raw.fence(t, d)  # it is counted before the alert leaves
    for datagram in old.pending():
        check(datagram[0] != raw.DATA, "data for the forger")
    old.alive()
    check_equal(d.counters()["session_closed_replaced"], 0, "replaced")


@case("forged hellos from a known peer's address leave its session alone")
def _(t):
    d = serve(t)
    c = client(t, d).connect()
    for n in range(50):
        c.send(raw.hello(os.urandom(32), os.urandom(16) if n % 2 else b"", n, n % 2))
        raw.verify_request(c.receive())
        if n % 10 == 0:
            c.alive()
    c.alive()
    check_equal(d.counters()["hello_admitted"], 1, "admitted")


@case("a late copy of the hello that made the session neither replaces nor disturbs it")
def _(t):
    d = serve(t)
    c = client(t, d)
    datagram = c.get_flight()
    c.send(b"".join(c.final()))
    c.take_finish()
    c.alive()
    silent(t, d, c, [datagram] * 3)
    c.alive()
    now = d.counters()
    check_equal((now["hello_admitted"], now["session_closed_replaced"]), (1, 0), "admitted and replaced")


@case("a restart that resets half way still ends in one working session")
def _(t):
    d = serve(t)
    old = client(t, d).connect()
    for _ in range(3):  # restarts that get no further than the server's flight
        half = restarted(t, old)
        half.get_flight()
    old.alive()
    new = restarted(t, old)
    new.connect()
    new.alive()
    check_equal(d.counters()["handshake_done"], 2, "handshakes done")


# ---- what is forged into a handshake ----------------------------------------------------------------------


@case("a handshake survives what anyone can forge into it")
def _(t):
    d = serve(t)
    c = client(t, d)
    c.get_flight()
    body = bytes(40)
    for n, forged in enumerate([
            raw.record(raw.DATA, b"ping\n"), b"\x16\xfe\xfd", os.urandom(200),
            raw.record(raw.HANDSHAKE, raw.handshake(11, body, 2)),
            raw.record(raw.HANDSHAKE, raw.handshake(15, body, 3)),
            raw.record(raw.HANDSHAKE, raw.handshake(20, bytes(12), 2)),
            raw.record(raw.HANDSHAKE, raw.handshake(0, b"", 2)),
            raw.record(raw.HANDSHAKE, raw.handshake(20, body, 7, total=(1 << 24) - 1)),
            raw.alert(1, 0), raw.alert(2, 40), raw.record(raw.HANDSHAKE, os.urandom(60)),
            raw.record(raw.DATA, os.urandom(60), epoch=1, seq=3),
            raw.record(raw.HANDSHAKE, os.urandom(40), epoch=1, seq=4),
            raw.record(raw.CCS, b"\x01"), raw.record(raw.CCS, b"\x01"), raw.record(raw.CCS, b"\x02")]):
        c.send(forged[:5] + struct.pack("!HI", 0, 1000 + n) + forged[11:] if len(forged) > 13 else forged)
    raw.fence(t, d)
    c.send(b"".join(c.final()))
    c.take_finish()
    c.alive()


@case("a ClientKeyExchange in tiny pieces, backwards and twice, is put together")
def _(t):
    d = serve(t)
    c = client(t, d)
    c.get_flight()
    flight = c.final()
    message = flight[0][13:]
    body, seq = message[12:], struct.unpack("!H", message[4:6])[0]
    pieces = [raw.record(raw.HANDSHAKE, raw.handshake(16, body, seq, at, 2), seq=1000 + at)
              for at in range(len(body))]
    for part in [flight[2], flight[1], *reversed(pieces), *pieces]:
        c.send(part)
    c.take_finish()
    c.alive()


@case("an alert from the client in mid-handshake ends it, with one line that names the alert")
def _(t):
    d = serve(t)
    c = client(t, d)
    c.get_flight()
    c.send(raw.alert(2, 48, seq=c.record_seq))
    d.expect(r"handshake failed: .*alert.*48|handshake failed: .*unknown.*")
    check_equal(d.counters()["handshake_failed"], 1, "failed")


@case("IPv6: the cookie exchange, a session and silence")
def _(t):
    d = serve(t, addresses=["[::1]:%d"])
    p = raw.Peer(t, d.address)
    p.send(b"\x16\xfe\xfd")
    c = client(t, d).connect()
    c.alive()
    c.close()
    check(not p.pending(), "an answer to a stub")
    try:
        p.receive(0.1)
    except Failed:
        return
    raise Failed("an answer to a stub")


if __name__ == "__main__":
    sys.exit(main(jobs=3))
