// The rooms of the benches: how each is made and started, and where its lines come from.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Line } from './results.js';

/** The checkout. Compiled benches are in dist/bench. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = join(ROOT, 'build-bench');

export const ROOMS = ['micro', 'replay', 'peers', 'js', 'scenarios', 'live'] as const;
export type Room = (typeof ROOMS)[number];

export interface RoomOptions {
  /** More rounds, longer ones, and ten million connections. */
  readonly full: boolean;
  /** Only what is named so. */
  readonly filter: string;
}

function run(program: string, args: readonly string[], keep: boolean): string {
  const done = spawnSync(program, args, {
    cwd: ROOT,
    stdio: ['ignore', keep ? 'pipe' : 'ignore', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (done.status === 0) return done.stdout ?? '';
  throw new Error(`Expected ${program} to succeed but received status ${done.status}.`);
}

/** Builds the C++ programs of all rooms. */
export function build(): void {
  if (!existsSync(BUILD)) mkdirSync(BUILD);
  const flags = ['-DFLOWSIEVE_BENCH=ON', '-DFLOWSIEVE_ADDON=OFF', '-DCMAKE_BUILD_TYPE=Release'];
  run('cmake', ['-S', ROOT, '-B', BUILD, '-G', 'Ninja', ...flags], false);
  run('ninja', ['-C', BUILD], false);
}

/** Runs a room to its end. */
export function measure(room: Room, options: RoomOptions): Line[] {
  switch (room) {
    case 'micro':
      return google('micro_bench', options);
    case 'replay':
      return google('replay_bench', options);
    case 'peers':
      return lines(run(join(BUILD, 'bench/peers/peers_bench'), argv(options), true));
    default:
      return lines(run(process.execPath, [program(room), ...argv(options)], true));
  }
}

function program(room: Room): string {
  return fileURLToPath(new URL(`./${room}/run.js`, import.meta.url));
}

function argv({ full, filter }: RoomOptions): string[] {
  return [...(full ? ['--full'] : []), ...(filter === '' ? [] : ['--filter', filter])];
}

function lines(output: string): Line[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

interface GoogleResult {
  readonly name: string;
  readonly run_name: string;
  readonly run_type: string;
  readonly cpu_time: number;
  readonly time_unit: string;
  readonly items_per_second?: number;
  readonly error_message?: string;
  readonly [counter: string]: unknown;
}

/**
 * Google Benchmark, its cases in turn: the repetitions of all of them are mixed. What one iteration
 * did for many packets counts for one.
 */
function google(executable: string, { full, filter }: RoomOptions): Line[] {
  const file = join(BUILD, `${executable}.json`);
  run(
    join(BUILD, executable),
    [
      `--benchmark_filter=${filter === '' ? (full ? '.' : '-/10000000$') : filter}`,
      `--benchmark_min_time=${full ? 0.3 : 0.05}`,
      `--benchmark_repetitions=${full ? 7 : 3}`,
      '--benchmark_enable_random_interleaving=true',
      `--benchmark_out=${file}`,
      '--benchmark_out_format=json',
    ],
    false,
  );
  // It is empty when the filter matched nothing.
  if (statSync(file).size === 0) return [];
  // A counter of a bench that ran once may be NaN, which is no JSON.
  const text = readFileSync(file, 'utf8').replace(/: -?nan\b/gi, ': null');
  const { benchmarks } = JSON.parse(text) as { benchmarks: GoogleResult[] };
  const failed = benchmarks.find(({ error_message }) => error_message !== undefined);
  if (failed) throw new Error(`Expected ${failed.name} to succeed: ${failed.error_message}.`);
  return figuresOf(benchmarks.filter(({ run_type }) => run_type === 'iteration'));
}

const NANOSECONDS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

function figuresOf(results: readonly GoogleResult[]): Line[] {
  const values = new Map<string, { unit: string; values: number[] }>();
  const add = (name: string, unit: string, value: number): void => {
    const known = values.get(name) ?? { unit, values: [] };
    known.values.push(value);
    values.set(name, known);
  };
  for (const result of results) {
    const name = result.run_name
      .replace(/\/(iterations|repeats):\d+/g, '')
      .replace(/\/real_time\/threads:/, '/');
    const each = result.items_per_second
      ? 1e9 / result.items_per_second
      : result.cpu_time * (NANOSECONDS[result.time_unit] ?? 1);
    add(name, 'ns', each);
    for (const [counter, unit] of [
      ['bytes/conn', 'bytes'],
      ['rss_bytes_per_connection', 'bytes'],
      ['chunks/hit', 'count'],
      ['chunks/miss', 'count'],
    ] as const) {
      if (typeof result[counter] === 'number') add(`${name}/${counter}`, unit, result[counter]);
    }
  }
  return [...values].map(([name, figure]) => ({ name, of: 'flowsieve', ...figure }));
}
