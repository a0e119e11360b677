// Frames of TCP over IPv4 from clients to the cluster address, as short as Ethernet has them.
//
// A connection is a number: the client's address times 65536, plus its port. All go to one address
// and port, so the number is the whole of a connection, in frames, in delivered packets and in the
// records of a list.
import { RECORD_BYTES } from '../../lib/native/index.js';

export const FLAGS = { syn: 0x02, ack: 0x10, fin: 0x11 } as const;
export type Flag = keyof typeof FLAGS;

export const FRAME_BYTES = 60;
const ETHERNET_BYTES = 14;
export const CLUSTER_ADDRESS = '192.0.2.100';
const CLUSTER_PORT = 80;
const PORTS = 0x1_0000;
// Clients of a crowd: 10.0.0.0 and up, each with these ports.
const FIRST_ADDRESS = 0x0a00_0000;
const FIRST_PORT = 1024;
const PORTS_EACH = 60_000;

/** The connection of a client's address and port. */
export function connectionOf(address: number, port: number): number {
  return address * PORTS + port;
}

/** The connection with this place in a crowd of clients; every place has its own. */
export function crowd(place: number): number {
  const address = FIRST_ADDRESS + Math.floor(place / PORTS_EACH);
  return connectionOf(address, FIRST_PORT + (place % PORTS_EACH));
}

/** A frame whose connection and flag are still to be written. */
export function blankFrame(into: Buffer = Buffer.alloc(FRAME_BYTES)): Buffer {
  into.set([0x01, 0, 0x5e, 0, 2, 100, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45], 0);
  into.writeUInt16BE(40, 16);
  into[22] = 64;
  into[23] = 6;
  into.set(CLUSTER_ADDRESS.split('.').map(Number), 30);
  into.writeUInt16BE(CLUSTER_PORT, 36);
  into[46] = 0x50;
  into.writeUInt16BE(0xffff, 48);
  return into;
}

/** Makes a frame one of this connection. */
export function address(frame: Buffer, connection: number, flag: Flag): void {
  frame.writeUInt32BE(Math.floor(connection / PORTS), 26);
  frame.writeUInt16BE(connection % PORTS, 34);
  frame[47] = FLAGS[flag];
}

/** So many frames in one piece of memory, each still blank. */
export function blankFrames(count: number): Buffer[] {
  const all = Buffer.alloc(count * FRAME_BYTES);
  return Array.from({ length: count }, (_, i) =>
    blankFrame(all.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES)),
  );
}

/** The connection of a delivered packet, which begins with its IP header. */
export function connectionOfPacket(ip: Buffer): number {
  return connectionOf(ip.readUInt32BE(26 - ETHERNET_BYTES), ip.readUInt16BE(34 - ETHERNET_BYTES));
}

/** Where a record has what a bench asks for: native/table/record.h. */
const RECORD = { client: 12, port: 32, owner: 52, bucket: 54 } as const;

/** Shows every record of a list: its connection, owner, bucket, and where it begins. */
export function eachRecord(
  records: Buffer,
  show: (connection: number, owner: number, bucket: number, at: number) => void,
): void {
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    const connection = connectionOf(
      records.readUInt32BE(at + RECORD.client),
      records.readUInt16LE(at + RECORD.port),
    );
    const owner = records.readUInt16LE(at + RECORD.owner);
    show(connection, owner, records.readUInt16LE(at + RECORD.bucket), at);
  }
}
