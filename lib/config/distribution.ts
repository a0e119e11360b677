import { hkdfSync } from 'node:crypto';
import type { Configuration, FieldName, HashName } from './configuration.js';
import { type ResolvedRule, resolveRules } from './rules.js';
import { secretsOf } from './secrets.js';

/**
 * Bytes of key material that the native layer takes; every hash function uses as many of the
 * first as it needs.
 */
export const DISTRIBUTION_KEY_BYTES = 40;
/** The `info` of the key's derivation: another purpose or another version gets another key. */
export const DISTRIBUTION_KEY_INFO = 'flowsieve distribution v1';

/**
 * The distribution as the native layer takes it: everything that decides an opening
 * packet's bucket.
 */
export interface ResolvedDistribution {
  readonly hash: HashName;
  /** {@link DISTRIBUTION_KEY_BYTES} bytes. */
  readonly key: Buffer;
  readonly fields: readonly FieldName[];
  readonly buckets: number;
  readonly symmetric: boolean;
  /** Leading bits of the addresses that count. */
  readonly prefixes: Configuration['distribution']['prefixes'];
  /** The first that matches an opening packet decides. */
  readonly rules: readonly ResolvedRule[];
}

function keyOf(config: Configuration): Buffer {
  const { cluster, distribution } = config;
  if (distribution.key !== undefined) {
    const key = Buffer.alloc(DISTRIBUTION_KEY_BYTES);
    key.write(distribution.key, 'hex');
    return key;
  }
  const [material] = secretsOf(config);
  const derived = hkdfSync(
    'sha256',
    material ?? Buffer.from(cluster),
    Buffer.from(cluster),
    DISTRIBUTION_KEY_INFO,
    DISTRIBUTION_KEY_BYTES,
  );
  return Buffer.from(derived);
}

/**
 * The distribution with its key: `distribution.key` with zeros behind it, or else HKDF-SHA256
 * (RFC 5869) of the secret with the cluster's name as salt and {@link DISTRIBUTION_KEY_INFO} as
 * info. Without a secret the cluster's name takes its place.
 *
 * @throws FlowsieveError FLOWSIEVE_STATE when the configuration names a secret file and
 * nobody has read it
 */
export function resolveDistribution(config: Configuration): ResolvedDistribution {
  const { hash, fields, buckets, symmetric, prefixes } = config.distribution;
  const rules = resolveRules(config);
  return { hash, key: keyOf(config), fields, buckets, symmetric, prefixes, rules };
}
