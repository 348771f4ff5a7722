#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/recipes, end to end: the files and commands of each page with the real programs of Debian 12."""

import glob
import os
import re
import signal
import socket
import sys
import time

import certs
import recipes
from backend import Backend
from harness import CASES, Failed, await_udp, case, check, check_equal, free_port, main
from recipes import Recipe, needs


def await_line(t, path, pattern):
    """Waits until a file that another program writes, or the first of a pattern, has such a line; the match."""
    text = ""
    while time.monotonic() < t.deadline:
        for name in glob.glob(path)[:1]:
            with open(name, encoding="utf-8", errors="backslashreplace") as f:
                text = f.read()
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                return found
        time.sleep(0.05)
    raise Failed(f"{path}: no {pattern!r}, only {text!r}")


def ask_plainly(t, port, data):
    """The answer to a datagram; it is said again every second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))
        s.settimeout(1)
        while time.monotonic() < t.deadline:
            try:
                s.send(data)
                return s.recv(65536)
            except (ConnectionRefusedError, socket.timeout):
                pass
    raise Failed(f"no answer from port {port}")


@case("recipe coap: libcoap's server, OpenSSL and GnuTLS clients, PSK, certificate, raw key, blockwise, observe", 60)
def _(t):
    needs("coap-server-notls", "coap-client-openssl", "coap-client-gnutls", "openssl")
    front, raw, back = free_port(), free_port(), free_port()
    r = Recipe(t, "coap", {"*:5684": f"*:{front}", "coap.example.org": f"localhost:{front}",
                           "*:5694": f"*:{raw}", "coap.example.org:5694": f"localhost:{raw}",
                           "127.0.0.1:5683": f"127.0.0.1:{back}", "-p 5683": f"-p {back}"})
    r.run("umask 077 && echo \"sensor-1:")
    for beginning in ("openssl genpkey", "openssl ecparam", "openssl pkey"):
        r.run(beginning)
    await_udp(t, r.start("coap-server-notls"), back)
    d = r.daemon()
    time_of_day = r"\w{3} \d\d \d\d:\d\d:\d\d"
    for identity, libraries in (("psk:sensor-1", ("openssl", "gnutls")), ("CN=client.example", ("openssl", "gnutls")),
                                ("rpk:sha256:[0-9a-f]{64}", ("gnutls",))):
        for library in libraries:
            since = d.mark()
            check(re.search(time_of_day, r.run(f"coap-client-{library} -m get")), f"{library}: no time")
            d.expect(rf"session opened: .*{identity}\n", since=since)
    firmware = "".join(f"line {n} of the firmware\n" for n in range(400))
    t.file("firmware", firmware)
    r.run("coap-client-openssl -m put")
    r.run("coap-client-openssl -m get -o firmware.back")
    with open(r.path("firmware.back"), encoding="ascii") as f:
        check_equal(f.read(), firmware, "what came back in blocks")
    seen = set(re.findall(time_of_day, r.run("coap-client-openssl -m get -s 3")))
    check(len(seen) >= 2, f"observed only {seen}")
    d.lacks("warning:")
    r.all_used()


@case("recipe syslog: rsyslog to rsyslog, s_client with and without lengths, logger; who is not allowed", 60)
def _(t):
    needs("rsyslogd", "openssl", "logger")
    front, back, near = free_port(), free_port(), free_port()
    log, host = os.path.join(t.dir(), "remote.log"), os.path.join(t.dir(), "host-socket")
    r = Recipe(t, "syslog", {"*:6514": f"*:{front}", "127.0.0.1:10514": f"127.0.0.1:{back}", '"10514"': f'"{back}"',
                             "/var/log/remote.log": log, "logs.example.org:6514": f"localhost:{front}",
                             "127.0.0.1:10515": f"127.0.0.1:{near}", '"10515"': f'"{near}"'})
    where = f'global(workDirectory="{t.dir()}")\n'
    server = r.file("rsyslog-server.conf", before=where)
    sender = r.file("rsyslog-host.conf", before=where + 'module(load="imuxsock" SysSock.Use="off")\n'
                    f'input(type="imuxsock" Socket="{host}")\n')
    await_udp(t, r.program(["rsyslogd", "-n", "-f", server, "-i", r.path("server.pid")]), back)
    d = r.daemon()
    r.run("echo '<13>")
    await_line(t, log, r"^2026-01-01T00:00:00Z web1\.example app +hello$")
    r.run("m='<13>")
    await_line(t, log, r"^2026-01-01T00:00:01Z web1\.example app +with its length$")
    r.run("logger -s")
    await_line(t, log, r"app +by logger$")
    near_by = r.client("dtlsd-host.conf")
    r.program(["rsyslogd", "-n", "-f", sender, "-i", r.path("host.pid")])
    while not os.path.exists(host):
        check(time.monotonic() < t.deadline, "rsyslog opens no socket")
        time.sleep(0.05)
    for text in ("first", "second", "x" * 2000):
        r.program(["logger", "--size", "2048", "-u", host, "-t", "app", text]).wait()
        await_line(t, log, rf"app +{text}$")
    d.lacks("warning:")
    near_by.lacks("warning:")
    cert, key = certs.make("stranger", ["cn = stranger.elsewhere", "signing_key", "tls_www_client"])
    r.program(["openssl", "s_client", "-dtls1_2", "-cert", cert, "-key", key,
               "-connect", f"localhost:{front}"]).expect("alert access denied|alert number 49")
    r.all_used()


def dns_query(number, name, kind, edns=None):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    question = labels + b"\0" + kind.to_bytes(2, "big") + b"\0\1"
    opt = b"" if edns is None else b"\0\0\x29" + edns.to_bytes(2, "big") + bytes(6)
    return number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0" + bytes([edns is not None]) + question + opt


def octal(data):
    return "".join(f"\\{b:03o}" for b in data)


@case("recipe dns: dnsmasq answers, in full what fits, truncated what does not; plain DNS by way of dtlsd", 60)
def _(t):
    needs("dnsmasq", "openssl", "od")
    front, back, near = free_port(), free_port(), free_port()
    answered = os.path.join(t.dir(), "answered")
    r = Recipe(t, "dns", {"*:853": f"*:{front}", "127.0.0.1:5353": f"127.0.0.1:{back}", "port=5353": f"port={back}",
                          "dns.example.org:853": f"localhost:{front}", "dns.example.org": "localhost", "127.0.0.1:53": f"127.0.0.1:{near}",
                          "sleep 1": f"cat '{answered}'; sleep 0.3"})
    texts = [c * 200 for c in "abcdef"]
    conf = r.file("dnsmasq.conf", after="no-resolv\nno-hosts\naddress=/www.example/192.0.2.7\n"
                  + "".join(f"txt-record=large.example,{x}\n" for x in texts[:4])
                  + "".join(f"txt-record=huge.example,{x}\n" for x in texts))
    await_udp(t, r.program(["dnsmasq", "--keep-in-foreground", "--pid-file=", "--conf-file=" + conf]), back)
    d = r.daemon()
    os.mkfifo(answered)
    command = next(c for c in r.commands if c.startswith("(printf"))

    def ask(number, query=None):
        """The number-th answer; query stands in for the page's."""
        if query:
            r.commands.append(re.sub(r"printf '[^']*'", lambda _: f"printf '{octal(query)}'", command))
        asking = r.start("(printf")
        d.await_counter("backend_in", number)
        with open(answered, "wb"):
            pass
        check_equal(asking.wait(), 0, "status of the question")
        return bytes.fromhex("".join(asking.text.split()))

    answer = ask(1)
    check_equal((answer[:2], answer[2] & 0x82, answer[-4:]), (b"\x12\x34", 0x80, bytes([192, 0, 2, 7])), "the answer")
    cases = (("large.example", 4096, True), ("large.example", None, False), ("huge.example", 4096, False))
    for number, (name, edns, whole) in enumerate(cases, 2):
        answer = ask(number, dns_query(number, name, 16, edns))
        truncated = answer[2] & 2 != 0
        check_equal((answer[1], truncated), (number, not whole), f"{name} with EDNS {edns}")
        if whole:
            check(all(x.encode() in answer for x in texts[:4]), "something is missing of the large answer")
    counters = d.counters()
    check_equal((counters["backend_out"], counters["backend_in"]), (4, 4), "datagrams to and from dnsmasq")
    r.client("dtlsd-stub.conf")
    answer = ask_plainly(t, near, dns_query(9, "www.example", 1))
    check_equal((answer[1], answer[-4:]), (9, bytes([192, 0, 2, 7])), "the answer to plain DNS")
    d.lacks("warning:")
    r.all_used()


RADIUSD = """
logdir = "@"
run_dir = "@"
libdir = /usr/lib/freeradius
log {
	destination = stdout
	auth = yes
}
security {
	reject_delay = 0
	status_server = yes
}
modules {
	pap {
	}
	files {
		usersfile = "@/users"
	}
	detail {
		filename = "@/accounting"
	}
}
server default {
	authorize {
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
	}
	accounting {
		detail
	}
}
"""


@case("recipe radius: radclient, radsecproxy, FreeRADIUS: accept, reject, accounting", 90)
def _(t):
    needs("freeradius", "radsecproxy", "radclient")
    ports = {n: str(free_port()) for n in (2083, 2084, 2812, 2813, 1812, 1813)}
    r = Recipe(t, "radius", {f"{before}{n}": before + ports[n] for before, n in (
        ("*:", 2083), ("*:", 2084), ("127.0.0.1:", 2812), ("127.0.0.1:", 2813), ("port = ", 2812), ("port = ", 2813),
        ("127.0.0.1:", 1812), ("127.0.0.1:", 1813), ("port ", 2083), ("port ", 2084))}
        | {"radius.example.org": "localhost", "/etc/dtlsd/": t.dir() + "/"})
    t.file("users", 'alice Cleartext-Password := "wonderland"\n\tReply-Message := "Hello, %{User-Name}"\n')
    radiusd = RADIUSD.replace("@", t.dir()) + "$INCLUDE " + r.file("freeradius-dtls") + "\n"
    t.file("radiusd.conf", radiusd)
    t.file("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n")
    back_end = r.program(["freeradius", "-f", "-l", "stdout", "-d", t.dir(), "-n", "radiusd"])
    back_end.expect("Ready to process requests")
    d = r.daemon()
    proxy = r.program(["radsecproxy", "-f", "-d", "3", "-c", r.file("radsecproxy.conf"), "-i", r.path("proxy.pid")])
    for server in ("dtlsd", "dtlsd-accounting"):
        proxy.expect(rf"DTLS connection to {server} .* up$")
    d.expect(r"session opened: ECDHE-ECDSA, AES-128-GCM, CN=client\.example")
    command = next(c for c in r.commands if "auth" in c)
    accept = r.run("echo 'User-Name=alice,User-Password")
    check('Reply-Message = "Hello, alice"' in accept, "no greeting in the answer")
    back_end.expect(r"Login OK: \[alice\] \(from client dtlsd port 0\)")
    r.commands.append(command.replace("wonderland", "looking-glass"))
    r.start("echo 'User-Name=alice,User-Password").expect("Received Access-Reject")
    check("Received Accounting-Response" in r.run("echo 'User-Name=alice,Acct"), "no answer to accounting")
    await_line(t, r.path("accounting"), r"Acct-Status-Type = Start")
    d.lacks("warning:")
    r.all_used()


@case("recipe statsd: metrics arrive in collectd, from dtlsc and from a plain program by way of dtlsd", 60)
def _(t):
    needs("collectd", "psktool", "bash")
    front, back, near = free_port(), free_port(), free_port()
    r = Recipe(t, "statsd", {"*:8127": f"*:{front}", "127.0.0.1:8125": f"127.0.0.1:{back}", '"8125"': f'"{back}"',
                             "stats.example.org:8127": f"localhost:{front}", "127.0.0.1/8125": f"127.0.0.1/{near}",
                             "/var/lib/collectd/csv": t.dir() + "/csv"})
    own = f'BaseDir "{t.dir()}"\nPIDFile "{t.dir()}/pid"\nInterval 0.2\nHostname "here"\nFQDNLookup false\n'
    await_udp(t, r.program(["collectd", "-f", "-C", r.file("collectd.conf", before=own)]), back)
    r.run("psktool")
    os.symlink(r.path("agents.psk"), r.path("agent.psk"))
    d = r.daemon()
    r.client("dtlsd-agent.conf", here={"127.0.0.1:8125": f"127.0.0.1:{near}"})
    r.run("printf")
    r.run("bash -c")
    for name, value in (("count-deploys", "3"), ("gauge-temperature", "21.5"), ("count-requests", "1")):
        await_line(t, os.path.join(t.dir(), "csv", "here", "statsd", name + "-*"), rf",{re.escape(value)}(\.?0*)$")
    d.expect(r"session opened: .*psk:web1\n")
    d.lacks("warning:")
    r.all_used()


@case("recipe tunnel: a datagram and its answer, before and after a restart of the far end; who loses his key", 90)
def _(t):
    needs("bash", "psktool", "od")
    server = Backend(t, answer=lambda data: [b"\xff\xff\xff\xffinfoResponse to " + data[4:]])
    front, near = free_port(), free_port()
    r = Recipe(t, "tunnel", {"*:27961": f"*:{front}", "127.0.0.1:27960": server.name,
                             "game.example.org:27961": f"localhost:{front}", "127.0.0.1/27960": f"127.0.0.1/{near}"})
    r.run("psktool")
    r.run("grep")
    d = r.daemon()
    r.client("dtlsd-player.conf", here={"127.0.0.1:27960": f"127.0.0.1:{near}"})
    check(re.search(r"i +n +f +o +R +e +s +p", r.run("bash -c")), "the server's answer is another one")
    d.expect(r"session opened: .*psk:player-1\n")
    check_equal(d.stop(), 0, "status of the far end")
    d = r.daemon()
    want = b"\xff\xff\xff\xffinfoResponse to again"
    check_equal(ask_plainly(t, near, b"\xff\xff\xff\xffagain"), want, "the answer after a restart")
    t.file("players.psk", "player-2:00112233\n")
    d.signal(signal.SIGHUP)
    d.expect(r"session closed \(its certificate or pre-shared key is not good any more\)")
    r.all_used()


@case("the index has every recipe, and every recipe has a service's file and a test")
def _(t):
    pages = {os.path.basename(p)[:-3] for p in glob.glob(recipes.DIRECTORY + "/*.md")} - {"README"}
    confs = {os.path.basename(p)[:-5] for p in glob.glob(recipes.DIRECTORY + "/*.conf")}
    listed = set(re.findall(r"^\| \[[^]]*\]\((\w+)\.md\)", recipes.read("README.md"), re.MULTILINE))
    tested = {c.name.split()[1][:-1] for c in CASES if c.name.startswith("recipe ")}
    check(pages == confs == listed == tested, f"pages {pages}, files {confs}, index {listed}, tests {tested}")


if __name__ == "__main__":
    sys.exit(main())
