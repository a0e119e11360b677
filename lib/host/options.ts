// What this room is told, checked once: everything below may put these values into
// scripts and paths.
import { isIP, SocketAddress } from 'node:net';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';

/** What {@link Host} needs to know of the configuration. */
export interface HostOptions {
  /** The cluster's name; it names the journal and the nftables table. */
  readonly cluster: string;
  /** The cluster addresses, both families mixed. */
  readonly addresses: readonly string[];
  /** The capture interface; of a gateway the first. */
  readonly interface: string;
  /** With role gateway: what it has besides. */
  readonly gateway?: GatewayOptions | undefined;
  /** The TUN device that delivers (`deliver.device`). */
  readonly device: string;
  /** What the kernel may choose as a source by itself (`deliver.source`); default `node`. */
  readonly source?: 'node' | 'any';
  /**
   * Where the journal is kept; default `/run/flowsieve`. Nodes of one cluster on one
   * host need one each.
   */
  readonly runDirectory?: string;
  /** Told, in sentences, what a clean-up did and what it could not do. */
  readonly onNotice?: (sentence: string) => void;
}

/** What {@link Host} needs to know of a gateway. */
export interface GatewayOptions {
  /** All its capture interfaces. */
  readonly interfaces: readonly string[];
  /** The cluster's MAC addresses: the kernel must not take what is sent to them. */
  readonly linkAddresses: readonly string[];
}

/** A cluster address in its canonical spelling. */
export interface ClusterAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** {@link HostOptions}, checked and complete. */
export interface CheckedOptions {
  readonly cluster: string;
  readonly addresses: readonly ClusterAddress[];
  /** The capture interfaces: one, or a gateway's. */
  readonly interfaces: readonly string[];
  /** Null: a server. */
  readonly gateway: GatewayOptions | null;
  readonly device: string;
  readonly source: 'node' | 'any';
  readonly runDirectory: string;
  readonly onNotice: (sentence: string) => void;
}

// The kernel's own rule (dev_valid_name: 1..15 bytes, no slash, colon or white space, not . or ..),
// less what an nft script would need escaped, what a program would take for an option, and the two
// folders of /proc/sys/net/ipv4/conf that are no interface's.
const INTERFACE_NAME = /^(?!(?:\.{1,2}|all|default)$)[^-\s/:"\\*][^\s/:"\\*]{0,14}$/;
const LINK_ADDRESS = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const CLUSTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Checks what the caller hands in; it is mostly checked already, but what becomes a path or a
 * script is checked here.
 */
export function checkOptions(options: HostOptions): CheckedOptions {
  const { cluster, device } = options;
  if (!CLUSTER_NAME.test(cluster)) {
    throw argument('1 to 63 letters, digits, dots, hyphens or underscores', 'cluster', cluster);
  }
  const gateway = options.gateway ?? null;
  const interfaces = gateway?.interfaces ?? [options.interface];
  const path = gateway ? 'interfaces' : 'interface';
  for (const [at, name] of [
    ...interfaces.map((each) => [path, each]),
    ['deliver.device', device],
  ] as [string, string][]) {
    if (!INTERFACE_NAME.test(name)) throw argument('the name of a network interface', at, name);
  }
  if (interfaces.includes(device)) {
    throw argument('another name than that of the capture interface', 'deliver.device', device);
  }
  for (const mac of gateway?.linkAddresses ?? []) {
    if (!LINK_ADDRESS.test(mac)) throw argument('a MAC address', 'interfaces', mac);
  }
  return {
    cluster,
    addresses: checkAddresses(options.addresses),
    interfaces,
    gateway,
    device,
    source: options.source ?? 'node',
    runDirectory: options.runDirectory ?? '/run/flowsieve',
    onNotice: options.onNotice ?? (() => {}),
  };
}

function checkAddresses(addresses: readonly string[]): ClusterAddress[] {
  const seen = new Map<string, ClusterAddress>();
  for (const text of addresses) {
    const family = isIP(text);
    if (family === 0 || text.includes('%')) throw argument('an IP address', 'addresses', text);
    const address = canonical(text, family === 4 ? 4 : 6);
    seen.set(address, { address, family: family === 4 ? 4 : 6 });
  }
  if (seen.size === 0) throw argument('at least one IP address', 'addresses', addresses);
  return [...seen.values()];
}

/** The family of an address that has been checked. */
export function familyOfAddress(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The spelling that `ip` prints too: the kernel's, which is RFC 5952's. */
export function canonical(text: string, family: 4 | 6): string {
  return new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' }).address;
}

function argument(expected: string, path: string, received: unknown): FlowsieveError {
  return new FlowsieveError(
    'FLOWSIEVE_ARGUMENT',
    expectedSentence(expected, path, show(received)),
    { path },
  );
}
