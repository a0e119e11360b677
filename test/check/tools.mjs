// What the scripts of test/ share. Plain Node: they run before anything is installed.
import { spawn } from 'node:child_process';
import { accessSync, constants, createWriteStream, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

// Debian keeps nft, ip and tcpdump where an ordinary user's PATH does not look.
const folders = [...new Set([...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'])];

/** The environment of everything that is started from here. */
export const environment = { ...process.env, PATH: folders.join(':') };

/** The full path of a program, or undefined. */
export function which(program) {
  return folders
    .map((folder) => join(folder, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** How many things may run at the same time: all processors, or FLOWSIEVE_JOBS. */
export const jobs = Number(process.env.FLOWSIEVE_JOBS ?? availableParallelism());

const KEPT = 200_000;

/**
 * Runs a program and gives back { status, output }: status 0 is success, output the end of what it
 * wrote to both channels.
 *
 * @param options.log a file that gets all of the output
 * @param options.show true to let it write to the terminal instead
 * @param options.seconds after so long it is killed, and its status is 124
 */
export function run(program, args, options = {}) {
  const { log, show = false, seconds = 1800, env = {}, cwd = root } = options;
  const child = spawn(program, args, {
    cwd,
    env: { ...environment, ...env },
    stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  if (log) mkdirSync(dirname(log), { recursive: true });
  const file = log && createWriteStream(log, { flags: 'a' });
  file?.write(`$ ${[program, ...args].join(' ')}\n`);
  let output = '';
  const keep = (chunk) => {
    output = (output + chunk).slice(-KEPT);
    file?.write(chunk);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return new Promise((resolve) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      keep(`\n${program} was killed after ${seconds} seconds\n`);
      child.kill('SIGKILL');
    }, seconds * 1000);
    const end = (status) => {
      clearTimeout(timer);
      file?.end();
      resolve({ status: late ? 124 : status, output });
    };
    child.on('error', (error) => {
      keep(`${error.message}\n`);
      end(127);
    });
    child.on('close', (status) => end(status ?? 1));
  });
}

/** The files of the repository that are tracked or new, not ignored, and match `pattern`. */
export async function repositoryFiles(pattern) {
  const listed = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard']);
  if (listed.status !== 0)
    throw new Error(`Expected a git work tree but git said: ${listed.output}`);
  const deleted = await run('git', ['ls-files', '-z', '--deleted']);
  const gone = new Set(deleted.output.split('\0'));
  const names = [...new Set(listed.output.split('\0'))];
  return names.filter((name) => pattern.test(name) && !gone.has(name));
}
