import { hkdfSync } from 'node:crypto';
import { FlowsieveError } from '../errors/index.js';
import type { Configuration } from './configuration.js';

// The secrets stay outside of the configuration so that nothing that prints a configuration
// prints them.
const kept = new WeakMap<Configuration, readonly Buffer[]>();

/** Remembers the secrets that belong to a configuration: the one that signs comes first. */
export function keepSecrets(config: Configuration, secrets: readonly Buffer[]): void {
  kept.set(config, secrets);
}

/**
 * The secrets of a configuration, the one that signs first; none when it names none.
 *
 * @throws FlowsieveError FLOWSIEVE_STATE when it names a file that nobody has read: falling back to
 * the cluster's name would give this node other keys than its peers
 */
export function secretsOf(config: Configuration): readonly Buffer[] {
  const { secret } = config;
  if (!secret) return [];
  const secrets = kept.get(config) ?? [];
  const unread = secrets.length === 0 ? 'file' : secret.also && secrets.length < 2 ? 'also' : null;
  if (unread === null) return secrets;
  throw new FlowsieveError(
    'FLOWSIEVE_STATE',
    `Expected the content of ${secret[unread]} for secret but received a configuration that was parsed without it.`,
    { path: `secret.${unread}` },
  );
}

/** The `info` under which a cluster without a secret derives what its nodes speak with. */
export const SYNC_SECRET_INFO = 'flowsieve sync without secret v1';
const SYNC_SECRET_BYTES = 32;

/**
 * What the nodes know each other by: the content of `secret.file`, which signs, then that of
 * `secret.also`, which is accepted besides. Without a secret it is HKDF-SHA256 (RFC 5869) of the
 * cluster's name, with the name as salt and {@link SYNC_SECRET_INFO} as info: no secret at all, but
 * nodes of different clusters do not take each other's messages.
 *
 * @throws FlowsieveError FLOWSIEVE_STATE when the configuration names a file that nobody has read
 */
export function syncSecrets(config: Configuration): readonly Buffer[] {
  const secrets = secretsOf(config);
  if (secrets.length > 0) return secrets;
  const name = Buffer.from(config.cluster);
  return [Buffer.from(hkdfSync('sha256', name, name, SYNC_SECRET_INFO, SYNC_SECRET_BYTES))];
}
