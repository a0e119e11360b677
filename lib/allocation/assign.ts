import { cost, type Ranked } from './rank.js';

// Buckets to nodes under quotas: stable matching (Gale and Shapley 1962, hospitals and residents).
// Every bucket asks the nodes in the order of its cost; a node that has more than its quota sends
// the dearest away, which asks on. Both sides rank by the same costs, so there is exactly one
// stable result, the one that a greedy walk over all pairs from the cheapest on would find,
// whatever the order of asking. Memory grows with the buckets, not with the pairs.

interface Held {
  readonly bucket: number;
  readonly cost: number;
}

/**
 * `left` is dearer than `right`; between equal costs the greater bucket is, so that
 * the order is total.
 */
function dearer(left: Held, right: Held): boolean {
  return left.cost > right.cost || (left.cost === right.cost && left.bucket > right.bucket);
}

/** The buckets that a node holds for now, the dearest on top (a binary heap). */
class Holding {
  private readonly heap: Held[] = [];

  get size(): number {
    return this.heap.length;
  }

  buckets(): number[] {
    return this.heap.map((held) => held.bucket);
  }

  push(held: Held): void {
    const { heap } = this;
    let at = heap.push(held) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Held;
      if (!dearer(held, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = held;
  }

  /** Takes the dearest out; there must be one. */
  popDearest(): Held {
    const { heap } = this;
    const top = heap[0] as Held;
    const last = heap.pop() as Held;
    if (heap.length > 0) this.sink(last);
    return top;
  }

  private sink(held: Held): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && dearer(heap[child + 1] as Held, heap[child] as Held))
        child += 1;
      const below = heap[child] as Held;
      if (!dearer(below, held)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = held;
  }
}

/**
 * The node that `bucket` asks after it was sent away at (`floor`, `after`): the next in the order
 * of cost, then of index.
 */
function nextChoice(
  bucket: number,
  nodes: readonly Ranked[],
  quotas: readonly number[],
  floor: number,
  after: number,
): { node: number; cost: number } {
  let best = -1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const [index, node] of nodes.entries()) {
    if (quotas[index] === 0) continue;
    const price = cost(bucket, node);
    if (price < floor || (price === floor && index <= after)) continue;
    if (price < bestCost) {
      best = index;
      bestCost = price;
    }
  }
  return { node: best, cost: bestCost };
}

/**
 * Gives every one of `buckets` to a node, each node exactly its quota.
 *
 * @param quotas - one for each node; their sum must be the number of buckets
 * @param give - called once for every bucket
 */
export function assign(
  buckets: Iterable<number>,
  nodes: readonly Ranked[],
  quotas: readonly number[],
  give: (bucket: number, node: number) => void,
): void {
  const holdings = nodes.map(() => new Holding());
  for (const first of buckets) {
    let bucket = first;
    let floor = 0;
    let after = -1;
    for (;;) {
      const choice = nextChoice(bucket, nodes, quotas, floor, after);
      const holding = holdings[choice.node];
      if (!holding) throw new RangeError('the quotas are fewer than the buckets');
      holding.push({ bucket, cost: choice.cost });
      if (holding.size <= (quotas[choice.node] ?? 0)) break;
      const sentAway = holding.popDearest();
      bucket = sentAway.bucket;
      floor = sentAway.cost;
      after = choice.node;
    }
  }
  for (const [node, holding] of holdings.entries()) {
    for (const bucket of holding.buckets()) give(bucket, node);
  }
}
