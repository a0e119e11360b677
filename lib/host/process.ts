// Who a process is, so that it can be told from a later one that was given the same id.
import { readFile, readlink } from 'node:fs/promises';

/** A process of a certain boot, in a certain network namespace. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since boot (field 22 of /proc/PID/stat). */
  readonly startTime: string;
  /** The kernel's id of this boot; what an earlier boot had set is gone. */
  readonly boot: string;
  /** The network namespace, as the link /proc/self/ns/net names it. */
  readonly namespace: string;
}

/** This process. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const [startTime, boot, namespace] = await Promise.all([
    startTimeOf(process.pid),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    readlink('/proc/self/ns/net'),
  ]);
  return { pid: process.pid, startTime: startTime ?? '', boot: boot.trim(), namespace };
}

/** True while the very process that `identity` names is running; a zombie is not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return boot.trim() === identity.boot && (await startTimeOf(identity.pid)) === identity.startTime;
}

/** True while any process has this id. */
export async function isRunning(pid: number): Promise<boolean> {
  return (await startTimeOf(pid)) !== undefined;
}

/** True when both name the same process. */
export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.boot === b.boot;
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // Field 2, the program's name, stands in parentheses and may hold anything; field 3 (state)
  // follows the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}
