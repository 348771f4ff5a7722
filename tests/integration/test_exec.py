#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The handler exec: processes of the operator's answer, one for each session or one for all of a service."""

import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import certs
import clients
import dtlsraw as raw
from harness import DTLSD, TOP, case, check, check_equal, free_port, main, readable, skip, skip_under_sanitizers

KV = os.path.join(TOP, "examples", "kv.py")
CHAT = os.path.join(TOP, "examples", "chat.py")

ECHO = """
import os
while True:
    data = os.read(0, 20000)
    if not data:
        break
    os.write(1, data)
"""

# one process for all: echoes, with its process ID; ends or floods on demand
ALL = """
import os, struct
HEAD = struct.Struct("!BBHQ")


def next_of(session):
    data = b""
    while HEAD.unpack_from(data.ljust(12, b"\\0"))[3] != session:
        data = os.read(0, 20000)
    return data


while True:
    data = os.read(0, 20000)
    if not data:
        break
    version, kind, zero, session = HEAD.unpack_from(data)
    text = data[12:]
    if kind != ord("d"):
        continue
    if text == b"crash":
        os.kill(os.getpid(), 9)
    if text == b"ask":
        os.write(1, HEAD.pack(1, ord("a"), 0, session))
        text = next_of(session)[12:].split(b"\\0")[1]
    if text == b"close":
        os.write(1, HEAD.pack(1, ord("c"), 0, session))
    if text == b"nonsense":
        os.write(1, b"what is this")
        os.write(1, HEAD.pack(1, ord("d"), 0, 255 << 56))
        os.write(1, HEAD.pack(1, ord("d"), 0, session ^ 1 << 31) + b"for nobody")
        text = next_of(session ^ 1 << 31)[1:2]
    os.write(1, data[:12] + b"%d %s" % (os.getpid(), text))
"""


def program(t, name, text):
    """A handler in a file of its own; what it is told is /usr/bin/python3."""
    path = t.file(name, "#!" + sys.executable + "\n" + text)
    os.chmod(path, 0o755)
    return path


def serve(t, command, *options, **settings):
    return t.daemon(*certs.psk_options(), "--command", command, *options, **settings)


def client(t, d):
    return raw.Client(t, d.address, certs.psk()).connect()


def ask(c, data, timeout=None):
    c.say(data)
    return c.answer(timeout)


def await_closed(c):
    kind, data = c.next()
    check_equal((kind, data), (raw.ALERT, bytes([1, 0])), "what comes instead of data")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_gone(t, pid):
    while os.path.exists(f"/proc/{pid}"):
        check(time.monotonic() < t.deadline, f"process {pid} is still there, be it as a zombie")
        time.sleep(0.02)


def newcomer(t, d):
    """A client of a service that has just been given another handler."""
    return raw.Client(t, d.address, certs.psk()).await_service().connect()


def keep_asking_anew(t, d, data):
    """Until a session has a process."""
    while True:
        c = client(t, d)
        c.say(data)
        kind, got = c.next()
        c.sock.close()
        if kind == raw.DATA:
            return got
        check(time.monotonic() < t.deadline, "no session has a process")
        time.sleep(0.02)


# ---- a process for each session -------------------------------------------------------------------------


@case("a session has a process of its own, and records keep their boundaries both ways")
def _(t):
    d = serve(t, program(t, "echo", ECHO))
    a, b = client(t, d), client(t, d)
    for size in (1, 2, 100, 1200, 9000, 16384):
        data = os.urandom(size)
        check_equal(ask(a, data), data, f"the echo of {size} bytes")
    check_equal(ask(b, b"me too"), b"me too", "the other's echo")
    counters = d.counters()
    check_equal(counters["exec_started"], 2, "exec_started")


@case("the environment says who the client is, and holds nothing else")
def _(t):
    path = program(t, "env", "import os\nos.read(0, 100)\n"
                   "os.write(1, '\\n'.join(f'{k}={v}' for k, v in os.environ.items()).encode())\nos.read(0, 1)\n")
    d = serve(t, path, "--exec-environment", 'COLOUR="deep blue" HOME NOT_THERE', env={"HOME": "/home/x",
                                                                                   "SECRET": "s"})
    c = client(t, d)
    got = dict(line.split("=", 1) for line in ask(c, b"tell").decode().splitlines())
    session = got.pop("DTLSD_SESSION")
    check(re.fullmatch("[0-9a-f]{16}", session), f"DTLSD_SESSION {session}")
    got.pop("LC_CTYPE", None)  # python's own
    host, port = c.address
    check_equal(got, {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "COLOUR": "deep blue", "HOME": "/home/x", "DTLSD_SERVICE": "dtlsd",
        "DTLSD_PEER": f"{host}:{port}", "DTLSD_LOCAL": f"{d.host}:{d.port}",
        "DTLSD_IDENTITY": "psk:" + certs.psk()[0], "DTLSD_SUITE": got["DTLSD_SUITE"]}, "the environment")
    check(got["DTLSD_SUITE"], "no suite")


@case("of dtlsd's descriptors and memory a process has nothing: 0, 1 and 2 are all that is open")
def _(t):
    path = program(t, "fds", "import os\nos.read(0, 100)\nfds = os.listdir('/proc/self/fd')\n"
                   "os.write(1, ' '.join(sorted(fds)).encode() + b' ' + os.getcwd().encode() + "
                   "b' %o %d %d' % (os.umask(0), os.getsid(0) == os.getpid(), os.getpid()))\nos.read(0, 1)\n")
    # what dtlsd was started with, without close-on-exec
    d = serve(t, path, "--exec-umask", "27", "--exec-directory", "/tmp",
              wrapper=("/bin/sh", "-c", 'exec 5</dev/null 9</dev/null; exec "$@"', "sh"))
    c = client(t, d)
    got = ask(c, b"tell").split()
    check_equal(got[:-1], [b"0", b"1", b"2", b"3", b"/tmp", b"27", b"1"], "what is open (3 is the listing's own)")


@case("limits hold for the process: memory, CPU, files, tasks")
def _(t):
    path = program(t, "limits", "import os, resource as r\nos.read(0, 100)\nos.write(1, repr([r.getrlimit(x) for x in "
                   "(r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_NOFILE, r.RLIMIT_NPROC)]).encode())\nos.read(0, 1)\n")
    d = serve(t, path, "--exec-memory", "500", "--exec-cpu", "7", "--exec-files", "33", "--exec-tasks", "5000")
    want = [(500 << 20, 500 << 20), (7, 8), (33, 33), (5000, 5000)]
    check_equal(ask(client(t, d), b"tell").decode(), repr(want), "its limits")


@case("a process that has used up its CPU time is ended, and the log says of what")
def _(t):
    # it would take as long as others let it
    d = serve(t, program(t, "busy", "import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)\n"), "--exec-cpu", "1")
    await_closed(client(t, d))
    d.expect(r"warning: service dtlsd: process \d+ was ended by signal 24 \(CPU time .*\): mend it, or raise exec-cpu$")


@case("as root its processes are another user's")
def _(t):
    if os.geteuid() != 0:
        skip("not root")
    # a shell will do where each write is a record
    path = t.file("id", "#!/bin/sh\ndd bs=100 count=1 of=/dev/null 2>/dev/null\n"
                  "echo \"$(id -u) $(id -g) $(id -G) $(id -ru)\"\n")
    os.chmod(path, 0o755)
    os.chmod(t.dir(), 0o755)
    nobody = pwd.getpwnam("nobody")
    d = serve(t, path, "--exec-user", "nobody")
    u, g = nobody.pw_uid, nobody.pw_gid
    check_equal(ask(client(t, d), b"tell").decode(), f"{u} {g} {g} {u}\n", "who it is")


@case("a capability that dtlsd was given to listen with its processes do not have")
def _(t):
    wrapper = ["setpriv", "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]
    if not shutil.which("setpriv") or subprocess.run([*wrapper, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        skip("no setpriv, or it may not")
    path = program(t, "caps", "import os, re\nos.read(0, 100)\nwith open('/proc/self/status') as f:\n"
                   "    os.write(1, re.search(r'CapAmb:\\s*(\\w+)', f.read()).group(1).encode())\n")
    d = serve(t, path, wrapper=wrapper)
    with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
        check(int(re.search(r"CapAmb:\s*(\w+)", f.read()).group(1), 16), "dtlsd itself has none")
    check_equal(ask(client(t, d), b"tell"), b"0" * 16, "the process's")


@case("a process that ends closes its session, after what it said last")
def _(t):
    d = serve(t, program(t, "once", "import os\nos.write(1, os.read(0, 99))\nos.write(1, b'bye')\n"))
    c = client(t, d)
    check_equal([ask(c, b"x"), c.answer()], [b"x", b"bye"], "what it said")
    await_closed(c)
    d.await_counter("session_closed_local", 1)


@case("a session that ends takes its process along: it reads the end of its input")
def _(t):
    path = program(t, "end", "import os\nos.write(1, b'%d' % os.getpid())\nwhile os.read(0, 99): pass\n"
                   "os.write(2, b'the end\\n')\n")
    d = serve(t, path)
    c = client(t, d)
    pid = int(ask(c, b"x"))
    c.close()
    d.expect(rf"notice: service dtlsd: process {pid}: the end$")
    await_gone(t, pid)
    check_equal(d.counters()["exec_killed"], 0, "exec_killed")


@case("a process that heeds neither its input's end nor SIGTERM is killed, and what it has started too")
def _(t):
    path = program(t, "deaf", "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *x: os.write(2, "
                   "b'not me\\n'))\npid = os.fork()\nif pid == 0:\n    time.sleep(1000)\n"
                   "os.write(1, b'%d %d' % (os.getpid(), pid))\nwhile True: time.sleep(1000)\n")
    d = serve(t, path, "--exec-grace", "2")
    c = client(t, d)
    pids = [int(x) for x in ask(c, b"x").split()]
    c.close()
    d.expect(r"notice: .*: not me$")
    d.expect(r"warning: service dtlsd: process \d+ is killed: it did neither end with its input nor on SIGTERM")
    for pid in pids:
        await_gone(t, pid)
    d.await_counter("exec_killed", 1)


@case("a process that cannot be run: the log says why, the session is closed, dtlsd goes on")
def _(t):
    path = program(t, "gone", ECHO)
    d = serve(t, path)
    bad = t.file("interpreter", "#!/nonexistent/interpreter\n")
    check_equal(ask(client(t, d), b"one"), b"one", "the echo")
    os.replace(bad, path)
    os.chmod(path, 0o755)
    await_closed(client(t, d))
    d.expect(r"notice: service dtlsd: process \d+: dtlsd: cannot run \S+/gone: No such file or directory; command names")
    d.expect(r"warning: service dtlsd: process \d+ has ended with status 127$")
    d.await_counter("exec_failed", 1)


@case("a process that crashes closes its session alone, and the log says of what")
def _(t):
    d = serve(t, program(t, "crash", ECHO.replace("    os.write", "    if data == b'die': os.kill(os.getpid(), 11)\n"
                                                  "    os.write")))
    a, b = client(t, d), client(t, d)
    check_equal([ask(a, b"1"), ask(b, b"2")], [b"1", b"2"], "the echoes")
    a.say(b"die")
    await_closed(a)
    d.expect(r"warning: service dtlsd: process \d+ was ended by signal 11 \(Segmentation fault\)$")
    check_equal(ask(b, b"still"), b"still", "the other's echo")


@case("a process that shuts its socket down, or closes its standard output and ends, closes its session")
def _(t):
    d = serve(t, program(t, "shut", "import os, socket, time\nif os.read(0, 99) == b'shut':\n"
                         "    socket.socket(fileno=os.dup(1)).shutdown(socket.SHUT_RDWR)\n    time.sleep(1000)\n"
                         "os.close(1)\nos.read(0, 99)\n"), "--exec-grace", "0")
    c = client(t, d)
    c.say(b"shut")
    await_closed(c)
    c = client(t, d)
    c.say(b"close")
    c.say(b"end")
    await_closed(c)


@case("a process that reads nothing: what does not fit is dropped and counted, others are served")
def _(t):
    d = serve(t, program(t, "lazy", "import os, time\nfirst = os.read(0, 20000)\nif first == b'sleep':\n"
                         "    time.sleep(1000)\nos.write(1, first)\nos.read(0, 1)\n"), "--workers", "1",
              "--exec-grace", "0")
    c = client(t, d)
    c.say(b"sleep")
    for i in range(400):
        c.say(bytes(8000))
        if i % 50 == 49:
            raw.fence(t, d)
    d.await_counter("backend_lost", 1)
    check_equal(ask(client(t, d), b"hello"), b"hello", "the other's answer")


@case("descriptors that a process sends along are not taken: they would fill dtlsd")
def _(t):
    d = serve(t, program(t, "giver", "import os, socket\nout = socket.socket(fileno=1)\nwhile data := os.read(0, 99):\n"
                         "    for i in range(20): socket.send_fds(out, [b'%d' % i], [0, 2])\n"), "--workers", "1")
    c = client(t, d)
    before = None
    for _ in range(3):
        c.say(b"give")
        check_equal([c.answer() for i in range(20)], [b"%d" % i for i in range(20)], "what it said")
        now = len(os.listdir(f"/proc/{d.pid}/fd"))
        before = before or now
        check_equal(now, before, "dtlsd's open files")


@case("a process that floods its session starves no other")
def _(t):
    d = serve(t, program(t, "flood", "import os\ndata = os.read(0, 20000)\nwhile data == b'flood':\n"
                         "    os.write(1, b'x' * 1000)\nos.write(1, data)\nos.read(0, 1)\n"), "--workers", "1",
              "--exec-grace", "0")
    c = client(t, d)
    c.say(b"flood")
    c.answer()
    check_equal(ask(client(t, d), b"hello"), b"hello", "the other's answer")


@case("lines on standard error are logged escaped, in bounded pieces, and held back when there are too many")
def _(t):
    d = serve(t, program(t, "noise", "import os\nos.write(2, b'one\\x1b[31m\\n' + b'y' * 700 + b'\\nno end')\n"
                         "data = os.read(0, 99)\nfor i in range(1000): os.write(2, b'line\\n')\nos.write(1, data)\n"
                         "os.read(0, 1)\n"))
    c = client(t, d)
    check_equal(ask(c, b"x"), b"x", "the answer")
    d.expect(r"notice: service dtlsd: process \d+: one\\x1b\[31m$")
    d.expect(r"notice: service dtlsd: process \d+: y{500}$")
    d.expect(r"notice: service dtlsd: process \d+: y{200}$")
    c.close()
    d.expect(r"process \d+: \d+ lines were held back$")
    check(d.text.count(": line") < 900, "the log was flooded")  # 100, and 20 a second


@case("exec-processes: one more is refused, and has its place when one is gone")
def _(t):
    d = serve(t, program(t, "echo", ECHO), "--exec-processes", "2")
    a, b = client(t, d), client(t, d)
    check_equal([ask(a, b"1"), ask(b, b"2")], [b"1", b"2"], "the echoes")
    await_closed(client(t, d))
    d.expect(r"warning: .*no process for this session: there are as many processes.*: raise exec-processes")
    a.close()
    check_equal(keep_asking_anew(t, d, b"3"), b"3", "the echo")


@case("exec-rate: a flood of clients starts no flood of processes")
def _(t):
    d = serve(t, program(t, "echo", ECHO), "--exec-rate", "3", "--workers", "1")
    everyone = [raw.Client(t, d.address, certs.psk()) for _ in range(12)]
    for c in everyone:
        c.get_cookie()
        c.send(c.hello_with_cookie()[0])
        c.take_flight(raw.SERVER_HELLO_DONE)
    for c in everyone:  # now all at once
        c.send(b"".join(c.final()))
    counters = d.await_counter("limited_processes", 1)
    check(counters["exec_started"] + counters["limited_processes"] <= 12, str(counters))
    d.expect(r"warning: .*no process for this session: too many were started this second: raise exec-rate")


@case("out of open files: no process is started, the log says what to do, those that run are served on")
def _(t):
    d = serve(t, program(t, "echo", ECHO), wrapper=("/bin/sh", "-c", 'ulimit -n 100; exec "$@"', "sh"))
    some = [client(t, d) for _ in range(45)]
    d.expect(r"error: service dtlsd: (no process is started: there are too many open files; raise LimitNOFILE|"
             r"process could not be started: Too many open files; see that memory, open files)")
    check_equal(ask(some[0], b"first"), b"first", "the echo")
    d.await_counter("exec_failed", 1)
    for c in some:
        c.close()
    check_equal(keep_asking_anew(t, d, b"again"), b"again", "the echo for who comes when they have gone")


@case("an empty record is not given to a process, which would take it for the end")
def _(t):
    d = serve(t, program(t, "echo", ECHO))
    c = client(t, d)
    c.say(b"")
    check_equal(ask(c, b"after"), b"after", "the echo")
    d.await_counter("exec_lost", 1)


@case("200 sessions with processes come and go, and leave nothing", seconds=60)
def _(t):
    d = serve(t, program(t, "echo", ECHO), "--exec-rate", "0", "--workers", "2")
    all_of_them = [client(t, d) for _ in range(200)]
    for i, c in enumerate(all_of_them):
        check_equal(ask(c, b"%d" % i), b"%d" % i, "the echo")
    check_equal(d.counters()["exec_started"], 200, "exec_started")
    keeper = keeper_of(t, d)
    for c in all_of_them:
        c.close()
    while children_of(keeper):
        check(time.monotonic() < t.deadline, f"still there: {children_of(keeper)}")
        time.sleep(0.05)
    check_equal(d.counters()["exec_killed"], 0, "exec_killed")


# ---- dtlsd and its keeper -------------------------------------------------------------------------------


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(x) for x in f.read().split()]


def keepers_of(d):
    found = []
    for pid in children_of(d.pid):
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            if f.read().strip() == "dtlsd-keeper":
                found.append(pid)
    return found


def keeper_of(t, d):
    """Once it is there: its name tells that it has begun."""
    while not keepers_of(d):
        check(time.monotonic() < t.deadline, "there is no keeper")
        time.sleep(0.02)
    return keepers_of(d)[0]


def kill_keeper(t, d):
    keeper = keeper_of(t, d)
    since = d.mark()
    os.kill(keeper, signal.SIGKILL)
    d.expect(r'error: the process "dtlsd-keeper" was ended by signal 9 \(Killed\): .* are killed, and their sessions '
             r"closed; in \d+ s it is started again$", since=since)
    return since


@case("SIGTERM for dtlsd: processes read the end of their input, and are gone when it is")
def _(t):
    path = program(t, "end", "import os\nos.write(1, b'%d' % os.getpid())\nwhile os.read(0, 99): pass\n"
                   "os.write(2, b'well done\\n')\n")
    d = serve(t, path)
    pids = [int(ask(client(t, d), b"x")) for _ in range(3)]
    check_equal(d.stop(), 0, "the exit status")
    d.ended = True
    check_equal(len(re.findall(r": well done$", d.text, re.M)), 3, "how many have ended by themselves")
    check(not any(os.path.exists(f"/proc/{p}") for p in pids), "a process is left")


@case("SIGTERM for dtlsd: a process that heeds nothing is killed within the drain time")
def _(t):
    path = program(t, "deaf", "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                   "os.write(1, b'%d' % os.getpid())\nwhile True: time.sleep(1000)\n")
    d = serve(t, path, "--exec-grace", "1000", "--drain-time", "1")
    pid = int(ask(client(t, d), b"x"))
    check_equal(d.stop(), 0, "the exit status")
    d.expect(r"warning: service dtlsd: process \d+ is killed")
    check(not os.path.exists(f"/proc/{pid}"), "it is left")


@case("dtlsd is killed: its processes are ended all the same, and the keeper goes")
def _(t):
    path = program(t, "deaf", "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                   "os.write(1, b'%d' % os.getpid())\nwhile True: time.sleep(1000)\n")
    d = serve(t, path, "--exec-grace", "1")
    pid, keeper = int(ask(client(t, d), b"x")), keeper_of(t, d)
    d.signal(signal.SIGKILL)
    d.wait()
    for p in (pid, keeper):
        while alive(p):
            check(time.monotonic() < t.deadline, "it is still there")
            time.sleep(0.05)


FAMILY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.fork()
while pid == 0:
    time.sleep(1000)
os.read(0, 99)
os.write(1, b"%d %d" % (os.getpid(), pid))
while True:
    time.sleep(1000)
"""


@case("the keeper is killed: so are its processes and what they have started, their sessions are closed, another comes")
def _(t):
    d = serve(t, program(t, "family", FAMILY), "--exec-grace", "0")
    some = [client(t, d) for _ in range(3)]
    pids = [int(pid) for c in some for pid in ask(c, b"x").split()]
    since = kill_keeper(t, d)
    for c in some:
        await_closed(c)
    for pid in pids:
        await_gone(t, pid)
    d.expect(r'notice: the process "dtlsd-keeper" is there again', since=since)
    check_equal(len(ask(client(t, d), b"y").split()), 2, "what a new session's process says")
    check_equal(d.counters()["exec_started"], 4, "exec_started, by both keepers")


@case("the keeper is killed: one process for all is there again before the next session, and serves it")
def _(t):
    d = serve_all(t)
    some = [client(t, d) for _ in range(4)]
    first = {ask(c, b"x").split()[0] for c in some}
    since = kill_keeper(t, d)
    for c in some:
        await_closed(c)
    await_gone(t, int(first.pop()))
    d.expect(r'notice: the process "dtlsd-keeper" is there again', since=since)
    d.await_counter("exec_started", 2)
    check_equal(ask(client(t, d), b"hello").split()[1], b"hello", "the answer")
    check_equal(d.counters()["exec_started"], 2, "exec_started")


@case("the keeper is killed while dtlsd stops: it ends well all the same")
def _(t):
    d = serve(t, program(t, "family", FAMILY), "--exec-grace", "100", "--drain-time", "100")
    pids = [int(pid) for pid in ask(client(t, d), b"x").split()]
    keeper = keeper_of(t, d)
    d.signal(signal.SIGTERM)
    d.expect("notice: stopping: ")
    os.kill(keeper, signal.SIGKILL)
    check_equal(d.wait(), 0, "the exit status")
    for pid in pids:
        await_gone(t, pid)


@case("the keeper hangs, and takes no more jobs: sessions are refused, and dtlsd ends in time, with all its processes")
def _(t):
    # large jobs: few fill the way to it
    d = serve(t, program(t, "family", FAMILY), "--exec-rate", "0", "--drain-time", "1",
              "--exec-environment", "A=" + 50000 * "x")
    pids = [int(pid) for pid in ask(client(t, d), b"x").split()]
    keeper = keeper_of(t, d)
    os.kill(keeper, signal.SIGSTOP)
    while d.counters()["limited_processes"] == 0:
        client(t, d)
    d.expect(r"no process for this session: processes are started more slowly than clients come")
    check_equal(d.stop(), 0, "the exit status")
    d.expect(r'warning: the process "dtlsd-keeper" has not ended the others in time: it is killed, and they with it$')
    for pid in [*pids, keeper]:
        await_gone(t, pid)


@case("dtlsd's own file is gone: a keeper is started from what runs")
def _(t):
    copy = os.path.join(t.dir(), "dtlsd")
    shutil.copy(DTLSD, copy)
    d = serve(t, program(t, "echo", ECHO), wrapper=("/bin/sh", "-c", 'shift; exec "$0" "$@"', copy))
    os.replace(t.file("other", "of no use"), copy)
    since = kill_keeper(t, d)
    d.expect(r'notice: the process "dtlsd-keeper" is there again', since=since)
    check_equal(ask(client(t, d), b"hello"), b"hello", "the echo")


def without_proc(setup):
    """A wrapper in which that is done about /proc first."""
    skip_under_sanitizers("they need /proc themselves")
    wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", setup + ' && exec "$@"', "sh"]
    try:
        works = subprocess.run([*wrapper, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        skip("no mount namespaces")
    return wrapper


NO_KEEPER = (r'error: the process "dtlsd-keeper", which starts all others, cannot be started: No such file or directory; '
             r"it is run from /proc/self/exe: see that /proc is mounted where dtlsd runs$")


@case("where /proc is not mounted a service with a command is not started, and the log says what to do")
def _(t):
    wrapper = without_proc("mount -t tmpfs none /proc")
    p = t.process([*wrapper, DTLSD, *certs.psk_options(), "--command", "/bin/cat", f"127.0.0.1:{free_port()}"])
    check_equal(p.wait(), 1, "the exit status")
    p.expect(NO_KEEPER)
    t.daemon(*certs.psk_options(), wrapper=wrapper)


@case("no other keeper can be started: sessions are refused and told why, until it can")
def _(t):
    d = serve(t, program(t, "echo", ECHO), wrapper=without_proc("mount -t tmpfs none /proc && umount /proc"))
    inside = ["nsenter", "--target", str(d.pid), "--user", "--mount", "--preserve-credentials"]
    keeper = keeper_of(t, d)
    subprocess.run([*inside, "mount", "-t", "tmpfs", "none", "/proc"], check=True)
    os.kill(keeper, signal.SIGKILL)
    d.expect(NO_KEEPER)
    await_closed(client(t, d))
    d.expect(r'no process for this session: the process "dtlsd-keeper", which starts them, is gone: it comes back')
    subprocess.run([*inside, "umount", "/proc"], check=True)
    check_equal(keep_asking_anew(t, d, b"hello"), b"hello", "the echo")


CONF = """
service test {{
	listen = "127.0.0.1:{port}"
	pskpasswd = "{psk}"
	{rest}
}}
"""


def configured(t, rest, port=None):
    """dtlsd with a configuration file, which reconfigure writes anew."""
    port = port or free_port()
    path = t.file("dtlsd.conf", CONF.format(port=port, psk=certs.psk_options()[1], rest=rest))
    return t.daemon("--config", path, addresses=[], port=port)


def reconfigure(t, d, rest):
    t.file("dtlsd.conf", CONF.format(port=d.port, psk=certs.psk_options()[1], rest=rest))
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(r"notice: reloaded", since=since)


@case("there is no keeper before a reload brings the first command, and when none is needed no other comes")
def _(t):
    command = f'command = "{program(t, "echo", ECHO)}"'
    d = configured(t, "handler = echo")
    check_equal(children_of(d.pid), [], "dtlsd's processes")
    reconfigure(t, d, command)
    keeper = keeper_of(t, d)
    c = newcomer(t, d)
    check_equal(ask(c, b"1"), b"1", "the echo of a process")
    reconfigure(t, d, "handler = echo")
    await_closed(c)
    reconfigure(t, d, command)
    check_equal(ask(newcomer(t, d), b"2"), b"2", "the echo of a process")
    check_equal(keeper_of(t, d), keeper, "the keeper")
    reconfigure(t, d, "handler = echo")
    kill_keeper(t, d)
    reconfigure(t, d, command)
    check_equal(ask(newcomer(t, d), b"3"), b"3", "the echo of a process of the next keeper")


@case("a reload changes what the log has of processes, too")
def _(t):
    port, command = free_port(), f'command = "{program(t, "echo", ECHO)}"'

    def write(level):
        text = CONF.format(port=port, psk=certs.psk_options()[1], rest=command)
        return t.file("dtlsd.conf", f"log-level = {level}\n{text}")

    d = t.daemon("--config", write("warning"), addresses=[], port=port) # and one more by --verbose
    check_equal(ask(client(t, d), b"1"), b"1", "the echo")
    write("notice")
    d.signal(signal.SIGHUP)
    d.expect(r"notice: reloaded")
    check_equal(ask(newcomer(t, d), b"2"), b"2", "the echo")
    d.expect(r"info: service test: process \d+ runs /")


@case("keepers are killed while clients come and the configuration is read again: nothing is left of them", seconds=60)
def _(t):
    command = f'command = "{program(t, "echo", ECHO)}"\n\texec-rate = 0'
    d = configured(t, command)
    check_equal(ask(client(t, d), b"first"), b"first", "the echo")
    for i in range(6):
        some = [client(t, d) for _ in range(10)]
        for c in some:
            c.say(b"x")
        kill_keeper(t, d)
        some += [client(t, d) for _ in range(5)]
        reconfigure(t, d, f"{command}\n\tidle-timeout = {100 + i}")  # a reload does not wait
    check_equal(keep_asking_anew(t, d, b"last"), b"last", "the echo")
    keeper = keeper_of(t, d)
    while children_of(d.pid) != [keeper] or len(children_of(keeper)) != 1:
        check(time.monotonic() < t.deadline, f"still there: {children_of(d.pid)}, {children_of(keeper)}")
        time.sleep(0.05)


@case("a reload with another command: sessions keep their process, new ones get the new")
def _(t):
    first = program(t, "first", ECHO.replace("os.write(1, data)", "os.write(1, b'first ' + data)"))
    second = program(t, "second", "import os, sys\nos.write(1, ' '.join(sys.argv[1:]).encode() + b' ' + "
                     "os.read(0, 99))\nos.read(0, 1)\n")
    d = configured(t, f'command = "{first}"')
    a = client(t, d)
    check_equal(ask(a, b"1"), b"first 1", "the answer")
    reconfigure(t, d, f'command = {{ "{second}", "with words", "and \\"quotes\\"" }}')
    d.expect(r"reload: service test: command /\S+/first -> /\S+/second \"with words\" \"and \\+\"quotes")
    check_equal(ask(a, b"2"), b"first 2", "the answer to the old session")
    b = client(t, d)
    check_equal(ask(b, b"3"), b'with words and "quotes" 3', "the answer to the new one")


@case("routes: some clients get another process than the rest, and other handlers")
def _(t):
    one = program(t, "one", ECHO.replace("os.write(1, data)", "os.write(1, b'one ' + data)"))
    two = program(t, "two", ALL)
    d = configured(t, f'command = "{one}"\n\troute psk {{\n\t\tidentity = "psk:{certs.psk()[0]}"\n'
                   f'\t\tcommand = "{two}"\n\t\texec-mode = service\n\t}}')
    check(re.fullmatch(rb"\d+ hello", ask(client(t, d), b"hello")), "the route's answer")


# ---- one process for all --------------------------------------------------------------------------------


def serve_all(t, text=ALL, *options, workers="2"):
    return serve(t, program(t, "all", text), "--exec-mode", "service", "--workers", workers, *options)


@case("one process serves all sessions of all workers, and it is there before the first")
def _(t):
    d = serve_all(t, workers="4")
    d.await_counter("exec_started", 1)
    some = [client(t, d) for _ in range(20)]
    pids = {ask(c, b"%d" % i).split()[0] for i, c in enumerate(some)}
    check_equal(len(pids), 1, "how many processes have answered")
    for size in (0, 1, 1200, 16384 - 10):
        for c in some[:4]:
            data = os.urandom(size)
            check_equal(ask(c, data).partition(b" ")[2], data, f"the echo of {size} bytes")
    check_equal(d.counters()["exec_started"], 1, "exec_started")


@case("it asks who a session is, closes one, and is told of what it says to nobody")
def _(t):
    d = serve_all(t)
    c, other = client(t, d), client(t, d)
    check_equal(ask(c, b"ask").split()[1].decode(), "DTLSD_PEER=%s:%d" % c.address, "the OPEN that it asked for")
    check_equal(ask(c, b"nonsense").split()[1], b"c", "the answer to what was for nobody")
    d.await_counter("exec_malformed", 2)
    d.expect(r"warning: handler exec: a process .* without a header")
    c.say(b"close")
    await_closed(c)
    check(ask(other, b"hello").endswith(b" hello"), "the other's answer")


@case("a program that gives all back, as one for a single session may: the records are echoes, and that is all")
def _(t):
    d = serve(t, program(t, "echo", ECHO), "--exec-mode", "service")
    c = client(t, d)
    for i in range(20):
        check_equal(ask(c, b"%d" % i), b"%d" % i, "the echo")
    check_equal(d.counters()["exec_malformed"], 1, "OPENs that it gave back")


@case("it crashes: it is started again after a pause, its sessions live on, what was sent meanwhile waits")
def _(t):
    d = serve_all(t)
    a, b = client(t, d), client(t, d)
    before = ask(a, b"1").split()[0]
    b.say(b"crash")
    d.expect(r"warning: service dtlsd: process \d+ was ended by signal 9 \(Killed\); it is started again in 1 s")
    a.say(b"waits")
    pid, text = a.answer().split()
    check(pid != before, "it is the same process")
    check_equal(text, b"waits", "what had waited")
    check(ask(b, b"here").endswith(b" here"), "the other's answer")
    b.say(b"crash")
    d.expect(r"; it is started again in 2 s")
    d.await_counter("exec_restarted", 1)


@case("it shuts its socket down: its sessions are closed, and the next gets a new process")
def _(t):
    d = serve_all(t, "import os, socket\nif os.read(0, 99)[1:2]: pass\n"
                  "socket.socket(fileno=os.dup(0)).shutdown(socket.SHUT_RDWR)\n")
    c = client(t, d)
    await_closed(c)
    d.expect(r"warning: handler exec: a process has shut down its socket: its 1 sessions here are closed")
    await_closed(client(t, d))
    d.await_counter("exec_started", 2)


@case("it shuts down its output alone: the sessions of all workers are closed at once")
def _(t):
    d = serve_all(t, ALL.replace('    if text == b"crash":', '    if text == b"hush":\n        import socket\n'
                                 '        socket.socket(fileno=os.dup(0)).shutdown(socket.SHUT_WR)\n'
                                 '    if text == b"crash":'), "--exec-grace", "0", workers="4")
    some = [client(t, d) for _ in range(12)]
    for i, c in enumerate(some):
        ask(c, b"%d" % i)
    some[0].say(b"hush")
    for c in some:
        await_closed(c)


@case("it floods all sessions with what it says: it is bounded, and new ones are served", seconds=60)
def _(t):
    d = serve_all(t, ALL.replace('    if text == b"crash":', '    while text == b"flood":\n'
                                 '        os.write(1, data[:12] + bytes(1000))\n    if text == b"crash":'),
                  "--exec-grace", "0", workers="3")
    for c in [client(t, d) for _ in range(6)]:
        c.say(b"flood")
    d.await_counter("records_out", 2000)
    d.counters()


@case("a reload: the process stays while its settings do; else old sessions keep it, and it goes with the last")
def _(t):
    path = program(t, "all", ALL)
    d = configured(t, f'command = "{path}"\n\texec-mode = service')
    a = client(t, d)
    first = ask(a, b"1").split()[0]
    reconfigure(t, d, f'command = "{path}"\n\texec-mode = service\n\tidle-timeout = 100')
    b = client(t, d)
    check_equal(ask(b, b"2").split()[0], first, "the process after a reload of something else")
    reconfigure(t, d, f'command = {{ "{path}", "new" }}\n\texec-mode = service')
    c = client(t, d)
    check(ask(c, b"3").split()[0] != first, "the new session has the old process")
    check_equal(ask(a, b"4").split()[0], first, "the old session's process")
    reconfigure(t, d, f'command = "{program(t, "one", ECHO)}"')
    check_equal(ask(client(t, d), b"5"), b"5", "the answer of a process of its own")
    check_equal(ask(c, b"6").split()[1], b"6", "the answer to who has the second one")
    check_equal(ask(a, b"7").split()[0], first, "the old session's process")
    a.close()
    b.close()
    await_gone(t, int(first))
    check_equal(ask(c, b"8").split()[1], b"8", "the answer to who has the second one")


@case("drain: one process for all is told of each session's end, and ends with its input")
def _(t):
    d = serve_all(t, ALL.replace("    if kind != ord", "    if kind == ord('c'):\n        os.write(2, b'closed\\n')\n"
                                 "    if kind != ord").replace("        break", "        os.write(2, b'the end\\n')\n"
                                                              "        break", 1))
    for c in [client(t, d) for _ in range(4)]:
        ask(c, b"x")
    check_equal(d.stop(), 0, "the exit status")
    check_equal(len(re.findall(": closed$", d.text, re.M)), 4, "how many sessions it was told of")
    check_equal(len(re.findall(": the end$", d.text, re.M)), 1, "its last word")


# ---- the examples, with other people's clients ----------------------------------------------------------


def kv_dialogue(c):
    c.ask("put colour blue", r"^ok$")
    c.ask("get colour", r"value blue")
    c.ask("get nothing", r"none")


@case("the examples end quietly when dtlsd has closed its end before it read their answer")
def _(t):
    for example, question in ((KV, b"list"), (CHAT, struct.pack("!BBHQ", 1, ord("d"), 0, 7) + b"hello")):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            p = t.process(["sh", "-c", 'exec "$0" "$1" >&0', sys.executable, example], stdin=theirs)
            ours.send(question)
            check(readable([ours], 20), f"{example} does not answer")
        check_equal(p.wait(), 0, f"the status of {example}")


@case("examples/kv.py with openssl s_client, by its certificate's name")
def _(t):
    d = t.daemon(*certs.server_options(), "--command", KV)
    c = t.client(clients.openssl(d, more=("-servername", "localhost", "-quiet")))
    kv_dialogue(c)
    c.ask("who", r"you are peer=127\.0\.0\.1:\d+ identity=- sni=localhost alpn=- suite=\w+")
    c.send("bye")
    c.wait()
    d.expect(r"notice: service dtlsd: process \d+: 1 keys at the end of [0-9a-f]{16}")


@case("examples/kv.py with gnutls-cli, by a pre-shared key")
def _(t):
    d = serve(t, KV)
    c = t.client(clients.gnutls(d, psk=True))
    kv_dialogue(c)
    c.ask("who", r"identity=psk:" + re.escape(certs.psk()[0]))


@case("examples/chat.py: what openssl s_client says gnutls-cli hears")
def _(t):
    d = serve(t, CHAT, "--exec-mode", "service", "--workers", "2")
    a = t.client(clients.openssl(d, psk=True, more=("-quiet",)))
    a.ask("who", r"here are \S+")
    b = t.client(clients.gnutls(d, psk=True))
    a.expect(r"is here$")
    b.ask("good morning", r"")
    a.expect(r"^psk:\S+: good morning$")
    a.ask("and to you", r"")
    b.expect(r"psk:\S+: and to you")
    a.send("bye")
    a.wait()
    b.expect(r"has left")
    d.expect(r"notice: service dtlsd: process \d+: psk:\S+: good morning$")


# ---- what is wrong in a configuration -------------------------------------------------------------------


def refused(t, message, rest=None, options=()):
    if rest is not None:
        path = t.file("dtlsd.conf", CONF.format(port=free_port(), psk=certs.psk_options()[1], rest=rest))
        options = ("--config", path)
    else:
        options = (*certs.psk_options(), *options)
    p = t.process([DTLSD, "--check", *options])
    check_equal(p.wait() != 0, True, "a failure")
    p.expect(message)


@case("each mistake in its settings is told with its place and what to do")
def _(t):
    here = r"dtlsd\.conf:5: service test: "
    not_runnable = t.file("text", "x")
    for rest, message in (
            ("handler = exec", here + r"handler: exec needs a command, as: command = \{"),
            ('handler = echo\n\tcommand = "/bin/cat"', here + r"handler: echo does not run one: leave it out, or command"),
            ('forward = "127.0.0.1:9"\n\tcommand = "/bin/cat"', r"service test: handler: forward does not run one"),
            ('command = "cat"', here + r"command cat: it is no absolute path; name a program"),
            ('command = "/bin/cat -u"', here + r'command /bin/cat -u: No such .*write each argument as a word of its own'),
            ('command = "/nonexistent/x"', here + r"command /nonexistent/x: No such file or directory; name a program"),
            ('command = "/tmp"', here + r"command /tmp: it is no file"),
            (f'command = "{not_runnable}"', here + r"command \S+/text: it may not be executed"),
            ('command = {"/bin/cat"}\n\tcommand = {"/bin/cat"}', r"dtlsd\.conf:6: command is given already at "),
            ('command = "/bin/cat"\n\texec-directory = "/nonexistent"', r"exec-directory /nonexistent: No such file"),
            ('command = "/bin/cat"\n\texec-umask = "9"', r"exec-umask: '9' is not an octal number from 0 to 777"),
            ('command = "/bin/cat"\n\texec-user = "nobody-at-all"', r"exec-user: user nobody-at-all: there is none"),
            ('command = "/bin/cat"\n\texec-group = "no-group"', r"exec-group: group no-group: there is none"),
            ('command = "/bin/cat"\n\texec-environment = "=x"', r"exec-environment: '=x' has no name; write NAME=VALUE"),
            ('command = "/bin/cat"\n\texec-mode = both', r"exec-mode: 'both' is none of session\|service"),
            ('command = "/bin/cat"\n\texec-processes = 0', r"exec-processes: '0' is not a whole number from 1 to 20000"),
            ('route r {\n\t\thandler = exec\n\t}', r"route r: handler: exec needs a command"),
    ):
        refused(t, message, rest)
    refused(t, r'--command "/bin/cat: .*a quote without an end', options=("--command", '"/bin/cat'))
    refused(t, r"--handler: exec needs a command, as: --command", options=("--handler", "exec"))


@case("exec-user for who is not root is refused")
def _(t):
    if os.geteuid() == 0:
        skip("root")
    refused(t, r"exec-user: user root: only root can become another", 'command = "/bin/cat"\n\texec-user = root')


if __name__ == "__main__":
    sys.exit(main())
