// Who reads the flood in the capture bench: flowsieve's worker, a C program with libpcap, and a
// JavaScript callback under npm's `cap`. The latter two read on a node without the address, whose
// kernel drops the packets by itself.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import { DISCARD, type Foreign } from './flood.js';
import { PEERS, program, serve } from './programs.js';

const FILTER = `udp port ${DISCARD}`;
const BUFFER_BYTES = 8 << 20;

/** One that reads packets at a foreign node. */
export interface Reader {
  /** Whose CPU time reading is. */
  readonly pids: number[];
  /** Packets read so far. */
  read(): Promise<number>;
  stop(): Promise<void>;
}

/** A kind of reader; one at a time reads. */
export interface Kind {
  readonly name: string;
  readonly foreign: Foreign;
  /** Why there is none here. */
  readonly missing: string | undefined;
  start(): Promise<Reader>;
}

/** The daemon of a foreign node: it decides what it reads, too. It reads all the time. */
export function flowsieveReader(foreign: Foreign): Kind {
  const { cluster } = foreign.subject;
  const read = async (): Promise<number> => {
    // Counters come up by copying, a moment after the packets.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const { classes } = await cluster.status(foreign.node);
    return classes['3'] + classes['4'] + classes['6'];
  };
  const reader = { pids: foreign.pids, read, stop: async () => {} };
  return { name: 'flowsieve', foreign, missing: undefined, start: async () => reader };
}

/** libpcap, by pcap_reader.cc: gathering frames for some milliseconds, or handing over each. */
export function libpcapReader(foreign: Foreign, immediate: boolean): Kind {
  const path = program('pcap_reader');
  const missing = path === undefined ? 'libpcap-dev is not installed' : undefined;
  const argv = [path ?? '', '--immediate', immediate ? '1' : '0'];
  const name = immediate ? 'libpcap immediate' : 'libpcap';
  return { name, foreign, missing, start: () => startReader(foreign, argv) };
}

/** npm's `cap`, by cap-reader.ts. */
export function capReader(foreign: Foreign): Kind {
  const module = findCap();
  const missing =
    module === undefined
      ? 'cap is not installed: npm install --prefix build-bench/peers cap'
      : undefined;
  const reader = fileURLToPath(new URL('./cap-reader.js', import.meta.url));
  const argv = [process.execPath, reader, '--module', module ?? ''];
  return { name: 'cap', foreign, missing, start: () => startReader(foreign, argv) };
}

/** Where `cap` is with its addon built; it is no dependency of the package. */
function findCap(): string | undefined {
  const places = [import.meta.url, join(PEERS, 'package.json')];
  for (const place of places) {
    try {
      const path = createRequire(place).resolve('cap');
      if (existsSync(join(path, '../../build/Release/cap.node'))) return path;
    } catch {
      // The next place may have it.
    }
  }
  return undefined;
}

async function startReader(foreign: Foreign, program: readonly string[]): Promise<Reader> {
  const { lab } = foreign.subject.cluster;
  const options = ['--device', 'eth0', '--filter', FILTER, '--buffer', String(BUFFER_BYTES)];
  const child = await serve(lab, foreign.node.name, [...program, ...options]);
  const stop = async (): Promise<void> => void (await child.stop('SIGTERM'));
  return { pids: [child.pid], read: () => asked(child), stop };
}

/** The count that a reader prints for each line that it is given. */
function asked(child: Child): Promise<number> {
  return new Promise((resolve, reject) => {
    const stop = child.onLine((line) => {
      stop();
      resolve((JSON.parse(line) as { packets: number }).packets);
    });
    void child.ended.then(() => reject(new Error(`${child.name} ended.`)));
    child.write('');
  });
}
