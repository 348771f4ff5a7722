# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are measured: how each is started, on which processor, and what it takes to build it."""
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time

PSK = b"measured, not us"  # PSK_KEY of bench/util.h
PSK_IDENTITY = "bench"
PION = "golang-github-pion-dtls.v2-dev and golang-go"
TEMPLATE = 'cn = "localhost"\ndns_name = "localhost"\nexpiration_days = 30\nsigning_key\ntls_www_server\n'


def die(text):
    sys.exit(f"bench: {text}")


def resident(pid):
    """The memory of a process in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Credentials:
    """One certificate and one pre-shared key for all servers."""

    def __init__(self, directory):
        self.certificate = os.path.join(directory, "cert.pem")
        self.key = os.path.join(directory, "key.pem")
        self.psk = os.path.join(directory, "psk.txt")
        self.pair = (self.certificate, self.key)
        self._write(self.psk, f"{PSK_IDENTITY}:{PSK.hex()}\n")
        os.chmod(self.psk, 0o600)
        template = os.path.join(directory, "template")
        self._write(template, TEMPLATE)
        self._certtool("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1",
                       "--outfile", self.key)
        self._certtool("--generate-self-signed", "--load-privkey", self.key, "--template", template,
                       "--outfile", self.certificate)

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    @staticmethod
    def _certtool(*arguments):
        done = subprocess.run(("certtool", *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            die(f"certtool: {done.stderr}")


def nothing(_credentials):
    return ()


def pair(credentials):
    return credentials.pair


def dtlsd(*more, handler=("--handler", "echo")):
    def arguments(credentials):
        return (*handler, "--workers", "1", "--quiet", "--max-sessions", "200000",
                "--max-sessions-per-address", "0", "--max-handshakes", "10000", "--idle-timeout", "600",
                "--x509certfile", credentials.certificate, "--x509keyfile", credentials.key,
                "--pskpasswd", credentials.psk, *more)
    return arguments


def line(arguments, address, backend):
    """How our own servers have it."""
    return (*(("--forward", backend) if backend else ()), *arguments, address)


def socat(credentials):
    return (f"cert={credentials.certificate},key={credentials.key},verify=0,"
            "cipher=ECDHE-ECDSA-AES128-GCM-SHA256",)


def socat_line(arguments, address, backend):
    """A process for each client, which ends half a second after it, or when nothing has come for a minute."""
    host, port = address.split(":")
    return ("-T", "60", f"OPENSSL-DTLS-SERVER:{port},bind={host},reuseaddr,fork,{arguments[0]}", f"UDP:{backend}")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A server as the tables name it."""
    name: str
    program: str                 # in the build directory, or where the system has it
    arguments: object = nothing  # of the command line, from Credentials
    package: str = ""            # of Debian, without which it is not built
    dtls: bool = True
    settles: bool = False        # it gives memory back some time after it has become free
    processors: int = 1
    behind: str = ""             # another one that it forwards to
    line: object = line          # all of the command line, from its arguments, its address, and the backend's
    forks: bool = False          # a process for each client
    lean: bool = True            # it does X25519, which is what the generator's cheapest client can do


KINDS = {kind.name: kind for kind in (
    Kind("bare_hmac", "bench/bare_hmac", dtls=False),
    Kind("bare_udp", "bench/bare_udp", dtls=False),
    Kind("bare_udp --gro", "bench/bare_udp", lambda _: ("--gro",), dtls=False),
    Kind("dtlsd", "src/dtlsd", dtlsd(), settles=True),
    Kind("dtlsd --workers 2", "src/dtlsd", dtlsd("--workers", "2"), settles=True, processors=2),
    Kind("dtlsd --forward", "src/dtlsd", dtlsd(handler=()), settles=True, behind="bare_udp"),
    Kind("socat", "/usr/bin/socat", socat, "socat", behind="bare_udp", line=socat_line, forks=True, lean=False),
    Kind("pion --forward", "bench/pion_echo", pair, PION, behind="bare_udp"),
    Kind("openssl_echo", "bench/openssl_echo", pair, "libssl-dev"),
    Kind("gnutls_echo", "bench/gnutls_echo", pair),
    Kind("mbedtls_echo", "bench/mbedtls_echo", pair, "libmbedtls-dev"),
    Kind("wolfssl_echo", "bench/wolfssl_echo", pair, "libwolfssl-dev"),
    Kind("pion_echo", "bench/pion_echo", pair, PION),
)}
FORWARDERS = ("socat", "pion --forward")
PEERS = ("openssl_echo", "gnutls_echo", "mbedtls_echo", "wolfssl_echo", "pion_echo")


class Server:
    """A running one, on a port of its own."""

    def __init__(self, kind, program, credentials, cpus, backend=""):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.kind = kind
        self.address = f"127.0.0.1:{port}"
        # A Go program makes as many threads as there are processors, whatever it may use of them.
        self.process = subprocess.Popen(
            ["taskset", "-c", cpus, program, *kind.line(kind.arguments(credentials), self.address, backend)],
            env={**os.environ, "GOMAXPROCS": str(kind.processors)}, start_new_session=True)
        try:
            self._wait_until_bound(port)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.process.pid

    def _wait_until_bound(self, port):
        wanted = f":{port:04X} "
        for _ in range(500):
            if self.process.poll() is not None:
                die(f"{' '.join(self.process.args)} ended with status {self.process.returncode}")
            with open("/proc/net/udp", encoding="ascii") as table:
                if any(wanted in line[:line.rfind(":00000000")] for line in table):
                    return
            time.sleep(0.01)
        die(f"{' '.join(self.process.args)} does not listen")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)  # with those that it has made for its clients
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
