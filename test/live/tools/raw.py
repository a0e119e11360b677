"""Packets that no well-behaved sender makes. Reads one JSON command a line, prints an answer each.

  {"do":"datagram","family":4,"size":9000,"order":[2,0,1,1]}
        a UDP datagram whose fragments go out in that order (indices into the fragments; one left
        out is lost, one written twice repeated); answers with what came back
  {"do":"syn","family":4,"first":24,"order":[0,1]}
        a SYN with 400 bytes behind it whose first fragment has `first` bytes of TCP; answers with
        the distinct initial sequence numbers that answered
  {"do":"flood","seconds":5,"atLeast":20000,"limit":30}
        SYNs of ever new sources in 198.18.0.0/15: for so long, and until there were so many, but not
        for longer than the limit
  {"do":"establish","count":1000000,"perSecond":100000}
        an ACK of each of so many connections, always the same ones, from sources in 198.18.0.0/15:
        a cluster that never saw them takes them for established
"""

import json
import os
import random
import socket
import struct
import sys
import time

CLUSTER = {4: "192.0.2.100", 6: "2001:db8::100"}
CLIENT = {4: "192.0.2.200", 6: "2001:db8::200"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT = 8080
STEP = 1400  # payload of a fragment: a multiple of eight


def packed(family, address):
    return socket.inet_pton(FAMILY[family], address)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport_sum(family, protocol, segment):
    ends = packed(family, CLIENT[family]) + packed(family, CLUSTER[family])
    if family == 4:
        pseudo = ends + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = ends + struct.pack("!IHBB", len(segment), 0, 0, protocol)
    return checksum(pseudo + segment)


def fragments(family, protocol, segment, first):
    """The segment's IP fragments; the first one carries `first` bytes."""
    identification = random.randrange(1, 0xFFFF)
    cuts = [0] + list(range(first, len(segment), STEP)) + [len(segment)]
    packets = []
    for start, end in zip(cuts, cuts[1:]):
        more = 0 if end == len(segment) else 1
        part = segment[start:end]
        if family == 4:
            offset = more << 13 | start // 8
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), identification, offset, 64, protocol, 0)
            packets.append(head + packed(4, CLIENT[4]) + packed(4, CLUSTER[4]) + part)
        else:
            extension = struct.pack("!BBHI", protocol, 0, start | more, identification)
            head = struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64)
            packets.append(head + packed(6, CLIENT[6]) + packed(6, CLUSTER[6]) + extension + part)
    return packets


def raw_socket(family):
    raw = socket.socket(FAMILY[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    return raw


def send_in_order(family, packets, order):
    target = (CLUSTER[family], 0) if family == 4 else (CLUSTER[family], 0, 0, 0)
    with raw_socket(family) as raw:
        for index in order:
            raw.sendto(packets[index], target)


def datagram(command):
    family = command["family"]
    payload = random.randbytes(command["size"])
    answers = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    answers.bind((CLIENT[family], 0))
    port = answers.getsockname()[1]
    length = 8 + len(payload)
    segment = struct.pack("!HHHH", port, PORT, length, 0) + payload
    total = transport_sum(family, 17, segment) or 0xFFFF
    segment = segment[:6] + struct.pack("!H", total) + payload
    packets = fragments(family, 17, segment, STEP)
    send_in_order(family, packets, command.get("order") or range(len(packets)))
    nodes, right = [], True
    answers.settimeout(command.get("wait", 2.0))
    try:
        while True:
            said = answers.recv(65535)
            node, _, echoed = said.partition(b" ")
            nodes.append(node.decode())
            right = right and echoed == payload
            answers.settimeout(0.2)  # a second node's answer would be as quick as the first one's
    except socket.timeout:
        pass
    return {"nodes": nodes, "right": right, "fragments": len(packets)}


def syn(command):
    family = command["family"]
    port = random.randrange(20000, 30000)
    sequence = random.randrange(1 << 32)
    head = struct.pack("!HHIIBBHHH", port, PORT, sequence, 0, 5 << 4, 2, 65535, 0, 0)
    segment = head + bytes(400)
    total = transport_sum(family, 6, segment)
    segment = segment[:16] + struct.pack("!H", total) + segment[18:]
    packets = fragments(family, 6, segment, command["first"])
    answers = socket.socket(FAMILY[family], socket.SOCK_RAW, socket.IPPROTO_TCP)
    answers.settimeout(2.0)
    send_in_order(family, packets, command.get("order") or range(len(packets)))
    seen = set()
    end = time.monotonic() + 2.0
    try:
        while time.monotonic() < end:
            said = answers.recv(65535)
            tcp = said[(said[0] & 15) * 4 :] if family == 4 else said
            if struct.unpack("!HH", tcp[:4]) == (PORT, port) and tcp[13] & 0x12 == 0x12:
                if struct.unpack("!I", tcp[8:12])[0] == (sequence + 1) & 0xFFFFFFFF:
                    seen.add(tcp[4:8])
                    answers.settimeout(0.3)
    except socket.timeout:
        pass
    return {"answers": len(seen), "fragments": len(packets)}


def flood(command):
    # The sums of a SYN without payload, computed once; each packet then only adds its source and
    # ports to them.
    end = time.monotonic() + command["seconds"]
    limit = time.monotonic() + command["limit"]
    base = struct.pack("!HHIIBBHHH", 0, PORT, 0, 0, 5 << 4, 2, 65535, 0, 0)
    fixed = sum(struct.unpack("!10H", base)) + sum(struct.unpack("!2H", packed(4, CLUSTER[4]))) + 6 + 20
    ip_head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    destination = packed(4, CLUSTER[4])
    sent = 0
    with raw_socket(4) as raw:
        raw.connect((CLUSTER[4], 0))
        pack, send = struct.Struct("!4s4sHHIIBBHHH").pack, raw.send
        while time.monotonic() < (end if sent >= command["atLeast"] else limit):
            for _ in range(500):
                low, port = random.randrange(1 << 17), random.randrange(1024, 65536)
                source = (0xC6120000 + low).to_bytes(4, "big")
                total = fixed + 0xC612 + (low >> 16) + (low & 0xFFFF) + port
                total = (total & 0xFFFF) + (total >> 16)
                total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
                try:
                    send(ip_head + pack(source, destination, port, PORT, 0, 0, 80, 2, 65535, total, 0))
                    sent += 1
                except OSError:
                    pass
    return {"sent": sent}


def establish(command):
    count, per_second = command["count"], command["perSecond"]
    base = struct.pack("!HHIIBBHHH", 0, PORT, 1, 1, 5 << 4, 0x10, 65535, 0, 0)
    fixed = sum(struct.unpack("!10H", base)) + sum(struct.unpack("!2H", packed(4, CLUSTER[4]))) + 6 + 20
    ip_head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    destination = packed(4, CLUSTER[4])
    pack = struct.Struct("!4s4sHHIIBBHHH").pack
    start = time.monotonic()
    with raw_socket(4) as raw:
        raw.connect((CLUSTER[4], 0))
        for number in range(count):
            low, port = number & 0x1FFFF, 1024 + (number >> 17)
            source = (0xC6120000 + low).to_bytes(4, "big")
            total = fixed + 0xC612 + (low >> 16) + (low & 0xFFFF) + port
            total = (total & 0xFFFF) + (total >> 16)
            total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            raw.send(ip_head + pack(source, destination, port, PORT, 1, 1, 80, 16, 65535, total, 0))
            if number % 200 == 0:
                ahead = number / per_second - (time.monotonic() - start)
                if ahead > 0:
                    time.sleep(ahead)
    return {"sent": count}


def main():
    print(json.dumps({"ready": os.getpid()}), flush=True)
    commands = {"datagram": datagram, "syn": syn, "flood": flood, "establish": establish}
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(commands[command["do"]](command)), flush=True)


main()
