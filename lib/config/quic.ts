import { createHash, hkdfSync } from 'node:crypto';
import { z } from 'zod';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import type { Configuration, NodeConfiguration } from './configuration.js';
import { QUIC_PLAINTEXT_MAX, QUIC_PORTS_MAX } from './schema.js';
import { secretsOf } from './secrets.js';

// How QUIC connection ids name nodes (docs/decisions/quic.md), with everything worked out that the
// configuration leaves open: keys and server ids.

/** Octets of a key of QUIC-LB: AES-128. */
export const QUIC_KEY_BYTES = 16;
/** The most octets of a server id. */
export const QUIC_SERVER_ID_MAX = 15;
/** The `info` of the derivation of a config's key, with the config id behind it. */
export const QUIC_KEY_INFO = 'flowsieve quic-lb v1 config ';

/** One way to read connection ids. */
export interface QuicConfig {
  /** 0 … 6: the upper three bits of the id's first octet. */
  readonly id: number;
  /** Octets. */
  readonly serverIdLength: number;
  /** Octets. */
  readonly nonceLength: number;
  /** The lower five bits of the first octet are the length of the rest. */
  readonly encodesLength: boolean;
  /** {@link QUIC_KEY_BYTES} bytes, or null: plain. */
  readonly key: Buffer | null;
}

/** The section `quic` as the criteria have it. */
export interface ResolvedQuic {
  /** In ascending order. */
  readonly ports: readonly number[];
  /** By config id. */
  readonly configs: readonly QuicConfig[];
  /** By node: what each config takes the first octets of. In the order of the names. */
  readonly serverIds: ReadonlyMap<string, Buffer>;
}

// As the secrets, the keys stay outside of what is printed.
const keptKeys = new WeakMap<Configuration, ReadonlyMap<number, Buffer>>();

/** Remembers the content of the `keyFile`s of a configuration, by config id. */
export function keepQuicKeys(config: Configuration, keys: ReadonlyMap<number, Buffer>): void {
  keptKeys.set(config, keys);
}

/** The server id of a node: {@link QUIC_SERVER_ID_MAX} bytes, or as many as are configured. */
export function serverIdOf(node: { name?: string; serverId?: string | undefined }): Buffer {
  if (node.serverId !== undefined) return Buffer.from(node.serverId, 'hex');
  const digest = createHash('sha256')
    .update(node.name ?? '')
    .digest();
  return digest.subarray(0, QUIC_SERVER_ID_MAX);
}

type Given = NonNullable<Configuration['quic']>['configs'][number];

function keyOf(config: Configuration, { id, encrypted, keyFile }: Given): Buffer | null {
  if (!encrypted) return null;
  if (keyFile === undefined) {
    const { cluster } = config;
    const material = secretsOf(config)[0] ?? Buffer.from(cluster);
    const info = `${QUIC_KEY_INFO}${id}`;
    return Buffer.from(hkdfSync('sha256', material, Buffer.from(cluster), info, QUIC_KEY_BYTES));
  }
  const kept = keptKeys.get(config)?.get(id);
  if (kept) return kept;
  const path = 'quic.configs';
  const message = `Expected the content of ${keyFile} for ${path} but received a configuration that was parsed without it.`;
  throw new FlowsieveError('FLOWSIEVE_STATE', message, { path });
}

function byName([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/**
 * How connection ids are read; null without the section `quic`. A key is the content of its
 * `keyFile`, or else HKDF-SHA256 (RFC 5869) of the secret with the cluster's name as salt and
 * {@link QUIC_KEY_INFO} with the config id as info; without a secret the cluster's name takes its place.
 *
 * @param nodes - other nodes than the configuration's
 * @throws FlowsieveError FLOWSIEVE_STATE when the configuration names a file that nobody has read
 */
export function resolveQuic(
  config: Configuration,
  nodes: readonly NodeConfiguration[] = config.nodes,
): ResolvedQuic | null {
  const { quic } = config;
  if (!quic) return null;
  const configs = quic.configs.map((given) => {
    const { id, serverIdLength, nonceLength, encodesLength } = given;
    return { id, serverIdLength, nonceLength, encodesLength, key: keyOf(config, given) };
  });
  const longest = Math.max(...configs.map(({ serverIdLength }) => serverIdLength));
  const serverIds = nodes.map((node): [string, Buffer] => [
    node.name,
    serverIdOf(node).subarray(0, longest),
  ]);
  return {
    ports: [...quic.ports].sort((left, right) => left - right),
    configs: configs.sort((left, right) => left.id - right.id),
    serverIds: new Map(serverIds.sort(byName)),
  };
}

/** The same as a JSON value, keys included; the same for what reads every id alike. */
export function quicSettings(quic: ResolvedQuic): unknown {
  return {
    ports: quic.ports,
    configs: quic.configs.map(({ key, ...rest }) => ({
      ...rest,
      key: key?.toString('hex') ?? null,
    })),
    serverIds: [...quic.serverIds].map(([name, serverId]) => [name, serverId.toString('hex')]),
  };
}

const hex = (pattern: RegExp) => z.string().regex(pattern);

/** What {@link quicSettings} returns. */
export const quicSettingsSchema = z.strictObject({
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(QUIC_PORTS_MAX),
  configs: z
    .array(
      z
        .strictObject({
          id: z.int().min(0).max(6),
          serverIdLength: z.int().min(1).max(QUIC_SERVER_ID_MAX),
          nonceLength: z.int().min(4).max(18),
          encodesLength: z.boolean(),
          key: hex(/^[0-9a-f]{32}$/).nullable(),
        })
        .refine((each) => each.serverIdLength + each.nonceLength <= QUIC_PLAINTEXT_MAX),
    )
    .min(1)
    .max(7),
  serverIds: z.array(z.tuple([z.string(), hex(/^([0-9a-f]{2}){1,15}$/)])),
});

/** The inverse of {@link quicSettings}, of what {@link quicSettingsSchema} has taken. */
export function readQuicSettings(settings: z.output<typeof quicSettingsSchema>): ResolvedQuic {
  return {
    ports: settings.ports,
    configs: settings.configs.map(({ key, ...rest }) => ({
      ...rest,
      key: key === null ? null : Buffer.from(key, 'hex'),
    })),
    serverIds: new Map(
      settings.serverIds.map(([name, digits]) => [name, Buffer.from(digits, 'hex')]),
    ),
  };
}

/**
 * The key in the content of a `keyFile`.
 *
 * @returns null for anything but 32 hexadecimal digits
 */
export function readQuicKey(content: Buffer): Buffer | null {
  const digits = content.toString('latin1').trimEnd();
  return /^[0-9a-f]{32}$/i.test(digits) ? Buffer.from(digits, 'hex') : null;
}

/** A problem's sentence for the content of a `keyFile`; the content is not repeated. */
export function quicKeyProblem(path: string, file: string): string {
  return expectedSentence('a file with 32 hexadecimal digits', path, `${file} with something else`);
}
