// The C++ programs of this room: built where the other benches are built, and what they print.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import type { Lab } from '../../lib/cli/demo/lab.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUILD = join(ROOT, 'build-bench', 'live');

/** Where npm's `cap` may be, beside the package's own modules; see capture.ts. */
export const PEERS = join(ROOT, 'build-bench', 'peers');

/** Builds the programs; does nothing when they are new enough. */
export function buildPrograms(): void {
  const source = join(ROOT, 'bench', 'live');
  for (const argv of [
    ['-S', source, '-B', BUILD, '-G', 'Ninja'],
    ['--build', BUILD],
  ]) {
    const done = spawnSync('cmake', argv, { encoding: 'utf8' });
    if (done.status === 0) continue;
    const said = done.error?.message ?? done.stdout + done.stderr;
    throw new Error(`Expected cmake ${argv.join(' ')} to succeed but received: ${said}`);
  }
}

/** The path of a program; undefined when it could not be built here. */
export function program(name: string): string | undefined {
  const path = join(BUILD, name);
  return existsSync(path) ? path : undefined;
}

/** Argument vector of a program that is always built. */
export function command(
  name: string,
  options: Readonly<Record<string, string | number>>,
): string[] {
  const words = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
  return [join(BUILD, name), ...words];
}

/** Runs a program to its end and resolves with the JSON object that it printed. */
export async function ask<Said>(lab: Lab, where: string, argv: readonly string[]): Promise<Said> {
  const { stdout } = await lab.run(where, argv, { deadlineMs: 60_000 });
  return JSON.parse(stdout) as Said;
}

/** Starts a program that prints `listening` when it can be used. */
export async function serve(lab: Lab, where: string, argv: readonly string[]): Promise<Child> {
  const child = lab.spawn(where, argv);
  await child.line((line) => line === 'listening');
  return child;
}
