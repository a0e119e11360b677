// Planning: one node joins, the others give it its share.
import { bucketCounts, type Member, movedBuckets, plan } from '../../lib/index.js';
import { print } from '../results.js';
import { type Asked, premise } from './room.js';
import { inTurn } from './trials.js';

const BUCKETS = [256, 65_536] as const;

function members(count: number): Member[] {
  return Array.from({ length: count }, (_, i) => ({ name: `node-${i + 1}`, weight: 1 }));
}

/** A node more than `nodes` joins. */
export function planning(asked: Asked, name: string, nodes: number): void {
  for (const buckets of BUCKETS) {
    const previous = plan({ members: members(nodes), buckets });
    const joined = members(nodes + 1);
    const next = plan({ members: joined, buckets, previous });
    const moved = movedBuckets(previous, next).length;
    const shares = [...bucketCounts(next).values()];
    premise(Math.max(...shares) - Math.min(...shares) <= 1, 'the shares are even');
    premise(moved === shares.at(-1), 'no bucket moves but to the newcomer');
    inTurn(asked, { name: `${name}/${buckets}`, unit: 'us', note: 'with the allocation so far' }, [
      { of: 'flowsieve', call: () => void plan({ members: joined, buckets, previous }) },
    ]);
    const fewest = Math.floor(buckets / (nodes + 1));
    const note = `the fewest that give the newcomer its share are ${fewest}`;
    print({
      name: `${name}/${buckets}/moved`,
      of: 'flowsieve',
      unit: 'count',
      values: [moved],
      note,
    });
  }
}
