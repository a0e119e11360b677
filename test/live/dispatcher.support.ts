// A laboratory with dispatchers before the nodes:
//
//   client ──────────────┐
//   d-1, d-2 ────────────┤ switch ├── n-1, n-2, … (near: by MAC)
//                        └── router ── f-1, f-2, … (far: encapsulated)
//
// The nodes have the cluster addresses on their loopback and know nothing of flowsieve. Far ones take
// packets out of their tunnels by tools/decapsulate.py, a second implementation, as not every kernel
// has tunnel devices.
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../lib/admin/index.js';
import { type Child, until } from '../../lib/cli/demo/child.js';
import { CLUSTER_IPV4, CLUSTER_IPV6, flowsieve, PORT } from '../../lib/cli/demo/cluster.js';
import { Driver } from '../../lib/cli/demo/driver.js';
import { Lab, type Said } from '../../lib/cli/demo/lab.js';
import type { DispatchNodeStatus, DispatchStatus } from '../../lib/dispatch/index.js';
import type { ClusterStatus, Status } from '../../lib/node/types.js';

const SERVER = fileURLToPath(new URL('../../lib/cli/demo/server.js', import.meta.url));
const DECAPSULATE = fileURLToPath(
  new URL('../../../test/live/tools/decapsulate.py', import.meta.url),
);
const AHEAD = ['nice', '-n', '-20'];
const CLUSTER = 'lab';
const GUE_PORT = 6080;

/** What a laboratory is made with. */
export interface DispatcherOptions {
  readonly dispatchers?: 1 | 2;
  readonly near?: number;
  readonly far?: number;
  /** Of the far ones' own addresses, which are the outer ones. */
  readonly outer?: 4 | 6;
  readonly dispatcher?: Readonly<Record<string, unknown>>;
  readonly health?: Readonly<Record<string, unknown>>;
}

/** Where files stand whose absence fails a node's health check (`command`). */
export function healthFile(lab: Lab, node: string): string {
  return join(lab.directory, 'healthy', node);
}

export class DispatcherLab {
  readonly nodes: string[] = [];
  readonly daemons = new Map<string, Child>();
  private readonly receivers = new Map<string, Child>();

  private constructor(
    readonly lab: Lab,
    private readonly options: DispatcherOptions,
  ) {}

  static async open(options: DispatcherOptions): Promise<DispatcherLab> {
    const made = new DispatcherLab(await Lab.open(), options);
    await made.wire();
    await made.startServers();
    for (const name of made.dispatchers) await made.configure(name);
    for (const name of made.dispatchers) await made.start(name);
    return made;
  }

  get dispatchers(): string[] {
    return ['d-1', 'd-2'].slice(0, this.options.dispatchers ?? 1);
  }

  client(): Driver {
    return new Driver(this.lab, 'client', PORT);
  }

  async start(name: string): Promise<void> {
    const run = flowsieve('run', '-c', this.configuration(name));
    const daemon = this.lab.spawn(name, [...AHEAD, ...run]);
    this.daemons.set(name, daemon);
    await daemon.line((line) => line === 'ready', 30_000);
  }

  /** Ends one without a warning. */
  async kill(name: string): Promise<void> {
    await this.daemons.get(name)?.stop('SIGKILL');
  }

  async status(name = 'd-1'): Promise<Status & Partial<ClusterStatus>> {
    const socket = join(this.lab.runDirectory(name), `${CLUSTER}.sock`);
    return new AdminClient({ cluster: CLUSTER, socket }).status();
  }

  async dispatch(name = 'd-1'): Promise<DispatchStatus> {
    const { dispatcher } = await this.status(name);
    assert.ok(dispatcher, `${name} is a dispatcher`);
    return dispatcher;
  }

  async node(node: string, dispatcher = 'd-1'): Promise<DispatchNodeStatus> {
    const found = (await this.dispatch(dispatcher)).nodes.find(({ name }) => name === node);
    assert.ok(found, `${dispatcher} knows ${node}`);
    return found;
  }

  /** Waits until the dispatcher sees `wanted` of the node. */
  async until(
    what: string,
    node: string,
    wanted: (status: DispatchNodeStatus) => boolean,
    dispatcher = 'd-1',
  ): Promise<void> {
    await until(what, async () => wanted(await this.node(node, dispatcher)), 10_000);
  }

  command(name: string, words: readonly string[]): Promise<Said> {
    const argv = flowsieve(...words, '-c', this.configuration(name));
    return this.lab.run(name, argv, { deadlineMs: 30_000 });
  }

  /** `flowsieve receiver` on a node. */
  receiver(node: string): Promise<Said> {
    const argv = flowsieve('receiver', this.configuration('d-1'), node);
    return this.lab.run(node, argv, { deadlineMs: 30_000, mayFail: true });
  }

  async setHealthy(node: string, healthy: boolean): Promise<void> {
    const file = healthFile(this.lab, node);
    if (healthy) await writeFile(file, '');
    else await rm(file, { force: true });
  }

  /** What a far node's receiver has counted; it is ended by that. */
  async received(node: string): Promise<Record<string, number>> {
    const receiver = this.receivers.get(node);
    assert.ok(receiver?.running, `${node} receives: ${receiver?.stderr.slice(-4).join(' | ')}`);
    await receiver.stop('SIGTERM');
    return JSON.parse(receiver.stdout.at(-1) ?? '{}') as Record<string, number>;
  }

  printLogs(): void {
    for (const [name, daemon] of [...this.daemons, ...this.receivers]) {
      for (const line of daemon.stderr.slice(-15)) console.log(`        ${name}: ${line}`);
    }
  }

  close(): Promise<void> {
    return this.lab.close();
  }

  private configuration(name: string): string {
    return join(this.lab.directory, `${name}.yaml`);
  }

  private addressOf(node: string): string {
    const number = node.slice(2);
    if (node.startsWith('n-')) return `192.0.2.${number}`;
    return this.options.outer === 6 ? `2001:db8:1::${number}` : `198.51.100.${number}`;
  }

  private async configure(name: string): Promise<void> {
    await writeFile(join(this.lab.directory, 'secret'), 'of a laboratory of dispatchers\n', {
      mode: 0o600,
    });
    const pair = this.dispatchers.length === 2;
    const elements = this.dispatchers.map((each) => ({
      name: each,
      address: `192.0.2.1${each.slice(2)}`,
    }));
    const text = {
      cluster: CLUSTER,
      addresses: [CLUSTER_IPV4, CLUSTER_IPV6],
      node: name,
      nodes: this.nodes.map((node) => ({ name: node, address: this.addressOf(node) })),
      interface: 'eth0',
      topology: 'dispatcher',
      dispatcher: { ...this.options.dispatcher, elements },
      health: this.options.health ?? { type: 'none' },
      distribution: { key: '000102030405060708090a0b0c0d0e0f' },
      secret: { file: 'secret' },
      ...(pair ? { quorum: 'paths' } : {}),
    };
    await writeFile(this.configuration(name), JSON.stringify(text, null, 2));
  }

  private async plug(name: string, device: string, port: string, bridge: string): Promise<void> {
    await this.lab.link(name, device, 'switch', port);
    await this.lab.ip('switch', [`link set ${port} master ${bridge}`]);
  }

  private async wire(): Promise<void> {
    const { lab } = this;
    await mkdir(join(lab.directory, 'healthy'));
    await lab.namespace('switch', ['net.ipv6.conf.all.disable_ipv6=1']);
    await lab.ip(
      'switch',
      ['br0', 'br1'].flatMap((bridge) => [
        `link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        `link set ${bridge} up`,
      ]),
    );
    await lab.namespace('router', [
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
    ]);
    await this.plug('router', 'eth0', 'r0', 'br0');
    await this.plug('router', 'eth1', 'r1', 'br1');
    await lab.ip('router', [
      'address add 192.0.2.254/24 dev eth0',
      'address add 2001:db8::254/64 dev eth0 nodad',
      'address add 198.51.100.254/24 dev eth1',
      'address add 2001:db8:1::254/64 dev eth1 nodad',
    ]);
    await lab.namespace('client');
    await this.plug('client', 'eth0', 'c0', 'br0');
    await this.addNear('client', 200);
    for (const name of this.dispatchers) {
      await lab.namespace(name);
      await this.plug(name, 'eth0', `p${name.slice(2)}`, 'br0');
      await this.addNear(name, 10 + Number(name.slice(2)));
      // A veth carries partial checksums as they are, a network card completes them. What reads the
      // packets here is no kernel: the bytes must be those of a wire.
      if (this.options.far) await lab.run(name, ['ethtool', '-K', 'eth0', 'tx', 'off']);
    }
    for (let i = 1; i <= (this.options.near ?? 0); i += 1) await this.addNode(`n-${i}`, i);
    for (let i = 1; i <= (this.options.far ?? 0); i += 1) await this.addNode(`f-${i}`, i);
  }

  private async addNear(name: string, number: number): Promise<void> {
    await this.lab.ip(name, [
      `address add 192.0.2.${number}/24 dev eth0`,
      `address add 2001:db8::${number}/64 dev eth0 nodad`,
      'route add default via 192.0.2.254',
      'route add default via 2001:db8::254',
    ]);
  }

  /** What docs/guide/operating.md tells to do on a node. */
  private async addNode(name: string, number: number): Promise<void> {
    const { lab } = this;
    const far = name.startsWith('f-');
    await lab.namespace(name, [
      'net.ipv4.conf.all.arp_ignore=1',
      'net.ipv4.conf.all.arp_announce=2',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
    ]);
    await this.plug(name, 'eth0', name, far ? 'br1' : 'br0');
    if (far) {
      await lab.ip(name, [
        `address add 198.51.100.${number}/24 dev eth0`,
        `address add 2001:db8:1::${number}/64 dev eth0 nodad`,
        'route add default via 198.51.100.254',
        'route add default via 2001:db8:1::254',
      ]);
    } else {
      await this.addNear(name, number);
    }
    await lab.ip(name, [
      `address add ${CLUSTER_IPV4}/32 dev lo`,
      `address add ${CLUSTER_IPV6}/128 dev lo nodad`,
    ]);
    this.nodes.push(name);
    await this.setHealthy(name, true);
    if (!far) return;
    const receiver = lab.spawn(name, ['python3', DECAPSULATE, 'tunnel', String(GUE_PORT)]);
    await receiver.line((line) => line === 'ready');
    await lab.ip(name, ['link set tunnel up']);
    this.receivers.set(name, receiver);
  }

  private async startServers(): Promise<void> {
    for (const name of this.nodes) {
      const udp = [CLUSTER_IPV4, CLUSTER_IPV6].flatMap((address) => ['--udp', address]);
      const argv = [process.execPath, SERVER, '--name', name, '--port', String(PORT), ...udp];
      await this.lab.spawn(name, argv).line((line) => line === 'listening');
    }
  }
}

/** A laboratory for the tests of the surrounding describe block. */
export function dispatcherLab(options: DispatcherOptions): () => DispatcherLab {
  let made: DispatcherLab | undefined;
  before(async function () {
    this.timeout(90_000);
    made = await DispatcherLab.open(options);
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') made?.printLogs();
  });
  after(async function () {
    this.timeout(20_000);
    await made?.close();
  });
  return (): DispatcherLab => {
    assert.ok(made, 'the laboratory stands');
    return made;
  };
}
