// `flowsieve demo`: a cluster under real traffic that a node joins, that one drains from and that
// loses one, and an account of what became of every connection.
import { FlowsieveError } from '../../errors/index.js';
import type { Status } from '../../node/types.js';
import { CLUSTER_IPV4, CLUSTER_IPV6, Cluster, type ClusterNode } from './cluster.js';
import type { BulkResult } from './commands.js';
import type { Driver } from './driver.js';
import { noteHandshakes, readHandshakes } from './handshakes.js';
import { Lab } from './lab.js';
import { type DemoChange, type DemoGroup, type DemoResult, judge } from './outcome.js';
import {
  enterPrivateNamespaces,
  insidePrivateNamespaces,
  privateNamespacesMissing,
} from './private.js';
import { describeDemo } from './report.js';

/** What the demo can be asked for. */
export interface DemoOptions {
  /** Bytes of each of the two downloads; 256 million by default. */
  readonly downloadBytes?: number;
  /** Takes each line of progress. */
  readonly progress?: (line: string) => void;
}

const HELD = { lines: 'connections', streams: 'transfers', flows: 'UDP flows' } as const;
const FAMILIES = [
  { address: CLUSTER_IPV4, family: 'IPv4', count: 50 },
  { address: CLUSTER_IPV6, family: 'IPv6', count: 25 },
] as const;
const SHORT_PER_SECOND = 60;
/** How long the traffic goes on before and after each change. */
const BETWEEN_MS = 1_000;

/**
 * The command: runs the demo inside private namespaces, which it enters by starting this program
 * again, prints the tables and the audit, and resolves with the exit code. Nothing is left behind,
 * whatever happens.
 *
 * @throws FlowsieveError FLOWSIEVE_PRIVILEGE when neither root nor user namespaces, or no TUN
 * device, can be had.
 */
export async function demo(options: DemoOptions = {}): Promise<number> {
  if (!insidePrivateNamespaces()) {
    const missing = privateNamespacesMissing();
    if (missing !== undefined) throw new FlowsieveError('FLOWSIEVE_PRIVILEGE', missing);
    return enterPrivateNamespaces();
  }
  const start = performance.now();
  const print = (line: string): void => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
    process.stdout.write(`${seconds} s  ${line}\n`);
  };
  const result = await runDemo({ progress: print, ...options });
  process.stdout.write(`\n${describeDemo(result, process.stdout.isTTY === true)}\n`);
  return judge(result).every(({ good }) => good) ? 0 : 1;
}

/** Runs the demo; only inside private namespaces (see {@link demo}). */
export async function runDemo(options: DemoOptions = {}): Promise<DemoResult> {
  const lab = await Lab.open();
  const close = (): void => void lab.close().then(() => process.exit(1));
  process.once('SIGTERM', close);
  process.once('SIGINT', close);
  try {
    const cluster = await Cluster.wire(lab, { nodes: 4, syncNetwork: true });
    return await new Demo(lab, cluster, options).run();
  } finally {
    process.off('SIGTERM', close);
    process.off('SIGINT', close);
    await lab.close();
  }
}

function buckets(status: Status, { name }: ClusterNode): number {
  return status.members.find((member) => member.name === name)?.buckets ?? 0;
}

class Demo {
  private readonly start = performance.now();
  private readonly progress: (line: string) => void;
  private readonly downloadBytes: number;
  private readonly downloads: BulkResult[] = [];
  private readonly changes: DemoChange[] = [];

  constructor(
    private readonly lab: Lab,
    private readonly cluster: Cluster,
    options: DemoOptions,
  ) {
    this.progress = options.progress ?? ((): void => {});
    this.downloadBytes = options.downloadBytes ?? 256_000_000;
  }

  async run(): Promise<DemoResult> {
    const { cluster, lab } = this;
    this.progress('a client, a switch and four nodes stand in network namespaces of their own');
    const [first, second, third, fourth] = cluster.nodes;
    if (!first || !second || !third || !fourth) throw new Error('Expected four nodes but fewer.');
    await cluster.configure();
    await Promise.all([cluster.startDaemons([first, second, third]), cluster.startServers()]);
    this.progress(
      `\`flowsieve run\` is ready on three of them; they share ${CLUSTER_IPV4} and ${CLUSTER_IPV6}`,
    );
    await noteHandshakes(lab, 'client');
    const client = cluster.traffic();
    await this.openConversations(client);

    await this.change('node-4 joined', async () => {
      await cluster.startDaemons([fourth]);
      await cluster.agreed('buckets of node-4', (status) => buckets(status, fourth) > 0);
    });
    await this.download(client, CLUSTER_IPV4);
    await this.change('node-2 drained', async () => {
      await cluster.command(second, ['drain']);
      await cluster.agreed('node-2 drained', (status) => buckets(status, second) === 0);
    });
    await this.download(client, CLUSTER_IPV6);
    const at = Date.now();
    await this.change('node-3 was killed (kill -9)', async () => {
      await third.daemon?.stop('SIGKILL');
      await cluster.agreed('node-3 replaced', (status) => buckets(status, third) === 0);
    });

    const openings = await client.settle('short connections');
    const groups = await this.release(client);
    return {
      nodes: cluster.nodes.map(({ name }) => name),
      killed: { name: third.name, ethernet: await cluster.ethernetAddress(third), at },
      changes: this.changes,
      groups,
      openings,
      handshakes: await readHandshakes(lab, 'client'),
      audit: await cluster.admin(first).audit(),
      downloads: this.downloads,
      seconds: (performance.now() - this.start) / 1000,
    };
  }

  /** Opens what stays open to the end, and begins to open short connections. */
  private async openConversations(client: Driver): Promise<void> {
    let opened = 0;
    for (const { address, family, count } of FAMILIES) {
      for (const kind of ['lines', 'streams', 'flows'] as const) {
        const group = await client.hold(kind, `${HELD[kind]}, ${family}`, address, count);
        opened += group.opened;
        if (group.failed > 0)
          throw new Error(`Expected ${kind} to open but ${JSON.stringify(group)}.`);
      }
    }
    const addresses = FAMILIES.map(({ address }) => address);
    await client.steady('short connections', addresses, SHORT_PER_SECOND);
    this.progress(
      `${opened} conversations are open (connections, transfers under way, UDP flows), and ` +
        `${SHORT_PER_SECOND} short connections a second`,
    );
    await this.pause();
  }

  private async change(what: string, happen: () => Promise<void>): Promise<void> {
    const [start, fromMs] = [performance.now(), Date.now()];
    await happen();
    const ms = performance.now() - start;
    this.progress(`${what}: every node agrees after ${ms.toFixed(0)} ms`);
    await this.pause();
    this.changes.push({ what, ms, fromMs, untilMs: Date.now() });
  }

  private async download(client: Driver, address: string): Promise<void> {
    this.downloads.push(await client.download(address, this.downloadBytes));
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  }

  private async release(client: Driver): Promise<DemoGroup[]> {
    const groups: DemoGroup[] = [];
    for (const { family } of FAMILIES) {
      for (const kind of Object.values(HELD)) {
        const what = `${kind}, ${family}`;
        const { messages, fates } = await client.release(what);
        groups.push({ what, messages, fates });
      }
    }
    this.progress('what was open throughout has ended in good order, or counts as lost');
    return groups;
  }
}
