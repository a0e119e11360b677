// What host.test.ts does with raw frames, in Python, which is there wherever node-gyp is. (tcpdump
// is no choice: it insists on becoming another user, which cannot be had in a user namespace.)

/**
 * Prints a line for every frame that a tap on cap0 sees, first `listening`:
 * `ARP request 192.0.2.100`, `ARP reply 192.0.2.100`, `NS 2001:db8::100`, `NA 2001:db8::100`,
 * `192.0.2.9 > 192.0.2.100 icmp`, `... tcp SYN`.
 */
export const WATCH = `
import socket, struct
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.bind(('cap0', 3))
print('listening', flush=True)
ipv4 = lambda b: socket.inet_ntop(socket.AF_INET, b)
ipv6 = lambda b: socket.inet_ntop(socket.AF_INET6, b)
def transport(protocol, rest):
    if protocol == 6:
        return 'tcp' + (' SYN' if rest[13] & 0x12 == 2 else '')
    return {1: 'icmp', 17: 'udp', 58: 'icmp6'}.get(protocol, str(protocol))
while True:
    frame = tap.recv(65535)
    kind, packet = struct.unpack('!H', frame[12:14])[0], frame[14:]
    if kind == 0x0806:
        # The address that is asked for, and the address that the answer is about.
        print(f'ARP request {ipv4(packet[24:28])}' if packet[7] == 1 else f'ARP reply {ipv4(packet[14:18])}', flush=True)
    elif kind == 0x0800:
        print(f'{ipv4(packet[12:16])} > {ipv4(packet[16:20])} {transport(packet[9], packet[(packet[0] & 15) * 4:])}', flush=True)
    elif kind == 0x86dd and packet[6] == 58 and packet[40] in (135, 136):
        print(f'{"NS" if packet[40] == 135 else "NA"} {ipv6(packet[48:64])}', flush=True)
    elif kind == 0x86dd:
        print(f'{ipv6(packet[8:24])} > {ipv6(packet[24:40])} {transport(packet[6], packet[40:])}', flush=True)
`;

/**
 * Sends UDP to the cluster addresses and to others from peer0, untagged and with every kind of tag,
 * straight to the wire.
 */
export const SEND_TAGGED = `
import socket, struct
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('peer0', 0))
tag = lambda kind, number: struct.pack('!HH', kind, number)
udp = struct.pack('!HHHH', 1, 2, 8, 0)
def ipv4(to):
    return b'\\x08\\x00' + struct.pack('!BBHHHBBH4s4s', 0x45, 0, 28, 1, 0, 64, 17, 0,
        socket.inet_aton('192.0.2.9'), socket.inet_aton(to)) + udp
def ipv6(to):
    return b'\\x86\\xdd' + struct.pack('!IHBB', 0x60000000, 8, 17, 64) + socket.inet_pton(socket.AF_INET6, '2001:db8::9') + \\
        socket.inet_pton(socket.AF_INET6, to) + udp
tags = [b'', tag(0x8100, 5), tag(0x88a8, 5), tag(0x88a8, 5) + tag(0x8100, 7), tag(0x8100, 5) + tag(0x8100, 7)]
for before in tags:
    for packet in [ipv4('192.0.2.100'), ipv6('2001:db8::100'), ipv4('192.0.2.77'), ipv6('2001:db8::77')]:
        wire.send(b'\\x02\\x00\\x00\\x00\\x00\\x02' + b'\\x02\\x00\\x00\\x00\\x00\\x01' + before + packet)
`;
