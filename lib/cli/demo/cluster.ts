// A laboratory wired as a cluster: a switch, nodes with a server each, and a client, by
// default in one segment.
//
//   client 192.0.2.200 ─────────────────┐
//   (or 198.51.100.200 ── router .254) ─┤ switch ├── node-1 192.0.2.1, node-2 192.0.2.2, …
//
// The cluster address is 192.0.2.100, and all is there in 2001:db8::/64 as well. Whether flowsieve
// runs on the nodes or one node's kernel has the cluster address is the caller's choice.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../admin/index.js';
import type { Status } from '../../node/types.js';
import { type Child, until } from './child.js';
import { Driver } from './driver.js';
import type { Lab } from './lab.js';

/** The address that the nodes share. */
export const CLUSTER_IPV4 = '192.0.2.100';
/** The IPv6 address that the nodes share. */
export const CLUSTER_IPV6 = '2001:db8::100';
/** Where the servers listen. */
export const PORT = 8080;

const CLUSTER = 'lab';
// Given, so that no secret is needed; nobody outside aims at a node here.
const HASH_KEY = '000102030405060708090a0b0c0d0e0f';
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
const SERVER = fileURLToPath(new URL('./server.js', import.meta.url));

/** What a caller can choose about the wiring. */
export interface ClusterOptions {
  readonly nodes?: number;
  /** A router between client and cluster whose client side has this MTU. */
  readonly routerMtu?: number;
}

/** One node: its namespace has its name. */
export interface ClusterNode {
  readonly name: string;
  readonly number: number;
  readonly configuration: string;
  daemon?: Child;
  server?: Child;
}

/** Sections to set beside or instead of those of {@link Cluster.configure}. */
export type Sections = Readonly<Record<string, unknown>>;

/** See the drawing above. */
export class Cluster {
  readonly nodes: ClusterNode[] = [];
  private sections: Sections = {};

  private constructor(
    readonly lab: Lab,
    private readonly options: ClusterOptions,
  ) {}

  /** Makes the namespaces and joins them; everything can be reached when this resolves. */
  static async wire(lab: Lab, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(lab, options);
    await cluster.makeSwitch();
    for (let number = 1; number <= (options.nodes ?? 3); number += 1) await cluster.addNode(number);
    if (options.routerMtu === undefined) await cluster.addClient();
    else await cluster.addClientBehindRouter(options.routerMtu);
    return cluster;
  }

  /** Starts the small server of every node, and waits until each listens. */
  async startServers(): Promise<void> {
    await Promise.all(
      this.nodes.map(async (node) => {
        const addresses = [CLUSTER_IPV4, CLUSTER_IPV6].flatMap((address) => ['--udp', address]);
        const argv = [process.execPath, SERVER, '--name', node.name, '--port', String(PORT)];
        node.server = this.lab.spawn(node.name, [...argv, ...addresses]);
        await node.server.line((line) => line === 'listening');
      }),
    );
  }

  /** Writes every node's configuration file. */
  async configure(weights: readonly number[] = [], sections: Sections = {}): Promise<void> {
    this.sections = sections;
    await this.writeConfigurations(weights);
  }

  /** Starts `flowsieve run` on every node (or those named) and waits until each is ready. */
  async startDaemons(
    nodes: readonly ClusterNode[] = this.nodes,
    argv: readonly string[] = [],
  ): Promise<void> {
    await Promise.all(
      nodes.map(async (node) => {
        node.daemon = this.lab.spawn(
          node.name,
          flowsieve('run', '-c', node.configuration, ...argv),
        );
        await node.daemon.line((line) => line === 'ready', 20_000);
      }),
    );
  }

  /** Ends `flowsieve run` on every node (or those named). */
  async stopDaemons(
    nodes: readonly ClusterNode[] = this.nodes,
    signal: NodeJS.Signals = 'SIGINT',
  ): Promise<void> {
    await Promise.all(nodes.map((node) => node.daemon?.stop(signal, 5_000)));
  }

  /**
   * What the node says about itself: what `flowsieve status --json` prints, without starting a
   * program each time.
   */
  status(node: ClusterNode): Promise<Status> {
    const socket = join(this.lab.runDirectory(node.name), `${CLUSTER}.sock`);
    return new AdminClient({ cluster: CLUSTER, socket }).status();
  }

  /** What every node says about itself. */
  statuses(): Promise<Status[]> {
    return Promise.all(this.nodes.map((node) => this.status(node)));
  }

  /**
   * Counters come up by copying, a moment after the packets: reads them until two readings agree on
   * what entered a table. What open connections go on saying does not matter here.
   */
  quiet(): Promise<Status[]> {
    let last = '';
    return until('counters at rest', async () => {
      const all = await this.statuses();
      const now = JSON.stringify(
        all.map(({ classes }) => [classes['1'], classes['3'], classes['5'], classes['6']]),
      );
      const same = now === last;
      last = now;
      return same && all;
    });
  }

  /**
   * Rewrites the configuration files with these weights and signals every node; does
   * not wait for them.
   */
  async reweigh(weights: readonly number[]): Promise<void> {
    await this.writeConfigurations(weights);
    for (const node of this.nodes) node.daemon?.signal('SIGHUP');
  }

  /** Waits until every node works with these weights. */
  async settled(weights: readonly number[]): Promise<Status[]> {
    return until(`allocation by weights ${weights.join(':')} on every node`, async () => {
      const all = await this.statuses();
      const agree = all.every((status) => {
        const members = status.members.map((member) => member.weight);
        return members.join() === weights.join();
      });
      const plans = new Set(
        all.map((status) => JSON.stringify(status.members.map((one) => one.buckets))),
      );
      return agree && plans.size === 1 && all;
    });
  }

  /** A traffic program in the client's namespace. */
  traffic(): Driver {
    return new Driver(this.lab, 'client', PORT);
  }

  /**
   * Gives the cluster address to one node's kernel instead of flowsieve: the plain case that others
   * are compared with.
   */
  async giveToKernel(node: ClusterNode): Promise<void> {
    await this.lab.ip(node.name, [
      `address add ${CLUSTER_IPV4}/32 dev eth0`,
      `address add ${CLUSTER_IPV6}/128 dev eth0 nodad`,
    ]);
  }

  /** Takes the cluster address from the node's kernel again. */
  async takeFromKernel(node: ClusterNode): Promise<void> {
    await this.lab.ip(node.name, [
      `address del ${CLUSTER_IPV4}/32 dev eth0`,
      `address del ${CLUSTER_IPV6}/128 dev eth0`,
    ]);
    await this.lab.ip('client', ['neigh flush all']);
  }

  private async makeSwitch(): Promise<void> {
    await this.lab.namespace('switch', ['net.ipv6.conf.all.disable_ipv6=1']);
    await this.lab.ip('switch', [
      'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link set br0 up',
    ]);
  }

  private async plug(name: string, device: string, port: string): Promise<void> {
    await this.lab.link(name, device, 'switch', port);
    await this.lab.ip('switch', [`link set ${port} master br0`]);
  }

  private async addNode(number: number): Promise<void> {
    const name = `node-${number}`;
    const bound = ['net.ipv4.ip_nonlocal_bind=1', 'net.ipv6.ip_nonlocal_bind=1'];
    await this.lab.namespace(name, bound);
    await this.plug(name, 'eth0', `port${number}`);
    const routes =
      this.options.routerMtu === undefined
        ? []
        : ['route add default via 192.0.2.254', 'route add default via 2001:db8::254'];
    await this.lab.ip(name, [
      `address add 192.0.2.${number}/24 dev eth0`,
      `address add 2001:db8::${number}/64 dev eth0 nodad`,
      ...routes,
    ]);
    this.nodes.push({ name, number, configuration: join(this.lab.directory, `${name}.yaml`) });
  }

  private async addClient(): Promise<void> {
    await this.lab.namespace('client');
    await this.plug('client', 'eth0', 'port0');
    await this.lab.ip('client', [
      'address add 192.0.2.200/24 dev eth0',
      'address add 2001:db8::200/64 dev eth0 nodad',
    ]);
  }

  private async addClientBehindRouter(mtu: number): Promise<void> {
    await this.lab.namespace('router', ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    await this.lab.namespace('client');
    await this.plug('router', 'eth0', 'port0');
    await this.lab.link('client', 'eth0', 'router', 'eth1');
    await this.lab.ip('router', [
      'address add 192.0.2.254/24 dev eth0',
      'address add 2001:db8::254/64 dev eth0 nodad',
      'address add 198.51.100.254/24 dev eth1',
      'address add 2001:db8:1::254/64 dev eth1 nodad',
      `link set eth1 mtu ${mtu}`,
    ]);
    // The client's own MTU stays larger: only the router knows of the narrow place.
    await this.lab.ip('client', [
      'address add 198.51.100.200/24 dev eth0',
      'address add 2001:db8:1::200/64 dev eth0 nodad',
      'route add default via 198.51.100.254',
      'route add default via 2001:db8:1::254',
    ]);
  }

  private async writeConfigurations(weights: readonly number[]): Promise<void> {
    const nodes = this.nodes.map(({ name, number }, i) => {
      return { name, address: `192.0.2.${number}`, weight: weights[i] ?? 1 };
    });
    for (const node of this.nodes) {
      const text = {
        cluster: CLUSTER,
        addresses: [CLUSTER_IPV4, CLUSTER_IPV6],
        node: node.name,
        nodes,
        interface: 'eth0',
        distribution: { key: HASH_KEY },
        ...this.sections,
      };
      // JSON is YAML.
      await writeFile(node.configuration, `${JSON.stringify(text, null, 2)}\n`);
    }
  }
}

/** The argument vector of a flowsieve command. */
export function flowsieve(...words: readonly string[]): string[] {
  return [process.execPath, MAIN, ...words];
}
