# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: one row for each kind of work, with the servers that do it, the limit of what the machine
can do, and the goals. Every round measures every server once, in turning order."""
import dataclasses
import statistics

from generator import Failed
from servers import FORWARDERS, PEERS

SIZES = (64, 512, 1200)
RUN = 8
KINDS = ("hello", "handshake", "resumed", "psk", "echo", "runs", "forward", "many", "scale", "latency", "memory")
WITH_PSK = ("openssl_echo", "gnutls_echo")  # the peers that are made to take pre-shared keys
WITH_TICKETS = (*WITH_PSK, "mbedtls_echo")


@dataclasses.dataclass
class Goal:
    subject: str  # a server
    base: str     # another one, or a limit
    at_most: float


@dataclasses.dataclass
class Limit:
    """A server's figure, another one's, a part's that is measured without one (see measure.parts), or their sum."""
    name: str
    server: str = ""
    part: str = ""
    also: str = ""


@dataclasses.dataclass
class Row:
    kind: str
    title: str
    work: object  # of a generator and a server
    servers: list
    limit: Limit = None
    goals: tuple = ()
    samples: dict = dataclasses.field(default_factory=dict)
    parts: list = dataclasses.field(default_factory=list)
    missing: dict = dataclasses.field(default_factory=dict)  # server: why there is no figure

    def measure(self, generator, running, parts, turn):
        if self.limit and self.limit.part:
            self.parts.append(parts[self.limit.part])
        for name in self.servers[turn % len(self.servers):] + self.servers[:turn % len(self.servers)]:
            if name in self.missing:
                continue
            try:
                self.samples.setdefault(name, []).append(self.work(generator, running[name]))
            except Failed as failure:
                self.missing[name] = str(failure)
                self.samples.pop(name, None)

    def values(self, name):
        return [sample["ns_per_unit"] for sample in self.samples.get(name, ())]

    def figures(self):
        """Least and median in ns by name, in the table's order: the limit, then the servers."""
        found = {}
        limit = self.limit
        for name in self.servers:
            if self.values(name):
                found[name] = (min(self.values(name)), statistics.median(self.values(name)))
        if limit and limit.name not in found and all(n in found for n in (limit.server, limit.also) if n):
            least, median = (sum(both) for both in zip(found.get(limit.server, (0, 0)), found.get(limit.also, (0, 0))))
            parts = self.parts or (0,)
            found[limit.name] = (least + min(parts), median + statistics.median(parts))
        first = [name for name in ((limit.server, limit.name) if limit else ()) if name in found]
        return {name: found[name] for name in (*dict.fromkeys(first), *(n for n in found if n not in first))}

    def lost(self, name):
        return sum(sample["lost"] for sample in self.samples.get(name, ()))

    def busy(self, name):
        return statistics.median(sample["busy"] for sample in self.samples[name])


def rows(scale):
    """All that are measured in CPU time. scale: the share of the operations to make."""
    def count(n):
        return max(int(n * scale), 100)

    # pion keeps state for every address that says hello, and does not answer its second one.
    yield Row("hello", "HelloVerifyRequest", lambda g, s: g.hello(s, count(100000)),
              ["bare_hmac", "dtlsd", *(p for p in PEERS if p != "pion_echo")],
              Limit("bare_hmac", "bare_hmac"), (Goal("dtlsd", "bare_hmac", 1.15),))
    yield Row("handshake", "full handshake", lambda g, s: g.handshake(s, count(1000)), ["dtlsd", *PEERS],
              Limit("in memory", part="full"), (Goal("dtlsd", "openssl_echo", 0.8),))
    yield Row("resumed", "resumed handshake (ticket)", lambda g, s: g.resumed(s, count(1000)),
              ["dtlsd", *WITH_TICKETS], Limit("in memory", part="resumed"))
    yield Row("psk", "PSK handshake", lambda g, s: g.psk(s, count(1000)), ["dtlsd", *WITH_PSK],
              Limit("in memory", part="psk"))
    for size in SIZES:
        yield Row("echo", f"echo, {size} bytes", lambda g, s, size=size: g.echo(s, size, count(100000)),
                  ["bare_udp", "dtlsd", *PEERS], Limit("bare_udp + AEAD", "bare_udp", str(size)),
                  (Goal("dtlsd", "bare_udp + AEAD", 1.15),))
    for size in SIZES:
        yield Row("runs", f"runs of {RUN}, {size} bytes",
                  lambda g, s, size=size: g.echo(s, size, count(200000), window=16 * RUN, in_one=RUN),
                  ["bare_udp --gro", "dtlsd"], Limit("bare_udp --gro + AEAD", "bare_udp --gro", str(size)),
                  (Goal("dtlsd", "bare_udp --gro + AEAD", 1.3),))
    for size in SIZES:
        yield Row("forward", f"to a UDP backend and back, {size} bytes",
                  lambda g, s, size=size: g.echo(s, size, count(100000)),
                  ["bare_udp", "dtlsd", "dtlsd --forward", *FORWARDERS],
                  Limit("dtlsd + bare_udp", "dtlsd", also="bare_udp"),
                  (Goal("dtlsd --forward", "dtlsd + bare_udp", 1.6),))
    yield Row("many", "echo, 64 bytes, 4000 sessions in turn",
              lambda g, s: g.echo(s, 64, count(100000), sessions=4000), ["bare_udp", "dtlsd"],
              Limit("bare_udp + AEAD", "bare_udp", "64"))
    two = ["dtlsd", "dtlsd --workers 2"]
    yield Row("scale", "two workers: echo, 64 bytes", lambda g, s: g.echo(s, 64, count(100000), window=256),
              two, Limit("dtlsd", "dtlsd"), (Goal(two[1], two[0], 1.1),))
    yield Row("scale", "two workers: full handshake", lambda g, s: g.handshake(s, count(1000)), two,
              Limit("dtlsd", "dtlsd"), (Goal(two[1], two[0], 1.1),))
