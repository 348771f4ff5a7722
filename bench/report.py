# SPDX-License-Identifier: BSD-2-Clause
"""Tables of what was measured, as text for a terminal or in Markdown for docs/PERFORMANCE.md."""
import argparse
import itertools
import os
import platform
import statistics


def writable(path):
    """A file of the command line. That it cannot be written is found before all is measured, and not after it."""
    try:
        with open(path, "a", encoding="utf-8"):
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from None


class Table:
    """The first column is text, and so are the next (text - 1); the others are numbers."""

    def __init__(self, titles, text=2):
        self.titles, self.text, self.lines = titles, text, []

    def add(self, *cells):
        self.lines.append([str(cell) for cell in cells] + [""] * (len(self.titles) - len(cells)))

    def plain(self):
        widths = [max(map(len, column)) for column in zip(self.titles, *self.lines)]
        for line in [self.titles, *self.lines]:
            yield "  ".join(cell.ljust(width) if i < self.text else cell.rjust(width)
                            for i, (cell, width) in enumerate(zip(line, widths))).rstrip()

    def markdown(self):
        yield "| " + " | ".join(self.titles) + " |"
        yield "|" + "---|" * self.text + "---:|" * (len(self.titles) - self.text)
        for line in self.lines:
            yield "| " + " | ".join("**dtlsd**" if cell == "dtlsd" else cell for cell in line) + " |"

    def print(self, markdown):
        print("\n".join(self.markdown() if markdown else self.plain()))


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "kernel": platform.release(), "processors": os.cpu_count()}


def costs(rows):
    table = Table(["ns of server CPU per operation", "server", "min", "median", "of base", "median", "busy"])
    for row in rows:
        figures = row.figures()
        limit = figures.get(row.limit.name) if row.limit else None
        titles = itertools.chain([row.title], itertools.repeat(""))
        for name, (least, median) in figures.items():
            ratios = ["", ""]
            if limit and name != row.limit.server and name != row.limit.name:
                ratios = [f"{least / limit[0]:.2f}", f"{median / limit[1]:.2f}"]
            busy = f"{row.busy(name):.2f}" if name in row.samples else ""
            lost = f" ({row.lost(name)} lost)" if name in row.samples and row.lost(name) else ""
            table.add(next(titles), name + lost, f"{least:.0f}", f"{median:.0f}", *ratios, busy)
        for name, why in row.missing.items():
            table.add(next(titles), f"{name}: {why}")
    return table


def middle(samples, key):
    return statistics.median(sample[key] for sample in samples)


def latencies(found):
    """found: the samples of each case."""
    table = Table(["latency of an echo of 64 bytes", "rate /s", "p50 us", "p99 us", "p99.9 us", "worst us",
                   "lost", "sent late"], 1)
    for name, samples in found.items():
        table.add(name, f"{samples[0]['rate']:.0f}",
                  *(f"{middle(samples, key) / 1000:.1f}" for key in ("p50", "p99", "p99_9")),
                  f"{max(sample['max'] for sample in samples) / 1000:.0f}", sum(s["lost"] for s in samples),
                  f"{middle(samples, 'late') * 100:.0f} %")
    return table


def memories(found):
    table = Table(["memory (VmRSS) of idle sessions", "sessions", "before kB", "with kB", "after kB",
                   "bytes a session"], 1)
    for name, result in found.items():
        if isinstance(result, str):
            table.add(f"{name}: {result}")
        else:
            table.add(name, result["sessions"], result["before_kb"], result["held_kb"], result["after_kb"],
                      f"{result['bytes_per_session']:.0f}")
    return table


def comparison(verdicts):
    table = Table(["operation", "before", "now", "of before", "median", "noise", "verdict"], 1)
    for v in verdicts:
        table.add(v.title, f"{v.before[0]:.0f}", f"{v.now[0]:.0f}", f"{v.ratio:.3f}", f"{v.ratio_median:.3f}",
                  f"{v.noise * 100:.1f} %", v.text)
    return table
