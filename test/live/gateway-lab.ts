// A laboratory of gateways: networks, clusters of nodes that stand between two of them, and hosts.
//
//   client 10.1.0.200 ── network 1 ──┬ eth0  a-1  eth1 ┬── network 2 ── server 10.2.0.200
//                        10.1.0.0/24 ├ eth0  a-2  eth1 ┤   10.2.0.0/24
//                                    └ eth0  a-3  eth1 ┘
//
// Each network is a bridge in the namespace `switch`, which floods whatever has no known place. On
// network N a cluster of number C has the address 10.N.0.10C (all is there in 2001:db8:N::/64 as
// well), its node i 10.N.0.C0i, and a host 10.N.0.200. A host's way to everywhere else is a cluster.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../lib/admin/index.js';
import { type Child, until } from '../../lib/cli/demo/child.js';
import { flowsieve, PORT } from '../../lib/cli/demo/cluster.js';
import { Driver } from '../../lib/cli/demo/driver.js';
import type { Lab } from '../../lib/cli/demo/lab.js';
import type { Status } from '../../lib/node/types.js';

const SERVER = fileURLToPath(new URL('../../lib/cli/demo/server.js', import.meta.url));
const AHEAD = ['nice', '-n', '-20'];
/** What a node needs to be nothing but what flowsieve makes of it. */
const NO_FORWARDING = ['net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0'];

/** Both families, by the number of a network and of what is on it. */
export const FAMILIES = [
  { family: 'IPv4', at: (network: number, host: number) => `10.${network}.0.${host}`, bits: 24 },
  {
    family: 'IPv6',
    at: (network: number, host: number) => `2001:db8:${network}::${host}`,
    bits: 64,
  },
] as const;

/** The number of every host on its network. */
export const HOST = 200;
/** The number of a cluster on each of its networks. */
export function clusterNumber(cluster: GatewayOptions): number {
  return 100 + cluster.number;
}

/** What a cluster of gateways is made of. */
export interface GatewayOptions {
  readonly name: string;
  readonly number: number;
  readonly nodes: number;
  /** The two networks between which it stands. */
  readonly networks: readonly [number, number];
  readonly sections?: Readonly<Record<string, unknown>>;
}

/** One node: its namespace has its name. */
export interface GatewayNode {
  readonly name: string;
  readonly number: number;
  readonly configuration: string;
  daemon?: Child;
}

/** A cluster of gateways and its nodes. */
export class GatewayCluster {
  readonly nodes: GatewayNode[] = [];

  private constructor(
    readonly lab: Lab,
    readonly options: GatewayOptions,
  ) {}

  /** Wires the nodes to both networks, and writes their configurations. */
  static async wire(lab: Lab, options: GatewayOptions): Promise<GatewayCluster> {
    const cluster = new GatewayCluster(lab, options);
    const numbers = Array.from({ length: options.nodes }, (_, index) => index + 1);
    await Promise.all(numbers.map((number) => cluster.addNode(number)));
    cluster.nodes.sort((one, other) => one.number - other.number);
    await cluster.configure();
    return cluster;
  }

  /** The number of a node on each of the networks. */
  nodeNumber({ number }: GatewayNode): number {
    return 10 * this.options.number + number;
  }

  /** Starts `flowsieve run` on these nodes and waits until all are members. */
  async start(nodes: readonly GatewayNode[] = this.nodes): Promise<void> {
    await Promise.all(
      nodes.map(async (node) => {
        const run = [...AHEAD, ...flowsieve('run', '-c', node.configuration)];
        node.daemon = this.lab.spawn(node.name, run);
        await node.daemon.line((line) => line === 'ready', 20_000);
      }),
    );
    await this.agreed((status) => status.members.every(({ buckets }) => buckets > 0));
  }

  /** Runs `flowsieve WORDS` on a node to its end. */
  async command(node: GatewayNode, ...words: string[]): Promise<void> {
    const argv = flowsieve(...words, '-c', node.configuration);
    await this.lab.run(node.name, argv, { deadlineMs: 20_000 });
  }

  get running(): GatewayNode[] {
    return this.nodes.filter(({ daemon }) => daemon?.running === true);
  }

  status(node: GatewayNode): Promise<Status> {
    const { name } = this.options;
    const socket = join(this.lab.runDirectory(node.name), `${name}.sock`);
    return new AdminClient({ cluster: name, socket }).status();
  }

  statuses(nodes: readonly GatewayNode[] = this.running): Promise<Status[]> {
    return Promise.all(nodes.map((node) => this.status(node)));
  }

  /** Waits until the running nodes (or those named) have one view, of which `wanted` holds. */
  agreed(
    wanted: (status: Status) => boolean,
    nodes: readonly GatewayNode[] = this.running,
  ): Promise<Status[]> {
    return until(
      `agreement of ${this.options.name}`,
      async () => {
        const all = await this.statuses(nodes).catch(() => []);
        const views = new Set(all.map(({ epoch, members }) => `${epoch} ${members.length}`));
        const able = all.every(({ state }) => state === 'member' || state === 'draining');
        return all.length > 0 && views.size === 1 && able && all.every(wanted) && all;
      },
      15_000,
    );
  }

  /** Replaces the nodes' nftables rules besides flowsieve's own; `rules` of each node. */
  async rules(rules: (node: GatewayNode) => readonly string[]): Promise<void> {
    for (const node of this.nodes) {
      const input = ['table inet lab {}', 'delete table inet lab', ...rules(node), ''].join('\n');
      await this.lab.run(node.name, ['nft', '-f', '-'], { input });
    }
  }

  /** Shows the end of each node's log. */
  printLogs(): void {
    for (const { name, daemon } of this.nodes) {
      for (const line of (daemon?.stderr ?? []).slice(-20)) console.log(`        ${name}: ${line}`);
    }
  }

  private async addNode(number: number): Promise<void> {
    const name = `${this.options.name}-${number}`;
    const configuration = join(this.lab.directory, `${name}.yaml`);
    const node: GatewayNode = { name, number, configuration };
    this.nodes.push(node);
    await this.lab.namespace(name, NO_FORWARDING);
    for (const [index, network] of this.options.networks.entries()) {
      await plug(this.lab, name, `eth${index}`, network, this.nodeNumber(node));
    }
  }

  private async configure(): Promise<void> {
    const { name, networks, sections = {} } = this.options;
    const secret = join(this.lab.directory, `${name}.secret`);
    await writeFile(secret, 'of gateways that nobody else can reach\n', { mode: 0o600 });
    const number = clusterNumber(this.options);
    const interfaces = networks.map((network, index) => {
      return { name: `eth${index}`, addresses: FAMILIES.map(({ at }) => at(network, number)) };
    });
    const nodes = this.nodes.map((node) => {
      const own = networks.flatMap((network) =>
        FAMILIES.map(({ at }) => at(network, this.nodeNumber(node))),
      );
      const [address, ...addresses] = own;
      return { name: node.name, address, addresses, ports: portsOf(node) };
    });
    for (const node of this.nodes) {
      const text = {
        cluster: name,
        role: 'gateway',
        link: 'unicast',
        node: node.name,
        nodes,
        interfaces,
        secret: { file: secret },
        ...sections,
      };
      await writeFile(node.configuration, `${JSON.stringify(text, null, 2)}\n`);
    }
  }
}

/** The ports of the cluster addresses that are one node's. */
export function portsOf({ number }: GatewayNode): string {
  return `${number}0000-${number}4999`;
}

/** Makes the networks of these numbers. */
export async function makeNetworks(lab: Lab, numbers: readonly number[]): Promise<void> {
  await lab.namespace('switch', ['net.ipv6.conf.all.disable_ipv6=1']);
  await lab.ip(
    'switch',
    numbers.flatMap((number) => [
      `link add br${number} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `link set br${number} up`,
    ]),
  );
}

async function plug(lab: Lab, name: string, device: string, network: number, host: number) {
  const port = `p-${name}-${device.at(-1)}`;
  await lab.link(name, device, 'switch', port);
  await lab.ip('switch', [`link set ${port} master br${network}`]);
  const addresses = FAMILIES.map(({ at, bits }) => {
    return `address add ${at(network, host)}/${bits} dev ${device}${bits === 64 ? ' nodad' : ''}`;
  });
  await lab.ip(name, addresses);
}

/** A host with a server on it. */
export class GatewayHost {
  private constructor(
    private readonly lab: Lab,
    readonly name: string,
    readonly network: number,
  ) {}

  static async plugIn(lab: Lab, name: string, network: number): Promise<GatewayHost> {
    await lab.namespace(name);
    await plug(lab, name, 'eth0', network, HOST);
    const host = new GatewayHost(lab, name, network);
    await host.serve();
    return host;
  }

  /** Its address of a family. */
  address({ at }: (typeof FAMILIES)[number]): string {
    return at(this.network, HOST);
  }

  /** A traffic program on this host, for the server of another one. */
  traffic(): Driver {
    return new Driver(this.lab, this.name, PORT);
  }

  /** Pings `address`; how many answers came, and how many of them twice. */
  async ping(address: string, count = 5): Promise<{ received: number; twice: number }> {
    const argv = ['ping', '-n', '-i', '0.05', '-c', String(count), '-W', '2', address];
    const { stdout } = await this.lab.run(this.name, argv, { mayFail: true });
    const received = Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
    return { received, twice: (stdout.match(/DUP!/g) ?? []).length };
  }

  private async serve(): Promise<void> {
    const udp = FAMILIES.flatMap((family) => ['--udp', this.address(family)]);
    const argv = [process.execPath, SERVER, '--name', this.name, '--port', String(PORT), ...udp];
    const server = this.lab.spawn(this.name, argv);
    await server.line((line) => line === 'listening');
  }
}

/** Sends what a host or node has for `network` by way of a cluster, which is on `by`. */
export async function route(
  lab: Lab,
  name: string,
  network: number | 'default',
  by: number,
  cluster: GatewayOptions,
): Promise<void> {
  await lab.ip(
    name,
    FAMILIES.map(({ at, bits }) => {
      const to = network === 'default' ? network : `${at(network, 0)}/${bits}`;
      return `route add ${to} via ${at(by, clusterNumber(cluster))}`;
    }),
  );
}

/** What a counter of every running node has come to. */
export async function counted(cluster: GatewayCluster, counter: string): Promise<number[]> {
  const statuses = await cluster.statuses();
  return statuses.map(({ counters }) => {
    const value = counters[counter];
    assert.ok(value !== undefined, `there is a counter ${counter}`);
    return value;
  });
}
