# SPDX-License-Identifier: BSD-2-Clause
"""A UDP relay between a real client and the daemon that can lose, copy, delay, reorder, damage and cut.

The policy is a function (direction, number, datagram) -> what to send: a list of datagrams or of (delay in
seconds, datagram). Direction is "up" (to the daemon) or "down"; number counts from 0 in each direction.
The daemon sees one peer, the relay's upper socket, however often the client behind it is replaced; until the
policy calls rebind. path makes a policy of a weather and a seed.
"""

import contextlib
import heapq
import itertools
import random
import socket
import threading
import time

from harness import readable, udp_socket


IP_UDP = 28


def passing(_direction, _number, datagram):
    return [datagram]


def path(loss=0.0, double=0.0, late=0.0, damage=0.0, delay=0.0, mtu=65535, silent=None, moves=None):
    """What makes policies from seeds. Shares of 1: datagrams lost, doubled, late by up to 80 ms, with one bit wrong.
    delay: of all, in seconds; mtu: larger IP packets vanish; silent: (direction, seconds) of silence after the first
    datagram that way; moves: before which datagram up the device in the middle takes another port."""
    def weather(seed):
        dice = {d: random.Random(f"{seed} {d}") for d in ("up", "down")}
        begun = []

        def policy(direction, number, datagram):
            r = dice[direction]
            # always as many draws for a datagram, whatever becomes of it
            lost, twice, slow, broken, where, bit, lag = (r.random() for _ in range(7))
            now = time.monotonic()
            begun.append(now)
            if direction == "up" and number == moves:
                policy.relay.rebind()
            if silent and direction == silent[0] and number > 0 and now - begun[0] < silent[1]:
                return []
            if len(datagram) + IP_UDP > mtu or lost < loss:
                return []
            if broken < damage:
                damaged = bytearray(datagram)
                damaged[int(where * len(damaged))] ^= 1 << int(bit * 8)
                datagram = bytes(damaged)
            return [(delay + (lag * 0.08 if slow < late else 0), datagram)] * (2 if twice < double else 1)
        return policy
    return weather


class Relay:
    def __init__(self, t, d, policy=passing):
        self.policy = policy
        with contextlib.suppress(AttributeError):  # a policy may be any callable
            policy.relay = self
        self.host = "127.0.0.1"
        self.lower = udp_socket(self.host)
        self.port = self.lower.getsockname()[1]
        self.upper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.upper.connect(d.address)
        self.client = None
        self.count = {"up": 0, "down": 0}
        self.seen = {"up": [], "down": []}
        self.error = None
        self.later = []
        self.order = itertools.count()
        self.stopping = False
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self._turn, daemon=True)
        t.closing(self)
        self.thread.start()

    def _out(self, direction, datagram):
        try:
            if direction == "up":
                self.upper.send(datagram)
            elif self.client:
                self.lower.sendto(datagram, self.client)
        except OSError:
            pass  # a refused port: as lost as on a real network

    def rebind(self):
        """The device in the middle forgets the client's port and takes another one; for policies."""
        old, self.upper = self.upper, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.upper.connect(old.getpeername())
        old.close()

    def inject(self, direction, datagram):
        self._out(direction, datagram)

    def _take(self, direction, datagram):
        number = self.count[direction]
        self.count[direction] += 1
        self.seen[direction].append(datagram)
        for what in self.policy(direction, number, datagram):
            delay, data = what if isinstance(what, tuple) else (0, what)
            if delay > 0:
                heapq.heappush(self.later, (time.monotonic() + delay, next(self.order), direction, data))
            else:
                self._out(direction, data)

    def _turn(self):
        try:
            while not self.stopping:
                wait = None
                if self.later:
                    wait = max(0, self.later[0][0] - time.monotonic())
                ready = readable([self.lower, self.upper, self.woken], wait)
                if self.lower in ready:
                    datagram, self.client = self.lower.recvfrom(65536)
                    self._take("up", datagram)
                if self.upper in ready:
                    try:
                        datagram = self.upper.recv(65536)
                    except OSError:
                        continue
                    self._take("down", datagram)
                while self.later and self.later[0][0] <= time.monotonic():
                    _, _, direction, datagram = heapq.heappop(self.later)
                    self._out(direction, datagram)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def close(self):
        self.stopping = True
        self.wake.send(b"x")
        self.thread.join(5)
        for s in (self.lower, self.upper, self.wake, self.woken):
            s.close()
        if self.error:
            raise self.error
