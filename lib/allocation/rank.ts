import { createHash } from 'node:crypto';

// The ranking behind a plan: how much each bucket wants each node (weighted rendezvous hashing,
// Thaler and Ravishankar 1998; the weights as in Schindelhauer and Schomaker 2005). A bucket's cost
// at a node is -ln(u) / weight, where u in (0, 1) comes from hashing the pair: the lower, the
// better. A node's cost depends on nothing but its own name and weight, so a change of one node
// leaves every other preference as it was.
//
// All nodes must compute the same plan, whatever their Node version and machine. Therefore only
// operations that IEEE 754 and the language define to the last bit are used: + - * /, 32-bit
// integers and constants. Math.log is not among them.

/** What the ranking knows of a node: its weight, and 64 bits that stand for its name. */
export interface Ranked {
  readonly weight: number;
  readonly high: number;
  readonly low: number;
}

/** Prepares a node for ranking: the first eight bytes of SHA-256 of its name in UTF-8. */
export function ranked(name: string, weight: number): Ranked {
  const digest = createHash('sha256').update(name, 'utf8').digest();
  return { weight, high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) };
}

// The finaliser of MurmurHash3 (Appleby): every input bit reaches every output bit.
function mix(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/**
 * The natural logarithm of 0 < `value` < 1 by basic operations alone; within a few units
 * in the last place.
 */
export function naturalLogarithm(value: number): number {
  let mantissa = value;
  let doublings = 0;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    doublings += 1;
  }
  // ln m = 2 artanh((m - 1) / (m + 1)); the argument is at most 0.172, so eleven terms
  // reach beyond 53 bits.
  const ratio = (mantissa - 1) / (mantissa + 1);
  const square = ratio * ratio;
  let sum = 0;
  for (let odd = 21; odd >= 1; odd -= 2) sum = sum * square + 1 / odd;
  return 2 * ratio * sum - doublings * Math.LN2;
}

/** The cost of `bucket` at `node`; positive, and the same on every machine. */
export function cost(bucket: number, node: Ranked): number {
  const first = mix(node.high ^ Math.imul(bucket + 1, 0x9e3779b1));
  const second = mix(node.low ^ Math.imul(bucket + 1, 0x85ebca77) ^ first);
  // 52 bits and a half: exact in a double, never 0 and never 1.
  const drawn = ((first >>> 6) * 67_108_864 + (second >>> 6) + 0.5) / 4_503_599_627_370_496;
  return -naturalLogarithm(drawn) / node.weight;
}
