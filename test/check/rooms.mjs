// The check that rooms are used in order: a room may use only rooms that stand before it in its
// list, and rooms that stand in one line do not use each other.
//
//   node test/check/rooms.mjs [ROOT]
//
// It reads #include lines and import specifiers as text; that is enough, because nobody builds them
// with macros or at run time.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The rooms of native/, from the bottom up. */
export const NATIVE_ROOMS = [
  ['base'],
  ['hash', 'wheel', 'count'],
  ['packet', 'allocation'],
  ['table'],
  ['decide'],
  ['netlink'],
  ['wire'],
  ['worker'],
  ['engine'],
  ['addon'],
];

/** The rooms of lib/, from the bottom up; `.` are the files of lib/ itself, the package's entry. */
export const LIB_ROOMS = [
  ['errors', 'log'],
  ['config'],
  ['quic'],
  ['allocation'],
  ['protocol'],
  ['peers'],
  ['native'],
  ['host', 'health'],
  ['dispatch'],
  ['node', 'replay', 'simulate'],
  ['admin'],
  ['.'],
  ['cli'],
];

// What only one room may use.
const HEADERS_OF_ONE_ROOM = { 'napi.h': 'addon' };
const PACKAGES_OF_ONE_ROOM = { bindings: 'native' };

function* filesBelow(folder, pattern) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* filesBelow(path, pattern);
    else if (pattern.test(name)) yield path;
  }
}

function levels(rooms) {
  return new Map(rooms.flatMap((line, level) => line.map((room) => [room, level])));
}

function roomOf(folder, file) {
  const steps = relative(folder, file).split(sep);
  return steps.length === 1 ? '.' : steps[0];
}

/** The sentence that says what is wrong with `room` using `used`, or undefined. */
function judge(order, room, used) {
  if (!order.has(used)) return `uses ${used}, which is no room of the list`;
  if (room === used || order.get(used) < order.get(room)) return undefined;
  if (order.get(used) === order.get(room)) return `uses ${used}, which stands beside ${room}`;
  return `uses ${used}, which stands behind ${room}`;
}

function lineOf(text, index) {
  return text.slice(0, index).split('\n').length;
}

function* nativeUses(folder, text) {
  for (const match of text.matchAll(/^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]/gm)) {
    const [, kind, path] = match;
    const line = lineOf(text, match.index);
    if (kind === '<') {
      yield { line, header: path };
    } else if (!path.includes('/') || path.startsWith('.')) {
      yield { line, problem: `includes "${path}" without its room` };
    } else if (!existsSync(join(folder, path))) {
      yield { line, problem: `includes "${path}", which is not in native/` };
    } else {
      yield { line, room: roomOf(folder, join(folder, path)) };
    }
  }
}

const SPECIFIER = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(['"])([^'"\n]+)\1/g;

function* libUses(folder, text, file) {
  for (const match of text.matchAll(SPECIFIER)) {
    const path = match[2];
    const line = lineOf(text, match.index);
    if (!path.startsWith('.')) {
      yield { line, package: path };
      continue;
    }
    const target = resolve(dirname(file), path);
    if (relative(folder, target).startsWith('..')) {
      if (!target.endsWith('package.json'))
        yield { line, problem: `imports ${path}, outside lib/` };
    } else {
      yield { line, room: roomOf(folder, target) };
    }
  }
}

function problemOf(order, room, use) {
  if (use.problem) return use.problem;
  if (use.room) return judge(order, room, use.room);
  const owner = HEADERS_OF_ONE_ROOM[use.header] ?? PACKAGES_OF_ONE_ROOM[use.package];
  const name = use.header ? `<${use.header}>` : use.package;
  return owner && owner !== room ? `uses ${name}, which only ${owner} may` : undefined;
}

function checkTree(folder, rooms, pattern, usesOf) {
  const order = levels(rooms);
  const problems = [];
  for (const file of filesBelow(folder, pattern)) {
    const room = roomOf(folder, file);
    const where = relative(dirname(folder), file);
    if (!order.has(room)) {
      problems.push(
        `${where}: ${room === '.' ? 'lies in no room' : `${room} is no room of the list`}`,
      );
      continue;
    }
    for (const use of usesOf(folder, readFileSync(file, 'utf8'), file)) {
      const problem = problemOf(order, room, use);
      if (problem) problems.push(`${where}:${use.line}: ${problem}`);
    }
  }
  return problems;
}

/** Everything that is out of order below `root`, one sentence each. */
export function checkRooms(root) {
  return [
    ...checkTree(join(root, 'native'), NATIVE_ROOMS, /\.(h|cc)$/, nativeUses),
    ...checkTree(join(root, 'lib'), LIB_ROOMS, /\.(ts|mts)$/, libUses),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url));
  const problems = checkRooms(root);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
