import { SocketAddress } from 'node:net';

// The layouts of native/packet/key.h, native/table/record.h and native/worker/ledger.h, read from
// the buffers in which they cross. All processors that Node supports on Linux today and that we run
// on are little-endian.

/** A key in a buffer of keys. */
export const KEY_BYTES = 40;
/** Where a record stands in a buffer of records. */
export const RECORD_BYTES = 64;
/** A record with its account. */
export const ENDED_BYTES = 120;

const CLIENT_IS_DESTINATION = 1;
const MIDSTREAM = 2;
const CLOSED_BY_FIN = 16;
const CLOSED_BY_RST = 32;
const FIN_FROM_CLIENT = 4;
// Bits of seen_here: what only this node has seen.
const SERVER_REPLIED = 1;
const SERVER_FIN = 2;
const SERVER_RST = 4;
const CONCLUDED = 128;

const STATUSES = ['OPENING', 'ESTABLISHED', 'CLOSING'] as const;
/** What is known of a connection's life. */
export type ConnectionStatus = (typeof STATUSES)[number];

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  58: 'icmp6',
  132: 'sctp',
};

/** tcp, udp, sctp, icmp, icmp6 or other. */
export function protocolName(number: number): string {
  return PROTOCOL_NAMES[number] ?? 'other';
}

export interface Endpoint {
  address: string;
  port: number;
}

/** A key in the direction in which it is stored. */
export interface Flow {
  source: Endpoint;
  destination: Endpoint;
  protocolNumber: number;
}

/** A connection as the tables have it. */
export interface ConnectionRecord {
  protocol: string;
  protocolNumber: number;
  client: Endpoint;
  server: Endpoint;
  status: ConnectionStatus;
  opened: 'opening' | 'midstream';
  closedBy: 'fin' | 'rst' | null;
  /** Node index. */
  owner: number;
  bucket: number;
  epoch: number;
  /** Tenths of a second on the worker's clock. */
  openedTick: number;
  lastSeenTick: number;
}

/** A connection that a replay has seen the end of. */
export interface EndedRecord extends ConnectionRecord {
  timedOut: boolean;
  firstSeenNs: bigint;
  lastSeenNs: bigint;
  packetsFromClient: number;
  packetsFromServer: number;
  bytesFromClient: number;
  bytesFromServer: number;
}

/** Text of a 16-byte address; IPv4 stands in its last four bytes. */
export function addressText(bytes: Uint8Array, ipv4: boolean): string {
  if (ipv4) return bytes.subarray(12, 16).join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push((((bytes[i] as number) << 8) | (bytes[i + 1] as number)).toString(16));
  }
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** Sixteen bytes of an address in text; IPv4 as ::ffff:a.b.c.d. */
export function addressBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  if (!text.includes(':')) {
    bytes.set([0xff, 0xff, ...text.split('.').map(Number)], 10);
    return bytes;
  }
  const ipv4 = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = ipv4 ? `${ipv4[1]}${hexGroup(ipv4[2], ipv4[3])}:${hexGroup(ipv4[4], ipv4[5])}` : text;
  const [head = '', tail] = hex.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  all.forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  });
  return bytes;
}

function hexGroup(high: string | undefined, low: string | undefined): string {
  return ((Number(high) << 8) | Number(low)).toString(16);
}

/** A key (40 bytes) at the beginning of `bytes`. */
export function readFlow(bytes: Buffer): Flow {
  const ipv4 = bytes[37] === 4;
  return {
    source: { address: addressText(bytes.subarray(0, 16), ipv4), port: bytes.readUInt16LE(32) },
    destination: {
      address: addressText(bytes.subarray(16, 32), ipv4),
      port: bytes.readUInt16LE(34),
    },
    protocolNumber: bytes[36] as number,
  };
}

/** The key (40 bytes) of a flow. */
export function writeFlow(flow: Flow): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.set(addressBytes(flow.source.address), 0);
  bytes.set(addressBytes(flow.destination.address), 16);
  bytes.writeUInt16LE(flow.source.port, 32);
  bytes.writeUInt16LE(flow.destination.port, 34);
  bytes[36] = flow.protocolNumber;
  bytes[37] = flow.source.address.includes(':') ? 6 : 4;
  return bytes;
}

/** As shown_status() of native/table/record.h. */
function shownStatus(status: number, seenHere: number): ConnectionStatus {
  if ((seenHere & (SERVER_FIN | SERVER_RST)) !== 0) return 'CLOSING';
  if (status === 0 && (seenHere & SERVER_REPLIED) !== 0) return 'ESTABLISHED';
  return STATUSES[status] ?? 'OPENING';
}

function closedBy(flags: number, seenHere: number): 'fin' | 'rst' | null {
  if ((flags & CLOSED_BY_FIN) !== 0) return 'fin';
  if ((flags & CLOSED_BY_RST) !== 0) return 'rst';
  const bothFins = (flags & FIN_FROM_CLIENT) !== 0 && (seenHere & SERVER_FIN) !== 0;
  if (bothFins) return 'fin';
  // What was concluded is a reset by the heir of its node.
  return (seenHere & (SERVER_RST | CONCLUDED)) !== 0 ? 'rst' : null;
}

/** The record at the beginning of `bytes`. */
export function readRecord(bytes: Buffer): ConnectionRecord {
  const flow = readFlow(bytes);
  const flags = bytes[57] as number;
  const seenHere = bytes[58] as number;
  const reversed = (flags & CLIENT_IS_DESTINATION) !== 0;
  return {
    protocol: protocolName(flow.protocolNumber),
    protocolNumber: flow.protocolNumber,
    client: reversed ? flow.destination : flow.source,
    server: reversed ? flow.source : flow.destination,
    status: shownStatus(bytes[56] as number, seenHere),
    opened: (flags & MIDSTREAM) !== 0 ? 'midstream' : 'opening',
    closedBy: closedBy(flags, seenHere),
    lastSeenTick: bytes.readUInt32LE(40),
    openedTick: bytes.readUInt32LE(44),
    epoch: bytes.readUInt32LE(48),
    owner: bytes.readUInt16LE(52),
    bucket: bytes.readUInt16LE(54),
  };
}

/** The ended connection at the beginning of `bytes`. */
export function readEnded(bytes: Buffer): EndedRecord {
  const count = (offset: number): number => Number(bytes.readBigUInt64LE(RECORD_BYTES + offset));
  return {
    ...readRecord(bytes),
    firstSeenNs: bytes.readBigUInt64LE(RECORD_BYTES),
    lastSeenNs: bytes.readBigUInt64LE(RECORD_BYTES + 8),
    packetsFromClient: count(16),
    packetsFromServer: count(24),
    bytesFromClient: count(32),
    bytesFromServer: count(40),
    timedOut: bytes[112] === 1,
  };
}

/** Every structure of `size` bytes in `bytes`, read by `read`. */
export function* readAll<T>(bytes: Buffer, size: number, read: (bytes: Buffer) => T): Generator<T> {
  for (let offset = 0; offset + size <= bytes.length; offset += size) {
    yield read(bytes.subarray(offset, offset + size));
  }
}
