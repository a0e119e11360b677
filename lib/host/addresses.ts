// Interfaces and addresses of this host, through `ip`.
import { z } from 'zod';
import { FlowsieveError } from '../errors/index.js';
import type { HostChange } from './journal.js';
import { type CheckedOptions, type ClusterAddress, canonical } from './options.js';
import { ProgramError, run } from './programs.js';

const interfacesSchema = z.array(
  z
    .looseObject({
      ifname: z.string(),
      flags: z.array(z.string()),
      linkinfo: z.looseObject({ info_kind: z.string().optional() }).optional(),
      addr_info: z.array(
        z.looseObject({ family: z.string(), local: z.string().optional(), prefixlen: z.number() }),
      ),
    })
    // With -j some versions print an empty object for what a filter left out.
    .or(z.strictObject({})),
);

/** A network interface and its addresses. */
export interface Interface {
  readonly name: string;
  readonly up: boolean;
  readonly tun: boolean;
  readonly addresses: readonly (ClusterAddress & { readonly length: number })[];
}

/** All interfaces of this network namespace. */
export async function interfaces(): Promise<Interface[]> {
  const listed = interfacesSchema.parse(
    JSON.parse((await run('ip', ['-j', '-d', 'addr', 'show'])) || '[]'),
  );
  return listed.flatMap((each) => {
    if (!('ifname' in each)) return [];
    const { ifname: name, flags, linkinfo, addr_info } = each;
    const addresses = addr_info.flatMap(({ family, local, prefixlen }) =>
      local === undefined ? [] : [ownAddress(local, family === 'inet6' ? 6 : 4, prefixlen)],
    );
    return [{ name, up: flags.includes('UP'), tun: linkinfo?.info_kind === 'tun', addresses }];
  });
}

function ownAddress(local: string, family: 4 | 6, length: number): Interface['addresses'][number] {
  return { address: canonical(local, family), family, length };
}

/**
 * Finds the capture interfaces and sees that they are up; bringing them up is the administrator's
 * business, not ours.
 */
export function checkCapture(options: CheckedOptions, present: readonly Interface[]): void {
  for (const name of options.interfaces) checkInterface(name, present);
}

function checkInterface(name: string, present: readonly Interface[]): void {
  const found = present.find((each) => each.name === name);
  if (found === undefined) {
    const names = present.map((each) => each.name).join(', ') || 'none';
    throw new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected the name of an interface of this host for interface but received "${name}"; there is: ${names}.`,
      { path: 'interface' },
    );
  }
  if (!found.up) {
    throw new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected an interface that is up for interface but received ${name}, which is down.`,
      { path: 'interface' },
    );
  }
}

/**
 * Sees that no other interface has a cluster address, and that the delivery device's name is free
 * or a TUN device's.
 */
export function checkClash(options: CheckedOptions, present: readonly Interface[]): void {
  for (const { name, tun, addresses } of present) {
    if (name === options.device) {
      if (tun) continue;
      throw new FlowsieveError(
        'FLOWSIEVE_MISSING',
        `Expected a free name for deliver.device but received ${name}, an interface of this host that is not a TUN device.`,
        { path: 'deliver.device' },
      );
    }
    const clash = options.addresses.find((ours) => addresses.some((each) => same(each, ours)));
    if (clash === undefined) continue;
    throw new FlowsieveError(
      'FLOWSIEVE_CLASH',
      `Expected cluster addresses that no interface of this host has but found ${clash.address} on ${name}.`,
      { path: 'addresses' },
    );
  }
}

function same(a: ClusterAddress, b: ClusterAddress): boolean {
  return a.family === b.family && a.address === b.address;
}

/**
 * What {@link applyAddresses} will have to change on the TUN device: its addresses,
 * and that it is up.
 */
export async function planAddresses(options: CheckedOptions): Promise<HostChange[]> {
  const { device } = options;
  const found = (await interfaces()).find((each) => each.name === device);
  if (found?.tun !== true) {
    const what = found === undefined ? 'no interface of that name' : 'an interface of another kind';
    throw new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected the TUN device ${device} for the cluster addresses but found ${what}.`,
      { path: 'deliver.device' },
    );
  }
  const missing = options.addresses.filter(
    (ours) => !found.addresses.some((each) => same(each, ours)),
  );
  const changes: HostChange[] = missing.map(({ address, family }) => ({
    kind: 'address',
    target: `${device} ${address}/${family === 4 ? 32 : 128}`,
    previous: null,
    set: `assigned${family === 6 ? ', nodad' : ''}${options.source === 'node' ? NEVER_PREFERRED : ''}`,
  }));
  if (!found.up) changes.push({ kind: 'link', target: device, previous: 'down', set: 'up' });
  return changes;
}

const NEVER_PREFERRED = ', never preferred as a source';

// What keeps the kernel from choosing an address as the source of this host's own connections,
// where the interface that they leave by has none that would do. It answers like any other, and a
// program can bind to it.
//   IPv4  scope host: for a destination elsewhere, inet_select_addr() passes over addresses of a
//         narrower scope than the route's. Nothing else depends on it: what is sent to the address
//         comes in by the local table, in which every address has that scope.
//   IPv6  no preferred life left, deprecated by RFC 4862 5.5.4: RFC 6724 (rule 3) chooses such an
//         address only where there is no other.
const UNCHOSEN: Readonly<Record<4 | 6, readonly string[]>> = {
  4: ['scope', 'host'],
  6: ['preferred_lft', '0'],
};

/** Makes planned changes, in order. */
export async function applyAddresses(changes: readonly HostChange[]): Promise<void> {
  for (const { kind, target, set } of changes) {
    if (kind === 'link') {
      await run('ip', ['link', 'set', 'dev', target, 'up']);
    } else {
      const [device, address] = splitTarget(target);
      const ipv6 = address.includes(':');
      const flags = [
        ...(set.endsWith(NEVER_PREFERRED) ? UNCHOSEN[ipv6 ? 6 : 4] : []),
        ...(ipv6 ? ['nodad'] : []),
      ];
      await run('ip', ['addr', 'add', address, 'dev', device, ...flags]);
    }
  }
}

/**
 * Takes an address off, or the device down; what is gone already, with its device or
 * without, is no failure.
 */
export async function undoAddress(change: HostChange): Promise<void> {
  const { kind, target } = change;
  const [device, address] = kind === 'link' ? [target, ''] : splitTarget(target);
  try {
    if (kind === 'link') await run('ip', ['link', 'set', 'dev', device, 'down']);
    else await run('ip', ['addr', 'del', address, 'dev', device]);
  } catch (error) {
    if (!(error instanceof ProgramError) || (await isThere(device, address))) throw error;
  }
}

async function isThere(device: string, address: string): Promise<boolean> {
  const found = (await interfaces()).find((each) => each.name === device);
  if (found === undefined) return false;
  return (
    address === '' || found.addresses.some((each) => `${each.address}/${each.length}` === address)
  );
}

function splitTarget(target: string): [device: string, address: string] {
  const [device = '', address = ''] = target.split(' ');
  return [device, address];
}
