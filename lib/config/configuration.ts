import { deriveLinkAddress } from './addresses.js';
import type { FIELDS, HASHES, PROTOCOLS } from './leaves.js';
import type { ParsedConfiguration } from './schema.js';
import { splitHostPort } from './schema.js';
import { dispatcherSchema } from './schema-dispatcher.js';
import { warningsOf } from './warnings.js';

/** `T` with every property and element read-only, all the way down. */
export type DeepReadonly<T> = T extends readonly (infer Element)[]
  ? readonly DeepReadonly<Element>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** A hash function that distributes. */
export type HashName = (typeof HASHES)[number];
/** A header field that may be hashed. */
export type FieldName = (typeof FIELDS)[number];
/** A protocol with timeouts of its own. */
export type ProtocolName = (typeof PROTOCOLS)[number];

/** A network on which the cluster is reached. */
export interface NetworkConfiguration {
  /** The interface. */
  readonly name: string;
  /** The cluster addresses there. */
  readonly addresses: readonly string[];
  /** The cluster's MAC address there in lower case, or null with link none. */
  readonly linkAddress: string | null;
}

/** One node of the cluster. */
export interface NodeConfiguration {
  readonly name: string;
  /** Its node address, in canonical spelling. */
  readonly address?: string | undefined;
  /** Its further node addresses. */
  readonly addresses?: readonly string[] | undefined;
  /** The ports of the cluster addresses that are its alone; see {@link splitPorts}. */
  readonly ports?: string | undefined;
  /** Its address on the sync network, when that is another; see {@link syncAddressOf}. */
  readonly sync?: string | undefined;
  /** 0: no buckets. */
  readonly weight: number;
  /** Hexadecimal digits: what QUIC connection ids name it by, when that is not derived. */
  readonly serverId?: string | undefined;
  /** Behind a dispatcher: how packets get to it, where that is not as to all. */
  readonly forward?: 'mac' | 'ipip' | 'gue' | undefined;
  /** Behind a dispatcher: how it is checked, where that is not as all are. */
  readonly health?: DeepReadonly<NonNullable<ParsedNode['health']>> | undefined;
}

type ParsedNode = NonNullable<ParsedConfiguration['nodes']>[number];

/** Where the other nodes speak to a node; undefined: nobody can. */
export function syncAddressOf(node: NodeConfiguration): string | undefined {
  return node.sync ?? node.address;
}

/** Where a running node can be asked. */
export interface AdminConfiguration {
  /** Path of the Unix socket. */
  readonly socket: string;
  /** Where HTTP is served, or null: nowhere. */
  readonly http: { readonly host: string; readonly port: number } | null;
}

/** How the nodes behind a dispatcher are checked. */
export type HealthConfiguration = ParsedConfiguration['health'];

/** What a dispatcher does with packets, and which dispatchers there are. */
export type DispatcherConfiguration = NonNullable<ParsedConfiguration['dispatcher']>;

/** How frames for the cluster get to every node. */
export type LinkName = 'multicast' | 'unicast' | 'none';

type Completed =
  | 'node'
  | 'nodes'
  | 'addresses'
  | 'interfaces'
  | 'link'
  | 'linkAddress'
  | 'distribution'
  | 'admin'
  | 'secret'
  | 'dispatcher';

/**
 * A valid configuration with every default filled in, frozen all the way down.
 *
 * The secret itself is no part of it, only its file's name: whoever prints a configuration
 * prints no secret.
 */
export type Configuration = DeepReadonly<Omit<ParsedConfiguration, Completed>> & {
  /** The name of this node. */
  readonly node: string;
  /** All nodes, at least this one, in the order of the configuration. */
  readonly nodes: readonly NodeConfiguration[];
  /**
   * Those that decide and agree with each other: the nodes themselves, or with topology dispatcher
   * the dispatchers.
   */
  readonly elements: readonly NodeConfiguration[];
  /** With every default; whatever the topology is. */
  readonly dispatcher: DeepReadonly<Omit<DispatcherConfiguration, 'elements'>>;
  readonly link: LinkName;
  /** The cluster addresses, of a gateway those of all networks. */
  readonly addresses: readonly string[];
  /** Where the cluster is reached: a server's one network, or none without `interface`. */
  readonly interfaces: readonly NetworkConfiguration[];
  /** The cluster's MAC address in lower case, of a gateway that on its first network, or null with link none. */
  readonly linkAddress: string | null;
  readonly distribution: DeepReadonly<ParsedConfiguration['distribution']> & {
    readonly symmetric: boolean;
  };
  readonly admin: AdminConfiguration;
  /** The files of the cluster's secret and of a second one that is accepted; null without. */
  readonly secret: { readonly file: string; readonly also?: string | undefined } | null;
  /** What is allowed and deserves a second look, one sentence each. */
  readonly warnings: readonly string[];
};

/** The admin socket of a cluster whose configuration names none. */
export function defaultSocket(cluster: string): string {
  return `/run/flowsieve/${cluster}.sock`;
}

// Without monitoring the status of a connection is not followed: whatever it is, the one
// timeout applies.
function effectiveTimeouts(parsed: ParsedConfiguration): ParsedConfiguration['timeouts'] {
  if (parsed.monitoring) return parsed.timeouts;
  const single = ({ established }: { established: number }) => ({
    opening: established,
    established,
    closing: established,
  });
  const { tcp, udp, icmp, sctp, other } = parsed.timeouts;
  return {
    tcp: single(tcp),
    udp: single(udp),
    icmp: single(icmp),
    sctp: single(sctp),
    other: single(other),
  };
}

/**
 * What the configuration says, or else what fits the topology: nodes on the link of a dispatcher
 * would take datagrams to a multicast MAC address for themselves, but not those to a foreign one.
 */
export function linkOf({
  link,
  topology,
}: {
  readonly link?: LinkName | undefined;
  readonly topology?: 'filter' | 'dispatcher' | undefined;
}): LinkName {
  return link ?? (topology === 'dispatcher' ? 'unicast' : 'multicast');
}

function linkAddressOf(
  parsed: ParsedConfiguration,
  addresses: readonly string[],
  given: string | undefined,
): string | null {
  const link = linkOf(parsed);
  return link === 'none' ? null : (given ?? deriveLinkAddress(link, parsed.cluster, addresses));
}

/** The networks, and what a server's configuration says of its only one. */
function networksOf(
  parsed: ParsedConfiguration,
): Pick<Configuration, 'interface' | 'addresses' | 'linkAddress' | 'interfaces'> {
  const networks = parsed.interfaces?.map((network) => ({
    ...network,
    linkAddress: linkAddressOf(parsed, network.addresses, network.linkAddress),
  }));
  const [first] = networks ?? [];
  if (networks && first) {
    const addresses = networks.flatMap((network) => network.addresses);
    const { name, linkAddress } = first;
    return { interface: name, addresses, linkAddress, interfaces: networks };
  }
  const { interface: name, addresses = [] } = parsed;
  const linkAddress = linkAddressOf(parsed, addresses, parsed.linkAddress);
  const interfaces = name === undefined ? [] : [{ name, addresses, linkAddress }];
  return { interface: name, addresses, linkAddress, interfaces };
}

/** The dispatchers, of which each can do the work of all. */
function elementsOf(elements: DispatcherConfiguration['elements'], node: string) {
  return (elements ?? [{ name: node }]).map((element) => ({ ...element, weight: 1 }));
}

/** How a node is checked: as all are, but for what it says itself. */
export function healthOf(
  config: Pick<Configuration, 'health'>,
  node: NodeConfiguration,
): DeepReadonly<HealthConfiguration> {
  const own = Object.entries(node.health ?? {}).filter(([, value]) => value !== undefined);
  return { ...config.health, ...Object.fromEntries(own) };
}

/** Completes a checked configuration: fills in what depends on several keys, and freezes it. */
export function complete(
  parsed: ParsedConfiguration,
  node: string,
  warnings: readonly string[],
): Configuration {
  const { admin } = parsed;
  const nodes = parsed.nodes ?? [{ name: node, weight: 1 }];
  const { elements, ...dispatcher } = parsed.dispatcher ?? dispatcherSchema.parse({});
  const completed: Omit<Configuration, 'warnings'> = {
    ...parsed,
    ...networksOf(parsed),
    distribution: {
      ...parsed.distribution,
      symmetric: parsed.distribution.symmetric ?? parsed.role === 'gateway',
    },
    node,
    nodes,
    elements: parsed.topology === 'filter' ? nodes : elementsOf(elements, node),
    dispatcher,
    link: linkOf(parsed),
    timeouts: effectiveTimeouts(parsed),
    secret: parsed.secret ?? null,
    admin: {
      socket: admin.socket ?? defaultSocket(parsed.cluster),
      http: admin.http === undefined ? null : (splitHostPort(admin.http) ?? null),
    },
  };
  return deepFreeze({ ...completed, warnings: [...warnings, ...warningsOf(completed)] });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
