// Every suite in order, a line for each, and at the end one line with the sums:
// `N passed, N failed, N skipped`.
//
//   node test/all.mjs [--only native,lib] [--list]
//
// The clone must be ready (test/setup.mjs). The full output of each suite is in build-test/log/.
// Exit status: 0 when nothing failed, 1 otherwise, 2 for a wrong option.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobs, root, run, which } from './check/tools.mjs';

const LOGS = join(root, 'build-test/log');
// A test says the same every time: each fuzzer plays its corpus and then the same mutations of it.
// FLOWSIEVE_FUZZ_SECONDS=600 searches instead, for so long and each time elsewhere.
const FUZZ_SECONDS = process.env.FLOWSIEVE_FUZZ_SECONDS;
const FUZZ_LIMITS = FUZZ_SECONDS
  ? [`-max_total_time=${Number(FUZZ_SECONDS)}`]
  : ['-seed=1', '-max_total_time=20'];
const NONE = { passed: 0, failed: 0, skipped: 0 };

function sum(counts) {
  return counts.reduce(
    (total, count) => ({
      passed: total.passed + count.passed,
      failed: total.failed + count.failed,
      skipped: total.skipped + count.skipped,
    }),
    NONE,
  );
}

// How each runner ends. A runner that ends otherwise has failed, whatever its status says.
const CLOSING = {
  doctest(output) {
    const found =
      /test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed(?: \|\s*(\d+) skipped)?/.exec(
        output,
      );
    if (!found) return undefined;
    return { passed: Number(found[2]), failed: Number(found[3]), skipped: Number(found[4] ?? 0) };
  },
  mocha(output) {
    const number = (word) => Number(new RegExp(`^\\s*(\\d+) ${word}`, 'm').exec(output)?.[1] ?? 0);
    if (!/^\s*\d+ passing/m.test(output)) return undefined;
    return { passed: number('passing'), failed: number('failing'), skipped: number('pending') };
  },
  node(output) {
    const number = (word) => Number(new RegExp(`^# ${word} (\\d+)`, 'm').exec(output)?.[1] ?? 0);
    if (!/^# pass \d+/m.test(output)) return undefined;
    const failed = number('fail') + number('cancelled');
    return { passed: number('pass'), failed, skipped: number('skipped') + number('todo') };
  },
};

/**
 * One run of a program by a suite: its counts, from its closing numbers when it has some, otherwise
 * one for the whole.
 */
async function step(suite, program, args, { closing, ...options } = {}) {
  const log = join(LOGS, `${suite}.log`);
  const done = await run(program, args, { log, env: { NO_COLOR: '1' }, ...options });
  const counted = closing ? CLOSING[closing](done.output) : { ...NONE, passed: 1 };
  const sound = done.status === 0 && counted !== undefined;
  if (sound && counted.failed === 0) return counted;
  process.stdout.write(`\n${tail(done.output)}\n`);
  failures.push({ suite, excerpt: excerpt(done.output, closing) });
  if (!closing || !counted) return { ...NONE, failed: 1 };
  // It says that nothing failed, and its status says that something did: a crash at
  // its end, a leak.
  return counted.failed > 0 ? counted : { ...counted, failed: 1 };
}

function tail(output, lines = 60) {
  return output.trimEnd().split('\n').slice(-lines).join('\n');
}

// What failed, once more at the very end: of a long output some keep only that.
const failures = [];

/** What a runner says of its failures. */
function excerpt(output, closing) {
  const blocks = {
    doctest: () => output.split(/^={20,}$/m).filter((block) => /\b(ERROR|FATAL)\b/.test(block)),
    mocha: () => [output.slice(Math.max(0, output.search(/^\s*\d+ failing/m)))],
    node: () => output.match(/^not ok .*(\n {2}.*)*/gm) ?? [],
  };
  const said = (blocks[closing]?.() ?? []).join('').trim();
  return said === '' ? tail(output, 20) : said.split('\n').slice(0, 40).join('\n');
}

const node = (suite, args, options) => step(suite, process.execPath, args, options);

async function build(suite, folder, options) {
  const path = `build-test/${folder}`;
  const launcher = which('ccache') ? ['-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const flags = ['-DFLOWSIEVE_ADDON=OFF', ...launcher, ...options];
  const configured = await step(suite, 'cmake', ['-S', '.', '-B', path, '-G', 'Ninja', ...flags]);
  if (configured.failed > 0) return configured;
  return step(suite, 'ninja', ['-j', String(jobs), '-C', path], { seconds: 3600 });
}

/**
 * Builds the native tests in their own folder and runs them; the build counts only when it fails.
 */
async function native(suite, folder, options, env = {}, prefix = []) {
  const built = await build(suite, folder, ['-DFLOWSIEVE_TESTS=ON', ...options]);
  if (built.failed > 0) return built;
  const [program, ...args] = [...prefix, `build-test/${folder}/native_tests`];
  return step(suite, program, args, { closing: 'doctest', env, seconds: 1800 });
}

const LOADS = 'process.exit(require(process.argv[1]).vocabulary().counters.length > 0 ? 0 : 1)';

/**
 * The release build comes from cmake-js, addon and tests together: what it makes has to load
 * like node-gyp's.
 */
async function release(suite) {
  const path = 'build-test/release';
  const launcher = which('ccache') ? ['--CDCMAKE_CXX_COMPILER_LAUNCHER=ccache'] : [];
  const built = await node(
    suite,
    ['node_modules/cmake-js/bin/cmake-js', 'compile', '-O', path, '-G', 'Ninja']
      .concat(launcher)
      .concat('--CDFLOWSIEVE_TESTS=ON'),
    { seconds: 3600 },
  );
  if (built.failed > 0) return built;
  const loaded = await node(suite, ['-e', LOADS, join(root, path, 'Release/flowsieve.node')]);
  const tested = await step(suite, `${path}/native_tests`, [], {
    closing: 'doctest',
    seconds: 1800,
  });
  return sum([loaded, tested]);
}

// The thread sanitizer's shadow does not fit the address layouts that newer kernels draw: run
// without drawing where that is allowed.
async function fixedLayout() {
  const tried = which('setarch') ? await run('setarch', ['-R', 'true']) : { status: 1 };
  return tried.status === 0 ? ['setarch', '-R'] : [];
}

async function thread(suite) {
  const env = { TSAN_OPTIONS: 'halt_on_error=1' };
  return native(suite, 'thread', ['-DFLOWSIEVE_SANITIZE=thread'], env, await fixedLayout());
}

async function fuzzOne(suite, target) {
  const name = target.replace(/^fuzz_/, '');
  // What the fuzzer finds on its way is new each time and does not belong in the
  // repository; a crash does.
  const found = mkdtempSync(join(tmpdir(), `flowsieve-${target}-`));
  const corpus = [`test/fuzz/corpus/${name}`].filter((folder) => existsSync(join(root, folder)));
  const limits = [...FUZZ_LIMITS, '-timeout=10', '-rss_limit_mb=2048'];
  const args = [...limits, '-print_final_stats=1', `-artifact_prefix=build-test/log/${name}-`];
  const count = await step(`${suite}-${name}`, `build-test/fuzz/${target}`, [
    ...args,
    found,
    ...corpus,
  ]);
  rmSync(found, { recursive: true });
  return count;
}

async function fuzz(suite) {
  const options = ['-DFLOWSIEVE_FUZZ=ON', '-DCMAKE_CXX_COMPILER=clang++-19'];
  const built = await build(suite, 'fuzz', [...options, '-DFLOWSIEVE_SANITIZE=address,undefined']);
  if (built.failed > 0) return built;
  const files = readdirSync(join(root, 'test/fuzz')).filter((file) => file.endsWith('.cc'));
  const queue = files.map((file) => `fuzz_${file.replace(/\.cc$/, '')}`);
  const counts = [];
  const work = async () => {
    for (let target = queue.shift(); target; target = queue.shift()) {
      counts.push(await fuzzOne(suite, target));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return sum(counts);
}

// Interfaces and addresses are touched only in namespaces that this call makes and
// that end with it.
async function namespaces() {
  const network = ['--net', '--mount'];
  const user = ['--user', '--map-root-user'];
  const ways = process.getuid?.() === 0 ? [network] : [[...user, ...network]];
  for (const way of ways) {
    const tried = await run('unshare', [...way, '--', 'mount', '-t', 'tmpfs', 'none', '/run']);
    if (tried.status === 0) return way;
  }
  return undefined;
}

const LIVE = 'mount -t tmpfs none /run && exec "$0" "$@"';
const LIVE_TESTS = 'dist/test/live/**/*.test.js';

async function live(suite) {
  const way = await namespaces();
  if (!way) {
    const must = process.env.CI === 'true';
    const sentence = 'Expected root or user namespaces for the live tests but received neither.';
    process.stdout.write(`\n${must ? '' : 'SKIPPED: '}${sentence}\n`);
    return { ...NONE, [must ? 'failed' : 'skipped']: 1 };
  }
  const mocha = [process.execPath, 'node_modules/mocha/bin/mocha.js', '--no-config', LIVE_TESTS];
  const options = ['--forbid-only', '--timeout', '60000', '--reporter', 'spec'];
  const args = [...way, '--', 'sh', '-c', LIVE, ...mocha, ...options];
  return step(suite, 'unshare', args, { closing: 'mocha', seconds: 3600 });
}

const SEEDS = Number(process.env.FLOWSIEVE_SEEDS ?? 2000);

/**
 * The simulated clusters: every processor takes a part of the seeds, the first one the proof
 * besides that they find bugs.
 */
async function sim(suite) {
  const part = Math.ceil(SEEDS / jobs);
  const mocha = ['node_modules/mocha/bin/mocha.js', '--no-config', '--forbid-only'];
  const counts = Array.from({ length: jobs }, (_, i) => {
    const first = i * part + 1;
    const env = {
      NO_COLOR: '1',
      FLOWSIEVE_FIRST_SEED: String(first),
      FLOWSIEVE_SEEDS: String(Math.max(0, Math.min(part, SEEDS - first + 1))),
    };
    const files = i === 0 ? 'dist/test/sim/**/*.test.js' : 'dist/test/sim/seeds.test.js';
    return node(suite, [...mocha, files], { closing: 'mocha', env, seconds: 3600 });
  });
  return sum(await Promise.all(counts));
}

async function inTurn(suite, argsLists) {
  const counts = [];
  for (const args of argsLists) counts.push(await node(suite, args));
  return sum(counts);
}

// Every page that is made from the program has its check beside the others.
function docsChecks() {
  const names = readdirSync(join(root, 'test/check')).filter((name) => name.endsWith('-docs.mjs'));
  return names.map((name) => [`test/check/${name}`]);
}

const SUITES = {
  lint: (suite) =>
    inTurn(suite, [['test/check/format.mjs'], ['test/check/rooms.mjs'], ['test/check/sizes.mjs']]),
  checks: (suite) =>
    node(suite, ['--test', '--test-reporter=tap', 'test/check/rooms.test.mjs'], {
      closing: 'node',
    }),
  types: (suite) => node(suite, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']),
  docs: (suite) => inTurn(suite, docsChecks()),
  native: release,
  address: (suite) => native(suite, 'address', ['-DFLOWSIEVE_SANITIZE=address,undefined']),
  thread,
  fuzz,
  lib: (suite) => node(suite, ['node_modules/mocha/bin/mocha.js'], { closing: 'mocha' }),
  sim,
  live,
  tidy: (suite) => node(suite, ['test/check/tidy.mjs'], { seconds: 3600 }),
};

function chosen(args) {
  if (args.includes('--list')) {
    console.log(Object.keys(SUITES).join('\n'));
    process.exit(0);
  }
  if (args.length === 0) return Object.keys(SUITES);
  const names = args[0] === '--only' ? (args[1] ?? '').split(',') : [];
  const unknown = names.filter((name) => !Object.hasOwn(SUITES, name));
  if (names.length === 0 || unknown.length > 0 || args.length > 2) {
    const known = Object.keys(SUITES).join(',');
    console.error(`Expected --only with some of ${known} but received ${args.join(' ')}.`);
    process.exit(2);
  }
  return Object.keys(SUITES).filter((name) => names.includes(name));
}

const totals = [];
rmSync(LOGS, { recursive: true, force: true });
for (const name of chosen(process.argv.slice(2))) {
  const started = performance.now();
  process.stdout.write(`${name.padEnd(8)} `);
  const count = await SUITES[name](name);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const { passed, failed, skipped } = count;
  const verdict = failed > 0 ? `FAIL ${failed} of ${passed + failed}` : `ok   ${passed}`;
  console.log(`${verdict}${skipped > 0 ? ` and ${skipped} skipped` : ''} (${seconds} s)`);
  totals.push(count);
}
for (const { suite, excerpt } of failures) console.log(`\n${suite}:\n${excerpt}\n`);
const { passed, failed, skipped } = sum(totals);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
