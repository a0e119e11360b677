// How long `flowsieve run` takes from exec to `ready`, with room for a million connections, and its
// resident memory then. Works in namespaces of its own; prints one line of JSON.
import { readFileSync } from 'node:fs';
import { Cluster } from '../../lib/cli/demo/cluster.js';
import { Lab } from '../../lib/cli/demo/lab.js';
import {
  enterPrivateNamespaces,
  insidePrivateNamespaces,
  privateNamespacesMissing,
} from '../../lib/cli/demo/private.js';

const STARTS = 5;

async function measure(): Promise<void> {
  const lab = await Lab.open();
  try {
    const cluster = await Cluster.wire(lab, { nodes: 1 });
    await cluster.configure();
    const readyMs: number[] = [];
    let residentBytes = 0;
    for (let round = 0; round < STARTS; round += 1) {
      const begin = performance.now();
      await cluster.startDaemons();
      readyMs.push(performance.now() - begin);
      const [node] = await cluster.statuses();
      residentBytes = residentOf(node?.pid ?? process.pid);
      await cluster.stopDaemons();
    }
    process.stdout.write(`${JSON.stringify({ readyMs, residentBytes })}\n`);
  } finally {
    await lab.close();
  }
}

function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

if (insidePrivateNamespaces()) {
  await measure();
} else {
  const missing = privateNamespacesMissing();
  if (missing !== undefined) throw new Error(missing);
  process.exitCode = await enterPrivateNamespaces();
}
