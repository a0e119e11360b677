// Which view comes next: pure functions of the view, of who has died, come or wished something.
import {
  type Allocation,
  bucketsOf,
  plan,
  planSingle,
  planTakeover,
  singleOwners,
  withSingles,
} from '../allocation/index.js';
import type { Criteria, Identity, Member, View } from './types.js';
import { isLiving, living } from './view.js';

/** A newcomer that has asked to join. */
export interface Newcomer extends Identity {
  readonly weight: number;
  readonly wants: string;
}

/** What the members that may own buckets get. */
function sharers(members: readonly Member[]): { name: string; weight: number }[] {
  const present = members.filter(isLiving);
  const by = (share: (member: Member) => number) =>
    present.map((member) => ({ name: member.name, weight: share(member) }));
  // Somebody has to have the buckets, though nobody wants them or all have only just come.
  const tiers = [
    by(({ state, weight, share }) => (state !== 'member' || weight === 0 ? 0 : (share ?? weight))),
    by(({ state }) => (state === 'joining' ? 0 : 1)),
    by(() => 1),
  ];
  return tiers.find((shares) => shares.some(({ weight }) => weight > 0)) ?? [];
}

const ABILITIES: readonly Member['state'][] = ['member', 'draining', 'joining'];

/** Who has each rule that gives to a single node. Nobody's weight keeps it from that. */
function singlesFor({ singles = [] }: Criteria, members: readonly Member[]): string[] {
  const able = members.filter(isLiving).map(({ name, state, weight }) => ({
    name,
    rank: ABILITIES.indexOf(state),
    weighted: weight > 0,
  }));
  return singles.flatMap((priority) => planSingle(priority, able) ?? []);
}

/** Nodes that own buckets and do not take part any more: nobody was there to take them over. */
export function orphaned(view: View): string[] {
  const { names, owners } = view.allocation;
  const alive = new Set(living(view).map(({ name }) => name));
  const owning = new Set(Array.from(owners, (owner) => names[owner] ?? ''));
  return [...owning].filter((name) => !alive.has(name));
}

/** The first view: all newcomers are members, and nothing moves. */
export function firstView(
  newcomers: readonly Newcomer[],
  criteria: Criteria,
  epoch: number,
  term: number,
): View {
  const members = newcomers.map(
    (newcomer): Member => ({ ...newcomer, share: null, state: 'member' }),
  );
  const planned = plan({ members: sharers(members), buckets: criteria.buckets });
  const allocation = withSingles({ ...planned, epoch }, singlesFor(criteria, members));
  return { epoch, term, criteria, members, allocation };
}

/** The same allocation under a new epoch, with other members' entries. */
export function sameBuckets(
  view: View,
  epoch: number,
  term: number,
  members: readonly Member[],
): View {
  return { ...view, epoch, term, members, allocation: { ...view.allocation, epoch } };
}

/** What the view's members are to have under `criteria`, with the fewest moves. */
export function planned(
  view: View,
  members: readonly Member[],
  criteria: Criteria,
  epoch: number,
  term: number,
): View {
  const shares = sharers(members);
  if (shares.length === 0) return sameBuckets(view, epoch, term, members);
  const { buckets } = criteria;
  const before = bucketsOf(view.allocation, view.criteria.buckets);
  const previous = buckets === view.criteria.buckets ? before : undefined;
  const next = { ...plan({ members: shares, buckets, previous }), epoch };
  const allocation = withSingles(next, singlesFor(criteria, members));
  return { epoch, term, criteria, members, allocation };
}

/** The members, of whom some have died or left. */
export function withDeaths(
  members: readonly Member[],
  dead: ReadonlyMap<string, 'dead' | 'left'>,
): Member[] {
  return members.map((member): Member => {
    const end = isLiving(member) ? dead.get(member.name) : undefined;
    return end === undefined ? member : { ...member, state: end };
  });
}

/** The dead's buckets go to the living; no other bucket moves, since nobody could release it. */
export function afterDeath(
  view: View,
  dead: ReadonlyMap<string, 'dead' | 'left'>,
  epoch: number,
  term: number,
): View {
  const members = withDeaths(view.members, dead);
  const shares = sharers(members);
  if (shares.length === 0) return sameBuckets(view, epoch, term, members);
  const { buckets } = view.criteria;
  const next = planTakeover(bucketsOf(view.allocation, buckets), [...dead.keys()], shares);
  const heirs = singlesFor(view.criteria, members);
  const owners = singleOwners(view.allocation, buckets).map((owner, index) =>
    dead.has(owner) ? (heirs[index] ?? owner) : owner,
  );
  return { ...view, epoch, term, members, allocation: withSingles({ ...next, epoch }, owners) };
}

/** Members with newcomers beside them; what is left of their earlier lives goes. */
export function withNewcomers(
  members: readonly Member[],
  newcomers: readonly Newcomer[],
): Member[] {
  const names = new Set(newcomers.map(({ name }) => name));
  const joining = newcomers.map(
    ({ name, incarnation, weight, wants }): Member => ({
      name,
      incarnation,
      weight,
      share: null,
      wants,
      state: 'joining',
    }),
  );
  return [...members.filter(({ name }) => !names.has(name)), ...joining];
}

/** The criteria that every member's configuration asks for, when they are these and new. */
export function wantedCriteria(view: View, ours: Criteria): Criteria {
  const agreed = living(view).every(({ wants }) => wants === ours.digest);
  return agreed ? ours : view.criteria;
}

/** The two give every bucket to the same node by the same criteria. */
export function sameOwners(left: View, right: View): boolean {
  if (left.criteria.digest !== right.criteria.digest) return false;
  const name = ({ names, owners }: Allocation, bucket: number) => names[owners[bucket] ?? 0];
  return left.allocation.owners.every(
    (_, bucket) => name(left.allocation, bucket) === name(right.allocation, bucket),
  );
}
