import { FlowsieveError } from '../errors/index.js';
import { assign } from './assign.js';
import { cost, ranked } from './rank.js';
import { shares } from './shares.js';

// Planning is pure: members and, perhaps, the allocation so far go in; the next allocation
// comes out. Nothing here knows a clock, a socket or chance. Why there are two ways to plan
// stands in docs/decisions/planning.md.

/** A node that may own buckets. */
export interface Member {
  readonly name: string;
  /** Its share beside the other weights; 0: no buckets. */
  readonly weight: number;
}

/** The map bucket → node. */
export interface Allocation {
  /** Grows with every change. */
  readonly epoch: number;
  /**
   * The nodes that `owners` means. A name keeps its index in all following allocations, also when
   * it owns nothing.
   */
  readonly names: readonly string[];
  /** For every bucket the index of its owner in `names`. */
  readonly owners: Uint16Array;
}

/** What a plan is made from. */
export interface PlanInput {
  /** In any order; names are unique and at least one weight is above 0. */
  readonly members: readonly Member[];
  /** The number of buckets. */
  readonly buckets: number;
  /** The allocation that the plan is to change as little as possible. */
  readonly previous?: Allocation | undefined;
}

/**
 * The most names that an allocation can hold: an owner is sixteen bits, and the last
 * value stays free.
 */
export const ALLOCATION_NAMES_MAX = 65_535;
/** The bounds of a weight that is not 0: within them no cost overflows. */
export const WEIGHT_MIN = 0.001;
export const WEIGHT_MAX = 65_535;

function byName(left: Member, right: Member): number {
  return Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
}

function refuse(expected: string, subject: string, received: string): never {
  const message = `Expected ${expected} for ${subject} but received ${received}.`;
  throw new FlowsieveError('FLOWSIEVE_ARGUMENT', message, { path: subject });
}

/** Members in the order of their names, when buckets can be planned for them. */
export function checkedMembers(members: readonly Member[]): Member[] {
  if (new Set(members.map((member) => member.name)).size !== members.length) {
    refuse('members with different names', 'members', 'a name twice');
  }
  for (const { weight } of members) {
    if (weight !== 0 && !(weight >= WEIGHT_MIN && weight <= WEIGHT_MAX)) {
      refuse(`0 or a number from ${WEIGHT_MIN} to ${WEIGHT_MAX}`, 'weight', String(weight));
    }
  }
  if (!members.some((member) => member.weight > 0)) {
    refuse('at least one member with a weight above 0', 'members', `${members.length} without`);
  }
  return [...members].sort(byName);
}

/**
 * A plan from nothing but members and buckets: whoever has the same configuration has the same
 * plan, index for index.
 */
function planAnew(members: readonly Member[], buckets: number, epoch: number): Allocation {
  const owners = new Uint16Array(buckets);
  const nodes = members.map((member) => ranked(member.name, member.weight));
  const quotas = shares(
    members.map((member) => member.weight),
    buckets,
  );
  assign(owners.keys(), nodes, quotas, (bucket, node) => {
    owners[bucket] = node;
  });
  return { epoch, names: members.map((member) => member.name), owners };
}

/** The buckets of each member so far, and those whose owner is none of them. */
function holdings(members: readonly Member[], previous: Allocation) {
  const memberOf = new Map(members.map((member, index) => [member.name, index]));
  const held: number[][] = members.map(() => []);
  const orphaned: number[] = [];
  for (const [bucket, owner] of previous.owners.entries()) {
    const member = memberOf.get(previous.names[owner] ?? '');
    (member === undefined ? orphaned : (held[member] ?? orphaned)).push(bucket);
  }
  return { held, orphaned };
}

/** The names so far, and behind them those of new members. */
export function withNames(names: readonly string[], members: readonly Member[]): readonly string[] {
  const known = new Set(names);
  const joined = members.map((member) => member.name).filter((name) => !known.has(name));
  if (names.length + joined.length > ALLOCATION_NAMES_MAX) {
    refuse(
      `at most ${ALLOCATION_NAMES_MAX} names`,
      'members',
      String(names.length + joined.length),
    );
  }
  return joined.length === 0 ? names : [...names, ...joined];
}

/**
 * A plan with the fewest moves: nodes with too many buckets give up their dearest, and only those
 * and orphans move.
 */
function planFrom(members: readonly Member[], previous: Allocation): Allocation {
  const { held, orphaned } = holdings(members, previous);
  const nodes = members.map((member) => ranked(member.name, member.weight));
  const quotas = shares(
    members.map((member) => member.weight),
    previous.owners.length,
    held.map((buckets) => buckets.length),
  );
  const moving = [...orphaned];
  for (const [index, buckets] of held.entries()) {
    const node = nodes[index];
    const surplus = buckets.length - (quotas[index] ?? 0);
    if (!node || surplus <= 0) continue;
    // What a node of weight 0 gives up is everything; among the others it is what they rank last.
    const dearestFirst = buckets
      .map((bucket) => ({ bucket, price: node.weight > 0 ? cost(bucket, node) : 0 }))
      .sort((a, b) => b.price - a.price || a.bucket - b.bucket);
    moving.push(...dearestFirst.slice(0, surplus).map(({ bucket }) => bucket));
  }
  const names = withNames(previous.names, members);
  if (moving.length === 0 && names === previous.names) return previous;
  const owners = previous.owners.slice();
  const indexes = members.map((member) => names.indexOf(member.name));
  const rooms = held.map((buckets, index) => Math.max(0, (quotas[index] ?? 0) - buckets.length));
  assign(moving, nodes, rooms, (bucket, node) => {
    owners[bucket] = indexes[node] ?? 0;
  });
  return { epoch: previous.epoch + 1, names, owners };
}

/**
 * Plans who owns which bucket. Shares follow the weights within one bucket, in both
 * ways of planning:
 *
 * - Without `previous` the plan depends on the members and the number of buckets alone, not on the
 *   order of the members: every node computes it for itself. A changed weight or member moves few
 *   buckets, though not the fewest.
 * - With `previous` the fewest buckets move. When nothing has to change, the result is
 *   `previous` itself.
 *
 * A `previous` with another number of buckets says nothing about the new ones: only
 * its epoch counts.
 *
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT
 */
export function plan(input: PlanInput): Allocation {
  const { buckets, previous } = input;
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > 65_536) {
    refuse('an integer from 1 to 65536', 'buckets', String(buckets));
  }
  const members = checkedMembers(input.members);
  if (!previous) return planAnew(members, buckets, 1);
  if (previous.owners.length !== buckets) return planAnew(members, buckets, previous.epoch + 1);
  return planFrom(members, previous);
}

/** The name of a bucket's owner. */
export function ownerOf(allocation: Allocation, bucket: number): string {
  const owner = allocation.owners[bucket];
  const name = owner === undefined ? undefined : allocation.names[owner];
  if (name === undefined) {
    refuse(`an integer from 0 to ${allocation.owners.length - 1}`, 'bucket', String(bucket));
  }
  return name;
}

/** How many buckets each name of the allocation owns. */
export function bucketCounts(allocation: Allocation): Map<string, number> {
  const counts = new Array<number>(allocation.names.length).fill(0);
  for (const owner of allocation.owners) counts[owner] = (counts[owner] ?? 0) + 1;
  return new Map(allocation.names.map((name, index) => [name, counts[index] ?? 0]));
}

/** The buckets whose owner's name differs between two allocations of the same number of buckets. */
export function movedBuckets(before: Allocation, after: Allocation): number[] {
  if (before.owners.length !== after.owners.length) {
    refuse(`${before.owners.length} buckets`, 'after', String(after.owners.length));
  }
  return [...after.owners.keys()].filter(
    (bucket) => before.names[before.owners[bucket] ?? 0] !== after.names[after.owners[bucket] ?? 0],
  );
}
