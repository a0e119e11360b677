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

/** One node of the cluster. */
export interface NodeConfiguration {
  readonly name: string;
  /** Its node address, in canonical spelling. */
  readonly address?: string | undefined;
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

type Completed = 'node' | 'nodes' | 'linkAddress' | 'admin' | 'secret';

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
  /** The cluster's MAC address in lower case, or null with link none. */
  readonly linkAddress: string | null;
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

function linkAddressOf({ link, linkAddress, cluster, addresses }: ParsedConfiguration) {
  if (link === 'none') return null;
  return linkAddress ?? deriveLinkAddress(link, cluster, addresses);
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
    node,
    nodes: parsed.nodes ?? [{ name: node, weight: 1 }],
    linkAddress: linkAddressOf(parsed),
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
