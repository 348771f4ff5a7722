# SPDX-License-Identifier: BSD-2-Clause
"""DTLS 1.2 by hand (RFC 6347, RFC 5246, RFC 4279): datagrams of any shape, and a whole PSK client whose every
step a test can take, skip, repeat or bend. The AEAD comes from OpenSSL's libcrypto, not from what dtlsd uses.
"""

import contextlib
import ctypes
import hashlib
import hmac
import os
import socket
import struct
import time
from collections import namedtuple

from harness import Failed, check, check_equal, readable, skip

V10, V12 = 0xFEFF, 0xFEFD
CCS, ALERT, HANDSHAKE, DATA, CID = 20, 21, 22, 23, 25
CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY, NEW_TICKET = 1, 2, 3, 4
CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, CLIENT_KEY_EXCHANGE, FINISHED = 11, 12, 14, 16, 20
CLOSE_NOTIFY, NO_RENEGOTIATION, PROTOCOL_VERSION = 0, 100, 70
PSK_AES128_GCM = 0x00A8

Record = namedtuple("Record", "type version epoch seq body")
Message = namedtuple("Message", "type length seq offset body")


# ---- building --------------------------------------------------------------------------------------------


def record(kind, body, epoch=0, seq=0, version=V12, length=None):
    head = struct.pack("!BHHHI", kind, version, epoch, seq >> 32, seq & 0xFFFFFFFF)
    return head + struct.pack("!H", len(body) if length is None else length) + body


def u24(n):
    return struct.pack("!I", n)[1:]


def handshake(kind, body, seq=0, offset=0, length=None, total=None):
    """A handshake message, or the piece [offset, offset + length) of it."""
    piece = body[offset:] if length is None else body[offset:offset + length]
    return (bytes([kind]) + u24(len(body) if total is None else total) + struct.pack("!H", seq)
            + u24(offset) + u24(len(piece)) + piece)


def alert(level, description, **where):
    return record(ALERT, bytes([level, description]), **where)


def vector(data, size=2):
    return len(data).to_bytes(size, "big") + data


def extension(number, body):
    return struct.pack("!H", number) + vector(body)


EXTENSIONS = (extension(10, vector(struct.pack("!HH", 29, 23))) + extension(11, vector(b"\0", 1))
              + extension(13, vector(struct.pack("!HH", 0x0403, 0x0401))) + extension(0xFF01, b"\0"))


def hello_body(random, cookie=b"", session_id=b"", suites=(PSK_AES128_GCM,), version=V12,
               extensions=EXTENSIONS):
    return (struct.pack("!H", version) + random + vector(session_id, 1) + vector(cookie, 1)
            + vector(b"".join(struct.pack("!H", s) for s in suites)) + b"\x01\x00" + vector(extensions))


def hello(random, cookie=b"", record_seq=0, message_seq=0, record_version=V10, **fields):
    """A whole ClientHello in one record."""
    body = hello_body(random, cookie, **fields)
    message = handshake(CLIENT_HELLO, body, message_seq)
    return record(HANDSHAKE, message, seq=record_seq, version=record_version)


# ---- reading ---------------------------------------------------------------------------------------------


def records(datagram):
    """The records of a datagram, which they must fill exactly."""
    out, at = [], 0
    while at < len(datagram):
        check(len(datagram) - at >= 13, f"a record header is cut off: {datagram[at:].hex()}")
        kind, version, epoch, high, low, length = struct.unpack_from("!BHHHIH", datagram, at)
        body = datagram[at + 13:at + 13 + length]
        check(len(body) == length, "a record is cut off")
        out.append(Record(kind, version, epoch, high << 32 | low, body))
        at += 13 + length
    return out


def messages(body):
    """The handshake messages (or pieces) in the body of a record."""
    out, at = [], 0
    while at < len(body):
        length = int.from_bytes(body[at + 1:at + 4], "big")
        offset, size = int.from_bytes(body[at + 6:at + 9], "big"), int.from_bytes(body[at + 9:at + 12], "big")
        out.append(Message(body[at], length, int.from_bytes(body[at + 4:at + 6], "big"), offset,
                           body[at + 12:at + 12 + size]))
        at += 12 + size
    return out


def verify_request(datagram):
    """(record, message, cookie) of a HelloVerifyRequest; fails for anything else."""
    rs = records(datagram)
    check(len(rs) == 1 and rs[0].type == HANDSHAKE and rs[0].epoch == 0, f"not one handshake record: {rs}")
    ms = messages(rs[0].body)
    check(len(ms) == 1 and ms[0].type == HELLO_VERIFY, f"not a HelloVerifyRequest: {ms}")
    body = ms[0].body
    check_equal(len(body), 3 + body[2], "length of the HelloVerifyRequest")
    return rs[0], ms[0], body[3:]


def is_verify_request(datagram):
    return len(datagram) > 13 and datagram[0] == HANDSHAKE and datagram[13] == HELLO_VERIFY


class Peer:
    """A UDP socket that talks to the daemon and keeps account of the bytes each way."""

    def __init__(self, t, server, source=None):
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.t, self.server = t, server
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        t.closing(self.sock)
        if source:
            self.sock.bind(source)
        self.sock.connect(server)
        self.sent = self.received = 0

    @property
    def address(self):
        return self.sock.getsockname()[:2]

    def send(self, datagram):
        self.sock.send(datagram)
        self.sent += len(datagram)

    def receive(self, timeout=None):
        left = max(0.0, self.t.until(timeout) - time.monotonic())
        if not readable([self.sock], left):
            raise Failed("no answer")
        datagram = self.sock.recv(65536)
        self.received += len(datagram)
        return datagram

    def pending(self):
        """What has arrived by now."""
        out = []
        while readable([self.sock], 0):
            out.append(self.sock.recv(65536))
            self.received += len(out[-1])
        return out


def fence(t, d):
    """Returns when the daemon (of one worker) has handled all that was sent before: a hello, answered."""
    p = Peer(t, d.address)
    try:
        p.send(hello(os.urandom(32)))
        verify_request(p.receive())
    finally:
        p.sock.close()


def cookie_for(p, random, record_seq=0, message_seq=0, **fields):
    """Asks for a cookie and returns it."""
    p.send(hello(random, record_seq=record_seq, message_seq=message_seq, **fields))
    return verify_request(p.receive())[2]


# ---- cryptography ----------------------------------------------------------------------------------------


class Libcrypto:
    """AES-128-GCM through OpenSSL."""

    lib = None

    @classmethod
    def load(cls):
        if cls.lib:
            return cls.lib
        try:
            lib = ctypes.CDLL("libcrypto.so.3")
        except OSError:
            skip("no libcrypto.so.3")
        pointer = ctypes.c_void_p
        lib.EVP_CIPHER_CTX_new.restype = pointer
        lib.EVP_aes_128_gcm.restype = pointer
        for name in ("EVP_CIPHER_CTX_free", "EVP_EncryptInit_ex", "EVP_EncryptUpdate", "EVP_EncryptFinal_ex",
                     "EVP_DecryptInit_ex", "EVP_DecryptUpdate", "EVP_DecryptFinal_ex", "EVP_CIPHER_CTX_ctrl"):
            getattr(lib, name).argtypes = {
                "EVP_CIPHER_CTX_free": [pointer],
                "EVP_CIPHER_CTX_ctrl": [pointer, ctypes.c_int, ctypes.c_int, pointer],
            }.get(name, [pointer] * 5 if "Init" in name else
                  [pointer, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)]
                  + ([ctypes.c_char_p, ctypes.c_int] if "Update" in name else []))
        cls.lib = lib
        return lib

    @classmethod
    def gcm(cls, encrypt, key, nonce, aad, data, tag=None):
        """The sealed data with its tag, or the opened data; None when it is not authentic."""
        lib = cls.load()
        way = "Encrypt" if encrypt else "Decrypt"
        init, update, final = (getattr(lib, f"EVP_{way}{step}") for step in ("Init_ex", "Update", "Final_ex"))
        ctx = lib.EVP_CIPHER_CTX_new()
        out = ctypes.create_string_buffer(len(data) + 16)
        n = ctypes.c_int(0)
        try:
            init(ctx, lib.EVP_aes_128_gcm(), None, key, nonce)
            update(ctx, None, ctypes.byref(n), aad, len(aad))
            update(ctx, out, ctypes.byref(n), data, len(data))
            done = out.raw[:len(data)]
            mac = ctypes.create_string_buffer(tag or bytes(16), 16)
            if not encrypt:
                lib.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, mac)
            good = final(ctx, out, ctypes.byref(n)) == 1
            if not encrypt:
                return done if good else None
            lib.EVP_CIPHER_CTX_ctrl(ctx, 0x10, 16, mac)
            return done + mac.raw
        finally:
            lib.EVP_CIPHER_CTX_free(ctx)


def prf(secret, label, seed, size):
    """TLS 1.2's PRF with SHA-256 (RFC 5246 5)."""
    seed, out, a = label + seed, b"", label + seed
    while len(out) < size:
        a = hmac.new(secret, a, hashlib.sha256).digest()
        out += hmac.new(secret, a + seed, hashlib.sha256).digest()
    return out[:size]


class Keys:
    """One direction's protection of records: AES-128-GCM."""

    def __init__(self, key, salt):
        self.key, self.salt = key, salt

    @staticmethod
    def _aad(kind, epoch, seq, length):
        return struct.pack("!HHIBHH", epoch, seq >> 32, seq & 0xFFFFFFFF, kind, V12, length)

    def seal(self, kind, data, epoch, seq):
        explicit = struct.pack("!HHI", epoch, seq >> 32, seq & 0xFFFFFFFF)
        aad = self._aad(kind, epoch, seq, len(data))
        sealed = Libcrypto.gcm(True, self.key, self.salt + explicit, aad, data)
        return record(kind, explicit + sealed, epoch, seq)

    def open(self, r):
        """The plaintext of a Record; None when it is not authentic."""
        explicit, data, tag = r.body[:8], r.body[8:-16], r.body[-16:]
        return Libcrypto.gcm(False, self.key, self.salt + explicit,
                             self._aad(r.type, r.epoch, r.seq, len(data)), data, tag)


# ---- a client --------------------------------------------------------------------------------------------


class Client(Peer):
    """A PSK client with AES-128-GCM. connect() does all; the steps can be taken one by one."""

    def __init__(self, t, server, psk, source=None):
        super().__init__(t, server, source)
        self.identity, self.psk = psk[0].encode(), bytes.fromhex(psk[1])
        self.begin()

    def begin(self):
        """A new handshake, as after a restart, on the same port."""
        Libcrypto.load()
        self.random = os.urandom(32)
        self.record_seq = self.message_seq = 0
        self.transcript = b""
        self.cookie = b""
        self.server_messages = {}
        self.final_flight = []     # the server's last datagrams
        self.last_flight = []      # our last datagrams
        self.write = self.read = None
        self.epoch_seq = 0
        self.inbox = []            # (type, plaintext) of protected records
        self.repeated = None       # what it has asked more than once, perhaps
        self.server_verified = False
        self.finished = b""        # our Finished message

    # sending

    def plain(self, kind, body, version=V12):
        r = record(kind, body, 0, self.record_seq, version)
        self.record_seq += 1
        return r

    def message(self, kind, body, pieces=None, version=V12):
        """Records with a handshake message, in pieces of some size; it goes into the transcript."""
        self.transcript += handshake(kind, body, self.message_seq)
        size = pieces or max(1, len(body))
        out = [self.plain(HANDSHAKE, handshake(kind, body, self.message_seq, at, size), version)
               for at in range(0, max(1, len(body)), size)]
        self.message_seq += 1
        return out

    def seal(self, kind, data, seq=None):
        if seq is None:
            seq = self.epoch_seq
            self.epoch_seq += 1
        return self.write.seal(kind, data, 1, seq)

    def say(self, text):
        self.send(self.seal(DATA, text if isinstance(text, bytes) else text.encode()))

    # the handshake

    def get_cookie(self):
        """Sends hellos until there is a cookie that it has not tried."""
        self.transcript = b""
        self.send(self.message(CLIENT_HELLO, hello_body(self.random, self.cookie), version=V10)[0])
        self.cookie = verify_request(self.receive())[2]
        self.transcript = b""

    def hello_with_cookie(self, pieces=None):
        return self.message(CLIENT_HELLO, hello_body(self.random, self.cookie), pieces)

    def get_flight(self):
        """All up to the server's first flight. The hello that it answers."""
        self.get_cookie()
        hello = self.hello_with_cookie()[0]
        self.send(hello)
        self.take_flight(SERVER_HELLO_DONE)
        return hello

    def take_flight(self, until):
        """Reads the server's plaintext flight until the message of a type is complete."""
        while until not in self.server_messages:
            datagram = self.receive()
            for r in records(datagram):
                check(r.epoch == 0, "a protected record in the server's first flight")
                check(r.type != ALERT, f"an alert instead of the server's flight: {r.body.hex()}")
                for m in messages(r.body):
                    check(m.offset == 0 and len(m.body) == m.length, "the server's message is in pieces")
                    if m.type not in self.server_messages:
                        self.server_messages[m.type] = m
                        self.transcript += handshake(m.type, m.body, m.seq)

    def derive(self):
        server_random = self.server_messages[SERVER_HELLO].body[2:34]
        zeros = bytes(len(self.psk))
        self.master = prf(vector(zeros) + vector(self.psk), b"master secret", self.random + server_random, 48)
        block = prf(self.master, b"key expansion", server_random + self.random, 40)
        self.write, self.read = Keys(block[:16], block[32:36]), Keys(block[16:32], block[36:40])

    def final(self):
        """Our last flight, a list of records: ClientKeyExchange, ChangeCipherSpec, Finished."""
        out = self.message(CLIENT_KEY_EXCHANGE, vector(self.identity))
        self.derive()
        out.append(self.plain(CCS, b"\x01"))
        verify = prf(self.master, b"client finished", hashlib.sha256(self.transcript).digest(), 12)
        self.finished = handshake(FINISHED, verify, self.message_seq)
        self.transcript += self.finished
        self.message_seq += 1
        out.append(self.seal(HANDSHAKE, self.finished))
        return out

    def take_finish(self):
        """Reads the server's ChangeCipherSpec and Finished and checks the latter."""
        while not self.server_verified:
            datagram = self.receive()
            self.final_flight.append(datagram)
            self.digest(datagram)

    def digest(self, datagram):
        for r in records(datagram):
            if r.epoch == 0:
                check(r.type != ALERT, f"an alert in the handshake: {r.body.hex()}")
                continue
            plain = self.read.open(r)
            check(plain is not None, f"a record from the server is not authentic: {r}")
            if r.type == HANDSHAKE and not self.server_verified:
                want = prf(self.master, b"server finished", hashlib.sha256(self.transcript).digest(), 12)
                check_equal(messages(plain)[0].body, want, "the server's Finished")
                self.server_verified = True
            else:
                self.inbox.append((r.type, plain))

    def await_service(self):
        """Says hello until there is an answer: a listener that changes hands drops what comes meanwhile. The worker
        may have given the first answer before it heard of the change, and not the second."""
        for _ in range(2):
            while True:
                self.send(hello(bytes(32)))
                if readable([self.sock], 1):
                    break
                check(time.monotonic() < self.t.deadline, "nobody answers")
            self.pending()
        return self

    def connect(self):
        self.get_cookie()
        self.finish_handshake()
        return self

    def finish_handshake(self):
        self.send_handshake()
        self.take_finish()

    def send_handshake(self):
        """All that is ours from the cookie on, whatever the server makes of the last of it."""
        self.send(self.hello_with_cookie()[0])
        self.take_flight(SERVER_HELLO_DONE)
        self.last_flight = self.final()
        self.send(b"".join(self.last_flight))

    # afterwards

    def next(self, timeout=None):
        """(type, plaintext) of the next protected record."""
        while True:
            while not self.inbox:
                self.digest(self.receive(timeout))
            kind, data = self.inbox.pop(0)
            if data != self.repeated:
                return kind, data

    def answer(self, timeout=None):
        """What the next record says."""
        kind, data = self.next(timeout)
        check_equal(kind, DATA, "the record's type")
        return data

    def keep_asking(self, text):
        """Until it is echoed: what is lost meanwhile is lost. Echoes that come later than that are passed over."""
        self.repeated = None
        while self.repeated is None:
            self.say(text)
            with contextlib.suppress(Failed):
                check_equal(self.answer(0.2), text, "the echo")
                self.repeated = text
            check(time.monotonic() < self.t.deadline, "no answer")

    def ask(self, text, answer):
        self.say(text)
        kind, plain = self.next()
        check_equal((kind, plain), (DATA, answer if isinstance(answer, bytes) else answer.encode()),
                    f"answer to {text!r}")

    def alive(self):
        """The session serves."""
        self.ask("ping", "pong\n")

    def close(self):
        """close_notify, answered in kind."""
        self.send(self.seal(ALERT, bytes([1, CLOSE_NOTIFY])))
        check_equal(self.next(), (ALERT, bytes([1, CLOSE_NOTIFY])), "answer to close_notify")
