// What the tests of the host's settings share: this process is the node, the namespace `client` is
// at the other end of its wire.
//
//   client  peer0 192.0.2.9  2001:db8::9  ----  cap0 192.0.2.1  2001:db8::1  this namespace,
//                                                                            tun0 made by hand
//
// See README.md for how it is started.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FlowsieveError } from '../../lib/errors/index.js';
import { Host, type HostOptions } from '../../lib/host/index.js';

export const execute = promisify(execFile);
export const IPV4 = '192.0.2.100';
export const IPV6 = '2001:db8::100';
export const HOST_MODULE = new URL('../../lib/host/index.js', import.meta.url).href;

export let runDirectory: string;
export let notices: string[];
export const children: ChildProcess[] = [];
const hosts: Host[] = [];

export async function sh(script: string): Promise<string> {
  return (await execute('sh', ['-ec', script], { timeout: 15_000 })).stdout;
}

/** A command in the client's namespace; its exit status instead of an exception. */
export async function client(command: string): Promise<number> {
  return sh(`ip netns exec client ${command}`).then(
    () => 0,
    (error: { code?: number }) => error.code ?? -1,
  );
}

export function options(more: Partial<HostOptions> = {}): HostOptions {
  return {
    cluster: 'web',
    addresses: [IPV4, IPV6],
    interface: 'cap0',
    device: 'tun0',
    runDirectory,
    onNotice: (sentence) => notices.push(sentence),
    ...more,
  };
}

export async function prepare(more: Partial<HostOptions> = {}): Promise<Host> {
  const host = await Host.prepare(options(more));
  hosts.push(host);
  return host;
}

/**
 * Everything that could have been touched: all settings of both interfaces and of `all`, the
 * ruleset, the addresses, our folder.
 */
export async function state(): Promise<Record<string, unknown>> {
  const settings = await sh(
    'cd /proc/sys/net; grep -H . ipv[46]/conf/all/* ipv[46]/conf/default/* ipv[46]/conf/cap0/* ipv[46]/conf/tun0/* 2>/dev/null || true',
  );
  // The two exceptions on a TUN device that outlives us, which the engine's does not: how it makes
  // up link-local addresses (sysctls.ts says why), and its queue, which the kernel attaches when
  // it first comes up.
  const exceptions = /^ipv6\/conf\/tun0\/addr_gen_mode:/;
  const links = JSON.parse(await sh('ip -j addr')) as { ifname: string; qdisc?: string }[];
  for (const link of links) if (link.ifname === 'tun0') delete link.qdisc;
  return {
    settings: settings.split('\n').filter((line) => !exceptions.test(line)),
    ruleset: await sh('nft list ruleset'),
    addresses: links,
    files: await readdir(runDirectory),
  };
}

export async function setting(path: string): Promise<string> {
  return (await readFile(`/proc/sys/net/${path}`, 'utf8')).trim();
}

/**
 * Starts another process that prepares the host and the TUN device, and waits for what it says:
 * `prepared`, the code of its error, or nothing when it was killed before the given step. A step is
 * a call that can change anything outside the process.
 */
export async function startedChild(killAtStep = 0): Promise<{ child: ChildProcess; line: string }> {
  const { onNotice: _, ...plain } = options();
  const script = `
    import childProcess from 'node:child_process';
    import files from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    let steps = 0;
    for (const [module, names] of [[childProcess, ['execFile']], [files, ['writeFile', 'rename', 'link']]]) {
      for (const name of names) {
        const original = module[name];
        module[name] = (...args) => {
          if ((steps += 1) === ${killAtStep}) process.kill(process.pid, 'SIGKILL');
          return original(...args);
        };
      }
    }
    syncBuiltinESMExports();
    const { Host } = await import(${JSON.stringify(HOST_MODULE)});
    try {
      const host = await Host.prepare(${JSON.stringify(plain)});
      await host.addTun();
      console.log('prepared');
      setInterval(() => {}, 1000);
    } catch (error) {
      console.log(error.code);
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const gone = once(child, 'close').then(() => ['']);
  const [said] = (await Promise.race([once(child.stdout, 'data'), gone])) as [Buffer | string];
  return { child, line: said.toString().trim() };
}

/** Starts another process that prepares the host and the TUN device, and waits until it has. */
export async function preparedChild(): Promise<ChildProcess> {
  const { child, line } = await startedChild();
  assert.equal(line, 'prepared');
  return child;
}

export async function killed(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Asks again and again until it is true; false after five seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const end = performance.now() + 5_000;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function refused(
  code: string,
  exitCode: number,
  sentence: RegExp,
): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof FlowsieveError, String(error));
    assert.equal(error.code, code);
    assert.equal(error.exitCode, exitCode);
    assert.match(error.message, sentence);
    return true;
  };
}

/** Runs with only the given programs in PATH. */
export async function withPrograms(
  names: readonly string[],
  body: () => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp('/run/path-');
  for (const name of names) {
    await symlink((await sh(`command -v ${name}`)).trim(), join(folder, name));
  }
  const before = process.env['PATH'];
  process.env['PATH'] = folder;
  try {
    await body();
  } finally {
    process.env['PATH'] = before;
  }
}

/** The wire and the TUN device, new for every test of the surrounding suite. */
export function everyTestOnItsOwnWire(): void {
  before(async () => {
    const links = await sh('ip -o link show');
    assert.doesNotMatch(
      links,
      /link\/ether/,
      'run me as README.md says: there are interfaces here',
    );
  });

  beforeEach(async () => {
    notices = [];
    runDirectory = await mkdtemp('/run/host-');
    await sh(`
      ip link set lo up
      ip netns add client
      ip link add cap0 type veth peer name peer0 netns client
      echo 0 > /proc/sys/net/ipv6/conf/cap0/accept_dad
      ip netns exec client sh -c 'echo 0 > /proc/sys/net/ipv6/conf/peer0/accept_dad'
      ip addr add 192.0.2.1/24 dev cap0; ip addr add 2001:db8::1/64 dev cap0 nodad; ip link set cap0 up
      ip -n client addr add 192.0.2.9/24 dev peer0; ip -n client addr add 2001:db8::9/64 dev peer0 nodad
      ip -n client link set peer0 up; ip -n client link set lo up
      ip tuntap add dev tun0 mode tun`);
    assert.equal(await client('ping -c1 -W2 192.0.2.1'), 0, 'the wire works');
  });

  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) await killed(child);
    }
    for (const host of hosts.splice(0)) await host.undo();
    await sh(`
      nft flush ruleset
      ip link del cap0; ip link del tun0; ip netns del client
      for name in all default; do
        echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter
        echo 0 > /proc/sys/net/ipv4/conf/$name/arp_ignore
      done`);
    await rm(runDirectory, { recursive: true, force: true });
  });
}
