// Traffic that a change of the cluster must not disturb, and what became of every piece of it. The
// client's program says what applications saw; a capture of the client's wire says which opening
// packets were answered, when, and how often.
import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import {
  CLIENT_IPV4,
  CLIENT_IPV6,
  CLUSTER_IPV4,
  CLUSTER_IPV6,
  PORT,
} from '../../lib/cli/demo/cluster.js';
import type { Fate, OpeningFate } from '../../lib/cli/demo/commands.js';
import { hash, loadConfiguration } from '../../lib/index.js';
import { FAMILIES, type Live, note } from './support.js';
import { Capture, type Opening, openingsIn } from './wire.js';

/** How much of what. */
export interface TrafficOptions {
  /** Long-lived TCP connections of either family. */
  readonly connections?: number;
  /** UDP flows of either family. */
  readonly flows?: number;
  /** New TCP connections a second, both families in turn. */
  readonly perSecond?: number;
  /** How long a new connection may take before its client gives up. */
  readonly patienceMs?: number;
}

/** Opens what stays open, keeps opening more, and watches the wire. */
export class Traffic {
  private constructor(
    private readonly live: Live,
    private readonly capture: Capture,
    /** How many conversations are open throughout. */
    readonly held: number,
    /** When all of it flowed, milliseconds since the Unix epoch. */
    private readonly fromMs: number,
  ) {}

  /** All conversations stand when this resolves. */
  static async start(live: Live, options: TrafficOptions = {}): Promise<Traffic> {
    const { connections = 75, flows = 20, perSecond = 60, patienceMs = 8_000 } = options;
    const capture = await Capture.start(live.lab, 'client', 'handshakes');
    const opened = await Promise.all(
      FAMILIES.flatMap(({ address, family }) => [
        live.client.hold('lines', `lines ${family}`, address, connections, 250),
        live.client.hold('flows', `flows ${family}`, address, flows, 250),
      ]),
    );
    const failed = opened.filter((one) => one.failed > 0);
    const drops = (await live.cluster.statuses()).map((one) => [one.node, one.drops]);
    assertNone(`groups that did not open; drops ${JSON.stringify(drops)}`, failed);
    const addresses = FAMILIES.map(({ address }) => address);
    await live.client.steady('steady', addresses, perSecond, patienceMs);
    const held = opened.reduce((sum, one) => sum + one.opened, 0);
    return new Traffic(live, capture, held, Date.now());
  }

  /** Lets the traffic go on for a while. */
  async flow(ms: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
  }

  /** How the long-lived conversations fared so far. */
  async look(kind: 'lines' | 'flows'): Promise<Fate[]> {
    const groups = await Promise.all(
      FAMILIES.map(({ family }) => this.live.client.look(`${kind} ${family}`)),
    );
    return groups.flatMap((group) => group.fates);
  }

  /** Ends all of it in good order. */
  async stop(): Promise<Account> {
    const { client } = this.live;
    const openings = await client.settle('steady');
    const release = async (kind: 'lines' | 'flows'): Promise<Fate[]> => {
      const groups = FAMILIES.map(({ family }) => client.release(`${kind} ${family}`));
      return (await Promise.all(groups)).flatMap((group) => group.fates);
    };
    const [lines, flows] = [await release('lines'), await release('flows')];
    const wire = openingsIn(await this.capture.stop());
    return new Account(wire, openings, lines, flows, this.fromMs);
  }
}

/** What happened to all of it. */
export class Account {
  constructor(
    /** From the wire: those of the long-lived connections too. */
    readonly wire: readonly Opening[],
    /** From the client. */
    readonly openings: readonly OpeningFate[],
    readonly lines: readonly Fate[],
    readonly flows: readonly Fate[],
    /** When all of it flowed. */
    readonly fromMs: number,
  ) {}

  /** Openings that more than one node answered. */
  get twice(): Opening[] {
    return this.wire.filter(({ answers }) => answers.size > 1);
  }

  /** Openings that nobody ever answered. */
  get unanswered(): Opening[] {
    return this.wire.filter(({ answers }) => answers.size === 0);
  }

  /**
   * From the first SYN to the first SYN-ACK, ascending, of those that were answered. The burst
   * with which the long-lived connections open, on nodes that have just started, is not
   * looked at.
   */
  get answerTimes(): number[] {
    const steady = this.wire.filter(({ timeMs }) => timeMs >= this.fromMs);
    const times = steady.flatMap((one) => {
      return one.answeredMs === undefined ? [] : [one.answeredMs - one.timeMs];
    });
    return times.sort((a, b) => a - b);
  }

  /** Conversations that broke, or that another node answered in the end, by who held them. */
  lost(nodes: readonly string[]): Fate[] {
    return [...this.lines, ...this.flows].filter((fate) => {
      return nodes.includes(fate.node) && (fate.broken !== null || fate.moved);
    });
  }

  /** What the wire saw of connections that were opened at that moment and reset. */
  wireAt(at: number): Opening[] {
    return this.wire.filter(({ timeMs, resets }) => {
      return Math.abs(timeMs - at) < 20 && resets.length > 0;
    });
  }

  /** New connections that came to nothing. */
  get failed(): OpeningFate[] {
    return this.openings.filter(({ error }) => error !== null);
  }

  /** The measured figures in a line or two below the test's title. */
  print(what: string, living: readonly string[]): void {
    const times = this.answerTimes;
    const connects = this.openings.map(({ connectMs }) => connectMs ?? 0).sort((a, b) => a - b);
    const show = (ms: number | undefined): string => (ms ?? 0).toFixed(1);
    note(
      `${what}: ${this.lines.length} connections and ${this.flows.length} flows held, ` +
        `${this.lost(living).length} lost by living nodes; ${this.wire.length} openings, ` +
        `${this.twice.length} answered twice, ${this.unanswered.length} never`,
    );
    note(
      `SYN to SYN-ACK: median ${show(times[times.length >> 1])} ms, slowest ${show(times.at(-1))} ms; ` +
        `connect() as the client saw it: slowest ${show(connects.at(-1))} ms; ${this.failed.length} failed`,
    );
  }
}

/** What {@link assertUndisturbed} holds an account to. */
export interface Limits {
  /** The nodes that lived all the while: what they held must not have been lost. */
  readonly living: readonly string[];
  /** Any opening's time from SYN to SYN-ACK. */
  readonly slowestMs: number;
  /** Openings that may have come to nothing; none by default. */
  readonly excused?: (opening: OpeningFate) => boolean;
}

/** Prints an account, and asserts what every change of the cluster promises. */
export function assertUndisturbed(what: string, account: Account, limits: Limits): void {
  const { living, slowestMs, excused } = limits;
  account.print(what, living);
  assertNone('opening packets that are answered twice', account.twice);
  assertNone('opening packets that nobody answers', account.unanswered);
  assertNone('conversations that living nodes lost', account.lost(living));
  const failed = account.failed.filter((one) => excused?.(one) !== true);
  const wires = failed.map(({ at }) => account.wireAt(at));
  assertNone(`new connections that came to nothing; ${JSON.stringify(wires)}`, failed);
  const slowest = account.answerTimes.at(-1) ?? 0;
  assert.ok(slowest < slowestMs, `the slowest opening took ${slowest.toFixed(1)} ms`);
  assert.ok(account.openings.length > 50, 'there were new connections all the while');
}

/** Asserts that there are none of these; shows the first few. */
export function assertNone(what: string, found: readonly unknown[]): void {
  const some = found.slice(0, 3).map((one) => JSON.stringify(one));
  assert.equal(found.length, 0, `${found.length} ${what}: ${some.join(' ')}`);
}

/** The name of the node that owns an opening's bucket by an allocation. */
export type OwnerOf = (opening: Opening | OpeningFate) => string;

const FLOWS = {
  IPv4: { source: CLIENT_IPV4, destination: CLUSTER_IPV4 },
  IPv6: { source: CLIENT_IPV6, destination: CLUSTER_IPV6 },
};

/** Remembers the allocation of this moment. */
export async function ownersNow({ cluster }: Live): Promise<OwnerOf> {
  const [first] = cluster.running;
  assert.ok(first, 'a node runs');
  const config = loadConfiguration(first.configuration);
  const { names, owners } = await cluster.admin(first).allocation();
  return (opening) => {
    const wire = 'client' in opening;
    const ipv6 = wire ? opening.client.address.length === 32 : isIPv6(opening.address);
    const { source, destination } = FLOWS[ipv6 ? 'IPv6' : 'IPv4'];
    const { bucket } = hash(config, {
      protocolNumber: 6,
      source: { address: source, port: wire ? opening.client.port : opening.port },
      destination: { address: destination, port: PORT },
    });
    return names[owners[bucket] ?? -1] ?? '';
  };
}
