// Makes a fresh clone ready and then does what was asked for:
//
//   node test/setup.mjs demo|test|bench [arguments for what is run]
//
// Node and system packages -> npm packages -> addon -> TypeScript -> run. Every step looks first
// and does only what is needed. Plain Node without packages: there are none yet. Exit status: that
// of what was run; 2 wrong usage, 3 something is missing that cannot be installed from here.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { environment, jobs, root, run, which } from './check/tools.mjs';

const NODE_MIN = [20, 17];

// What the machine needs: the Debian package, and a program or file by which one sees that it is
// there. The versions are those of Debian 12; a machine with the program from elsewhere is as good.
const BUILD = [
  { package: 'g++', programs: ['g++'] },
  { package: 'make', programs: ['make'] },
  { package: 'python3', programs: ['python3'] },
];
const LIVE = [
  { package: 'nftables', programs: ['nft'] },
  { package: 'iproute2', programs: ['ip', 'tc'] },
];
const TEST = [
  { package: 'git', programs: ['git'] },
  { package: 'cmake', programs: ['cmake'] },
  { package: 'ninja-build', programs: ['ninja'] },
  {
    package: 'doctest-dev',
    files: ['/usr/include/doctest/doctest.h', '/usr/local/include/doctest/doctest.h'],
  },
  { package: 'clang-19', programs: ['clang++-19'] },
  {
    package: 'libclang-rt-19-dev',
    files: ['/usr/lib/llvm-19/lib/clang/19/lib/linux', '/usr/lib/clang/19/lib/linux'],
  },
  { package: 'clang-format-19', programs: ['clang-format-19'] },
  { package: 'clang-tidy-19', programs: ['clang-tidy-19', 'run-clang-tidy-19'] },
  { package: 'tcpdump', programs: ['tcpdump'] },
  { package: 'conntrack', programs: ['conntrack'] },
  { package: 'ethtool', programs: ['ethtool'] },
  { package: 'iputils-ping', programs: ['ping'] },
  {
    package: 'python3-pyftpdlib',
    files: ['/usr/lib/python3/dist-packages/pyftpdlib/__init__.py'],
  },
  { package: 'util-linux', programs: ['unshare', 'setarch'] },
];
const BENCH = [
  { package: 'cmake', programs: ['cmake'] },
  { package: 'ninja-build', programs: ['ninja'] },
  {
    package: 'libbenchmark-dev',
    files: ['/usr/include/benchmark/benchmark.h', '/usr/local/include/benchmark/benchmark.h'],
  },
  { package: 'ethtool', programs: ['ethtool'] },
];
// Whom the benches compare with. What is missing is named so in the figures.
const PEERS = [
  { package: 'pkg-config', programs: ['pkg-config'] },
  { package: 'libabsl-dev', files: ['/usr/include/absl/container/flat_hash_map.h'] },
  { package: 'libboost1.81-dev', files: ['/usr/include/boost/unordered/unordered_flat_map.hpp'] },
  { package: 'libtsl-hopscotch-map-dev', files: ['/usr/include/tsl/hopscotch_map.h'] },
  { package: 'libdpdk-dev', files: ['/usr/include/dpdk/rte_hash.h'] },
  { package: 'libpcap-dev', files: ['/usr/include/pcap/pcap.h'] },
  { package: 'iptables', programs: ['iptables-legacy'] },
];

const GOALS = {
  demo: { needs: [...BUILD, ...LIVE], command: ['node', 'dist/lib/cli/main.js', 'demo'] },
  test: { needs: [...BUILD, ...LIVE, ...TEST], command: ['node', 'test/all.mjs'] },
  bench: {
    needs: [...BUILD, ...LIVE, ...BENCH],
    likes: PEERS,
    command: ['npm', 'run', '--silent', 'bench:run', '--'],
  },
};

/** Says in one sentence why it cannot go on, and ends. */
function give(status, sentence) {
  console.error(sentence);
  process.exit(status);
}

function say(text) {
  console.error(`setup: ${text}`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  give(3, `Expected Node ${NODE_MIN.join('.')} or newer but received ${process.versions.node}.`);
}

function isThere({ programs = [], files = [] }) {
  return (
    programs.every((program) => which(program)) &&
    (files.length === 0 || files.some((file) => existsSync(file)))
  );
}

function missing(packages) {
  return packages.filter((each) => !isThere(each)).map((each) => each.package);
}

const installation = (names) =>
  `apt-get update && apt-get install -y --no-install-recommends ${names}`;
const mayInstall = () => process.getuid?.() === 0 && which('apt-get');

function install(names) {
  say(`installs ${names}`);
  return run('sh', ['-c', installation(names)], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
}

async function installPackages(needs) {
  if (missing(needs).length === 0) return;
  const names = missing(needs).join(' ');
  if (!mayInstall()) {
    give(3, `Expected the packages ${names} to be installed; as root: ${installation(names)}.`);
  }
  const installed = await install(names);
  const still = missing(needs);
  if (installed.status !== 0 || still.length > 0) {
    console.error(installed.output);
    give(
      3,
      `Expected apt-get to install ${names} but it did not install ${still.join(' ') || 'them'}.`,
    );
  }
}

/** Goes on without those that cannot be had. */
async function tryPackages(likes) {
  if (missing(likes).length > 0 && mayInstall()) await install(missing(likes).join(' '));
  if (missing(likes).length > 0) say(`goes on without ${missing(likes).join(' ')}`);
}

async function checkCompiler() {
  const args = ['-std=c++20', '-x', 'c++', '-fsyntax-only', '-'];
  const tried = await run('sh', ['-c', `echo '#include <span>' | g++ ${args.join(' ')}`]);
  if (tried.status !== 0)
    give(3, 'Expected a g++ that knows C++20 (10 or newer) but received an older one.');
}

function modified(path) {
  return existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0;
}

/**
 * The newest change below some folders and files; of a folder its own too, which changes
 * when a file goes.
 */
function newest(paths) {
  return paths.reduce((latest, path) => {
    const own = modified(path);
    if (own === 0 || !statSync(join(root, path)).isDirectory()) return Math.max(latest, own);
    const inside = readdirSync(join(root, path)).map((name) => join(path, name));
    return Math.max(latest, own, newest(inside));
  }, 0);
}

// Headers that came with Node, if they did: node-gyp would fetch them otherwise.
function headers() {
  const prefix = dirname(dirname(process.execPath));
  if (environment.npm_config_nodedir || !existsSync(join(prefix, 'include/node/node.h'))) return {};
  return { npm_config_nodedir: prefix };
}

async function must(what, program, args, env = {}) {
  say(what);
  const done = await run(program, args, { env });
  if (done.status === 0) return;
  console.error(done.output);
  give(
    1,
    `Expected \`${[program, ...args].join(' ')}\` to succeed but received status ${done.status}.`,
  );
}

async function installNpmPackages() {
  const installed = modified('node_modules/.package-lock.json');
  if (installed >= modified('package-lock.json') && installed > 0) return;
  // The package's own scripts would build the addon and the TypeScript here; the next steps do, and
  // show what fails.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  await must('installs the npm packages', 'npm', args);
}

async function buildAddon() {
  const built = modified('build/Release/flowsieve.node');
  if (built > newest(['native', 'binding.gyp', 'node_modules/node-addon-api/package.json'])) return;
  const env = { ...headers(), ...(which('ccache') ? { CXX: 'ccache g++' } : {}) };
  // Configured each time: the list of sources is made then.
  const args = ['node_modules/node-gyp/bin/node-gyp.js', 'configure', 'build', `--jobs=${jobs}`];
  await must('builds the addon', process.execPath, args, env);
}

// A test whose source is gone would go on being run from dist/.
function removeOrphans(folder) {
  if (!existsSync(join(root, folder))) return;
  for (const name of readdirSync(join(root, folder))) {
    const path = join(folder, name);
    if (statSync(join(root, path)).isDirectory()) removeOrphans(path);
    else if (/\.(js|js\.map|d\.ts)$/.test(name)) {
      const source = path.replace(/^dist\//, '').replace(/\.(js|js\.map|d\.ts)$/, '.ts');
      if (!existsSync(join(root, source))) rmSync(join(root, path));
    }
  }
}

async function buildTypeScript() {
  removeOrphans('dist');
  const built = modified('dist/lib/index.js');
  if (built > newest(['lib', 'test', 'bench', 'tsconfig.json', 'package-lock.json'])) return;
  const args = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'];
  await must('builds the TypeScript', process.execPath, args);
}

const [goal, ...rest] = process.argv.slice(2);
const wanted = GOALS[goal];
if (!wanted) {
  give(
    2,
    `Expected one of ${Object.keys(GOALS).join(', ')} for the goal but received ${goal ?? 'nothing'}.`,
  );
}
checkNode();
await installPackages(wanted.needs);
await tryPackages(wanted.likes ?? []);
await checkCompiler();
await installNpmPackages();
await buildAddon();
await buildTypeScript();
const [program, ...args] = wanted.command;
const done = await run(program === 'node' ? process.execPath : program, [...args, ...rest], {
  show: true,
  seconds: 14_400,
});
process.exitCode = done.status;
