// The private namespaces that a laboratory lives in, and how a program gets there: it starts itself
// again inside them.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

const INSIDE = 'FLOWSIEVE_PRIVATE_NAMESPACES';
const AS_ROOT = ['--net', '--mount', '--'];
const AS_USER = ['--user', '--map-root-user', ...AS_ROOT];

/** What a laboratory and flowsieve itself call, and the packages that have it. */
const PROGRAMS = [
  ['unshare', 'util-linux'],
  ['setpriv', 'util-linux'],
  ['mount', 'mount'],
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
] as const;

/** True in a process that {@link enterPrivateNamespaces} started. */
export function insidePrivateNamespaces(): boolean {
  return process.env[INSIDE] === '1';
}

/**
 * Why private namespaces with a TUN device cannot be had here, in one sentence;
 * undefined when they can.
 */
export function privateNamespacesMissing(): string | undefined {
  const missing = PROGRAMS.find(([program]) => spawnSync(program, ['--help']).error !== undefined);
  if (missing !== undefined) {
    return `Expected the program ${missing[0]} (package ${missing[1]}) in PATH but found none.`;
  }
  if (unshareFlags() === undefined) {
    const made = tryUnshare(AS_USER);
    const why = made.error?.message ?? made.stderr.trim().split('\n')[0] ?? '';
    return `Expected root, or permission to make user namespaces, but received: ${why}.`;
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return `Expected read and write access to /dev/net/tun but received ${why}.`;
  }
  return undefined;
}

/**
 * Starts this very program again (same arguments) inside private network and mount namespaces with
 * an empty /run, as root of a user namespace where we may not do that as we are, and resolves with
 * its exit code. Nothing that it does there can be seen outside, and nothing of it survives this
 * process: the kernel kills it when this one dies.
 */
export function enterPrivateNamespaces(): Promise<number> {
  const prepare = 'mount -t tmpfs none /run && exec setpriv --pdeathsig KILL "$0" "$@"';
  const argv = [...process.execArgv, ...process.argv.slice(1)];
  const child = spawn(
    'unshare',
    [...(unshareFlags() ?? AS_USER), 'sh', '-c', prepare, process.execPath, ...argv],
    {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: '1' },
    },
  );
  // The terminal signals the whole group; what reaches only us is handed on, so that the child can
  // clean up and we can tell how it ended.
  const hand = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGTERM', hand);
  process.on('SIGINT', () => {});
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/**
 * What unshare has to be told here: root may be without the capability, in a container say, and a
 * user may have the permission.
 */
function unshareFlags(): readonly string[] | undefined {
  return [AS_ROOT, AS_USER].find((flags) => tryUnshare(flags).status === 0);
}

function tryUnshare(flags: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
}
