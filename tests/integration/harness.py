# SPDX-License-Identifier: BSD-2-Clause
"""The frame of the integration tests: cases, TAP, processes that are always stopped, dtlsd itself.

A test program registers its cases and calls main():

    @case("a client is answered")
    def _(t):
        d = t.daemon("--pskpasswd", certs.psk_file)
        c = t.client(clients.openssl(d, psk=True))
        c.ask("ping", r"pong")

Each case has a deadline which bounds every wait in it; what it started is stopped, by pid, when it ends.
Environment: DTLSD, DTLSC, DTLSBENCH, MBEDTLS_CLIENT (programs), CERTS (directory), TEST_TIMEOUT_SCALE, TEST_JOBS.
"""

import concurrent.futures
import contextlib
import os
import random
import re
import resource
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DTLSD = os.environ.get("DTLSD") or os.path.join(TOP, "build", "src", "dtlsd")
DTLSC = os.environ.get("DTLSC") or os.path.join(TOP, "build", "src", "dtlsc")
DTLSBENCH = os.environ.get("DTLSBENCH") or os.path.join(TOP, "build", "src", "dtlsbench")
MBEDTLS_CLIENT = os.environ.get("MBEDTLS_CLIENT", "")


def sanitizer_of(program):
    """The sanitizer a program was built with, by the symbols in it."""
    try:
        with open(program, "rb") as f:
            data = f.read()
    except OSError:
        return ""
    if b"__tsan_init" in data:
        return "thread"
    return "address" if b"__asan_init" in data or b"__ubsan_handle" in data else ""


SANITIZER = sanitizer_of(DTLSD)
SCALE = float(os.environ.get("TEST_TIMEOUT_SCALE") or (3 if SANITIZER else 1))
SANITIZER_REPORT = re.compile(r"(Address|Thread|Leak|Memory|UndefinedBehavior)Sanitizer|runtime error:")


class Failed(Exception):
    """What was expected did not happen."""


class Skipped(Exception):
    """The machine lacks something that the case needs."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def check_equal(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


# ---- processes -------------------------------------------------------------------------------------------


class Process:
    """A child with its output collected by a thread, so that one can wait for a line of it."""

    running = set()

    def __init__(self, t, argv, env=None, stdin=subprocess.PIPE, name=None, pass_fds=(), cwd=None):
        self.t = t
        self.name = name or os.path.basename(argv[0])
        self.argv = argv
        self.text = ""
        self.changed = threading.Condition()
        full_env = dict(os.environ, LC_ALL="C", **(env or {}))
        self.child = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      env=full_env, pass_fds=pass_fds, cwd=cwd)
        self.pid = self.child.pid
        Process.running.add(self)
        self.closed = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        fd = self.child.stdout.fileno()
        while True:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            with self.changed:
                if not data:
                    self.closed = True
                    self.changed.notify_all()
                    return
                self.text += data.decode("utf-8", "backslashreplace")
                self.changed.notify_all()

    def mark(self):
        """A place in the output from which expect can be told to look."""
        return len(self.text)

    def expect(self, pattern, timeout=None, since=0):
        """Waits until the output matches; returns the match."""
        compiled = re.compile(pattern, re.MULTILINE)
        deadline = self.t.until(timeout)
        with self.changed:
            while True:
                found = compiled.search(self.text, since)
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self.closed:
                    why = "it ended" if self.closed else "time is up"
                    raise Failed(f"{self.name}: no {pattern!r} in the output ({why})")
                self.changed.wait(left)

    def lacks(self, pattern, since=0):
        found = re.search(pattern, self.text[since:], re.MULTILINE)
        check(not found, f"{self.name}: unexpected {pattern!r} in the output")

    def send(self, line):
        try:
            self.child.stdin.write(line.encode() + b"\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}: has ended and takes no input") from None

    def ask(self, line, answer, timeout=None):
        """Sends a line and waits for the answer to appear after it."""
        since = self.mark()
        self.send(line)
        return self.expect(answer, timeout, since)

    def end_input(self):
        with contextlib.suppress(OSError):
            self.child.stdin.close()

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=None):
        """The exit status, once the process has ended and all its output is here."""
        try:
            status = self.child.wait(max(0.0, self.t.until(timeout) - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name}: still runs") from None
        self.reader.join(5)
        Process.running.discard(self)
        return status

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.reader.join(1)
        Process.running.discard(self)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def finish(self):
        self.kill()

    def transcript(self):
        return [f"--- {shlex.join(self.argv)}"] + self.text.splitlines()[-60:]


def readable(sockets, timeout=None):
    """Which of these have something, after so many seconds at the latest. As select, but of any number of files."""
    poll = select.poll()
    for s in sockets:
        poll.register(s, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(None if timeout is None else max(0, timeout) * 1000)}
    return [s for s in sockets if s.fileno() in ready]


def many_files(number):
    """Lets so many files be open, or as many as may be; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        soft = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(number, soft)


def udp_bound(port, host=None):
    """Whether a socket has this UDP port, on any address or on that one."""
    address = "[0-9A-F]+"
    if host:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        address = "".join(f"{n:08X}" for n in struct.unpack(f"={len(packed) // 4}I", packed))
    row = re.compile(rf"^ *\d+: {address}:{port:04X} ", re.MULTILINE)
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(FileNotFoundError), open(table, encoding="ascii") as f:
            if row.search(f.read()):
                return True
    return False


def await_udp(t, process, port):
    """Waits until a server of others, which need not say so, has the port."""
    while not udp_bound(port):
        check(process.child.poll() is None, f"{process.name}: ended before it listened")
        check(time.monotonic() < t.deadline, f"{process.name}: does not listen on port {port}")
        time.sleep(0.02)


_ports = []


def free_port():
    """A UDP port below the ephemeral range that is this program's to the end, of all that ask here: an abstract
    socket stands for each. It is looked up, not tried: what is tried with, a child that is being started may hold."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        end = max(11000, min(32000, int(f.read().split()[0])))
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, end)
        token = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            token.bind(f"\0dtlsd-test-port-{port}")
        except OSError:
            token.close()
            continue
        _ports.append(token)
        if not udp_bound(port):
            return port
    raise Failed("no free UDP port")


def udp_socket(host="127.0.0.1", port=None):
    """One that hears whoever sends there. Its port is none of the ephemeral ones, which others had just now, and are
    still sent to."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, port or free_port()))
    return s


def need_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
    except OSError as e:
        skip(f"no IPv6 on the loopback: {e.strerror}")


class Notify:
    """The receiving end of sd_notify. A thread reads, as a service manager does: the daemon need not wait."""

    def __init__(self, t):
        self.t = t
        self.path = tempfile.mktemp(prefix="notify-", dir=t.dir())
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.seen = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            state = self.sock.recv(4096).decode()
            if not state:
                return
            with self.changed:
                self.seen += state.splitlines()
                self.changed.notify_all()

    def wait(self, message, process=None, timeout=None):
        deadline = self.t.until(timeout)
        with self.changed:
            while message not in self.seen:
                if process and process.child.poll() is not None:
                    # what it said last is there, but perhaps not read yet
                    deadline = min(deadline, time.monotonic() + 5)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"dtlsd: no {message} through sd_notify, only {self.seen}")
                self.changed.wait(min(left, 0.1))

    def forget(self):
        with self.changed:
            self.seen.clear()

    def close(self):
        # an empty datagram ends the thread
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.path)
        self.thread.join(5)
        self.sock.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Daemon(Process):
    """dtlsd, ready to serve when the constructor returns. It must end well when the case ends."""

    def __init__(self, t, options, addresses=None, port=None, wrapper=(), env=None, log="--verbose"):
        self.port = port or free_port()
        self.ended = False
        if addresses is None:
            addresses = ["127.0.0.1:%d"]
        if any(a.startswith("[::1]") for a in addresses):
            need_ipv6()
        self.host = "::1" if addresses and addresses[0].startswith("[::1]") else "127.0.0.1"
        self.notify = Notify(t)
        argv = [*wrapper, DTLSD, *([log] if log else []), *options,
                *[a.replace("%d", str(self.port)) for a in addresses]]
        super().__init__(t, argv, env=dict(env or {}, NOTIFY_SOCKET=self.notify.path),
                         stdin=subprocess.DEVNULL, name="dtlsd")
        self.notify.wait("READY=1", self)

    @property
    def address(self):
        return (self.host, self.port)

    def counters(self):
        """What SIGUSR1 makes it log, as a mapping; what is not named there is 0."""
        since = self.mark()
        self.signal(signal.SIGUSR1)
        line = self.expect(r"^.*\bcounters: sessions=\d+ .*\n", since=since).group(0)
        return Counters((k, int(v)) for k, v in re.findall(r"\b([a-z_]+)=(\d+)", line))

    def await_counter(self, name, at_least, timeout=None):
        """Waits until a counter has reached a value; returns all of them."""
        deadline = self.t.until(timeout)
        while True:
            now = self.counters()
            if now[name] >= at_least:
                return now
            check(time.monotonic() < deadline, f"counter {name} is {now[name]}, not {at_least}: {now}")
            time.sleep(0.02)

    def stop(self, number=signal.SIGTERM, timeout=None):
        self.signal(number)
        return self.wait(timeout)

    def finish(self):
        """Stops it and insists on a clean end, unless the case has seen it end already or has failed."""
        try:
            if self.t.failed:
                return
            if self.child.returncode is None:
                status = self.child.poll()
                check(status is None, f"dtlsd: ended by itself with {status}")
                self.t.deadline = max(self.t.deadline, time.monotonic() + 30 * SCALE)
                status = self.stop()
                check(status == 0, f"dtlsd: exit status {status} after SIGTERM")
            found = SANITIZER_REPORT.search(self.text)
            check(not found, f"dtlsd: {found and found.group(0)} reported something")
        finally:
            self.kill()
            self.notify.close()


class Counters(dict):
    def __missing__(self, key):
        return 0


# ---- cases -----------------------------------------------------------------------------------------------


class Context:
    """What a case works with."""

    def __init__(self, seconds):
        self.deadline = time.monotonic() + seconds * SCALE
        self.stack = contextlib.ExitStack()
        self.processes = []
        self.notes = []
        self.directory = None
        self.failed = False

    def until(self, timeout):
        if timeout is None:
            return self.deadline
        return min(self.deadline, time.monotonic() + timeout * SCALE)

    def dir(self):
        if self.directory is None:
            # the name of a unix socket in it has 107 bytes at most
            where = "/tmp" if len(tempfile.gettempdir()) > 60 else None
            made = tempfile.TemporaryDirectory(prefix="dtlsd-test-", dir=where)
            self.directory = self.stack.enter_context(made)
        return self.directory

    def file(self, name, content):
        path = os.path.join(self.dir(), name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, 0o600)
        return path

    def _add(self, process):
        self.processes.append(process)
        self.stack.callback(process.finish)
        return process

    def daemon(self, *options, **settings):
        self.dir()  # made first, so that it outlives the process
        return self._add(Daemon(self, options, **settings))

    def process(self, argv, **settings):
        return self._add(Process(self, argv, **settings))

    def client(self, argv):
        return self.process(argv)

    def closing(self, thing):
        self.stack.callback(thing.close)
        return thing

    def note(self, text):
        self.notes.append(text)


class Case:
    def __init__(self, name, function, seconds):
        self.name, self.function, self.seconds = name, function, seconds

    def run(self):
        """(verdict, reason, lines of diagnosis)"""
        t = Context(self.seconds)
        verdict, reason, lines = "ok", "", []
        begin = time.monotonic()
        try:
            with t.stack:
                try:
                    self.function(t)
                except BaseException as e:
                    t.failed = not isinstance(e, Skipped)
                    for p in list(Process.running):
                        if p.t is t and p not in t.processes:
                            t.processes.append(p)
                            t.stack.callback(p.kill)
                    raise
        except Skipped as e:
            verdict, reason = "skip", str(e)
        except Failed as e:
            verdict = "not ok"
            where = [f for f in traceback.extract_tb(e.__traceback__) if "harness" not in f.filename]
            lines.append(f"{e}" + (f" (line {where[-1].lineno} of {os.path.basename(where[-1].filename)})"
                                   if where else ""))
        except Exception:  # pylint: disable=broad-except
            verdict = "not ok"
            lines += traceback.format_exc().splitlines()
        if verdict == "not ok":
            lines += t.notes
            for p in t.processes:
                lines += p.transcript()
        lines.append(f"{time.monotonic() - begin:.1f} s")
        return verdict, reason, lines


CASES = []


def case(name, seconds=60):
    def register(function):
        CASES.append(Case(name, function, seconds))
        return function
    return register


def skip(reason):
    raise Skipped(reason)


def skip_under_sanitizers(why):
    if SANITIZER:
        raise Skipped(f"{why} (built with the {SANITIZER} sanitizer)")


def _kill_all(*_):
    for p in list(Process.running):
        p.kill()


def _terminated(*_):
    _kill_all()
    os._exit(1)


def main(jobs=2):
    """Runs the cases and prints TAP in their order. A pattern as argument selects cases. So many run at a time, or
    TEST_JOBS; 1: each needs the machine, or what is set up, for itself."""
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _terminated)
    jobs = int(os.environ.get("TEST_JOBS") or jobs) if jobs > 1 else 1
    many_files(4096)
    cases = [c for c in CASES if len(sys.argv) < 2 or re.search(sys.argv[1], c.name)]
    if not os.access(DTLSD, os.X_OK):
        print(f"Bail out! no dtlsd at {DTLSD}; set DTLSD")
        return 1
    print(f"1..{len(cases)}")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for number, (c, future) in enumerate([(c, pool.submit(c.run)) for c in cases], 1):
            verdict, reason, lines = future.result()
            name = c.name.replace("#", "")
            if verdict == "skip":
                print(f"ok {number} - {name} # SKIP {reason}")
            else:
                print(f"{verdict} {number} - {name}")
            failed += verdict == "not ok"
            for line in lines:
                print("# " + line.replace("\0", "\\0"))
    _kill_all()
    return 1 if failed else 0
