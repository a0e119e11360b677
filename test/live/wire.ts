// The client's wire: a capture by a tool and a reader of the tests' own, so that nothing of
// flowsieve judges flowsieve.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import type { Lab } from '../../lib/cli/demo/lab.js';

/** A captured frame from its Ethernet header on. */
export interface WireFrame {
  readonly timeMs: number;
  readonly bytes: Buffer;
}

// Compiled tests are in dist/test/live; the tools stay where they are.
const TOOL = fileURLToPath(new URL('../../../test/live/tools/capture.py', import.meta.url));

let captures = 0;

/** A running capture on one interface of a namespace. */
export class Capture {
  private constructor(
    private readonly tool: Child,
    /** The pcap file; whole once {@link stop} has resolved. */
    readonly path: string,
  ) {}

  /**
   * Starts one, of all frames or of TCP's SYN and SYN-ACK alone; frames are seen from
   * when this resolves.
   */
  static async start(
    lab: Lab,
    namespace: string,
    what: 'handshakes' | 'all',
    device = 'eth0',
  ): Promise<Capture> {
    captures += 1;
    const path = join(lab.directory, `capture-${captures}.pcap`);
    const tool = lab.spawn(namespace, ['python3', TOOL, device, path, what]);
    await tool.line((line) => line === 'listening');
    return new Capture(tool, path);
  }

  /** Ends the capture; gives its frames. Fails when the kernel lost some. */
  async stop(): Promise<WireFrame[]> {
    this.tool.finishInput();
    const lost = await this.tool.line((line) => line.startsWith('lost '));
    if (lost !== 'lost 0') throw new Error(`Expected a whole capture but the kernel ${lost}.`);
    await this.tool.ended;
    return readPcap(await readFile(this.path));
  }
}

/** Reads a little-endian pcap file with microseconds, which is what capture.py writes. */
export function readPcap(file: Buffer): WireFrame[] {
  if (file.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error('Expected a pcap file of this machine.');
  const frames: WireFrame[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const timeMs = file.readUInt32LE(at) * 1000 + file.readUInt32LE(at + 4) / 1000;
    const length = file.readUInt32LE(at + 8);
    frames.push({ timeMs, bytes: file.subarray(at + 16, at + 16 + length) });
    at += 16 + length;
  }
  return frames;
}

/** What the handshakes on the wire need of a TCP segment. */
interface Segment {
  readonly source: string;
  readonly destination: string;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
}

const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

function segmentOf(frame: Buffer): Segment | undefined {
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(14);
  if (type === 0x0800 && ip[9] === 6 && (ip.readUInt16BE(6) & 0x1fff) === 0) {
    return segmentAt(ip, ((ip[0] ?? 0) & 15) * 4, ip.subarray(12, 16), ip.subarray(16, 20));
  }
  if (type === 0x86dd && ip[6] === 6)
    return segmentAt(ip, 40, ip.subarray(8, 24), ip.subarray(24, 40));
  return undefined;
}

function segmentAt(ip: Buffer, at: number, source: Buffer, destination: Buffer): Segment {
  return {
    source: `${source.toString('hex')}:${ip.readUInt16BE(at)}`,
    destination: `${destination.toString('hex')}:${ip.readUInt16BE(at + 2)}`,
    sequence: ip.readUInt32BE(at + 4),
    acknowledgement: ip.readUInt32BE(at + 8),
    flags: ip[at + 13] ?? 0,
  };
}

/** One end of a connection as the wire has it: the address in hexadecimal digits, and the port. */
export interface End {
  readonly address: string;
  readonly port: number;
}

/** When something came, and from which link address. */
interface Said {
  readonly timeMs: number;
  readonly link: string;
}

/** One opening of a TCP connection as the client's wire saw it. */
export interface Opening {
  /** When its first SYN was on the wire. */
  readonly timeMs: number;
  readonly client: End;
  readonly server: End;
  /** When each SYN was on the wire: the first one and its retransmissions. */
  readonly asked: number[];
  /** When its first SYN-ACK was on the wire. */
  answeredMs: number | undefined;
  /**
   * Distinct initial sequence numbers with which it was answered: one for each node that took it.
   */
  readonly answers: Set<number>;
  /** When each SYN-ACK came, and from which link address. */
  readonly said: Said[];
  /** Resets that came to the client's end before it opened another connection. */
  readonly resets: Said[];
}

function endOf(end: string): End {
  const [address = '', port = ''] = end.split(':');
  return { address, port: Number(port) };
}

/** The openings in a capture; a retransmitted SYN is the same opening. */
export function openingsIn(frames: readonly WireFrame[]): Opening[] {
  const openings = new Map<string, Opening>();
  const latest = new Map<string, Opening>();
  for (const { timeMs, bytes } of frames) {
    const segment = segmentOf(bytes);
    if (segment === undefined) continue;
    const said = { timeMs, link: bytes.toString('hex', 6, 12) };
    if ((segment.flags & RST) !== 0) latest.get(segment.destination)?.resets.push(said);
    if ((segment.flags & SYN) === 0) continue;
    if ((segment.flags & ACK) === 0) {
      const key = `${segment.source} ${segment.sequence}`;
      const [client, server] = [endOf(segment.source), endOf(segment.destination)];
      const opening = openings.get(key) ?? {
        ...{ timeMs, client, server },
        ...{ asked: [], answeredMs: undefined, answers: new Set(), said: [], resets: [] },
      };
      opening.asked.push(timeMs);
      openings.set(key, opening);
      latest.set(segment.source, opening);
    } else {
      const key = `${segment.destination} ${(segment.acknowledgement - 1) >>> 0}`;
      const opening = openings.get(key);
      opening?.answers.add(segment.sequence);
      opening?.said.push(said);
      if (opening !== undefined) opening.answeredMs ??= timeMs;
    }
  }
  return [...openings.values()];
}

/** How many TCP resets are in a capture. */
export function resetsIn(frames: readonly WireFrame[]): number {
  return frames.filter(({ bytes }) => ((segmentOf(bytes)?.flags ?? 0) & RST) !== 0).length;
}
