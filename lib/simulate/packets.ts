// Packets of the simulated clients, as frames: Ethernet, IPv4 or IPv6, TCP or UDP. Each carries the
// number by which the simulator knows it again when a data plane has delivered it: TCP as its
// sequence number, UDP as its payload.

/** What a packet is to the server. */
export type PacketKind = 'syn' | 'data' | 'fin' | 'reset' | 'datagram';

/** The addresses and ports of a connection. */
export interface Tuple {
  readonly protocol: 'tcp' | 'udp';
  readonly family: 4 | 6;
  /** The client; its host number within the clients' network. */
  readonly host: number;
  readonly port: number;
  readonly serverPort: number;
}

const CLUSTER_IPV4 = [192, 0, 2, 100];
const CLUSTER_IPV6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const TCP_FLAGS = { syn: 0x02, data: 0x10, fin: 0x11, reset: 0x04, datagram: 0 } as const;
const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;

/** Both cluster addresses in sixteen bytes each, as the addon takes them. */
export function clusterAddresses(): Uint8Array {
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...CLUSTER_IPV4];
  return Uint8Array.from([...mapped, ...CLUSTER_IPV6]);
}

function clientAddress({ family, host }: Tuple): number[] {
  const tail = [(host >> 8) & 0xff, host & 0xff];
  return family === 4
    ? [10, 1, ...tail]
    : [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, ...tail];
}

/** A connection in words, and the same for the same tuple. */
export function tupleText(tuple: Tuple): string {
  const address = clientAddress(tuple);
  const shown = tuple.family === 4 ? address.join('.') : `2001:db8:1::${tuple.host.toString(16)}`;
  return `${tuple.protocol} [${shown}]:${tuple.port}>${tuple.serverPort}`;
}

/** The key (40 bytes) of a connection in the client's direction: native/packet/key.h. */
export function tupleKey(tuple: Tuple): Uint8Array {
  const key = new Uint8Array(40);
  const client = clientAddress(tuple);
  const server = tuple.family === 4 ? CLUSTER_IPV4 : CLUSTER_IPV6;
  for (const [at, address] of [
    [0, client],
    [16, server],
  ] as const) {
    if (tuple.family === 4) key.set([0xff, 0xff, ...address], at + 10);
    else key.set(address, at);
  }
  const view = new DataView(key.buffer);
  view.setUint16(32, tuple.port, true);
  view.setUint16(34, tuple.serverPort, true);
  key[36] = tuple.protocol === 'tcp' ? 6 : 17;
  key[37] = tuple.family;
  return key;
}

function writeIp(view: DataView, tuple: Tuple, transportBytes: number): number {
  const bytes = new Uint8Array(view.buffer);
  const protocol = tuple.protocol === 'tcp' ? 6 : 17;
  const client = clientAddress(tuple);
  if (tuple.family === 4) {
    view.setUint16(12, 0x0800);
    view.setUint8(14, 0x45);
    view.setUint16(16, IPV4_BYTES + transportBytes);
    view.setUint8(22, 64);
    view.setUint8(23, protocol);
    bytes.set([...client, ...CLUSTER_IPV4], 26);
    return ETHERNET_BYTES + IPV4_BYTES;
  }
  view.setUint16(12, 0x86dd);
  view.setUint8(14, 0x60);
  view.setUint16(18, transportBytes);
  view.setUint8(20, protocol);
  view.setUint8(21, 64);
  bytes.set([...client, ...CLUSTER_IPV6], 22);
  return ETHERNET_BYTES + IPV6_BYTES;
}

/** The frame of one packet from the client. Checksums are left out: offload leaves them partial. */
export function writeFrame(tuple: Tuple, kind: PacketKind, id: number): Uint8Array {
  const transportBytes = tuple.protocol === 'tcp' ? 20 : 12;
  const ipBytes = tuple.family === 4 ? IPV4_BYTES : IPV6_BYTES;
  const frame = new Uint8Array(ETHERNET_BYTES + ipBytes + transportBytes);
  const view = new DataView(frame.buffer);
  frame.set([0x01, 0, 0x5e, 0, 2, 100, 0x02, 0, 0, 0, tuple.host >> 8, tuple.host & 0xff], 0);
  const at = writeIp(view, tuple, transportBytes);
  view.setUint16(at, tuple.port);
  view.setUint16(at + 2, tuple.serverPort);
  if (tuple.protocol === 'tcp') {
    view.setUint32(at + 4, id);
    view.setUint8(at + 12, 0x50);
    view.setUint8(at + 13, TCP_FLAGS[kind]);
    view.setUint16(at + 14, 0xffff);
  } else {
    view.setUint16(at + 4, 12);
    view.setUint32(at + 8, id);
  }
  return frame;
}

/** The number of a delivered packet, which begins with its IP header. */
export function packetId(ip: Uint8Array): number {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
  const ipv4 = view.getUint8(0) >> 4 === 4;
  const tcp = view.getUint8(ipv4 ? 9 : 6) === 6;
  return view.getUint32((ipv4 ? IPV4_BYTES : IPV6_BYTES) + (tcp ? 4 : 8));
}
