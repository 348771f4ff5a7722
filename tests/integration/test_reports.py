#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What dtlsbench reports of real runs, read by what people read it with, and what bench/plot draws from it."""

import csv
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import certs
from harness import DTLSBENCH, TOP, case, check, check_equal, main

BENCH = os.path.join(TOP, "bench")
PLOT = os.path.join(BENCH, "plot")
ALL_ANSWERED, FAILED = 0, 1
SVG = "{http://www.w3.org/2000/svg}"
PERCENTILES = ["min_ns", "p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns"]


def bench(t, mode, *arguments):
    """A run against a dtlsd of its own: (exit status, standard output, standard error)."""
    server = t.daemon("--handler", "echo", "--x509certfile", certs.file("server.pem"),
                      "--x509keyfile", certs.file("server-key.pem"))
    done = subprocess.run([DTLSBENCH, "--insecure", "--server-pid", str(server.pid), *map(str, arguments), mode,
                           f"127.0.0.1:{server.port}"],
                          capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def path_in(t, name):
    return os.path.join(t.dir(), name)


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def picture(text):
    """The root of a picture, in which all numbers are numbers."""
    root = xml.etree.ElementTree.fromstring(text)
    check_equal(root.tag, SVG + "svg", "root element")
    check(not re.search(r"\b(nan|inf)\b", text), "a coordinate is not a number")
    return root


def texts(root):
    return [element.text for element in root.iter(SVG + "text")]


@case("JSON, CSV, picture and table tell of the same run")
def _(t):
    files = {kind: path_in(t, f"run.{kind}") for kind in ("json", "csv", "svg")}
    status, table, _ = bench(t, "latency", "--sessions", 4, "--rate", 500, "--count", 200,
                             *[word for kind, path in files.items() for word in (f"--{kind}", path)])
    check_equal(status, ALL_ANSWERED, "exit status")

    run = json.loads(read(files["json"]))
    check_equal((run["program"], run["mode"]), ("dtlsbench", "latency"), "program and mode")
    check_equal(run["parameters"]["sessions"], 4, "sessions")
    check(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["began"]), run["began"])
    check_equal(sorted(run["units"]), sorted(run["results"]), "names of units and results")
    check_equal(run["results"]["records"], 200, "records")
    check(run["results"]["server_cpu_per_record"] > 0, "the server's CPU time is missing")
    echo = run["histograms"]["echo"]
    check_equal(echo["count"], 200, "count of the histogram")
    check_equal(sum(count for _, _, count in echo["buckets"]), 200, "sum of its buckets")
    check_equal([echo[name] for name in PERCENTILES], sorted(echo[name] for name in PERCENTILES), "percentiles")

    header, line = csv.reader(read(files["csv"]).splitlines())
    fields = dict(zip(header, line, strict=True))
    check_equal(len(fields), len(header), "different names")
    check_equal(fields["echo_p99_ns"], str(echo["p99_ns"]), "p99 in CSV")
    for name, value in run["results"].items():
        check_equal(fields[name] and float(fields[name]), "" if value is None else value, f"{name} in CSV")

    root = picture(read(files["svg"]))
    check_equal(len(list(root.iter(SVG + "path"))), len(run["histograms"]), "curves")
    check("echo" in texts(root), "the curve has no name")

    check(re.search(r"^records +200$", table, re.M), table)
    check(re.search(r"^echo +200 ", table, re.M), table)


@case("what goes to standard output is data only, and there is no progress but on a terminal")
def _(t):
    status, out, err = bench(t, "handshake", "--count", 20, "--sessions", 10, "--json", "-")
    check_equal(status, ALL_ANSWERED, "exit status")
    check_equal(json.loads(out)["results"]["handshakes"], 20, "handshakes")
    check("\r" not in err, f"progress in {err!r}")
    _, out, err = bench(t, "handshake", "--count", 20, "--sessions", 10, "--csv", "-", "--quiet")
    check_equal(len(list(csv.reader(out.splitlines()))), 2, "lines of CSV")
    check_equal(err, "", "standard error of a quiet run")


@case("a report that cannot be written is a failure")
def _(t):
    status, _, err = bench(t, "hello", "--count", 10, "--json", path_in(t, "missing/run.json"))
    check_equal(status, FAILED, "exit status")
    check(re.search(r"missing/run\.json: No such file", err), err)


@case("bench/plot draws several runs over one of their parameters")
def _(t):
    runs = []
    for sessions in (10, 100):
        runs.append(path_in(t, f"{sessions}.json"))
        bench(t, "echo", "--sessions", sessions, "--count", 500, "--json", runs[-1])
    for more in ([], ["--relative"]):
        done = subprocess.run([sys.executable, PLOT, "--show", "server_cpu_per_record", "--show", "seconds",
                               "--title", "<growth> & more", *more, *runs],
                              capture_output=True, text=True, check=False, timeout=60)
        check_equal((done.returncode, done.stderr), (0, ""), "exit status and complaints")
        root = picture(done.stdout)
        check_equal(len(list(root.iter(SVG + "polyline"))), 2, "curves")
        check_equal(len(list(root.iter(SVG + "circle"))), 4, "points")
        check({"<growth> & more", "sessions", "server cpu per record"} <= set(texts(root)), str(texts(root)))


@case("bench/plot draws a table, and says what is not in it")
def _(t):
    table = t.file("growth.csv", "sessions,cpu,memory\n1000,3.5,\n1000000,4.25,390\n10000,3.5,400\n")
    done = subprocess.run([sys.executable, PLOT, "--show", "cpu", "--show", "memory", "--relative", table],
                          capture_output=True, text=True, check=True, timeout=60)
    lines = [line.get("points").split() for line in picture(done.stdout).iter(SVG + "polyline")]
    check_equal([len(line) for line in lines], [3, 2], "points of the curves")
    left = [float(point.split(",")[0]) for point in lines[0]]
    check_equal(left, sorted(left), "order of the points")
    heights = [float(point.split(",")[1]) for point in lines[0]]
    check(heights[0] == heights[1] > heights[2], f"3.5, 3.5 and 4.25 are at {heights}")
    for arguments, complaint in ((["--show", "cpu_time"], "no run has both sessions and cpu_time"),
                                 (["--show", "cpu", "--over", "size"], "no run has both size and cpu")):
        done = subprocess.run([sys.executable, PLOT, *arguments, table], capture_output=True, text=True,
                              check=False, timeout=60)
        check(done.returncode == 1 and complaint in done.stderr, done.stderr)


def of_bench(t, name):
    """One of its programs as a module."""
    sys.path.insert(0, BENCH)
    t.stack.callback(sys.path.remove, BENCH)
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


@case("bench/run: memory that could not be measured is a goal missed, and no verdict of a comparison")
def _(t):
    run = of_bench(t, "run")
    check_equal(list(run.goals([], None, {"dtlsd": "no answer"})),
                [("memory of an idle session: no answer", False)], "goals")
    good = {"bytes_per_session": 300}
    check_equal(run.compare.memory_verdict({"dtlsd": "no answer", "dtlsd before": good}), None, "verdict")
    check_equal(run.compare.memory_verdict({"dtlsd": good, "dtlsd before": good}).text, "as good", "verdict")


if __name__ == "__main__":
    sys.exit(main())
