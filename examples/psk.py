#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tells dtlsd the pre-shared keys of its clients: psk.py SOCKET FILE

    service meters {
        listen = "*:5684"
        psk-socket = /run/meters/psk.sock
    }

FILE has an identity, a colon and its key in hexadecimal on each line. It is read anew for every question, as
your database would be asked: find_key is the place for that.
"""

import contextlib
import os
import socket
import sys


def find_key(path, identity):
    """The key of an identity; None where there is none."""
    with open(path, "rb") as lines:
        for line in lines:
            name, colon, key = line.strip().rpartition(b":")
            if colon and name == identity:
                return bytes.fromhex(key.decode())
    return None


def answer(path, question):
    """What dtlsd is told: "get 616c696365" brings "key 616c696365 00112233" or "no 616c696365"."""
    word, identity = question.split()
    if word != "get":
        raise ValueError(question)
    key = find_key(path, bytes.fromhex(identity))
    return f"key {identity} {key.hex()}" if key else f"no {identity}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, keys = sys.argv[1:]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        before = os.umask(0o117)  # for the group of this program, which dtlsd is to be in
        sock.bind(path)
        os.umask(before)
        print(f"answering at {path}", flush=True)
        while True:
            question, dtlsd = sock.recvfrom(4096)
            try:
                sock.sendto(answer(keys, question.decode()).encode(), dtlsd)
            except (OSError, ValueError) as e:
                # dtlsd asks again, so nothing is lost
                print(f"cannot answer {question!r}: {e}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
