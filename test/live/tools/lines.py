"""Plain TCP connections that end, or go on, exactly when they are told.

  lines.py serve ADDRESS PORT
        echoes what comes; every connection ends with a reset, also when this program is killed
  lines.py call ADDRESS PORT COUNT
        opens so many connections and prints {"opened": n}; then for every line on standard input
        says a line on each and prints {"answered": n, "reset": n, "silent": n}
"""

import json
import select
import socket
import struct
import sys

PATIENCE = 4  # seconds for the answers of one round


def serve(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(512)
    print("listening", flush=True)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    ends = {listener.fileno(): listener}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                end, _ = listener.accept()
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                ends[end.fileno()] = end
                poll.register(end, select.POLLIN)
                continue
            end = ends[number]
            try:
                said = end.recv(4096)
            except OSError:
                said = b""
            if said:
                end.sendall(said)
            else:
                poll.unregister(number)
                ends.pop(number).close()


def ask(ends):
    """Says a line on every connection, and counts how each was answered."""
    fates = {"answered": 0, "reset": 0, "silent": 0}
    waiting = {}
    for end in ends:
        try:
            end.sendall(b"line\n")
            waiting[end.fileno()] = end
        except OSError:
            fates["reset"] += 1
    while waiting:
        readable, _, _ = select.select(list(waiting.values()), [], [], PATIENCE)
        if not readable:
            break
        for end in readable:
            del waiting[end.fileno()]
            try:
                fates["answered" if end.recv(4096) else "reset"] += 1
            except OSError:
                fates["reset"] += 1
    fates["silent"] = len(waiting)
    return fates


def call(address, port, count):
    ends = [socket.create_connection((address, port), timeout=10) for _ in range(count)]
    fates = ask(ends)
    print(json.dumps({"opened": fates["answered"]}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(ask(ends)), flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
