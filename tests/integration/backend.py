# SPDX-License-Identifier: BSD-2-Clause
"""What stands behind a dtlsd that forwards: datagram servers of UDP and unix sockets, and the PROXY protocol."""

import collections
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import Failed, check, check_equal, free_port, need_ipv6, skip, udp_bound

Header = collections.namedtuple("Header", "family peer local tlvs ssl")

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, SSL, SSL_VERSION, SSL_CN, SSL_CIPHER, PSK_IDENTITY = 0x01, 0x02, 0x20, 0x21, 0x22, 0x23, 0xe0


def parse_tlvs(data):
    tlvs, at = {}, 0
    while at < len(data):
        kind, length = struct.unpack_from("!BH", data, at)
        check(at + 3 + length <= len(data), "a TLV is longer than the header")
        check(kind not in tlvs, f"TLV {kind:#x} comes twice")
        tlvs[kind] = data[at + 3:at + 3 + length]
        at += 3 + length
    return tlvs


def parse_proxy(datagram):
    """(Header, rest). ssl is (client bits, verify, TLVs)."""
    check_equal(datagram[:12], SIGNATURE, "the signature")
    check_equal(datagram[12], 0x21, "version and command")
    length = struct.unpack_from("!H", datagram, 14)[0]
    check(16 + length <= len(datagram), "the header is longer than the datagram")
    body, rest = datagram[16:16 + length], datagram[16 + length:]
    family, size = {0x12: (socket.AF_INET, 4), 0x22: (socket.AF_INET6, 16)}[datagram[13]]
    ports = struct.unpack_from("!HH", body, 2 * size)
    peer = (socket.inet_ntop(family, body[:size]), ports[0])
    local = (socket.inet_ntop(family, body[size:2 * size]), ports[1])
    tlvs = parse_tlvs(body[2 * size + 4:])
    ssl = tlvs.pop(SSL)
    return Header(family, peer, local, tlvs, (ssl[0], struct.unpack_from("!I", ssl, 1)[0], parse_tlvs(ssl[5:]))), rest


def named(t, hosts):
    """A wrapper in which names are those of a file; where that is not permitted the case is skipped."""
    path = t.file("hosts", hosts)
    # the name must not be asked of anybody else
    switch = t.file("nsswitch.conf", "hosts: files\n")
    wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c",
               'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"', path, switch]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        skip("no mount namespaces")
    return wrapper


class Backend:
    """A server; answer(data) gives the datagrams to answer with. echo is the default, None is silence."""

    def __init__(self, t, where="127.0.0.1", answer=lambda data: [data], port=None):
        if ":" in where:
            need_ipv6()
        self.t, self.answer = t, answer
        self.changed = threading.Condition()
        self.got = []  # (source, data)
        self.unix = where == "unix"
        self.family = socket.AF_UNIX if self.unix else socket.AF_INET6 if ":" in where else socket.AF_INET
        self.address = tempfile.mktemp(prefix="backend-", dir=t.dir()) if self.unix else (where, port or free_port())
        self.socket = None
        self.start()
        t.closing(self)

    @property
    def name(self):
        """As --forward wants it."""
        if self.unix:
            return f"unix:{self.address}"
        return f"[{self.address[0]}]:{self.address[1]}" if ":" in self.address[0] else "%s:%d" % self.address

    def start(self):
        self.socket = socket.socket(self.family, socket.SOCK_DGRAM)
        if not self.unix:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(self.address)
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, args=(self.socket,), daemon=True)
        self.thread.start()

    def _serve(self, own):
        while True:
            data, source = own.recvfrom(65536)
            if self.stopping:
                return
            with self.changed:
                self.got.append((source, data))
                self.changed.notify_all()
            for piece in self.answer(data) if self.answer else []:
                try:
                    own.sendto(piece, source)
                except ConnectionRefusedError:  # the session is over
                    pass

    def close(self):
        if self.socket is None:
            return
        self.stopping = True
        with socket.socket(self.family, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.address)
        self.thread.join(10)
        self.socket.close()
        self.socket = None
        if self.unix:
            os.unlink(self.address)

    def _bound(self):
        if not self.unix:
            return udp_bound(self.address[1], self.address[0])
        with open("/proc/net/unix", encoding="utf-8", errors="backslashreplace") as f:
            return self.address in f.read()

    def stop(self):
        """As if it had died. A program that another case is just starting has the socket, too, until it is one."""
        self.close()
        while self._bound():
            check(time.monotonic() < self.t.deadline, "the backend's socket stays")
            time.sleep(0.01)

    def say(self, source, data):
        """Unasked."""
        self.socket.sendto(data, source)

    def take(self, count=1, timeout=None):
        """The next datagrams that came: a list of (source, data)."""
        deadline = self.t.until(timeout)
        with self.changed:
            while len(self.got) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"the backend got {len(self.got)} datagrams, not {count}")
                self.changed.wait(left)
            taken, self.got = self.got[:count], self.got[count:]
        return taken

    def sources(self):
        with self.changed:
            return {source for source, _ in self.got}
