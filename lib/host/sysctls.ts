// The settings of the two interfaces, through /proc/sys. Its files are used directly
// because an interface's name may hold a dot, which the dotted names of sysctl(8) cannot
// tell from a separator.
//
// On the capture interface (only when there is an IPv4 cluster address):
//   arp_ignore    1  answer ARP for addresses of this interface alone; with 0 the kernel answers
//                    for the address on the TUN device, with its own MAC. 2 and 8 are narrower and
//                    stay. The kernel takes the larger of conf/all and the interface, which is why
//                    conf/all needs no change, and why a conf/all of 3 (it answers for global
//                    addresses again) is left to the guard's ARP rule.
//   arp_announce  2  ask with the best local address of this interface as the sender, or the
//                    neighbours learn the node's MAC for the cluster address from our own
//                    questions. The larger of the two counts again; 2 is the largest.
//
// On the TUN device:
//   rp_filter     0  a client is reached by the capture interface, so strict filtering would drop
//                    all that the device delivers. The kernel takes the larger of conf/all and the
//                    interface: where conf/all is not 0, 2 (loose) is set, which overrides a
//                    strict 1.
//   accept_ra     0, addr_gen_mode 1 (none), accept_dad 0, and disable_ipv6 0 where there is an
//                    IPv6 cluster address: nothing is ever said on the device's own account, and
//                    its addresses can be used at once. All of them vanish with the device. On one
//                    that outlives us they are put back, but for addr_gen_mode: writing that makes
//                    the kernel generate an address at once, which would be more of a trace than
//                    the setting is.
//
// With role gateway the TUN device also gets
//   forwarding    1  the kernel forwards what came in by this device, and by this one alone
//   force_forwarding  1  the same for IPv6, from Linux 6.17 on; before, and unless conf/all/forwarding
//                    is 1, nothing of IPv6 is forwarded, and conf/all changes how every interface
//                    takes router advertisements: that is the administrator's to decide.
//
// Not needed, tried with client and node in one subnet: accept_local (the packets' source is
// never an address of this host), proxy_arp, and anything about forwarding; the packets are
// delivered, not forwarded.
//
// Not covered: an interface that is not the capture interface but hangs on the same segment. It
// answers ARP for the cluster address like any Linux host with two legs; its own arp_ignore is
// the administrator's.
import { access, readFile, writeFile } from 'node:fs/promises';
import { FlowsieveError } from '../errors/index.js';
import type { HostChange } from './journal.js';
import type { CheckedOptions } from './options.js';

const STAYS = '/addr_gen_mode';

/** A value to be set, below /proc/sys. */
interface Wanted {
  readonly target: string;
  readonly value: (previous: number) => number;
}

/** What {@link applySysctls} will have to change on the capture interface. */
export function planCapture(options: CheckedOptions): Promise<HostChange[]> {
  if (!options.addresses.some((each) => each.family === 4)) return Promise.resolve([]);
  return plan(
    options.interfaces.flatMap((name) => [
      {
        target: `net/ipv4/conf/${name}/arp_ignore`,
        value: (previous) => ([2, 8].includes(previous) ? previous : 1),
      },
      { target: `net/ipv4/conf/${name}/arp_announce`, value: () => 2 },
    ]),
  );
}

/** What {@link applySysctls} will have to change on the TUN device. */
export async function planTun(options: CheckedOptions): Promise<HostChange[]> {
  const { device } = options;
  const all = Number(await read('net/ipv4/conf/all/rp_filter'));
  const wanted: Wanted[] = [
    { target: `net/ipv4/conf/${device}/rp_filter`, value: () => (all === 0 ? 0 : 2) },
  ];
  const folder = `net/ipv6/conf/${device}`;
  const ipv6Wanted = options.addresses.some((each) => each.family === 6);
  if (await exists('net/ipv6')) {
    // disable_ipv6 comes last: by then nothing is left that the device could say when
    // IPv6 begins on it.
    wanted.push(
      { target: folder + STAYS, value: () => 1 },
      { target: `${folder}/accept_ra`, value: () => 0 },
      { target: `${folder}/accept_dad`, value: () => 0 },
      ...(ipv6Wanted ? [{ target: `${folder}/disable_ipv6`, value: () => 0 }] : []),
    );
  } else if (ipv6Wanted) {
    throw new FlowsieveError(
      'FLOWSIEVE_MISSING',
      'Expected a kernel with IPv6 for the IPv6 cluster address but received one that has it disabled (no /proc/sys/net/ipv6).',
      { path: 'addresses' },
    );
  }
  if (options.gateway !== null) wanted.push(...(await forwarding(options, ipv6Wanted)));
  return plan(wanted);
}

async function forwarding({ device }: CheckedOptions, ipv6Wanted: boolean): Promise<Wanted[]> {
  const wanted = [{ target: `net/ipv4/conf/${device}/forwarding`, value: () => 1 }];
  if (!ipv6Wanted || (await read('net/ipv6/conf/all/forwarding')) === '1') return wanted;
  const target = `net/ipv6/conf/${device}/force_forwarding`;
  if (await exists(target)) return [...wanted, { target, value: () => 1 }];
  throw new FlowsieveError(
    'FLOWSIEVE_MISSING',
    'Expected net.ipv6.conf.all.forwarding 1, or a kernel that can forward what one interface received (Linux 6.17), ' +
      'for a gateway with IPv6 addresses but received 0.',
    { path: 'role' },
  );
}

/** Makes planned changes, in order. */
export async function applySysctls(changes: readonly HostChange[]): Promise<void> {
  for (const change of changes) await write(change.target, change.set);
}

/**
 * Puts the previous value back. A value that is neither ours nor the previous one was set by
 * somebody else meanwhile: it stays, and the returned sentence says so.
 */
export async function undoSysctl(change: HostChange): Promise<string | undefined> {
  // The interface may be gone, and its settings with it.
  if (!(await exists(change.target)) || change.target.endsWith(STAYS)) return undefined;
  const now = await read(change.target);
  if (now === change.previous) return undefined;
  if (now !== change.set) {
    return `Expected ${change.set} in /proc/sys/${change.target} but found ${now}; it is left as it is.`;
  }
  await write(change.target, change.previous ?? '0');
  return undefined;
}

async function plan(wanted: readonly Wanted[]): Promise<HostChange[]> {
  const changes: HostChange[] = [];
  for (const { target, value } of wanted) {
    const previous = await read(target);
    const set = String(value(Number(previous)));
    if (set !== previous) changes.push({ kind: 'sysctl', target, previous, set });
  }
  return changes;
}

async function exists(target: string): Promise<boolean> {
  return access(`/proc/sys/${target}`).then(
    () => true,
    () => false,
  );
}

async function read(target: string): Promise<string> {
  try {
    return (await readFile(`/proc/sys/${target}`, 'utf8')).trim();
  } catch (error) {
    throw failure('read', target, error);
  }
}

async function write(target: string, value: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/${target}`, value);
  } catch (error) {
    throw failure('write', target, error);
  }
}

function failure(verb: string, target: string, error: unknown): FlowsieveError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const file = `/proc/sys/${target}`;
  if (code === 'EPERM' || code === 'EACCES') {
    return new FlowsieveError(
      'FLOWSIEVE_PRIVILEGE',
      `Expected the privilege CAP_NET_ADMIN to ${verb} ${file} but the kernel refused.`,
      { cause: error },
    );
  }
  if (code === 'ENOENT' || code === 'EROFS') {
    const what = code === 'EROFS' ? 'a file that can be written' : 'a setting of this kernel';
    return new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected ${what} at ${file} but received ${code}.`,
      {
        cause: error,
      },
    );
  }
  return new FlowsieveError(
    'FLOWSIEVE_SYSTEM',
    `Expected to ${verb} ${file} but received ${code}.`,
    {
      cause: error,
    },
  );
}
