// What a node behind a dispatcher needs, and what of it this host lacks. The node runs no module: it
// has the cluster addresses on a device that is on no link, is silent about them, and takes packets
// out of their tunnel where they come in one.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ProgramError, run } from './programs.js';

/** How a node is reached, as the dispatcher's configuration has it. */
export interface Receiving {
  readonly clusterAddresses: readonly string[];
  /** The node's own address. */
  readonly address: string;
  readonly forward: 'mac' | 'ipip' | 'gue';
  readonly guePort: number;
}

/** A device of the host. */
export interface Device {
  readonly name: string;
  /** It has a link address: others on its link may ask for its addresses. */
  readonly ethernet: boolean;
  readonly up: boolean;
  /** Of a tunnel: ipip, sit, ip6tnl; else empty. */
  readonly kind: string;
  readonly addresses: readonly string[];
}

/** What is known of the host. */
export interface ReceiverFacts {
  readonly devices: readonly Device[];
  /** Numbers below /proc/sys/net/ipv4/conf/, by `device/key`; what is not there is left out. */
  readonly settings: ReadonlyMap<string, number>;
  /** Ports at which GUE is received, by family. */
  readonly gue: { readonly 4: readonly number[]; readonly 6: readonly number[] };
}

const isIpv6 = (address: string): boolean => address.includes(':');

function* missingAddresses(facts: ReceiverFacts, needed: Receiving): Generator<string> {
  for (const address of needed.clusterAddresses) {
    const owners = facts.devices.filter((device) => device.addresses.includes(address));
    const length = isIpv6(address) ? 128 : 32;
    if (owners.length === 0) {
      yield `Expected the cluster address ${address} on this host but found it nowhere: ip address add ${address}/${length} dev lo`;
    }
    for (const { name, ethernet } of owners) {
      if (!ethernet) continue;
      yield `Expected the cluster address ${address} on no link but found it on ${name}, where this host answers for it: move it to lo.`;
    }
  }
}

/** The kernel takes the larger of a device's own value and that for all. */
function effective({ settings }: ReceiverFacts, device: string, key: string): number {
  return Math.max(settings.get(`all/${key}`) ?? 0, settings.get(`${device}/${key}`) ?? 0);
}

function* missingSilence(facts: ReceiverFacts, needed: Receiving): Generator<string> {
  if (needed.clusterAddresses.every(isIpv6)) return;
  for (const { name, ethernet, up } of facts.devices) {
    if (!ethernet || !up) continue;
    if (effective(facts, name, 'arp_ignore') < 1) {
      yield `Expected arp_ignore 1 or more on ${name} but found 0, so that this host answers for the cluster addresses: sysctl -w net.ipv4.conf.all.arp_ignore=1`;
    }
    if (effective(facts, name, 'arp_announce') < 2) {
      yield `Expected arp_announce 2 on ${name} but found less, so that this host asks in the name of a cluster address: sysctl -w net.ipv4.conf.all.arp_announce=2`;
    }
  }
}

/** The kinds of device that take an inner packet out of an outer one, and how to make them. */
function tunnelsFor(outer6: boolean, inner6: boolean): { kinds: string[]; make: string } {
  if (outer6) return { kinds: ['ip6tnl'], make: 'modprobe ip6_tunnel; ip link set ip6tnl0 up' };
  if (inner6) return { kinds: ['sit'], make: 'modprobe sit; ip link set sit0 up' };
  return { kinds: ['ipip'], make: 'modprobe ipip; ip link set tunl0 up' };
}

function* missingTunnels(facts: ReceiverFacts, needed: Receiving): Generator<string> {
  if (needed.forward === 'mac') return;
  const outer6 = isIpv6(needed.address);
  for (const inner6 of new Set(needed.clusterAddresses.map(isIpv6))) {
    const { kinds, make } = tunnelsFor(outer6, inner6);
    const inner = inner6 ? 'IPv6' : 'IPv4';
    const found = facts.devices.filter(({ kind, up }) => kinds.includes(kind) && up);
    if (found.length === 0) {
      yield `Expected a device of kind ${kinds.join(' or ')} that is up, for ${inner} inside ${outer6 ? 'IPv6' : 'IPv4'}, but found none: ${make}`;
    }
    for (const { name } of found) {
      if (inner6 || effective(facts, name, 'rp_filter') !== 1) continue;
      yield `Expected rp_filter 0 or 2 on ${name} but found 1, which drops what comes out of the tunnel: sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.${name}.rp_filter=0`;
    }
  }
  const ports = facts.gue[outer6 ? 6 : 4];
  if (needed.forward === 'gue' && !ports.includes(needed.guePort)) {
    const ip = outer6 ? 'ip -6' : 'ip';
    yield `Expected GUE to be received at port ${needed.guePort} but found ${ports.join(', ') || 'none'}: modprobe fou${outer6 ? '6' : ''}; ${ip} fou add port ${needed.guePort} gue`;
  }
}

/** What is missing, a sentence each, with the command that helps. Pure. */
export function missingOf(facts: ReceiverFacts, needed: Receiving): string[] {
  const own = facts.devices.some((device) => device.addresses.includes(needed.address));
  return [
    ...(own
      ? []
      : [`Expected the node's own address ${needed.address} on this host but found it nowhere.`]),
    ...missingAddresses(facts, needed),
    ...missingSilence(facts, needed),
    ...missingTunnels(facts, needed),
  ];
}

const linksSchema = z.array(
  z.looseObject({
    ifname: z.string(),
    link_type: z.string(),
    flags: z.array(z.string()),
    linkinfo: z.looseObject({ info_kind: z.string().optional() }).optional(),
    addr_info: z.array(z.looseObject({ local: z.string().optional() })).optional(),
  }),
);

/** Reads what `ip -json -details address show` says. */
export function readDevices(text: string): Device[] {
  return linksSchema.parse(JSON.parse(text)).map((link) => ({
    name: link.ifname,
    ethernet: link.link_type === 'ether' && link.linkinfo?.info_kind !== 'dummy',
    up: link.flags.includes('UP'),
    kind: link.linkinfo?.info_kind ?? kindOfFallback(link.link_type),
    addresses: (link.addr_info ?? []).flatMap(({ local }) => (local === undefined ? [] : [local])),
  }));
}

/** The devices that the modules make by themselves say what they are by their type alone. */
function kindOfFallback(type: string): string {
  return { tunnel: 'ipip', ipip: 'ipip', tunnel6: 'ip6tnl', sit: 'sit' }[type] ?? '';
}

/** Reads what `ip fou show` says. */
export function readGue(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => /\bgue\b/.test(line))
    .flatMap((line) => /\bport (\d+)/.exec(line)?.[1] ?? [])
    .map(Number);
}

async function setting(device: string, key: string): Promise<[string, number][]> {
  try {
    const text = await readFile(`/proc/sys/net/ipv4/conf/${device}/${key}`, 'utf8');
    return [[`${device}/${key}`, Number(text)]];
  } catch {
    return [];
  }
}

/** A kernel without the module says no. */
async function guePorts(args: readonly string[]): Promise<number[]> {
  try {
    return readGue(await run('ip', args));
  } catch (error) {
    if (error instanceof ProgramError) return [];
    throw error;
  }
}

/** Looks at this host. */
export async function receiverFacts(): Promise<ReceiverFacts> {
  const devices = readDevices(await run('ip', ['-json', '-details', 'address', 'show']));
  const names = ['all', ...devices.map(({ name }) => name)];
  const keys = ['arp_ignore', 'arp_announce', 'rp_filter'];
  const read = names.flatMap((name) => keys.map((key) => setting(name, key)));
  const [four, six] = [await guePorts(['fou', 'show']), await guePorts(['-6', 'fou', 'show'])];
  return {
    devices,
    settings: new Map((await Promise.all(read)).flat()),
    gue: { 4: four, 6: six },
  };
}
