// A network in a bottle: namespaces joined by veth pairs, and the programs that run inside them.
//
//      client ── router? ──┐
//                          │
//      node-1 ──┐          │
//      node-2 ──┤ switch ──┘
//      node-3 ──┘
//
// Everything, the switch too, lives in namespaces made here, and these live in a private mount and
// network namespace (private.ts). When the program that made them is gone, however it went, its
// children are killed by the kernel (PR_SET_PDEATHSIG), and the namespaces go with the last of
// them.
//
// Every namespace has a /run/flowsieve of its own, because the nodes of a real cluster do not
// share one either.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Child, type ChildOptions } from './child.js';

/** What a finished program said. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@link Lab.run}. */
export interface RunOptions extends ChildOptions {
  readonly input?: string;
  readonly deadlineMs?: number;
  /** Resolve also when the program fails; otherwise its failure is thrown. */
  readonly mayFail?: boolean;
}

// Quiet and quick: no duplicate address detection, no router solicitations, IPv6 on whatever the
// host's default is.
const QUIET = [
  'net.ipv6.conf.all.disable_ipv6=0',
  'net.ipv6.conf.default.disable_ipv6=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.default.router_solicitations=0',
  'net.ipv4.ping_group_range=0 0',
];

let labs = 0;

/** Namespaces, the links between them, and the programs in them; see the drawing above. */
export class Lab {
  private readonly children = new Set<Child>();
  private readonly names = new Set<string>();
  private readonly prefix: string;
  private closing: Promise<void> | undefined;

  private constructor(
    /** For configurations, logs and captures; removed by {@link close}. */
    readonly directory: string,
  ) {
    labs += 1;
    this.prefix = `lab${labs}-`;
  }

  /**
   * Opens a laboratory. Refuses to work anywhere but in a private network namespace, where no
   * Ethernet interface is.
   */
  static async open(): Promise<Lab> {
    const links = await finish(new Child('ip', ['ip', '-o', 'link', 'show']), 5_000);
    if (links.code !== 0 || /link\/ether/.test(links.stdout)) {
      throw new Error(
        'Expected a private network namespace for the laboratory but received one with Ethernet interfaces.',
      );
    }
    await mkdir('/run/flowsieve', { recursive: true });
    return new Lab(await mkdtemp('/run/lab-'));
  }

  /** Makes a namespace with its loopback up. */
  async namespace(name: string, sysctls: readonly string[] = []): Promise<void> {
    await this.outside(['ip', 'netns', 'add', this.prefix + name]);
    this.names.add(name);
    await mkdir(this.runDirectory(name), { recursive: true });
    await this.sysctl(name, [...QUIET, ...sysctls]);
    await this.run(name, ['ip', 'link', 'set', 'lo', 'up']);
  }

  /**
   * Sets sysctls of a namespace, written as `a.b.c=value`; a dot in an interface's name
   * does not occur here.
   */
  async sysctl(name: string, settings: readonly string[]): Promise<void> {
    const script = settings.map((setting) => {
      const [key = '', value = ''] = setting.split('=');
      return `echo '${value}' > /proc/sys/${key.replaceAll('.', '/')}`;
    });
    await this.run(name, ['sh', '-ec', script.join('\n')]);
  }

  /** Joins two namespaces by a veth pair; both ends come up. */
  async link(a: string, aDevice: string, b: string, bDevice: string): Promise<void> {
    const [left, right] = [this.prefix + a, this.prefix + b];

    await this.outside([
      'ip',
      'link',
      'add',
      aDevice,
      'netns',
      left,
      'type',
      'veth',
      'peer',
      'name',
      bDevice,
      'netns',
      right,
    ]);
    await this.ip(a, [`link set ${aDevice} up`]);
    await this.ip(b, [`link set ${bDevice} up`]);
  }

  /** Runs several `ip` commands in a namespace at once. */
  async ip(name: string, commands: readonly string[]): Promise<void> {
    await this.run(name, ['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  /**
   * Starts a program in a namespace. It is killed when this process ends, and stopped
   * by {@link close}.
   */
  spawn(name: string, argv: readonly string[], options: ChildOptions = {}): Child {
    if (this.closing !== undefined)
      throw new Error('Expected an open laboratory but it is closed.');
    const bind = 'mount --bind "$0" /run/flowsieve && exec "$@"';
    const inside = ['sh', '-c', bind, this.runDirectory(name), ...argv];
    const child = new Child(
      `${name}: ${argv.slice(0, 3).join(' ')}`,
      ['setpriv', '--pdeathsig', 'KILL', 'ip', 'netns', 'exec', this.prefix + name, ...inside],
      options,
    );
    this.children.add(child);
    void child.ended.then(() => this.children.delete(child));
    return child;
  }

  /** Runs a program in a namespace to its end. */
  async run(name: string, argv: readonly string[], options: RunOptions = {}): Promise<Said> {
    const said = await finish(
      this.spawn(name, argv, options),
      options.deadlineMs ?? 10_000,
      options.input,
    );
    if (said.code !== 0 && options.mayFail !== true) {
      throw new Error(
        `Expected success of \`${argv.join(' ')}\` in ${name} but received code ${said.code}: ${said.stderr.trim()}`,
      );
    }
    return said;
  }

  /**
   * Kills every program and removes every namespace. Can be called any number of times. A node has
   * nothing to tidy up here: its interfaces and rules go with its namespace.
   */
  close(): Promise<void> {
    this.closing ??= this.tearDown();
    return this.closing;
  }

  private async tearDown(): Promise<void> {
    await Promise.all([...this.children].map((child) => child.stop('SIGKILL')));
    for (const name of this.names) {
      await finish(new Child('ip', ['ip', 'netns', 'del', this.prefix + name]), 5_000);
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  /** What is /run/flowsieve inside that namespace. */
  runDirectory(name: string): string {
    return join(this.directory, `${name}.run`);
  }

  private async outside(argv: readonly string[]): Promise<void> {
    const said = await finish(new Child(argv[0] ?? '', argv), 10_000);
    if (said.code !== 0) {
      throw new Error(
        `Expected success of \`${argv.join(' ')}\` but received: ${said.stderr.trim()}`,
      );
    }
  }
}

async function finish(child: Child, deadlineMs: number, input?: string): Promise<Said> {
  const timer = setTimeout(() => child.signal('SIGKILL'), deadlineMs);
  child.finishInput(input);
  const end = await child.ended;
  clearTimeout(timer);
  return {
    code: end.code ?? 128,
    stdout: child.stdout.join('\n'),
    stderr: child.stderr.join('\n'),
  };
}
