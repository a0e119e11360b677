"""A hostile host on the network between the nodes. Prints one JSON line at its end.

  hostile.py garbage SECONDS PORT SOURCES TARGETS
        UDP datagrams of random bytes and sizes; sources are forged (both lists: addresses with
        commas between them)
  hostile.py replay INTERFACE PCAP all|raw TIMES
        frames of a capture again, byte for byte behind their source, in order and then shuffled;
        raw: only those that are neither IP nor ARP
  hostile.py connections COUNT SECONDS PORT TARGETS
        TCP connections: a third says nothing, a third says random bytes, a third goes at once
"""

import json
import random
import socket
import struct
import sys
import time

FRAME_MAX = 1514

def garbage(seconds, port, sources, targets):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    end = time.monotonic() + float(seconds)
    sent = 0
    while time.monotonic() < end:
        for source in sources.split(","):
            for target in targets.split(","):
                payload = random.randbytes(random.choice([0, 1, 20, 60, 200, 600, 1400]))
                datagram = struct.pack("!HHHH", int(port), int(port), 8 + len(payload), 0) + payload
                head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
                ends = socket.inet_aton(source) + socket.inet_aton(target)
                raw.sendto(head + ends + datagram, (target, 0))
                sent += 1
        time.sleep(0.002)
    return {"sent": sent}


def frames_of(path, what):
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], 24
    while at + 16 <= len(data):
        kept, length = struct.unpack("<II", data[at + 8 : at + 16])
        frame = data[at + 16 : at + 16 + kept]
        wanted = what == "all" or frame[12:14] not in (b"\x08\x00", b"\x08\x06", b"\x86\xdd")
        # What the capture cut short, or is larger than a frame on the wire, cannot be said again.
        if wanted and kept == length <= FRAME_MAX:
            frames.append(frame)
        at += 16 + kept
    return frames


def replay(interface, path, what, times):
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.bind((interface, 0))
    # From the host's own link address: to mislead a switch is another attack, and nobody's but the
    # switch's to fend off.
    link = tap.getsockname()[4]
    frames = [frame[:6] + link + frame[12:] for frame in frames_of(path, what)]
    for turn in range(int(times)):
        if turn > 0:
            random.shuffle(frames)
        for frame in frames:
            tap.send(frame)
            time.sleep(0.0005)
    return {"sent": len(frames) * int(times)}


def connections(count, seconds, port, targets):
    made, refused = [], 0
    targets = targets.split(",")
    for number in range(int(count)):
        try:
            one = socket.create_connection((targets[number % len(targets)], int(port)), timeout=1)
            if number % 3 == 1:
                one.sendall(random.randbytes(3000))
            if number % 3 == 2:
                one.close()
            made.append(one)
        except OSError:
            refused += 1
    time.sleep(float(seconds))
    return {"made": len(made), "refused": refused}


def main():
    what, *arguments = sys.argv[1:]
    said = {"garbage": garbage, "replay": replay, "connections": connections}[what](*arguments)
    print(json.dumps(said), flush=True)


main()
