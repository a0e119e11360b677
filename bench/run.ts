// `npm run bench`: the figures of this version, printed as tables.
//
//   micro     ns per packet, look-up, hash and timer, in C++ (bench/micro, Google Benchmark):
//             memory and a million connections too
//   live      how long a node takes to start, and what it holds in memory then
//             (bench/live/start.ts, in namespaces of its own)
//
//   npm run bench -- [--filter REGEX] [--seconds S] [--json FILE]
//
// Times are noisy on a shared machine: quote ratios within one run.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { columns } from '../lib/cli/output.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = join(root, 'build-bench');

interface MicroResult {
  name: string;
  cpu_time: number;
  time_unit: string;
  error_occurred?: boolean;
  error_message?: string;
  [counter: string]: unknown;
}

interface StartResult {
  readyMs: number[];
  residentBytes: number;
}

const { values: options } = parseArgs({
  options: {
    filter: { type: 'string', default: '.' },
    seconds: { type: 'string', default: '0.2' },
    json: { type: 'string' },
  },
});

function run(program: string, args: readonly string[], keep: boolean): string {
  const stdio = ['ignore', keep ? 'pipe' : 'ignore', 'inherit'] as const;
  const done = spawnSync(program, args, {
    cwd: root,
    stdio: [...stdio],
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (done.status === 0) return done.stdout ?? '';
  throw new Error(`Expected ${program} to succeed but received status ${done.status}.`);
}

function buildMicro(): void {
  if (!existsSync(BUILD)) mkdirSync(BUILD);
  const flags = ['-DFLOWSIEVE_BENCH=ON', '-DFLOWSIEVE_ADDON=OFF', '-DCMAKE_BUILD_TYPE=Release'];
  run('cmake', ['-S', root, '-B', BUILD, '-G', 'Ninja', ...flags], false);
  run('ninja', ['-C', BUILD, 'micro_bench'], false);
}

function micro(): MicroResult[] {
  const file = join(BUILD, 'micro.json');
  run(
    join(BUILD, 'micro_bench'),
    [
      `--benchmark_filter=${options.filter}`,
      `--benchmark_min_time=${options.seconds}`,
      `--benchmark_out=${file}`,
      '--benchmark_out_format=json',
    ],
    false,
  );
  return (JSON.parse(readFileSync(file, 'utf8')) as { benchmarks: MicroResult[] }).benchmarks;
}

// What Google Benchmark itself says of a run; everything else in a result is a figure of the bench.
const OF_THE_HARNESS = new Set([
  'family_index',
  'per_family_instance_index',
  'repetitions',
  'repetition_index',
  'threads',
  'iterations',
  'real_time',
  'cpu_time',
  'items_per_second',
  'bytes_per_second',
]);

function figures(result: MicroResult): string {
  return Object.entries(result)
    .filter(([name, value]) => typeof value === 'number' && !OF_THE_HARNESS.has(name))
    .map(([name, value]) => `${name} ${readable(value as number)}`)
    .join(', ');
}

function readable(value: number): string {
  if (Math.abs(value) >= 1e5) return value.toExponential(3);
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

function printMicro(results: readonly MicroResult[]): void {
  // items_per_second is set where one iteration is many packets: the time of one is what matters.
  const each = (result: MicroResult): number =>
    typeof result['items_per_second'] === 'number'
      ? 1e9 / (result['items_per_second'] as number)
      : result.cpu_time * ({ ns: 1, us: 1e3, ms: 1e6, s: 1e9 }[result.time_unit] ?? 1);
  const rows = results.map((result) => [
    result.name,
    result.error_occurred ? 'FAILED' : each(result).toFixed(1),
    result.error_occurred ? String(result.error_message) : figures(result),
  ]);
  process.stdout.write(`${columns(['micro', 'ns each', 'figures'], rows)}\n\n`);
}

function start(): StartResult {
  const program = fileURLToPath(new URL('./live/start.js', import.meta.url));
  return JSON.parse(run(process.execPath, [program], true)) as StartResult;
}

buildMicro();
const processor = cpus()[0]?.model ?? 'unknown processor';
process.stdout.write(
  `${processor}, ${cpus().length} processors, Linux ${release()}, Node ${process.version}\n\n`,
);
const microResults = micro();
printMicro(microResults);
const startResult = start();
const sorted = startResult.readyMs.toSorted((a, b) => a - b);
const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
process.stdout.write(
  `start     ${median.toFixed(0)} ms from exec to ready (${sorted.map((ms) => ms.toFixed(0)).join(', ')}), ` +
    `room for 1,000,000 connections, ${(startResult.residentBytes / 1e6).toFixed(0)} MB resident then\n`,
);
if (options.json !== undefined) {
  writeFileSync(options.json, JSON.stringify({ micro: microResults, start: startResult }, null, 1));
}
if (microResults.some((result) => result.error_occurred)) process.exitCode = 1;
