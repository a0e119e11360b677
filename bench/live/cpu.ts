// CPU time of processes, in nanoseconds, by what the scheduler has counted (/proc/PID/schedstat).
//
// The kernel charges the softirq of a packet to whatever runs then. On veth pairs that is the sender
// of the frame, or ksoftirqd when there is much. A kernel with CONFIG_IRQ_TIME_ACCOUNTING charges it
// to nobody, and figures made from this would lack it: see `softirqsUncharged`.
import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';

/** What all threads of these processes have used so far. */
export function cpuNs(pids: readonly number[]): number {
  return sumOfThreads(pids, (thread) => {
    return Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0]);
  });
}

/** How often threads of these processes have gone to sleep so far: as often they were woken. */
export function sleeps(pids: readonly number[]): number {
  return sumOfThreads(pids, (thread) => {
    const status = readFileSync(`${thread}/status`, 'utf8');
    return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1]);
  });
}

function sumOfThreads(pids: readonly number[], of: (thread: string) => number): number {
  const threads = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`),
  );
  return threads.reduce((sum, thread) => sum + of(thread), 0);
}

/** The kernel's threads that run softirqs when there are many. */
export function softirqThreads(): number[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.filter((pid) => nameOf(pid).startsWith('ksoftirqd/')).map(Number);
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return ''; // it has ended meanwhile
  }
}

/** True when this kernel says that it charges softirqs to nobody. */
export function softirqsUncharged(): boolean {
  const configurations = [
    () => gunzipSync(readFileSync('/proc/config.gz')).toString(),
    () => readFileSync(`/boot/config-${release()}`, 'utf8'),
  ];
  return configurations.some((read) => {
    try {
      return read().includes('CONFIG_IRQ_TIME_ACCOUNTING=y');
    } catch {
      return false; // not every kernel shows it
    }
  });
}
