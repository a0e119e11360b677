// Questions about views and transitions: pure functions.
import type { Identity, Member, Transition, View } from './types.js';

/** True for a member that takes part: its lease may be running. */
export function isLiving(member: Member): boolean {
  return member.state !== 'dead' && member.state !== 'left';
}

/** The members of a view that take part. */
export function living(view: View): Member[] {
  return view.members.filter(isLiving);
}

/** The member of that name that takes part. */
export function livingMember(view: View | null, name: string): Member | undefined {
  return view?.members.find((member) => member.name === name && isLiving(member));
}

/** True when this life of the node takes part in the view. */
export function takesPart(view: View | null, { name, incarnation }: Identity): boolean {
  return livingMember(view, name)?.incarnation === incarnation;
}

/** One text for one life of one node. */
export function lifeOf({ name, incarnation }: Identity): string {
  return `${name}/${incarnation}`;
}

/** True when the view gives the node of that name a bucket. */
export function isOwner(view: View | null, name: string): boolean {
  return view !== null && ownersOf(view).includes(name);
}

/**
 * Who took part in `before`, or had buckets left there, and does no longer in `after`. Whoever is
 * dead and still has its buckets is not gone: nobody has inherited from it yet.
 */
export function gone(before: View | null, after: View): string[] {
  if (before === null) return [];
  const ended = living(before).filter((member) => !takesPart(after, member));
  const alive = new Set([...living(before), ...living(after)].map(({ name }) => name));
  const left = [...ownersOf(before)].filter((name) => name !== undefined && !alive.has(name));
  const owning = new Set(ownersOf(after));
  const names = new Set([...ended.map(({ name }) => name), ...(left as string[])]);
  return [...names].filter((name) => !owning.has(name));
}

/** The owner of every bucket by name. */
function ownersOf({ allocation }: View): (string | undefined)[] {
  return Array.from(allocation.owners, (index) => allocation.names[index]);
}

/**
 * From whom to whom a transition moves buckets. With other criteria a bucket is not what it was,
 * so every owner gives to every other.
 */
export function moves(base: View, next: View): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const add = (from: string | undefined, to: string | undefined): void => {
    if (from === undefined || to === undefined || from === to) return;
    const gainers = found.get(from) ?? new Set();
    found.set(from, gainers.add(to));
  };
  const before = ownersOf(base);
  const after = ownersOf(next);
  if (base.criteria.digest === next.criteria.digest) {
    for (const [bucket, from] of before.entries()) add(from, after[bucket]);
  } else {
    for (const from of new Set(before)) for (const to of new Set(after)) add(from, to);
  }
  return found;
}

/** From whom `gainer` gets buckets. */
export function losersTo(gainer: string, base: View, next: View): string[] {
  const losers: string[] = [];
  for (const [loser, gainers] of moves(base, next)) if (gainers.has(gainer)) losers.push(loser);
  return losers;
}

/** Every node that gets a bucket, and every node that gives one and is alive to do so. */
export function participants(base: View, transition: Transition) {
  const moved = moves(base, transition.next);
  const gainers = new Set([...moved.values()].flatMap((each) => [...each]));
  return { losers: [...moved.keys()], gainers: [...gainers] };
}
