import type { ProtocolState, View } from '../protocol/index.js';
import type { AuditView } from './types.js';

// What is wrong with the cluster as a node sees it at one moment. Pure: the facts are handed in,
// what stands is returned, one for each name, with everybody whom it concerns in its sentence.

/** Something that is wrong at this moment. */
export interface Condition {
  /** One word for programs. */
  readonly name: string;
  /** One sentence for people. */
  readonly message: string;
}

/** What a node knows of its cluster. Times are milliseconds of one clock. */
export interface ClusterFacts {
  readonly now: number;
  readonly self: string;
  readonly quorum: 'majority' | 'paths';
  /** Names of all configured nodes. */
  readonly nodes: readonly string[];
  readonly state: ProtocolState['state'];
  readonly view: View | null;
  /** Names of the nodes that are heard now. */
  readonly heard: readonly string[];
  /** What this node, when it coordinates, waits for; null when for nothing. */
  readonly waiting: {
    readonly step: string;
    readonly names: readonly string[];
    readonly since: number;
  } | null;
  readonly audit: AuditView;
  /** For each node that says so, and this one: whose frames to the cluster MAC do not come. */
  readonly unseen: ReadonlyMap<string, readonly string[]>;
}

/** A coordinator may wait for so long without anybody having to look. */
const WAIT_MS = 1000;

function* lease({ state, nodes, heard, self, quorum }: ClusterFacts): Generator<Condition> {
  if (state === 'fenced') {
    yield {
      name: 'leaseLost',
      message:
        'The lease of this node has run out: it serves its open connections and opens none, until enough of the others ' +
        'hear it again.',
    };
  }
  if (quorum !== 'majority') return;
  const present = new Set([self, ...heard]);
  const count = nodes.filter((name) => present.has(name)).length;
  if (2 * count > nodes.length) return;
  const missing = nodes.filter((name) => !present.has(name)).join(', ');
  yield {
    name: 'noMajority',
    message:
      `Only ${count} of the ${nodes.length} configured nodes are heard, which is no majority: nothing can change, and no ` +
      `connection is opened here. Missing: ${missing}.`,
  };
}

function* coordination({ waiting, now }: ClusterFacts): Generator<Condition> {
  if (!waiting || now - waiting.since < WAIT_MS) return;
  yield {
    name: 'coordinatorWaits',
    message: `The coordinator waits for ${waiting.names.join(', ')} to answer ${waiting.step}: no change of the allocation can go on.`,
  };
}

function* audit({ audit: { epochs } }: ClusterFacts): Generator<Condition> {
  const wrong = epochs.filter(({ verdict }) => verdict === 'differs');
  if (wrong.length === 0) return;
  const each = wrong.map(({ epoch, seen, taken }) => `epoch ${epoch}: ${taken} of ${seen}`);
  yield {
    name: 'auditDiffers',
    message: `Opening packets were lost, or taken twice: by the audit the nodes together took in ${each.join(', ')}.`,
  };
}

function* wire({ unseen, nodes }: ClusterFacts): Generator<Condition> {
  const blind = [...unseen].filter(([name, of]) => nodes.includes(name) && of.length > 0);
  if (blind.length === 0) return;
  const each = blind.map(([name, of]) => `${name} sees none from ${of.join(', ')}`);
  yield {
    name: 'clusterAddressUnseen',
    message:
      `Frames to the cluster's MAC address do not come although the sync network works: ${each.join('; ')}. Packets ` +
      'are lost there: look at the switch (multicast snooping, port security) and at the interface.',
  };
}

function* criteria({ view }: ClusterFacts): Generator<Condition> {
  if (!view) return;
  const living = view.members.filter(({ state }) => state !== 'dead' && state !== 'left');
  const others = living.filter(({ wants }) => wants !== view.criteria.digest);
  if (others.length === 0) return;
  const names = others.map(({ name }) => name).join(', ');
  yield {
    name: 'criteriaDiffer',
    message:
      `The configuration of ${names} asks for another distribution than the one in force (distribution or secret): it ` +
      'comes into force when all nodes ask for it.',
  };
}

/** Everything that is wrong, by what is known. */
export function conditionsOf(facts: ClusterFacts): Condition[] {
  return [
    ...lease(facts),
    ...coordination(facts),
    ...audit(facts),
    ...wire(facts),
    ...criteria(facts),
  ];
}
