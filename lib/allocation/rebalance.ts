import type { Configuration } from '../config/index.js';
import {
  type Allocation,
  bucketCounts,
  type Member,
  WEIGHT_MAX,
  WEIGHT_MIN,
  withNames,
} from './plan.js';
import { cost, ranked } from './rank.js';

// Buckets that follow the load: from nodes that have more of it than their share to nodes that
// have less. Pure, like all planning.
//
// A bucket that moves takes its future connections with it; those that are open stay. So the
// load of today follows a move only as connections end, and whoever looked at it alone would go on
// moving buckets long after enough have moved, and then back. Therefore two loads are told apart:
//
//   measured    what the node has today
//   projected   what it comes to have when everything open has ended and come anew: the sum of its
//               buckets' loads where these are known, otherwise the measured load with the moves
//               of late counted in
//
// The measured load says whether anything is wrong: some node is farther from its share than
// the threshold, and than chance alone would bring it. The projected load says what has to move
// yet. Every move makes the sum of the squares of its deviations smaller, so moves cannot go round
// in a circle; they stop at half of the threshold, and a bucket that has moved rests.

/** By what, when and how fast; a configuration's `rebalance` is one. */
export type RebalanceSettings = Configuration['rebalance'];

/** A bucket that moved for the sake of the load. */
export interface Move {
  readonly bucket: number;
  readonly from: string;
  readonly to: string;
  /** When, in milliseconds of the clock that `now` reads. */
  readonly at: number;
  /** Its load at that time, as far as it was known. */
  readonly load: number;
}

/** What rebalancing is made from. */
export interface RebalanceInput {
  /** The members with the weights of their configurations; a weight of 0 takes no part. */
  readonly members: readonly Member[];
  readonly allocation: Allocation;
  /** The load of each member; of whom it is not known, nothing moves at all. */
  readonly loads: ReadonlyMap<string, number>;
  /** The load of each bucket, whoever has its open connections; when it is known. */
  readonly bucketLoads?: ArrayLike<number> | undefined;
  readonly settings: RebalanceSettings;
  /** Moves of the last {@link REBALANCE_MEMORY_MS} at least. */
  readonly history: readonly Move[];
  readonly now: number;
}

/** What is to move. */
export interface Rebalance {
  /** The next allocation. */
  readonly allocation: Allocation;
  /** To be kept as history. */
  readonly moves: readonly Move[];
  /** Weights with which a plan from `allocation` leaves it as it is. */
  readonly weights: ReadonlyMap<string, number>;
}

/** How long a bucket that has moved rests; older moves say nothing any more. */
export const REBALANCE_MEMORY_MS = 600_000;
/** How long a move needs to show in the measured load, where buckets' loads are not known. */
const SETTLE_MS = 300_000;
const MINUTE_MS = 60_000;
/** So many standard deviations of a count may be chance. */
const CHANCE = 3;
/** The part of its share by weight that a node keeps whatever its load. */
const LEAST_PART = 0.25;
/** The most moves at once: what is left to be moved is moved a moment later. */
const MOVES_MAX = 256;

/** A node and its load, while moves are chosen. */
interface Side {
  readonly name: string;
  readonly weight: number;
  /** The measured load and what it should be. */
  readonly measured: number;
  readonly fair: number;
  /** The projected load and what it should be. */
  projected: number;
  readonly target: number;
  buckets: number;
  readonly bucketsMin: number;
  /** Those of its buckets that do not rest. */
  readonly movable: Set<number>;
}

/**
 * What moves of late change in the measured load of a node. What shows of them already counts
 * twice: rather too few moves than too many.
 */
function underWay({ history, now }: RebalanceInput, name: string): number {
  let load = 0;
  for (const move of history) {
    if (now - move.at >= SETTLE_MS) continue;
    if (move.to === name) load += move.load;
    if (move.from === name) load -= move.load;
  }
  return load;
}

/** The sum of `values` by the name of the owner of the bucket that they belong to. */
function sumByOwner({ names, owners }: Allocation, values: ArrayLike<number>) {
  const sums = new Map<string, number>(names.map((name) => [name, 0]));
  for (const [bucket, owner] of owners.entries()) {
    const name = names[owner] ?? '';
    sums.set(name, (sums.get(name) ?? 0) + (values[bucket] ?? 0));
  }
  return sums;
}

function movableBuckets({ allocation, history, now }: RebalanceInput, name: string): Set<number> {
  const index = allocation.names.indexOf(name);
  const movable = new Set<number>();
  for (const [bucket, owner] of allocation.owners.entries()) {
    if (owner === index) movable.add(bucket);
  }
  for (const { bucket, at } of history) {
    if (now - at < REBALANCE_MEMORY_MS) movable.delete(bucket);
  }
  return movable;
}

function sidesOf(input: RebalanceInput): Side[] {
  const { allocation, loads, bucketLoads } = input;
  const sharing = input.members.filter(({ weight }) => weight > 0);
  const counts = bucketCounts(allocation);
  const byBuckets = bucketLoads && sumByOwner(allocation, bucketLoads);
  const sides = sharing.map(({ name, weight }) => {
    const measured = loads.get(name) ?? 0;
    const projected = byBuckets
      ? (byBuckets.get(name) ?? 0)
      : Math.max(0, measured + underWay(input, name));
    return { name, weight, measured, projected, buckets: counts.get(name) ?? 0 };
  });
  const sum = (of: 'weight' | 'measured' | 'projected' | 'buckets'): number =>
    sides.reduce((total, side) => total + side[of], 0);
  const [weights, measured, projected, buckets] = [
    sum('weight'),
    sum('measured'),
    sum('projected'),
    sum('buckets'),
  ];
  return sides.map((side) => ({
    ...side,
    fair: (side.weight / weights) * measured,
    target: (side.weight / weights) * projected,
    bucketsMin: Math.max(1, Math.ceil((LEAST_PART * side.weight * buckets) / weights)),
    movable: movableBuckets(input, side.name),
  }));
}

/** How far the projected load is from its target, relative to it. */
function deviation({ projected, target }: Side): number {
  return (projected - target) / target;
}

function isBeyond({ measured, fair }: Side, threshold: number): boolean {
  return Math.abs(measured - fair) > Math.max(threshold * fair, CHANCE * Math.sqrt(fair));
}

interface Candidate {
  readonly from: Side;
  readonly to: Side;
  readonly bucket: number;
  readonly load: number;
}

/** The move from `from` to `to` that makes the sum of squared deviations smallest. */
function bestOf(from: Side, to: Side, bucketLoads?: ArrayLike<number>): Candidate | null {
  if (from.buckets <= from.bucketsMin) return null;
  const slope = deviation(from) - deviation(to);
  const curve = 1 / from.target + 1 / to.target;
  const node = ranked(from.name, from.weight);
  const estimate = from.projected / from.buckets;
  let best: Candidate | null = null;
  let bestGain = 0;
  let bestPrice = 0;
  // With this load the two would be even; with half as much again the difference between them is
  // half of what it was, the other way round, and more than that is not worth a move.
  const even = slope / curve;
  for (const bucket of from.movable) {
    const load = bucketLoads ? (bucketLoads[bucket] ?? 0) : estimate;
    if (load > 1.5 * even) continue;
    const gain = load * (2 * slope - load * curve);
    if (gain <= 0 || gain < bestGain) continue;
    // Between equals the one that the node ranks last, as when a plan takes buckets away.
    const price = cost(bucket, node);
    if (gain === bestGain && price <= bestPrice) continue;
    best = { from, to, bucket, load };
    bestGain = gain;
    bestPrice = price;
  }
  return best;
}

/** The next move, or null when nothing is left that would help. */
function nextMove(sides: readonly Side[], { settings, bucketLoads }: RebalanceInput) {
  const enough = settings.threshold / 2;
  const sorted = [...sides].sort((a, b) => deviation(b) - deviation(a));
  // Both loads must agree: who is to give has more than its share today, who is to get has less.
  const givers = sorted.filter((side) => side.measured > side.fair && deviation(side) > 0);
  const takers = sorted.filter((side) => side.measured < side.fair && deviation(side) < 0);
  const to = takers.at(-1);
  if (!to) return null;
  for (const from of givers) {
    if (Math.max(deviation(from), -deviation(to)) <= enough) return null;
    const move = bestOf(from, to, bucketLoads);
    if (move) return move;
  }
  return null;
}

/** How many buckets may move now. */
function budgetOf({ settings, history, now }: RebalanceInput): number {
  const lately = history.filter(({ at }) => now - at < MINUTE_MS).length;
  return Math.min(MOVES_MAX, settings.movesPerMinute - lately);
}

/** The weights by which everybody's share is what it has. */
function weightsOf(members: readonly Member[], sides: readonly Side[]): Map<string, number> {
  const weights = new Map(members.map(({ name, weight }) => [name, weight]));
  const total = sides.reduce((sum, { weight }) => sum + weight, 0);
  const buckets = sides.reduce((sum, side) => sum + side.buckets, 0);
  const counts = sides.map((side) => side.buckets);
  // Their sum is the members', unless one of them would be no weight any more.
  const least = WEIGHT_MIN / Math.min(...counts);
  const most = WEIGHT_MAX / Math.max(...counts);
  const unit = Math.min(most, Math.max(least, total / buckets));
  for (const side of sides) weights.set(side.name, unit * side.buckets);
  return weights;
}

/**
 * Which buckets are to move because of the load; null when none is: it is off, nobody is beyond
 * the threshold, as many as may have moved within a minute, or no move would help. It is to be
 * called every few seconds, on one node, with what has moved so far.
 */
export function rebalance(input: RebalanceInput): Rebalance | null {
  const { members, allocation, loads, settings, now } = input;
  if (settings.by === 'off') return null;
  if (members.some(({ name, weight }) => weight > 0 && !loads.has(name))) return null;
  const sides = sidesOf(input);
  if (!sides.some((side) => isBeyond(side, settings.threshold))) return null;
  const moves: Move[] = [];
  for (let budget = budgetOf(input); budget > 0; budget -= 1) {
    const next = nextMove(sides, input);
    if (!next) break;
    const { from, to, bucket, load } = next;
    from.projected -= load;
    from.buckets -= 1;
    from.movable.delete(bucket);
    to.projected += load;
    to.buckets += 1;
    moves.push({ bucket, from: from.name, to: to.name, at: now, load });
  }
  if (moves.length === 0) return null;
  const names = withNames(allocation.names, members);
  const owners = allocation.owners.slice();
  for (const { bucket, to } of moves) owners[bucket] = names.indexOf(to);
  return {
    allocation: { epoch: allocation.epoch + 1, names, owners },
    moves,
    weights: weightsOf(members, sides),
  };
}
