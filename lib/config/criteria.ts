import { createHash } from 'node:crypto';
import { z } from 'zod';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { isAddress } from './addresses.js';
import { KEY_BYTES } from './check.js';
import type { Configuration } from './configuration.js';
import {
  DISTRIBUTION_KEY_BYTES,
  type ResolvedDistribution,
  resolveDistribution,
} from './distribution.js';
import { FIELDS, HASHES, NODES_MAX } from './leaves.js';
import {
  quicSettings,
  quicSettingsSchema,
  type ResolvedQuic,
  readQuicSettings,
  resolveQuic,
} from './quic.js';
import { effectivePrefixes, type ResolvedRule } from './rules.js';
import { PORT_RANGES_MAX, RULES_MAX } from './schema-rules.js';

// The criteria of the distribution as nodes tell them to each other, and with them how QUIC
// connection ids name nodes. Criteria that give every packet the same bucket and node have the same
// digest, however they were written down.

/**
 * The version of the bytes that are hashed (docs/reference/hash-layout.md); nodes of different ones
 * would disagree about every bucket.
 */
export const HASH_LAYOUT_VERSION = 1;

/** The criteria of a configuration: a JSON value, and the same digest for the same criteria. */
export interface CriteriaSettings {
  readonly settings: unknown;
  readonly digest: string;
}

/**
 * What other nodes need to distribute as this configuration says, the hash key included: it goes
 * to nobody who has not the cluster's secret.
 *
 * @throws FlowsieveError FLOWSIEVE_STATE as {@link resolveDistribution} and {@link resolveQuic}
 */
export function criteriaSettings(config: Configuration): CriteriaSettings {
  const { hash, key, fields, buckets, symmetric, prefixes, rules } = resolveDistribution(config);
  const quic = resolveQuic(config);
  // Left out of the settings is what decides nothing: the order of the fields, the prefix of an
  // address that is not hashed, and the bytes of the key that the function does not use.
  const settings = {
    layout: HASH_LAYOUT_VERSION,
    hash,
    key: key.subarray(0, KEY_BYTES[hash]).toString('hex'),
    fields: FIELDS.filter((field) => fields.includes(field)),
    buckets,
    symmetric,
    prefixes: effectivePrefixes(fields, prefixes),
    // Without rules nothing is said of them.
    ...(rules.length > 0 ? { rules: rules.map(ruleSettings) } : {}),
    ...(quic ? { quic: quicSettings(quic) } : {}),
  };
  // Keys stand in the order in which they are written above, on every node.
  const digest = createHash('sha256').update(JSON.stringify(settings)).digest('hex');
  return { settings, digest };
}

/** The keys in one order, as a digest wants them. */
function ruleSettings({ do: action, addresses, protocols, ports, hash, nodes }: ResolvedRule) {
  return { do: action, addresses, protocols, ports, hash, nodes };
}

const bits = (max: number) => z.int().min(1).max(max);
const prefix = z.strictObject({ ipv4: bits(32), ipv6: bits(128) });

const prefixes = z.strictObject({ source: prefix, destination: prefix });
const fields = z
  .array(z.enum(FIELDS))
  .min(1)
  .refine((fields) => new Set(fields).size === fields.length);
const port = z.int().min(0).max(65_535);

const ruleSchema = z
  .strictObject({
    do: z.enum(['distribute', 'single', 'refuse', 'pass']),
    addresses: z.array(z.string().refine(isAddress)).max(256),
    protocols: z.array(z.int().min(0).max(255)).max(2),
    ports: z
      .array(z.tuple([port, port]).refine(([first, last]) => first <= last))
      .max(PORT_RANGES_MAX),
    hash: z.strictObject({ fields, prefixes }).nullable(),
    nodes: z.array(z.string().min(1).max(63)).max(NODES_MAX),
  })
  .refine((rule) => (rule.do === 'distribute') === (rule.hash !== null), { path: ['hash'] });

const settingsSchema = z
  .strictObject({
    layout: z.literal(HASH_LAYOUT_VERSION),
    hash: z.enum(HASHES),
    key: z.string().regex(/^([0-9a-f]{2})+$/),
    fields,
    buckets: z
      .int()
      .min(16)
      .max(65_536)
      .refine((value) => (value & (value - 1)) === 0),
    symmetric: z.boolean(),
    prefixes,
    rules: z
      .array(ruleSchema)
      .max(RULES_MAX)
      .refine((rules) => rules.flatMap(({ ports }) => ports).length <= PORT_RANGES_MAX)
      .optional(),
    quic: quicSettingsSchema.optional(),
  })
  .refine(({ hash, key }) => key.length === 2 * KEY_BYTES[hash], { path: ['key'] });

function parseSettings(settings: unknown): z.output<typeof settingsSchema> {
  const parsed = settingsSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  // Nothing of what came is repeated: the key may be in it.
  const message = expectedSentence('criteria of this version', path || 'criteria', 'others');
  throw new FlowsieveError('FLOWSIEVE_FORMAT', message, { path });
}

/**
 * The inverse of {@link criteriaSettings}.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT for anything that it never returns
 */
export function resolveSettings(settings: unknown): ResolvedDistribution {
  const parsed = parseSettings(settings);
  const { hash, fields, buckets, symmetric, prefixes, rules = [] } = parsed;
  const key = Buffer.alloc(DISTRIBUTION_KEY_BYTES);
  key.write(parsed.key, 'hex');
  return { hash, key, fields, buckets, symmetric, prefixes, rules };
}

/**
 * The same for how QUIC connection ids name nodes; null where they do not.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT as {@link resolveSettings}
 */
export function resolveQuicSettings(settings: unknown): ResolvedQuic | null {
  const { quic } = parseSettings(settings);
  return quic ? readQuicSettings(quic) : null;
}
