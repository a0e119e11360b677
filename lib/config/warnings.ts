import type { Configuration } from './configuration.js';

// What is allowed and deserves a second look. A warning is a whole sentence and
// never stops anything.

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/;
const PROTOCOL_KEYS = ['sync', 'quorum', 'drain'];

type Unwarned = Omit<Configuration, 'warnings'>;

function* distributionWarnings({ distribution, secret, nodes }: Unwarned): Generator<string> {
  const { hash, fields, key, prefixes, buckets } = distribution;
  if (!secret && key === undefined) {
    yield 'Without secret and distribution.key the hash key comes from the name of the cluster alone: ' +
      'anyone who knows the name can aim at one node.';
  }
  if (hash === 'jhash' && (fields.length !== 1 || fields[0] !== 'source')) {
    yield "distribution.hash jhash agrees with the kernel's cluster match only with fields [source].";
  }
  for (const side of ['source', 'destination'] as const) {
    const whole = prefixes[side].ipv4 === 32 && prefixes[side].ipv6 === 128;
    if (!whole && !fields.includes(side)) {
      yield `distribution.prefixes.${side} has no effect: ${side} is not in distribution.fields.`;
    }
  }
  const weighted = nodes.filter((node) => node.weight > 0).length;
  if (weighted > buckets) {
    yield `${weighted} nodes share ${buckets} buckets: some nodes get none.`;
  }
}

/**
 * The warnings for a configuration.
 *
 * @param given - the top-level keys that the configuration itself had, before defaults
 */
export function* warningsOf(config: Unwarned, given: ReadonlySet<string>): Generator<string> {
  yield* distributionWarnings(config);
  if (config.interface === undefined) {
    yield 'Without interface the configuration is good for replay, not for run.';
  }
  if (!config.monitoring) {
    yield 'With monitoring off an opening connection lives as long as an established one: floods fill the opening share.';
  }
  if (config.admin.http && !LOOPBACK.test(config.admin.http.host)) {
    yield `admin.http serves ${config.admin.http.host} without asking who it is: anyone who reaches it can read the status.`;
  }
  const kept = PROTOCOL_KEYS.filter((key) => given.has(key));
  if (kept.length > 0) {
    yield `${kept.join(', ')}: checked and kept for the cluster protocol, which this version does not run.`;
  }
}
