#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A process for each session: a small store of keys and values.

dtlsd.conf(5):  command = "/usr/share/doc/dtlsd/examples/kv.py"

A record from the client is a datagram on standard input, and each datagram written to standard output is a record to
it: os.read and os.write keep the boundaries, buffered files and print do not. Records:

    put KEY VALUE    ok
    get KEY          value VALUE, or none
    list             keys KEY ...
    who              what dtlsd knows of this client
    bye              the session is closed, as it is whenever this process ends
"""

import os
import sys

RECORD = 16384
KEYS_MOST = 1000


def who():
    names = ("PEER", "IDENTITY", "SNI", "ALPN", "SUITE")
    return "you are " + " ".join(f"{n.lower()}={os.environ.get('DTLSD_' + n, '-')}" for n in names)


def put(store, argument):
    key, blank, value = argument.partition(" ")
    if not key or not blank:
        return "error: put KEY VALUE"
    if key not in store and len(store) == KEYS_MOST:
        return "error: too many keys"
    store[key] = value
    return "ok"


def get(store, key):
    return f"value {store[key]}" if key in store else "none"


def answer(store, text):
    word, _, argument = text.strip().partition(" ")
    if word == "put":
        return put(store, argument)
    if word == "get":
        return get(store, argument)
    if word == "list":
        return " ".join(["keys", *sorted(store)])
    if word == "who":
        return who()
    return "error: put, get, list, who or bye"


def main():
    store = {}
    while True:
        record = os.read(0, RECORD)
        if not record:  # dtlsd has closed its end: the session is over
            break
        text = record.decode("utf-8", "replace")
        if text.strip() == "bye":
            break
        reply = answer(store, text).encode() + b"\n"
        os.write(1, reply[:RECORD])
    # standard error goes to dtlsd's log
    print(f"{len(store)} keys at the end of {os.environ.get('DTLSD_SESSION')}", file=sys.stderr)


try:
    main()
except ConnectionError:  # the end came before an answer was read
    pass
