import type { Configuration } from './configuration.js';
import { resolveRules, unreachable } from './rules.js';

// What is allowed and deserves a second look. A warning is a whole sentence and
// never stops anything.

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/;

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

function* clusterWarnings({
  elements: nodes,
  secret,
  quorum,
  cluster,
}: Unwarned): Generator<string> {
  if (nodes.length < 2) return;
  if (!secret) {
    yield `WITHOUT secret EVERYBODY WHO KNOWS THE NAME ${cluster} CAN SPEAK TO THE NODES AS ONE OF THEM: ` +
      'take buckets, declare nodes dead, read who is connected. Give all nodes the same secret.file.';
  }
  if (nodes.length === 2 && quorum === 'majority') {
    yield 'Two nodes with quorum majority: when one is lost, the other opens no connections until it is back; ' +
      'quorum paths lets it go on alone.';
  }
  const mute = nodes.filter((node) => (node.sync ?? node.address) === undefined);
  if (mute.length > 0) {
    const names = mute.map((node) => node.name).join(', ');
    yield `Without address or sync nobody can speak to ${names}: good for replay, not for run.`;
  }
}

function* gatewayWarnings({ role, interfaces, nodes }: Unwarned): Generator<string> {
  if (role !== 'gateway' || nodes.length < 2) return;
  const fewer = nodes.filter((node) => {
    const own = [node.address, ...(node.addresses ?? [])].filter((one) => one !== undefined);
    return own.length < interfaces.length;
  });
  if (fewer.length > 0) {
    const names = fewer.map((node) => node.name).join(', ');
    yield `${names} names fewer node addresses than the gateway has networks: what is sent to the others by way ` +
      'of the cluster reaches any node. nodes[].addresses takes them.';
  }
}

function* ruleWarnings(config: Unwarned): Generator<string> {
  if (config.rules.length === 0) return;
  const rules = resolveRules(config as Configuration);
  for (const index of unreachable(rules, config.addresses)) {
    yield `rules[${index}] never matches: the rules before it take all that it describes.`;
  }
  if (rules.some((rule) => rule.do === 'pass')) {
    yield 'What a rule passes is answered by the kernel of every node that listens: by none, by one, or by several at once.';
  }
}

function* quicWarnings({ quic, secret, nodes }: Unwarned): Generator<string> {
  if (!quic) {
    if (nodes.some((node) => node.serverId !== undefined)) {
      yield 'nodes[].serverId has no effect without quic.';
    }
    return;
  }
  for (const { id, encrypted, keyFile } of quic.configs) {
    if (!encrypted) {
      yield `quic config ${id} is not encrypted: everybody can see, and say, which node a connection id names.`;
    } else if (keyFile === undefined && !secret) {
      yield `Without secret and keyFile the key of quic config ${id} comes from the name of the cluster alone.`;
    }
  }
}

/** The warnings for a configuration. */
export function* warningsOf(config: Unwarned): Generator<string> {
  yield* distributionWarnings(config);
  yield* ruleWarnings(config);
  yield* clusterWarnings(config);
  yield* gatewayWarnings(config);
  yield* quicWarnings(config);
  const { topology, link, dispatcher } = config;
  if (topology === 'dispatcher' && link === 'multicast' && dispatcher.forward === 'mac') {
    yield 'With link multicast a node on the link of the dispatcher takes datagrams for the cluster MAC address itself, ' +
      'beside the one that they are forwarded to; link unicast does not let it.';
  }
  if (config.interface === undefined) {
    yield 'Without interface the configuration is good for replay, not for run.';
  }
  if (!config.monitoring) {
    yield 'With monitoring off an opening connection lives as long as an established one: floods fill the opening share.';
  }
  if (config.admin.http && !LOOPBACK.test(config.admin.http.host)) {
    yield `admin.http serves ${config.admin.http.host} without asking who it is: anyone who reaches it can read the status.`;
  }
}
