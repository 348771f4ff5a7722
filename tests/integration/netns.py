# SPDX-License-Identifier: BSD-2-Clause
"""Networks made of namespaces: a loopback of one's own, or two namespaces joined by a third, a router, with an
MTU of choice between router and client.

    server 10.9.0.1 ---- 10.9.0.2 router 10.9.1.2 ==== mtu ==== 10.9.1.1 client

A network namespace lives as long as the process in it, here a sleep that the case stops.
"""

import os
import subprocess
import sys
import time

from harness import Failed, skip

INSIDE = "DTLSD_OWN_LOOPBACK"


def own_loopback(setup):
    """Starts this program again in a network namespace, once the commands (for sh) in it have succeeded.

    Returns None inside, and the reason where the system does not let us. Root stays the system's root, so that
    processes can be given priority as outside.
    """
    if os.environ.pop(INSIDE, None):
        return None
    why = ""
    for how in ["--net"], ["--user", "--map-root-user", "--net"]:
        into = ["unshare", *how, "sh", "-c", f'{setup} && exec "$@"', "sh"]
        try:
            probe = subprocess.run([*into, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "no unshare"
        if probe.returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp(into[0], [*into, sys.executable, *sys.argv])
        why = probe.stderr.strip()
    return why


class Network:
    server, client = "10.9.0.1", "10.9.1.1"

    def __init__(self, t, mtu, where):
        """where: the link between router and client is small ("far") or the daemon's own route ("near")."""
        self.t = t
        self.holders = {}
        root = self._hold(["unshare", "--user", "--map-root-user", "--net"], "router", None)
        for name in ("server", "client"):
            self._hold(["nsenter", *self._enter(root), "unshare", "--net"], name, root)
        self._link("server", self.server, "10.9.0.2", 1500, mtu if where == "near" else 1500)
        self._link("client", self.client, "10.9.1.2", mtu if where == "far" else 1500, 1500)
        self.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", fallback="/proc/sys/net/ipv4/ip_forward")

    def _hold(self, how, name, _parent):
        try:
            p = subprocess.Popen([*how, "sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        except FileNotFoundError as e:
            skip(f"no {e.filename}")

        def stop():
            p.kill()
            p.wait()
            p.stderr.close()
        self.t.stack.callback(stop)
        self.holders[name] = p.pid
        # unshare becomes sleep once the namespace is there
        while self._command(p.pid) != "sleep":
            if p.poll() is not None:
                skip(f"no network namespaces here: {p.stderr.read().decode().strip()}")
            if time.monotonic() > self.t.deadline:
                raise Failed("the network namespace does not come")
            time.sleep(0.01)
        return p.pid

    @staticmethod
    def _command(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                return f.read().strip()
        except OSError:
            return ""

    @staticmethod
    def _enter(pid):
        return ["-t", str(pid), "--user", "--preserve-credentials", "--net"]

    def enter(self, name):
        """The words to put before a command so that it runs in a namespace."""
        return ["nsenter", *self._enter(self.holders[name])]

    def run(self, name, *command, fallback=None):
        """Runs a command of the set-up; where it cannot be, the case is skipped."""
        try:
            done = subprocess.run([*self.enter(name), *command], capture_output=True, text=True, check=False)
        except FileNotFoundError as e:
            skip(f"no {e.filename}")
        if done.returncode and fallback:
            done = subprocess.run([*self.enter(name), "sh", "-c", f"echo 1 > {fallback}"],
                                  capture_output=True, text=True, check=False)
        if done.returncode:
            skip(f"cannot set up the network: {' '.join(command)}: {done.stderr.strip()}")

    def _link(self, name, address, gateway, mtu, route_mtu):
        peer = f"r-{name}"
        self.run(name, "ip", "link", "add", "eth", "type", "veth", "peer", "name", peer, "netns",
                 str(self.holders["router"]))
        for where, device, own in ((name, "eth", address), ("router", peer, gateway)):
            self.run(where, "ip", "address", "add", own + "/24", "dev", device)
            self.run(where, "ip", "link", "set", device, "mtu", str(mtu), "up")
        self.run(name, "ip", "link", "set", "lo", "up")
        self.run(name, "ip", "route", "add", "default", "via", gateway, "mtu", str(route_mtu))
