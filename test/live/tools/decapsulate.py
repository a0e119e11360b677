#!/usr/bin/env python3
"""A node behind a router, in plain words: takes IP in IP and GUE apart and gives what is inside to a
TUN device. A second implementation of what the kernel's tunnel devices do, and stricter: it stops at the
first packet that is not exactly as RFC 2003, RFC 2473 or draft-ietf-intarea-gue has it.

    decapsulate.py DEVICE GUE_PORT

Prints `ready`, and at the end (SIGTERM) what has come, as JSON.
"""
import fcntl
import json
import select
import signal
import socket
import struct
import sys

DEVICE, PORT = sys.argv[1], int(sys.argv[2])
IFF_TUN, IFF_NO_PI, TUNSETIFF = 0x0001, 0x1000, 0x400454CA

tun = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))

counts = {"ipip4": 0, "ipip6": 0, "gue4": 0, "gue6": 0, "inner4": 0, "inner6": 0, "largest": 0}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def transport_is_right(packet):
    """TCP and UDP checksums of an unfragmented packet without extension headers."""
    if packet[0] >> 4 == 4:
        header = (packet[0] & 15) * 4
        if struct.unpack("!H", packet[6:8])[0] & 0x3FFF:
            return True
        protocol, addresses = packet[9], packet[12:20]
    else:
        header, protocol, addresses = 40, packet[6], packet[8:40]
    body = packet[header:]
    if protocol not in (6, 17):
        return True
    pseudo = addresses + struct.pack("!II", len(body), protocol)
    return checksum(pseudo + body) == 0


def deliver(packet, announced):
    version = packet[0] >> 4
    assert announced == {4: 4, 6: 41}[version], f"protocol {announced} before IPv{version}"
    if version == 4:
        length = struct.unpack("!H", packet[2:4])[0]
        assert checksum(packet[: (packet[0] & 15) * 4]) == 0, "inner header checksum"
    else:
        length = 40 + struct.unpack("!H", packet[4:6])[0]
    assert length == len(packet), f"inner length {length} of {len(packet)} bytes"
    assert transport_is_right(packet), "inner transport checksum"
    counts[f"inner{version}"] += 1
    counts["largest"] = max(counts["largest"], length)
    tun.write(packet)


def raw(family, protocol):
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    return made


def on_ipip4(sock, protocol):
    frame = sock.recv(65536)
    header = (frame[0] & 15) * 4
    assert header == 20 and frame[8] > 32, "outer header"
    counts["ipip4"] += 1
    deliver(frame[header:], protocol)


def on_ipip6(sock, protocol):
    counts["ipip6"] += 1
    deliver(sock.recv(65536), protocol)


def on_gue(sock, name):
    data, peer = sock.recvfrom(65536)
    assert peer[1] >= 49152, f"source port {peer[1]}"
    assert data[0] == 0 and data[2:4] == b"\0\0", f"GUE header {data[:4].hex()}"
    counts[name] += 1
    deliver(data[4:], data[1])


takers = {}
for number in (4, 41):
    takers[raw(socket.AF_INET, number)] = lambda sock, n=number: on_ipip4(sock, n)
    takers[raw(socket.AF_INET6, number)] = lambda sock, n=number: on_ipip6(sock, n)
for family, name in ((socket.AF_INET, "gue4"), (socket.AF_INET6, "gue6")):
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    udp.bind(("", PORT))
    takers[udp] = lambda sock, n=name: on_gue(sock, n)


def finish(*_):
    print(json.dumps(counts), flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, finish)
print("ready", flush=True)
while True:
    for ready in select.select(list(takers), [], [])[0]:
        takers[ready](ready)
