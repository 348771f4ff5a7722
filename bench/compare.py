# SPDX-License-Identifier: BSD-2-Clause
"""Two builds of dtlsd in the same rounds: is one of them dearer than the other?

Noise only adds, so the least of all rounds is compared. How far that can be trusted follows from the rounds
themselves: each build's least of the even rounds beside its least of the odd ones. A row that seems worse is
measured as often again before it is called so.
"""
import dataclasses

NOW, BEFORE = "dtlsd", "dtlsd before"
AT_MOST = 1.1
MEMORY = "bytes of an idle session"


@dataclasses.dataclass
class Verdict:
    title: str
    before: tuple  # least, median
    now: tuple
    noise: float

    @property
    def ratio(self):
        return self.now[0] / self.before[0]

    @property
    def ratio_median(self):
        return self.now[1] / self.before[1]

    @property
    def worse(self):
        return self.ratio > AT_MOST

    @property
    def text(self):
        if self.worse:
            return "WORSE"
        return "unsure" if self.noise > AT_MOST - 1 else "as good" if self.ratio > 1 / AT_MOST else "better"


def two_builds(rows):
    """The rows that dtlsd is in, with its two builds for servers."""
    for row in rows:
        if NOW in row.servers and row.kind not in ("scale", "forward"):
            yield dataclasses.replace(row, servers=[BEFORE, NOW], limit=None, goals=(), samples={},
                                      missing={})


def noise(values):
    if len(values) < 2:
        return 1.0
    even, odd = min(values[::2]), min(values[1::2])
    return max(even, odd) / min(even, odd) - 1


def verdict(row):
    figures = row.figures()
    if len(figures) < 2:
        return None
    return Verdict(row.title, figures[BEFORE], figures[NOW],
                   max(noise(row.values(BEFORE)), noise(row.values(NOW))))


def seem_worse(rows):
    return [row for row in rows if verdict(row) and verdict(row).worse]


def memory_verdict(memory):
    """None: one of them could not be measured."""
    if any(isinstance(found, str) for found in memory.values()):
        return None
    before, now = ((memory[name]["bytes_per_session"],) * 2 for name in (BEFORE, NOW))
    return Verdict(MEMORY, before, now, 0.0)
