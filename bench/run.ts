// `npm run bench`: what this version costs, beside others who do the same, as lines of JSON and as
// a report.
//
//   npm run bench -- [--full] [--room NAME]... [--filter REGEX] [--json FILE] [--write]
//
//   micro      reading packets, hashing, the table, timers (C++, Google Benchmark)
//   replay     whole turns of a worker over a memory source
//   peers      the table and the timers beside other libraries, checked first, then in turn
//   js         crossings between JavaScript and the engine, lists, planning, and a Map instead
//   scenarios  churn, floods, a full table, a join, failover, rebalancing
//   live       real programs in namespaces: with flowsieve, with the kernel's rules, with neither
//
// The short run takes about a quarter of an hour. `--write` makes docs/reference/figures.md, its plots and
// the README's table from what was measured; without all rooms the lines of the others stay as
// they were. Times are noisy on a shared machine: quote ratios within one run.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { readResults, writeReport } from './report/files.js';
import { reportText } from './report/markdown.js';
import type { Machine, Results, RoomResults } from './results.js';
import { build, measure, ROOMS, ROOT, type Room } from './rooms.js';

const { values: options } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    room: { type: 'string', multiple: true, default: [] },
    filter: { type: 'string', default: '' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});

function said(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { cwd: ROOT, encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function machine(): Machine {
  const changed = said('git', [
    'status',
    '--porcelain',
    '--untracked-files=no',
    '--',
    'native',
    'lib',
  ]);
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryBytes: totalmem(),
    kernel: `Linux ${release()}`,
    node: process.version,
    compiler: said('g++', ['--version']).split('\n')[0] ?? 'unknown',
    commit: said('git', ['rev-parse', '--short=12', 'HEAD']) + (changed === '' ? '' : '+'),
    date: new Date().toISOString(),
    full: options.full,
  };
}

function roomsWanted(): readonly Room[] {
  const unknown = options.room.filter((name) => !(ROOMS as readonly string[]).includes(name));
  if (unknown.length > 0) {
    throw new Error(`Expected rooms of ${ROOMS.join(', ')} but received ${unknown.join(', ')}.`);
  }
  return options.room.length === 0 ? ROOMS : (options.room as Room[]);
}

const rooms = roomsWanted();
build();
const measured: Results = {
  rooms: Object.fromEntries(
    rooms.map((room): [Room, RoomResults] => {
      process.stderr.write(`bench: ${room}\n`);
      return [room, { machine: machine(), lines: measure(room, options) }];
    }),
  ),
};
process.stdout.write(reportText(measured));
if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(measured, null, 1));
if (options.write) {
  writeReport({ rooms: { ...readResults()?.rooms, ...measured.rooms } });
}
