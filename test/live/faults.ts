// What goes wrong in a network and on its hosts, done to a laboratory's cluster.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import type { Cluster, ClusterNode, Live } from './support.js';

/** Which of a node's cables. */
export type Network = 'traffic' | 'sync';

function portOf(node: ClusterNode, network: Network): string {
  const port = node.ports[network];
  assert.ok(port, `${node.name} has a port for the ${network} network`);
  return port;
}

// The switch stops forwarding on the port. The cable still has a carrier at both ends, so that
// nobody is told: what a failing switch in between looks like, and the harder case.
const [BLOCKED, FORWARDING] = [0, 3];

async function setPorts(
  { lab }: Live,
  node: ClusterNode,
  networks: readonly Network[],
  state: number,
): Promise<void> {
  for (const network of networks) {
    const port = portOf(node, network);
    await lab.run('switch', ['bridge', 'link', 'set', 'dev', port, 'state', String(state)]);
  }
}

/** Cuts the node from these networks, in both directions and without a word. */
export function cut(live: Live, node: ClusterNode, ...networks: Network[]): Promise<void> {
  return setPorts(live, node, networks, BLOCKED);
}

/** Joins the node to these networks again. */
export function mend(live: Live, node: ClusterNode, ...networks: Network[]): Promise<void> {
  return setPorts(live, node, networks, FORWARDING);
}

/** Loses so many percent of all frames on the sync network, at random; 0 ends that. */
export async function loseOnSync({ lab, cluster }: Live, percent: number): Promise<void> {
  const chains = cluster.nodes.map((node) => {
    const port = portOf(node, 'sync');
    const hook = `type filter hook ingress device "${port}" priority 0`;
    return `chain ${port} { ${hook}; numgen random mod 100 < ${percent} drop; }`;
  });
  // Made first, so that deleting it cannot fail: then it is replaced, whether it was there or not.
  const table = 'netdev loss';
  const rules = percent === 0 ? [] : [`table ${table} {`, ...chains, '}'];
  const input = [`table ${table} {}`, `delete table ${table}`, ...rules, ''].join('\n');
  await lab.run('switch', ['nft', '-f', '-'], { input });
}

/** Stops the node's process, as a debugger or an overloaded host would, for a while. */
export async function pause(node: ClusterNode, ms: number): Promise<void> {
  node.daemon?.signal('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, ms));
  node.daemon?.signal('SIGCONT');
}

/**
 * Kills the node's process at once; resolves with the moment, milliseconds since the
 * Unix epoch.
 */
export async function kill(node: ClusterNode): Promise<number> {
  const at = Date.now();
  await node.daemon?.stop('SIGKILL');
  return at;
}

/** A thread of a program, by the name that its program gave it. */
export interface Thread {
  readonly name: string;
  /** It goes before whatever has no such policy (SCHED_FIFO, SCHED_RR). */
  readonly realTime: boolean;
}

/** The threads of the node's process, as the kernel has them. */
export async function threadsOf(node: ClusterNode): Promise<Thread[]> {
  const tasks = `/proc/${node.daemon?.pid}/task`;
  return Promise.all(
    (await readdir(tasks)).map(async (task) => {
      const text = await readFile(`${tasks}/${task}/stat`, 'latin1');
      const end = text.lastIndexOf(')');
      // proc(5): the state behind the name is field 3, the policy field 41.
      const policy = Number(text.slice(end + 2).split(' ')[41 - 3]);
      return { name: text.slice(text.indexOf('(') + 1, end), realTime: [1, 2].includes(policy) };
    }),
  );
}

/** The nodes beside these. */
export function others(cluster: Cluster, ...but: ClusterNode[]): ClusterNode[] {
  return cluster.nodes.filter((node) => !but.includes(node));
}
