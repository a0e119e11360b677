import { deriveLinkAddress } from './addresses.js';
import type { FIELDS, HASHES, ParsedConfiguration, PROTOCOLS } from './schema.js';
import { splitHostPort } from './schema.js';
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
}

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

type Completed =
  | 'node'
  | 'nodes'
  | 'addresses'
  | 'interfaces'
  | 'linkAddress'
  | 'distribution'
  | 'admin'
  | 'secret';

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

function linkAddressOf(
  { link, cluster }: ParsedConfiguration,
  addresses: readonly string[],
  given: string | undefined,
): string | null {
  return link === 'none' ? null : (given ?? deriveLinkAddress(link, cluster, addresses));
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

/** Completes a checked configuration: fills in what depends on several keys, and freezes it. */
export function complete(
  parsed: ParsedConfiguration,
  node: string,
  warnings: readonly string[],
): Configuration {
  const { admin } = parsed;
  const completed: Omit<Configuration, 'warnings'> = {
    ...parsed,
    ...networksOf(parsed),
    distribution: {
      ...parsed.distribution,
      symmetric: parsed.distribution.symmetric ?? parsed.role === 'gateway',
    },
    node,
    nodes: parsed.nodes ?? [{ name: node, weight: 1 }],
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
