"""Captures an interface of this namespace into a pcap file: capture.py INTERFACE FILE handshakes|all

tcpdump would do, but it gives up where it may not set its groups, as in a user namespace. Says "listening" when frames are seen from then on;
when standard input ends it writes what the kernel still has, says how many frames the kernel lost, and ends. `handshakes` are TCP segments
with the SYN or RST flag, of either family.
"""

import ctypes
import select
import socket
import struct
import sys

ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SO_RCVBUF = 8
SO_TIMESTAMPNS = 35
SOL_PACKET, PACKET_STATISTICS = 263, 6
SNAP = 2000

LOAD_BYTE, LOAD_HALF, LOAD_BYTE_X, LOAD_IP_LENGTH = 0x30, 0x28, 0x50, 0xB1
EQUAL, SET, RETURN = 0x15, 0x45, 0x06
HANDSHAKES = [
    (LOAD_HALF, 0, 0, 12),
    (EQUAL, 0, 7, 0x0800),  # else 9
    (LOAD_BYTE, 0, 0, 23),
    (EQUAL, 0, 11, 6),  # else 15
    (LOAD_HALF, 0, 0, 20),
    (SET, 9, 0, 0x1FFF),  # a later fragment: 15
    (LOAD_IP_LENGTH, 0, 0, 14),
    (LOAD_BYTE_X, 0, 0, 14 + 13),
    (SET, 5, 6, 6),  # SYN or RST: 14, else 15
    (EQUAL, 0, 5, 0x86DD),  # else 15
    (LOAD_BYTE, 0, 0, 20),
    (EQUAL, 0, 3, 6),  # else 15
    (LOAD_BYTE, 0, 0, 14 + 40 + 13),
    (SET, 0, 1, 6),  # 14, else 15
    (RETURN, 0, 0, 0xFFFF),
    (RETURN, 0, 0, 0),
]


def attach(tap, program):
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer)))


def drain(tap, out):
    while True:
        try:
            frame, ancillary, _, _ = tap.recvmsg(65535, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("ll", ancillary[0][2])
        out.write(struct.pack("<IIII", seconds, nanoseconds // 1000, min(len(frame), SNAP), len(frame)))
        out.write(frame[:SNAP])


def main():
    interface, path, what = sys.argv[1:]
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setblocking(False)
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUF, 4 << 20)
    tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if what == "handshakes":
        attach(tap, HANDSHAKES)
    tap.bind((interface, ETH_P_ALL))
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP, 1))
        print("listening", flush=True)
        while sys.stdin not in select.select([tap, sys.stdin], [], [])[0]:
            drain(tap, out)
        drain(tap, out)
    _, lost = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print("lost %d" % lost, flush=True)


main()
