// How many buckets each node gets.

interface Share {
  readonly index: number;
  readonly floor: number;
  readonly remainder: number;
}

function exactShares(weights: readonly number[], buckets: number): Share[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight, index) => {
    const exact = (weight * buckets) / total;
    const floor = Math.floor(exact);
    return { index, floor, remainder: exact - floor };
  });
}

/**
 * Shares by the largest remainder (Hamilton): everyone gets the whole part of its exact share, and
 * the buckets that are left go one each to those whose rest is largest. So every share is the
 * exact one rounded down or up. Between equal rests the one that comes first in `weights` wins;
 * callers sort by name.
 *
 * @param weights - not negative, at least one above 0
 * @param held - how many buckets each node has already. A node that has more than its whole part
 *   keeps one of the buckets that are left before the rests are looked at: otherwise a bucket would
 *   move although both nodes' shares were right.
 */
export function shares(
  weights: readonly number[],
  buckets: number,
  held?: readonly number[],
): number[] {
  const exact = exactShares(weights, buckets);
  const left = buckets - exact.reduce((sum, share) => sum + share.floor, 0);
  const keeps = ({ index, floor }: Share): number => ((held?.[index] ?? 0) > floor ? 1 : 0);
  const favoured = exact
    .filter((share) => share.remainder > 0)
    .sort((a, b) => keeps(b) - keeps(a) || b.remainder - a.remainder || a.index - b.index)
    .slice(0, left);
  const result = exact.map((share) => share.floor);
  for (const { index, floor } of favoured) result[index] = floor + 1;
  return result;
}
