// `flowsieve demo`: a cluster of three nodes under real traffic, and an account of who took what.
import { FlowsieveError } from '../../errors/index.js';
import type { PacketClass, Status } from '../../node/types.js';
import { CLUSTER_IPV4, CLUSTER_IPV6, Cluster } from './cluster.js';
import type { BulkResult, Fared, ShortResult } from './commands.js';
import type { Driver } from './driver.js';
import { Lab } from './lab.js';
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

/** One allocation, and the traffic that was opened while all nodes had it. */
export interface DemoRound {
  readonly weights: readonly number[];
  /** From the first signal until every node worked with these weights. */
  readonly changeMs: number;
  /** Connections and flows that the client opened and that were answered rightly. */
  readonly openings: number;
  readonly failed: number;
  /** Per node: opening packets that it took. */
  readonly taken: readonly number[];
  /** Per node: opening packets that it left to another. */
  readonly left: readonly number[];
  /** Every opening packet was taken by one node and left by all others. */
  readonly exactlyOnce: boolean;
}

/** One node's account at the end. */
export interface DemoNode {
  readonly name: string;
  readonly openings: number;
  readonly delivered: number;
  readonly discarded: number;
  readonly connections: number;
}

/** What the demo found. */
export interface DemoResult {
  readonly nodes: readonly DemoNode[];
  readonly rounds: readonly DemoRound[];
  /** The conversations that were open throughout, by kind. */
  readonly held: Readonly<Record<string, Fared>>;
  readonly downloads: readonly BulkResult[];
  /**
   * Opening packets that no node or more than one took, by the nodes' counters against
   * the client's count.
   */
  readonly unaccounted: number;
  /** Conversations and downloads that broke, moved to another node or brought wrong bytes. */
  readonly broken: number;
  readonly passed: boolean;
  readonly seconds: number;
}

const WEIGHTS: readonly (readonly number[])[] = [
  [1, 1, 1],
  [3, 1, 1],
  [0, 1, 1],
  [1, 2, 3],
  [1, 1, 1],
];

const HELD = { lines: 'connections', streams: 'transfers', flows: 'UDP flows' } as const;
const FAMILIES = [
  { address: CLUSTER_IPV4, family: 'IPv4', share: 2 },
  { address: CLUSTER_IPV6, family: 'IPv6', share: 1 },
] as const;

/**
 * The command: runs the demo inside private namespaces, which it enters by starting this program
 * again, prints the table and the audit, and resolves with the exit code. Nothing is left behind,
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
  return result.passed ? 0 : 1;
}

/** Runs the demo; only inside private namespaces (see {@link demo}). */
export async function runDemo(options: DemoOptions = {}): Promise<DemoResult> {
  const lab = await Lab.open();
  const close = (): void => void lab.close().then(() => process.exit(1));
  process.once('SIGTERM', close);
  process.once('SIGINT', close);
  try {
    return await new Demo(lab, options).run();
  } finally {
    process.off('SIGTERM', close);
    process.off('SIGINT', close);
    await lab.close();
  }
}

class Demo {
  private readonly start = performance.now();
  private readonly progress: (line: string) => void;
  private readonly downloadBytes: number;
  private readonly downloads: BulkResult[] = [];
  private readonly rounds: DemoRound[] = [];
  private cluster: Cluster | undefined;

  constructor(
    private readonly lab: Lab,
    options: DemoOptions,
  ) {
    this.progress = options.progress ?? ((): void => {});
    this.downloadBytes = options.downloadBytes ?? 256_000_000;
  }

  async run(): Promise<DemoResult> {
    const cluster = await Cluster.wire(this.lab);
    this.cluster = cluster;
    this.progress('a client, a switch and three nodes stand in network namespaces of their own');
    await cluster.configure(WEIGHTS[0]);
    await Promise.all([cluster.startDaemons(), cluster.startServers()]);
    this.progress(
      `\`flowsieve run\` is ready on every node; they share ${CLUSTER_IPV4} and ${CLUSTER_IPV6}`,
    );

    const client = cluster.traffic();
    let before = await cluster.quiet();
    let opened = await this.openConversations(client);
    for (const [number, weights] of WEIGHTS.entries()) {
      const changeMs = number === 0 ? 0 : await this.change(cluster, weights);
      const traffic = await this.drive(client, FAMILIES[number - 1]?.address);
      const after = await cluster.quiet();
      this.rounds.push(
        round(
          weights,
          changeMs,
          { ...traffic, openings: traffic.openings + opened },
          before,
          after,
        ),
      );
      this.tell();
      before = after;
      opened = 0;
    }
    return this.result(await this.release(client), before);
  }

  /** Opens what stays open to the end; resolves with how many that is. */
  private async openConversations(client: Driver): Promise<number> {
    let opened = 0;
    for (const { address, family, share } of FAMILIES) {
      for (const kind of ['lines', 'streams', 'flows'] as const) {
        const group = await client.hold(kind, `${HELD[kind]}, ${family}`, address, 30 * share);
        opened += group.opened;
        if (group.failed > 0)
          throw new Error(`Expected ${kind} to open but ${JSON.stringify(group)}.`);
      }
    }
    this.progress(
      `${opened} conversations are open: connections, transfers under way and UDP flows`,
    );
    return opened;
  }

  private async change(cluster: Cluster, weights: readonly number[]): Promise<number> {
    const start = performance.now();
    await cluster.reweigh(weights);
    await cluster.settled(weights);
    return performance.now() - start;
  }

  /**
   * Opens hundreds of short connections and UDP flows, and a download when an address
   * for it is given.
   */
  private async drive(
    client: Driver,
    downloadFrom: string | undefined,
  ): Promise<{ openings: number; failed: number }> {
    const download =
      downloadFrom === undefined ? undefined : client.download(downloadFrom, this.downloadBytes);
    // The outcome is looked at below; until then a failure must not count as unhandled.
    download?.catch(() => {});
    let [openings, failed] = [download === undefined ? 0 : 1, 0];
    for (const { address, share } of FAMILIES) {
      const short: ShortResult = await client.short(address, 80 * share);
      const udp = await client.datagrams(address, { count: 20 * share, each: 3, size: 64 });
      openings += short.opened + 20 * share;
      failed += short.failed + (udp.sent - udp.answered) + udp.twice + udp.wrong + udp.moved;
    }
    if (download !== undefined) this.downloads.push(await download);
    return { openings, failed };
  }

  private tell(): void {
    const last = this.rounds.at(-1);
    if (last === undefined) return;
    const change = last.changeMs > 0 ? `, changed in ${last.changeMs.toFixed(0)} ms` : '';
    const took = last.taken.join(' + ');
    this.progress(
      `weights ${last.weights.join(':')}${change}: ${last.openings} openings, taken ${took}`,
    );
  }

  private async release(client: Driver): Promise<Record<string, Fared>> {
    const held: Record<string, Fared> = {};
    for (const { family } of FAMILIES) {
      for (const what of Object.values(HELD)) {
        held[`${what}, ${family}`] = await client.release(`${what}, ${family}`);
      }
    }
    this.progress(
      'the conversations that were open throughout have ended in good order or been counted as broken',
    );
    return held;
  }

  private async result(
    held: Record<string, Fared>,
    before: readonly Status[],
  ): Promise<DemoResult> {
    const last = (await this.cluster?.quiet()) ?? [];
    const nodes = last.map((status, i) => ({
      name: status.node,
      openings: status.classes['1'],
      delivered: status.counters['delivered'] ?? 0,
      discarded: status.counters['discarded'] ?? 0,
      connections: before[i]?.tables.own ?? 0,
    }));
    const groups = Object.values(held);
    const wrong = this.downloads.filter((one) => !one.correct).length;
    const failed = this.rounds.reduce((sum, one) => sum + one.failed, 0);
    const broken = groups.reduce((sum, one) => sum + one.broken + one.moved, wrong + failed);
    const unaccounted = this.rounds.reduce(
      (sum, one) => sum + Math.abs(total(one.taken) - one.openings),
      0,
    );
    const passed = broken === 0 && this.rounds.every((one) => one.exactlyOnce);
    const seconds = (performance.now() - this.start) / 1000;
    const { rounds, downloads } = this;
    return { nodes, rounds, held, downloads, unaccounted, broken, passed, seconds };
  }
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, one) => sum + one, 0);
}

function round(
  weights: readonly number[],
  changeMs: number,
  traffic: { openings: number; failed: number },
  before: readonly Status[],
  after: readonly Status[],
): DemoRound {
  const grown = (name: PacketClass): number[] =>
    after.map((status, i) => status.classes[name] - (before[i]?.classes[name] ?? 0));
  const [taken, left] = [grown('1'), grown('3')];
  const exactlyOnce =
    total(taken) === traffic.openings && total(left) === traffic.openings * (after.length - 1);
  return { weights, changeMs, ...traffic, taken, left, exactlyOnce };
}
