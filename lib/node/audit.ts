import type { OpeningCount, Report } from '../protocol/index.js';
import type { AuditEpoch, AuditSummary, AuditVerdict, AuditView } from './types.js';

// Was every opening packet taken exactly once? Each node counts the opening packets that it has
// seen and those that it took, and sums the digests of their keys, by epoch. All have seen the
// same when all have the same count and sum; each packet was taken once when what they took
// comes, together, to just that.

interface Counted {
  readonly name: string;
  readonly count: OpeningCount;
}

function plus(sums: readonly string[]): bigint {
  return BigInt.asUintN(
    64,
    sums.reduce((total, sum) => total + BigInt(sum), 0n),
  );
}

function verdictOf(counted: readonly Counted[], members: number): AuditVerdict {
  if (counted.length < members) return 'incomplete';
  const counts = counted.map(({ count }) => count);
  const [first] = counts;
  if (!first) return 'incomplete';
  const alike = counts.every(
    ({ seen, seenSum }) => seen === first.seen && seenSum === first.seenSum,
  );
  if (!alike) return 'unlike';
  const taken = counts.reduce((sum, count) => sum + count.taken, 0);
  const takenSum = plus(counts.map((count) => count.takenSum));
  return taken === first.seen && takenSum === plus([first.seenSum]) ? 'exact' : 'differs';
}

/**
 * The audit by what nodes have last told.
 *
 * @param reports - by name of the node, this one's among them
 * @param members - names of the nodes that decide packets
 * @param epoch - the one in force, which is still being counted
 * @param membersOf - the members of an earlier epoch, as far as they are known: whoever has gone
 * since has taken its last counts along
 */
export function auditOf(
  reports: ReadonlyMap<string, Report>,
  members: readonly string[],
  epoch: number,
  membersOf: (epoch: number) => readonly string[] | undefined = () => undefined,
): AuditView {
  const byEpoch = new Map<number, Counted[]>();
  for (const name of members) {
    for (const count of reports.get(name)?.openings ?? []) {
      const counted = byEpoch.get(count.epoch) ?? [];
      counted.push({ name, count });
      byEpoch.set(count.epoch, counted);
    }
  }
  const epochs = [...byEpoch].map(([each, counted]): AuditEpoch => {
    const gone = membersOf(each)?.some((name) => !members.includes(name)) ?? false;
    const judged = gone ? 'incomplete' : verdictOf(counted, members.length);
    const nodes = counted.map(({ name, count: { seen, taken } }) => ({ name, seen, taken }));
    return {
      epoch: each,
      verdict: each >= epoch ? 'counting' : judged,
      seen: Math.max(...nodes.map(({ seen }) => seen)),
      taken: nodes.reduce((sum, { taken }) => sum + taken, 0),
      nodes,
    };
  });
  return {
    epochs: epochs.sort((left, right) => left.epoch - right.epoch),
    silent: members.filter((name) => !reports.has(name)),
  };
}

/** How many epochs of an audit came out how. */
export function auditSummary({ epochs }: AuditView): AuditSummary {
  const summary = { counting: 0, incomplete: 0, unlike: 0, exact: 0, differs: 0 };
  for (const { verdict } of epochs) summary[verdict] += 1;
  return summary;
}
