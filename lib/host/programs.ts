// The two programs that change the host, called without a shell.
import { execFile } from 'node:child_process';
import { FlowsieveError } from '../errors/index.js';

/** The Debian package of each program that this room calls. */
const PACKAGES = { ip: 'iproute2', nft: 'nftables' } as const;

/** A program that this room calls. */
export type Program = keyof typeof PACKAGES;

const DEADLINE_MS = 10_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

// What the two programs say when the kernel answered EPERM or EACCES; they are run in the C locale,
// so it is always this.
const REFUSED = /Operation not permitted|Permission denied|must be root/;

/** A program that ran and failed; `said` is the first line of what it wrote to standard error. */
export class ProgramError extends FlowsieveError {
  override readonly name = 'ProgramError';

  constructor(
    program: Program,
    args: readonly string[],
    readonly said: string,
    cause: unknown,
  ) {
    super(
      'FLOWSIEVE_SYSTEM',
      `Expected success of \`${[program, ...args].join(' ')}\` but received: ${said}.`,
      { cause },
    );
  }
}

/**
 * Runs `ip` or `nft` to its end and returns what it wrote to standard output.
 *
 * @throws FlowsieveError FLOWSIEVE_MISSING when the program is not installed, FLOWSIEVE_PRIVILEGE
 * when the kernel refused, and {@link ProgramError} for every other failure.
 */
export function run(program: Program, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      {
        env: { ...process.env, LC_ALL: 'C' },
        timeout: DEADLINE_MS,
        killSignal: 'SIGKILL',
        maxBuffer: OUTPUT_BYTES_MAX,
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(failure(program, args, error, stderr));
      },
    );
    // A program that ended before it read its input says why by its exit, not by a broken pipe.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

function failure(
  program: Program,
  args: readonly string[],
  error: Error & { code?: string | number | null; killed?: boolean },
  stderr: string,
): FlowsieveError {
  if (error.code === 'ENOENT') {
    return new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected the program ${program} (Debian package ${PACKAGES[program]}) in PATH but found none.`,
      { cause: error },
    );
  }
  if (REFUSED.test(stderr) || error.code === 'EACCES') {
    return new FlowsieveError(
      'FLOWSIEVE_PRIVILEGE',
      `Expected the privilege CAP_NET_ADMIN for \`${[program, ...args].join(' ')}\` but the kernel refused.`,
      { cause: error },
    );
  }
  const first = stderr.trim().split('\n')[0] ?? '';
  const said = error.killed === true ? `no end within ${DEADLINE_MS / 1000} s` : first;
  return new ProgramError(program, args, said || error.message, error);
}
