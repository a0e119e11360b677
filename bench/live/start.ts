// How long `flowsieve run` takes from exec to `ready`, with room for a million connections, and its
// resident memory then.
import { readFileSync } from 'node:fs';
import { Cluster } from '../../lib/cli/demo/cluster.js';
import { Lab } from '../../lib/cli/demo/lab.js';
import { print } from '../results.js';
import type { Plan } from './plan.js';

/** The name of the figure; its memory is the same name with `/resident`. */
export const START = 'live/start';

/** Starts a node alone, several times. */
export async function measureStart({ rounds }: Plan): Promise<void> {
  const lab = await Lab.open();
  try {
    const cluster = await Cluster.wire(lab, { nodes: 1 });
    await cluster.configure();
    const ready: number[] = [];
    const resident: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const begin = performance.now();
      await cluster.startDaemons();
      ready.push(performance.now() - begin);
      const [node] = await cluster.statuses();
      resident.push(residentOf(node?.pid ?? process.pid));
      await cluster.stopDaemons();
    }
    const note = 'room for 1,000,000 connections';
    print({ name: START, of: 'flowsieve', unit: 'ms', values: ready, note });
    print({ name: `${START}/resident`, of: 'flowsieve', unit: 'bytes', values: resident });
  } finally {
    await lab.close();
  }
}

function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
