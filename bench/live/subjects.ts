// The ways to the servers that this room compares. Each has a laboratory of its own, wired
// alike.
//
// Daemons run ahead of servers and clients (`nice`), as in the demo: nodes do not compete with their
// clients for processors anywhere else.
import { CLUSTER_IPV4, Cluster } from '../../lib/cli/demo/cluster.js';
import { Lab } from '../../lib/cli/demo/lab.js';
import { giveToKernels, kernelRules } from './cluster-match.js';
import { ask, command, serve } from './programs.js';

export const HTTP_PORT = 8080;
export const BULK_PORT = 8081;

/** The client's addresses: many, because the cluster match spreads nothing but them. */
export const SOURCES: readonly string[] = Array.from(
  { length: 64 },
  (_, i) => `192.0.2.${130 + i}`,
);

/** What is said of a way. */
export interface Named {
  readonly name: string;
  readonly note: string | undefined;
}

/** One way, ready to be used. */
export interface Subject extends Named {
  readonly cluster: Cluster;
  /** Servers and daemons. */
  readonly pids: readonly number[];
}

/** What `http_client` prints. */
export interface Served {
  readonly answered: number;
  readonly seconds: number;
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly slowestNs: number;
  readonly total: number;
  readonly cpuNs: number;
  readonly nodes: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<string, number>>;
}

/** What is asked of {@link request}. */
export interface Order {
  readonly connections: number;
  readonly each: 'request' | 'connection';
  readonly seconds: number;
  readonly sources?: readonly string[];
}

/** How a subject is made. */
export interface Making {
  /** Three nodes' shares; only flowsieve has any. */
  readonly weights?: readonly number[];
  /** The nodes' own network, so that they hold together when the other one is taken away. */
  readonly syncNetwork?: boolean;
}

/** Its nodes run flowsieve, in whichever way. */
export function isOurs({ name }: Subject): boolean {
  return name.startsWith('flowsieve');
}

export type Maker = (making?: Making) => Promise<Subject>;

/** Each node runs flowsieve. */
export const makeFlowsieve: Maker = (making = {}) =>
  make('flowsieve', making, (cluster) => startNodes(cluster, making));

/** The same, with programs in each kernel for the packets of busy connections. */
export const makeBypass: Maker = (making = {}) =>
  make('flowsieve, bypass', making, (cluster) => startNodes(cluster, making, { bypass: true }));

async function startNodes(cluster: Cluster, making: Making, sections = {}): Promise<undefined> {
  await cluster.configure(making.weights, sections);
  await cluster.startDaemons();
  const members = cluster.nodes.map((node) => node.name);
  await cluster.agreed('members', (status) => {
    const able = status.members.filter((member) => member.state === 'member');
    return able.length === members.length;
  });
}

/** Each node's kernel takes its own by rules. */
export const makeKernelRules: Maker = (making = {}) => {
  const rules = kernelRules();
  return make(rules.name, making, async (cluster) => {
    await giveToKernels(cluster, rules);
    return rules.note;
  });
};

/** One node's kernel has the address: no cluster at all. */
export const makeNone: Maker = (making = {}) =>
  make('none', making, async (cluster) => {
    const [node] = cluster.nodes;
    if (node !== undefined) await cluster.giveToKernel(node);
    return 'one node has the address and does all the work';
  });

async function make(
  name: string,
  making: Making,
  prepare: (cluster: Cluster) => Promise<string | undefined>,
): Promise<Subject> {
  const lab = await Lab.open();
  try {
    const { syncNetwork = false } = making;
    const cluster = await Cluster.wire(lab, { nodes: 3, syncNetwork });
    await lab.ip(
      'client',
      SOURCES.map((address) => `address add ${address}/24 dev eth0`),
    );
    const servers = await startServers(cluster);
    const note = await prepare(cluster);
    const daemons = cluster.running.flatMap((node) => node.daemon?.pid ?? []);
    const subject = { name, note, cluster, pids: [...servers, ...daemons] };
    await verify(subject);
    return subject;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function startServers({ lab, nodes }: Cluster): Promise<number[]> {
  const pids: number[] = [];
  for (const { name } of nodes) {
    const http = await serve(lab, name, command('http_server', { name, port: HTTP_PORT }));
    const bulk = await serve(lab, name, command('bulk_server', { port: BULK_PORT }));
    pids.push(http.pid, bulk.pid);
  }
  return pids;
}

/** Nothing is timed that does not work: every connection is answered, by as many nodes as shall be. */
async function verify(subject: Subject): Promise<void> {
  const order = { connections: SOURCES.length, each: 'connection', seconds: 0.5 } as const;
  const { answered, nodes, failures } = await request(subject, order);
  const answering = Object.keys(nodes).length;
  const right = subject.name === 'none' ? answering === 1 : answering > 1;
  if (right && answered >= 30 && Object.keys(failures).length === 0) return;
  const said = JSON.stringify({ answered, nodes, failures });
  throw new Error(`Expected ${subject.name} to answer every connection but received ${said}.`);
}

/** Load on a subject's servers, from the client. */
export function request(subject: Subject, order: Order): Promise<Served> {
  const { sources = SOURCES, ...rest } = order;
  const options = { to: CLUSTER_IPV4, port: HTTP_PORT, from: sources.join(), ...rest };
  return ask<Served>(subject.cluster.lab, 'client', command('http_client', options));
}

/** Makes subjects, works with them and takes them down, whatever happens. */
export async function withSubjects<Result>(
  makers: readonly (() => Promise<Subject>)[],
  work: (subjects: readonly Subject[]) => Promise<Result>,
): Promise<Result> {
  const subjects: Subject[] = [];
  try {
    for (const make of makers) subjects.push(await make());
    return await work(subjects);
  } finally {
    for (const { cluster } of subjects) await cluster.lab.close();
  }
}
