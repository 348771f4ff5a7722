#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""One process for all sessions of a service: what one client says all others hear.

dtlsd.conf(5):  command = "/usr/share/doc/dtlsd/examples/chat.py"
                exec-mode = service

Each datagram on standard input and output says in its first 12 bytes whose it is: dtlsd-exec(7).
"""

import os
import struct
import sys

HEAD = struct.Struct("!BBHQ")
VERSION = 1
OPEN, DATA, CLOSE, ASK = b"odca"
DATAGRAM = HEAD.size + 16384

clients = {}  # session: name


def send(kind, session, data=b""):
    os.write(1, HEAD.pack(VERSION, kind, 0, session) + data[:16384])


def say(text, but=None):
    print(text, file=sys.stderr)  # to dtlsd's log
    for session in list(clients):
        if session != but:
            send(DATA, session, text.encode() + b"\n")


def name_of(about):
    """The name of a client, of the texts NAME=VALUE that an OPEN has."""
    values = dict(text.split("=", 1) for text in about.decode().split("\0") if text)
    return values.get("DTLSD_IDENTITY") or values["DTLSD_PEER"]


def on_open(session, about):
    again = session in clients
    clients[session] = name_of(about)
    if not again:
        say(f"{clients[session]} is here", session)


def on_data(session, data):
    if session not in clients:  # this process was started again, and does not know it
        send(ASK, session)
        return
    text = data.decode("utf-8", "replace").strip()
    if text == "bye":
        send(CLOSE, session)
    elif text == "who":
        send(DATA, session, ("here are " + ", ".join(sorted(clients.values())) + "\n").encode())
    elif text:
        say(f"{clients[session]}: {text}", session)


def on_close(session):
    name = clients.pop(session, None)
    if name:
        say(f"{name} has left")


def main():
    while True:
        datagram = os.read(0, DATAGRAM)
        if not datagram:  # dtlsd ends, or has another command for this service
            break
        version, kind, _, session = HEAD.unpack_from(datagram)
        if version != VERSION:
            sys.exit(f"this is version {VERSION}, dtlsd speaks {version}")
        if kind == OPEN:
            on_open(session, datagram[HEAD.size:])
        elif kind == DATA:
            on_data(session, datagram[HEAD.size:])
        elif kind == CLOSE:
            on_close(session)


try:
    main()
except ConnectionError:  # the end came before an answer was read
    pass
