import { type Allocation, withNames } from './plan.js';

// Port rules that give to a single node have a place each behind the buckets of an allocation, with
// an owner like a bucket's: so whatever hands buckets over hands such a rule over, too. Plans of
// buckets know nothing of them; here they are taken off before one and put on after it.
// docs/decisions/port-rules.md

/** A node that may have a single rule's packets. */
export interface SingleMember {
  readonly name: string;
  /** How able it is; who has a lower rank goes before all of a higher one. */
  readonly rank: number;
  /** It has buckets, so that it has to do with connections that do not name it. */
  readonly weighted: boolean;
}

/** An allocation's buckets alone; the allocation itself when it has nothing else. */
export function bucketsOf(allocation: Allocation, buckets: number): Allocation {
  if (allocation.owners.length <= buckets) return allocation;
  return { ...allocation, owners: allocation.owners.slice(0, buckets) };
}

/** The names of the owners of the single rules, in the order of the rules. */
export function singleOwners(allocation: Allocation, buckets: number): string[] {
  return [...allocation.owners.subarray(buckets)].map((owner) => allocation.names[owner] ?? '');
}

/** Puts owners of single rules behind the buckets of an allocation. */
export function withSingles(allocation: Allocation, owners: readonly string[]): Allocation {
  if (owners.length === 0) return allocation;
  const members = owners.map((name) => ({ name, weight: 0 }));
  const names = withNames(allocation.names, [...new Map(members.map((m) => [m.name, m])).values()]);
  const indexes = owners.map((name) => names.indexOf(name));
  return { ...allocation, names, owners: Uint16Array.from([...allocation.owners, ...indexes]) };
}

/**
 * Who has what a rule gives to a single node: of the ablest members the first of the priority list,
 * and when none of them is in it, so that somebody has it, the first by name (in the order of its
 * UTF-8 bytes), of those that have buckets before the others; undefined when there is no member.
 */
export function planSingle(
  priority: readonly string[],
  members: readonly SingleMember[],
): string | undefined {
  const place = ({ name, weighted }: SingleMember): number => {
    const index = priority.indexOf(name);
    return index >= 0 ? index : priority.length + (weighted ? 0 : 1);
  };
  const byName = (left: SingleMember, right: SingleMember): number =>
    Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
  const [first] = [...members].sort(
    (left, right) => left.rank - right.rank || place(left) - place(right) || byName(left, right),
  );
  return first?.name;
}
