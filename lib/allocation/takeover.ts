import { assign } from './assign.js';
import { type Allocation, checkedMembers, type Member, withNames } from './plan.js';
import { ranked } from './rank.js';
import { shares } from './shares.js';

// When nodes have died, their buckets have to go to the living at once, and no other bucket may
// move: a living owner would have to release it first, step by step.

/**
 * How many buckets everybody has afterwards. Nobody gives any up, so who has more than its share
 * keeps them, and the others share what is left by their weights; that makes their shares
 * smaller, so that perhaps more of them have too many, and so on.
 */
function quotas(weights: readonly number[], held: readonly number[], buckets: number): number[] {
  const result = [...held];
  let sharing = [...weights.keys()];
  let rest = buckets;
  for (;;) {
    const total = sharing.reduce((sum, index) => sum + (weights[index] ?? 0), 0);
    const left = rest;
    const hasTooMany = (index: number): boolean =>
      (held[index] ?? 0) * total > (weights[index] ?? 0) * left;
    const full = sharing.filter(hasTooMany);
    if (full.length === 0) break;
    rest -= full.reduce((sum, index) => sum + (held[index] ?? 0), 0);
    sharing = sharing.filter((index) => !full.includes(index));
  }
  const counts = shares(
    sharing.map((index) => weights[index] ?? 0),
    rest,
    sharing.map((index) => held[index] ?? 0),
  );
  for (const [at, index] of sharing.entries()) result[index] = counts[at] ?? 0;
  return result;
}

/**
 * Gives the buckets of the dead to the living, so that the living come as near to the shares of
 * their weights as they can without moving a bucket of each other. When the dead have none, the
 * result is `previous` itself.
 *
 * @param dead - names whose buckets are to be given away
 * @param members - the living, in any order; at least one weight is above 0
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT
 */
export function planTakeover(
  previous: Allocation,
  dead: readonly string[],
  members: readonly Member[],
): Allocation {
  const gone = new Set(dead);
  const living = checkedMembers(members.filter(({ name }) => !gone.has(name)));
  const memberOf = new Map(living.map(({ name }, index) => [name, index]));
  const held = living.map(() => 0);
  const moving: number[] = [];
  for (const [bucket, owner] of previous.owners.entries()) {
    const name = previous.names[owner] ?? '';
    const member = memberOf.get(name);
    if (member !== undefined) held[member] = (held[member] ?? 0) + 1;
    else if (gone.has(name)) moving.push(bucket);
  }
  if (moving.length === 0) return previous;
  const weights = living.map(({ weight }) => weight);
  const buckets = held.reduce((sum, count) => sum + count, moving.length);
  const rooms = quotas(weights, held, buckets).map((quota, index) =>
    Math.max(0, quota - (held[index] ?? 0)),
  );
  const names = withNames(previous.names, living);
  const indexes = living.map(({ name }) => names.indexOf(name));
  const owners = previous.owners.slice();
  const nodes = living.map(({ name, weight }) => ranked(name, weight));
  assign(moving, nodes, rooms, (bucket, node) => {
    owners[bucket] = indexes[node] ?? 0;
  });
  return { epoch: previous.epoch + 1, names, owners };
}
