#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""dtlsd.conf: several services in one daemon, what is said of a bad file, and reloads that change it."""

import os
import re
import shutil
import signal
import sys
import time

import certs
import clients
import dtlsraw as raw
from harness import DTLSD, TOP, case, check, check_equal, free_port, main, need_ipv6, udp_bound, udp_socket

CLOSE = (raw.ALERT, bytes([1, raw.CLOSE_NOTIFY]))
PSK = f'pskpasswd = "{certs.file("psk.txt")}"'


def x509(kind="server"):
    return f'x509certfile = "{certs.file(kind + ".pem")}" x509keyfile = "{certs.file(kind + "-key.pem")}"'


def service(name, port, *settings):
    return "\n\t".join([f"service {name} {{", f"listen = 127.0.0.1:{port}", *settings]) + "\n}\n"


def put(t, text, name="dtlsd.conf"):
    os.makedirs(os.path.dirname(os.path.join(t.dir(), name)), exist_ok=True)
    return t.file(name, text)


def start(t, text, *options):
    return t.daemon("--config", put(t, text), *options, addresses=[])


def reload(d, pattern):
    since = d.mark()
    d.signal(signal.SIGHUP)
    d.expect(pattern, since=since)
    return d.text[since:]


def psk_client(t, port, psk=None):
    return raw.Client(t, ("127.0.0.1", port), psk or certs.psk())


# ---- services --------------------------------------------------------------------------------------------


@case("two services: each has its own address, certificate, keys and handler")
def _(t):
    one, two, other = free_port(), free_port(), "00112233445566778899aabbccddeeff"
    t.file("other.psk", f"other:{other}\n")
    d = start(t, "workers = 2\n" + service("one", one, "handler = echo", x509(), PSK) +
              service("two", two, x509("rsa-server"), "pskpasswd = other.psk"))
    d.expect(rf"notice: .*127\.0\.0\.1:{one}: service one, handler echo, 2 workers")
    d.expect(rf"notice: .*127\.0\.0\.1:{two}: service two, handler command, 2 workers")
    for port, suite, ask, answer in ((one, "ECDHE-ECDSA-AES128-GCM-SHA256", "ping", r"^ping$"),
                                     (two, "ECDHE-RSA-AES128-GCM-SHA256", "ping", r"^pong$")):
        c = t.client(clients.openssl(clients.At(port), suite=suite))
        c.ask(ask, answer)
    psk_client(t, one).connect()
    psk_client(t, two, ("other", other)).connect().alive()
    wrong = psk_client(t, two)
    wrong.get_cookie()
    wrong.send_handshake()
    d.expect(r"handshake failed: .* is not in the PSK file")


@case("a service that has its share is refused more, by name; the other one serves")
def _(t):
    small, other = free_port(), free_port()
    d = start(t, service("small", small, PSK, "max-sessions = 1") + service("other", other, PSK))
    live = psk_client(t, small).connect()
    c = psk_client(t, small)
    c.get_cookie()
    c.send(c.hello_with_cookie()[0])
    d.expect(r"warning: .*peer refused: service small has all that it may have: raise its max-sessions")
    psk_client(t, other).connect().alive()
    live.alive()


@case("files and includes are looked for beside the file that names them")
def _(t):
    a, b = free_port(), free_port()
    shutil.copy(certs.file("psk.txt"), os.path.join(t.dir(), "main.psk"))
    put(t, service("b", b, "pskpasswd = ../main.psk"), "conf.d/b.conf")
    d = start(t, "include = conf.d\n" + service("a", a, "pskpasswd = main.psk"))
    psk_client(t, a).connect().alive()
    psk_client(t, b).connect().alive()
    check_equal(d.stop(), 0, "exit status")


@case("options beside --config outweigh the file")
def _(t):
    d = start(t, f"log-level = error\npid-file = '{t.dir()}/of-file'\n" + service("a", free_port(), PSK), "--verbose",
              "--verbose", "--pid-file", f"{t.dir()}/of-line")
    check(os.path.exists(f"{t.dir()}/of-line"), "no PID file")
    check(not os.path.exists(f"{t.dir()}/of-file"), "the PID file of the configuration")
    d.expect("notice: serving")


# ---- what is said of it ----------------------------------------------------------------------------------


def bad(name, text, cause, prepare=None):
    """What the daemon says at the start, with --check, and on a reload: the same."""
    @case(f"{name}: it is told with file and line, at the start, by --check and by a reload")
    def _(t):
        port = free_port()
        if prepare:
            prepare(t)
        filled = text.replace("PORT", str(port)).replace("PSK", PSK).replace("DIR", t.dir())
        wanted = rf"error: .*{cause}"
        for options in ([], ["--check"]):
            p = t.process([DTLSD, "--config", put(t, filled), *options])
            check_equal(p.wait(), 1, f"exit status with {options}")
            check(re.search(wanted, p.text), f"{options}: {p.text!r}")
        d = start(t, service("good", port, PSK))
        live = psk_client(t, port).connect()
        put(t, filled)
        said = reload(d, r"error: reload failed: the old configuration stays in force")
        check(re.search(wanted, said), f"reload: {said!r}")
        live.alive()
        psk_client(t, port).connect().alive()
        put(t, service("good", port, PSK))
        reload(d, r"notice: reloaded")


GOOD = "service x {\n\tlisten = 127.0.0.1:PORT\n\tPSK\n}\n"
bad("an unknown option", "workers = 1\nwrkers = 2\n" + GOOD, r"dtlsd\.conf:2: there is no option 'wrkers'")
bad("a wrong value", GOOD + "drain-time = soon\n", r"dtlsd\.conf:5: drain-time: 'soon' is not a whole number from 1 to")
bad("an unknown handler", "service x {\n listen = 127.0.0.1:PORT\n PSK\n handler = nonsense\n}\n",
    r"dtlsd\.conf:4: service x: handler: there is no handler 'nonsense'")
bad("how to forward, and nowhere to", "service x {\n listen = 127.0.0.1:PORT\n PSK\n forward-proxy = first\n}\n",
    r"dtlsd\.conf:4: service x: forward-proxy is of no use without forward: give it that, or leave this one out")
bad("how to run a program, and none, in a route beside one that forwards",
    "service x {\n listen = 127.0.0.1:PORT\n PSK\n forward = 127.0.0.1:9\n route r {\n  sni = a\n  handler = echo\n"
    "  exec-mode = service\n }\n}\n",
    r"dtlsd\.conf:8: service x: route r: exec-mode is of no use without command")
bad("a section without an end", "\nservice x {\n", r"dtlsd\.conf:2: a \{ without a \}")
bad("a service that listens nowhere", "\nservice x {\n PSK\n}\n", r"dtlsd\.conf:2: service x: it listens nowhere")
bad("no service", "workers = 1\n", r"dtlsd\.conf: there is no service in it")
bad("a service without an identity", "\n\nservice x {\n listen = 127.0.0.1:PORT\n}\n",
    r"dtlsd\.conf:3: service x: there is neither a certificate nor a PSK file; give x509certfile and x509keyfile, or")
bad("a certificate without its key", "service x {\n listen = 127.0.0.1:PORT\n x509certfile = a.pem\n}\n",
    r"dtlsd\.conf:3: service x: x509certfile .*a\.pem is given without x509keyfile")
bad("a file that is not there", "service x {\n listen = 127.0.0.1:PORT\n pskpasswd = none.psk\n}\n",
    r"dtlsd\.conf:3: service x: .*/none\.psk: cannot open the PSK file: No such file")
bad("a PSK file with a bad line", "service x {\n listen = 127.0.0.1:PORT\n pskpasswd = bad.psk\n}\n",
    r"dtlsd\.conf:3: service x: .*/bad\.psk:2: ", lambda t: t.file("bad.psk", "a:00ff\nb:xyz\n"))
bad("a key of another certificate", "service x {\n listen = 127.0.0.1:PORT\n "
    f"x509certfile = '{certs.file('server.pem')}'\n x509keyfile = '{certs.file('client-key.pem')}'\n}}\n",
    r"dtlsd\.conf:4: service x: .*client-key\.pem: this private key does not belong")
bad("clients asked for certificates without a CA", "service x {\n listen = 127.0.0.1:PORT\n " + x509() +
    "\n verify-client = required\n}\n", r"dtlsd\.conf:4: service x: verify-client asks .* give x509cafile")
bad("a bad priority string", "service x {\n listen = 127.0.0.1:PORT\n PSK\n priority = NONSENSE\n}\n",
    r"dtlsd\.conf:4: service x: priority: NONSENSE: ")
bad("how long to remember answers, and nobody to ask", "service x {\n listen = 127.0.0.1:PORT\n PSK\n psk-cache = 5\n}\n",
    r"dtlsd\.conf:4: service x: psk-cache is of no use without psk-socket: give it that, or leave this one out")
bad("how to connect, and nowhere to", "service x {\n listen = 127.0.0.1:PORT\n PSK\n connect-silence = 5\n}\n",
    r"dtlsd\.conf:4: service x: connect-silence is of no use without to")
bad("a program without a word", "service x {\n listen = 127.0.0.1:PORT\n PSK\n command = { }\n}\n",
    r"dtlsd\.conf:4: an empty list: put something in")
bad("a user of a route's program that there is not", "service x {\n listen = 127.0.0.1:PORT\n PSK\n exec-user = no-one-at-all\n"
    " route r {\n  command = /bin/cat\n }\n}\n",
    r"dtlsd\.conf:4: service x: route r: exec-user: ")
bad("an address of another machine", GOOD + "service y {\n listen = {127.0.0.1:0,\n  192.0.2.1:PORT}\n PSK\n}\n",
    r"dtlsd\.conf:7: .*cannot listen on 192\.0\.2\.1:\d+: this machine has no such address")
bad("an address given twice", GOOD + "service y {\n listen = 127.0.0.1:PORT\n PSK\n}\n",
    r"dtlsd\.conf:6: service y: listen: 127\.0\.0\.1:\d+ is given twice, also at .*dtlsd\.conf:2: leave one")
bad("an address beside all of them", GOOD + "service y {\n listen = '0.0.0.0:PORT'\n PSK\n}\n",
    r"dtlsd\.conf:6: service y: listen: 0\.0\.0\.0:(\d+) is given twice, also by 127\.0\.0\.1:\1 at .*dtlsd\.conf:2: ")
bad("a name given twice", "include = b.conf\n" + GOOD, r"b\.conf:2: service x: there is one of that name already, at .*"
    r"dtlsd\.conf:2: give", lambda t: put(t, f"\nservice x {{\n listen = 127.0.0.1:1\n {PSK}\n}}\n", "b.conf"))
bad("an include that is not there", "\ninclude = b.conf\n" + GOOD, r"dtlsd\.conf:2: .*/b\.conf: cannot read the "
    r"configuration: No such file")
bad("a loop of includes", "include = b.conf\n" + GOOD, r"b\.conf:2: include: .*dtlsd\.conf is the file that all began "
    r"with", lambda t: put(t, "\ninclude = dtlsd.conf\n", "b.conf"))
bad("a configuration that is a directory", "include = 'DIR/d.conf'\n" + GOOD,
    r"x\.conf: cannot read the configuration: Is a directory", lambda t: os.makedirs(f"{t.dir()}/d.conf/x.conf"))


@case("several bad services are all told at once")
def _(t):
    p = t.process([DTLSD, "--check", "--config", put(t, service("a", 1, "pskpasswd = a.psk") +
                                                     service("b", 2, "pskpasswd = b.psk"))])
    check_equal(p.wait(), 1, "exit status")
    p.expect(r"service a: .*/a\.psk: cannot open")
    p.expect(r"service b: .*/b\.psk: cannot open")


@case("a cookie secret that is too short is told with file and line, at the start and by --check, which makes none")
def _(t):
    path = put(t, "\ncookie-secret = secret\n" + service("a", free_port(), PSK))
    secret = os.path.join(t.dir(), "secret")
    check_equal(t.process([DTLSD, "--check", "--config", path]).wait(), 0, "exit status without one")
    check(not os.path.exists(secret), "--check has made a secret")
    t.file("secret", "short")
    os.chmod(secret, 0o600)
    for options in ([], ["--check"]):
        p = t.process([DTLSD, "--config", path, *options])
        check_equal(p.wait(), 1, f"exit status with {options}")
        p.expect(r"error: .*dtlsd\.conf:2: cookie-secret .*/secret: holds 5 bytes")


@case("--check of a good file: exit status 0, also while it is served")
def _(t):
    d = start(t, service("a", free_port(), PSK) + service("b", free_port(), x509()))
    p = t.process([DTLSD, "--check", "--config", os.path.join(t.dir(), "dtlsd.conf")])
    check_equal(p.wait(), 0, "exit status")
    p.expect(r"notice: all is well: 2 services")
    d.lacks("error")


@case("--check without a file looks at the command line")
def _(t):
    p = t.process([DTLSD, "--check", *certs.psk_options()])
    check_equal(p.wait(), 0, "exit status")
    p = t.process([DTLSD, "--check", "--pskpasswd", "/nonexistent/psk"])
    check_equal(p.wait(), 1, "exit status")
    p.expect(r"error: /nonexistent/psk: cannot open")


def await_free(t, port):
    """A program that another case is just starting has our sockets, too, for as long as it is a copy of us."""
    while udp_bound(port):
        check(time.monotonic() < t.deadline, f"port {port} stays taken")
        time.sleep(0.01)


@case("a port that is taken: the message has the place, at the start and on a reload")
def _(t):
    with udp_socket() as s:
        taken, port = s.getsockname()[1], free_port()
        text = service("a", port, PSK) + service("b", taken, PSK)
        p = t.process([DTLSD, "--config", put(t, text)])
        check_equal(p.wait(), 1, "exit status")
        p.expect(rf"error: .*dtlsd\.conf:6: .*127\.0\.0\.1:{taken}.* another program serves")
        d = start(t, service("a", port, PSK))
        live = psk_client(t, port).connect()
        put(t, text.replace("service a", "service c"))
        said = reload(d, r"error: reload failed")
        check(re.search(rf"error: .*dtlsd\.conf:6: .*127\.0\.0\.1:{taken}.* another program serves", said), said)
        live.alive()
        check("handshake_drained" not in d.counters() or d.counters()["session_closed_drain"] == 0, "a session was closed")
    await_free(t, taken)
    reload(d, r"notice: reloaded")
    psk_client(t, taken).connect().alive()


@case("from all addresses of a port to one of them: what is in the way is dtlsd itself")
def _(t):
    port = free_port()
    text = f'service all {{\n listen = "0.0.0.0:{port}"\n {PSK}\n}}\n'
    d = start(t, text)
    live = psk_client(t, port).connect()
    put(t, text.replace("0.0.0.0", "127.0.0.1"))
    said = reload(d, r"error: reload failed")
    check(re.search(rf"dtlsd\.conf:2: cannot listen on 127\.0\.0\.1:{port}: dtlsd itself is still at 0\.0\.0\.0:{port}",
                    said), said)
    live.alive()


# ---- reloads ---------------------------------------------------------------------------------------------


@case("SIGHUP: a service comes, one goes, one changes; the diff is in the log, the others do not notice")
def _(t):
    stays, goes, comes, changes = (free_port() for _ in range(4))
    common = "workers = 2\n" + service("stays", stays, PSK)
    d = start(t, common + service("goes", goes, PSK) + service("changes", changes, PSK))
    everyone = [psk_client(t, stays).connect() for _ in range(5)]
    leaving = [psk_client(t, goes).connect() for _ in range(20)]
    changed = psk_client(t, changes).connect()
    put(t, common.replace("workers = 2", "workers = 3\nmax-sessions = 500") + service("comes", comes, PSK) +
        service("changes", changes, PSK, "idle-timeout = 1000", "max-handshakes = 9"))
    said = reload(d, r"notice: no longer serving on 127\.0\.0\.1:\d+")
    d.expect(r"notice: reloaded")
    for line in ("warning: reload: workers 2 -> 3: this holds from the next start on",
                 "notice: reload: max-sessions 100000 -> 500", "notice: reload: service goes: removed",
                 "notice: reload: service comes: added", "notice: reload: service changes: idle-timeout 300 -> 1000",
                 "notice: reload: service changes: max-handshakes 0 -> 9"):
        check(line in said, f"no {line!r} in {said!r}")
    for c in leaving:
        check_equal(c.next(2), CLOSE, "what a session of the service that goes gets")
    for c in [*everyone, changed, psk_client(t, comes).connect(), psk_client(t, stays).connect()]:
        c.alive()
    check(not udp_bound(goes), "its port is not free")
    check_equal(d.counters()["session_closed_drain"], 20, "sessions closed")
    # and back
    put(t, common + service("goes", goes, PSK))
    reload(d, r"notice: reloaded")
    psk_client(t, goes).connect().alive()


@case("SIGHUP: an address that moves to another service, and a handler that changes, begin anew")
def _(t):
    port, other = free_port(), free_port()
    d = start(t, service("a", port, PSK, "handler = echo") + service("b", other, PSK, "handler = discard"))
    c = psk_client(t, port).connect()
    e = psk_client(t, other).connect()
    put(t, service("moved", port, PSK) + service("b", other, PSK))
    said = reload(d, r"notice: reloaded")
    check("notice: service b: its sessions end, as its handler or routes are others\n" in said, said)
    for old in c, e:
        check_equal(old.next(2), CLOSE, "what an old session gets")
    for p in port, other:
        psk_client(t, p).await_service().connect().alive()


@case("SIGHUP: new files and keys of one service, its live sessions go on")
def _(t):
    port = free_port()
    old_key = "old:00112233445566778899aabbccddeeff\n"
    t.file("k.psk", old_key)
    d = start(t, service("a", port, "pskpasswd = k.psk"))
    old = psk_client(t, port, ("old", "00112233445566778899aabbccddeeff")).connect()
    t.file("k.psk", "new:ffeeddccbbaa99887766554433221100\n" + old_key)
    reload(d, r"notice: reloaded")
    psk_client(t, port, ("new", "ffeeddccbbaa99887766554433221100")).connect().alive()
    old.alive()


@case("SIGHUP: the log level follows the file")
def _(t):
    port = free_port()
    text = service("a", port, PSK)
    d = t.daemon("--config", put(t, text), addresses=[], log=None)
    psk_client(t, port).connect().alive()
    d.lacks("session opened")
    put(t, "log-level = info\n" + text)
    reload(d, r"notice: reloaded")
    psk_client(t, port).connect().alive()
    d.expect("info: .*session opened")


@case("SIGHUP in numbers with services that come and go, under load: nobody is lost", 60)
def _(t):
    stays, flaps = free_port(), free_port()
    common = "workers = 2\n" + service("stays", stays, PSK)
    d = start(t, common)
    live = [psk_client(t, stays).connect() for _ in range(5)]
    for n in range(30):
        put(t, common + (service("flaps", flaps, PSK) if n % 2 else ""))
        since = d.mark()
        d.signal(signal.SIGHUP)
        # an address that is just being left is refused, and the next reload takes it
        d.expect(r"notice: reloaded|error: reload failed", since=since)
        psk_client(t, stays).connect().close()
        live[n % 5].alive()
    for c in live:
        c.alive()
    check_equal(d.counters()["handshake_failed"], 0, "failed")


# ---- the sample ------------------------------------------------------------------------------------------


def sample():
    with open(os.path.join(os.environ.get("top_srcdir", TOP), "etc", "dtlsd.conf.sample"), encoding="ascii") as f:
        return f.read()


@case("the sample: with everything in force it is well, and it shows every option of the manual")
def _(t):
    for name in "server.pem", "server-key.pem", "ca.pem":
        shutil.copy(certs.file(name), t.dir())
    shutil.copy(certs.file("psk.txt"), os.path.join(t.dir(), "keys.psk"))
    certs.revocation_list(os.path.join(t.dir(), "crl.pem"))
    certs.ocsp_response(os.path.join(t.dir(), "ocsp.der"), certs.file("server.pem"))
    t.file("server-key.password", "secret\n")
    shutil.copy(certs.file("server-key.pem"), os.path.join(t.dir(), "raw-key.pem"))
    t.file("clients.keys", 64 * "0" + "\n")
    os.mkdir(os.path.join(t.dir(), "conf.d"))
    text = re.sub(r"^#(?=[a-z\t}])", "", sample(), flags=re.MULTILINE)
    possible = text if os.geteuid() == 0 else re.sub(r"^\texec-(user|group) = .*", "", text, flags=re.MULTILINE)
    need_ipv6()
    p = t.process([DTLSD, "--check", "--config", put(t, possible)])
    check_equal(p.wait(), 0, "exit status")
    p.expect("all is well: 6 services")
    with open(os.path.join(os.environ.get("top_srcdir", TOP), "man", "dtlsd.conf.5"), encoding="ascii") as f:
        manual = set(re.findall(r"^\.It Cm ([a-z0-9-]+) =", f.read(), re.MULTILINE))
    shown = set(re.findall(r"^\t*([a-z0-9-]+) =", text, re.MULTILINE))
    check_equal(sorted(shown), sorted(manual), "options of the sample and of the manual")
    listed = set(re.findall(r"--([a-z0-9-]+)", t.process([DTLSD, "--help"]).expect(r"(?s).*--version").group(0)))
    missing = listed - manual - {"config", "check", "daemon", "verbose", "quiet", "help", "version"}
    check(not missing, f"not in dtlsd.conf(5): {missing}")


@case("the sample as it is: there is no service in it")
def _(t):
    p = t.process([DTLSD, "--check", "--config", put(t, sample())])
    check_equal(p.wait(), 1, "exit status")
    p.expect(r"dtlsd\.conf: there is no service in it; add one")


if __name__ == "__main__":
    sys.exit(main(jobs=4))
