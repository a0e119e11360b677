// The detour of the FTP helper (docs/decisions/expected-connections.md): what this host sends from
// the control ports of the cluster addresses, and the SYN with which it begins connections from a
// cluster address, is routed through a device of the helper's, and marked when it has been there.
//
//   output --nft mark--> ip rule fwmark --> table: default dev DETOUR --> helper --marked--> output
//
// The mark, the number of the routing table and the priority of the rules are made from the
// cluster's name. After a crash the device is gone and its route with it: then the rules find
// nothing, and everything takes the normal routes.
import { createHash } from 'node:crypto';
import { tableName } from './guard.js';
import type { HostChange } from './journal.js';
import type { CheckedOptions } from './options.js';
import { ProgramError, run } from './programs.js';

const PRIORITY = 100;

/** What a detour needs. */
export interface DetourPlan {
  /** The helper's device. */
  readonly device: string;
  /** Control ports. */
  readonly ports: readonly number[];
  readonly mtu: number;
}

/** What is to take the detour, and what has taken it. */
export interface DetourMarks {
  readonly detour: number;
  readonly passed: number;
}

/** The marks of a cluster's detour; the first is the routing table's number, too. */
export function detourMarks(cluster: string): DetourMarks {
  const digest = createHash('sha256').update(`detour ${cluster}`).digest();
  const number = digest.readUInt16BE(0);
  return { detour: 0x66730000 + number, passed: 0x66740000 + number };
}

/** The changes that {@link applyDetour} makes. */
export function planDetour(options: CheckedOptions, { ports }: DetourPlan): HostChange[] {
  const { detour } = detourMarks(options.cluster);
  const rule = (family: 4 | 6): HostChange => ({
    kind: 'rule',
    target: `-${family} fwmark ${detour} lookup ${detour} priority ${PRIORITY}`,
    previous: null,
    set: 'to the detour of the FTP helper',
  });
  const table: HostChange = {
    kind: 'nftTable',
    target: `inet ${tableName(options.cluster)}`,
    previous: null,
    set: `marks for the detour from ports ${ports.join(', ')}`,
  };
  return [rule(4), rule(6), table];
}

/** Sets the detour up; its device is there. */
export async function applyDetour(options: CheckedOptions, plan: DetourPlan): Promise<void> {
  const { device, mtu } = plan;
  const { detour } = detourMarks(options.cluster);
  await run('ip', ['link', 'set', 'dev', device, 'mtu', String(mtu), 'up']);
  for (const family of ['-4', '-6']) {
    const table = ['table', String(detour)];
    await run('ip', [family, 'route', 'replace', 'default', 'dev', device, ...table]);
    const rule = `fwmark ${detour} lookup ${detour} priority ${PRIORITY}`.split(' ');
    await run('ip', [family, 'rule', 'add', ...rule]);
  }
  await run('nft', ['-f', '-'], detourScript(options, plan));
}

/** The whole transaction, as nft reads it. */
export function detourScript(options: CheckedOptions, { ports }: DetourPlan): string {
  const name = tableName(options.cluster);
  const { detour, passed } = detourMarks(options.cluster);
  const rules = ([4, 6] as const).flatMap((family) => {
    const addresses = options.addresses.filter((each) => each.family === family);
    if (addresses.length === 0) return [];
    const from = `${family === 4 ? 'ip' : 'ip6'} saddr { ${addresses.map((each) => each.address).join(', ')} }`;
    return [
      `    ${from} tcp sport { ${ports.join(', ')} } meta mark set ${detour}`,
      `    ${from} tcp flags & (fin | syn | rst | ack) == syn meta mark set ${detour}`,
    ];
  });
  return [
    `add table inet ${name}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    '  chain detour {',
    '    type route hook output priority mangle; policy accept;',
    `    meta mark ${passed} accept`,
    '    oifname "lo" accept',
    ...rules,
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Takes a rule off; one that is gone already is no failure. */
export async function undoRule({ target }: HostChange): Promise<void> {
  const [family = '', ...rule] = target.split(' ');
  try {
    await run('ip', [family, 'rule', 'del', ...rule]);
  } catch (error) {
    const gone = error instanceof ProgramError && /No such file|not exist/.test(error.said);
    if (!gone) throw error;
  }
}
