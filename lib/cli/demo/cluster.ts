// A laboratory wired as a cluster: a switch, nodes with a server each, and a client, by
// default in one segment.
//
//   client 192.0.2.200 ─────────────────┐
//   (or 198.51.100.200 ── router .254) ─┤ switch ├── node-1 192.0.2.1, node-2 192.0.2.2, …
//
// The cluster address is 192.0.2.100, and all is there in 2001:db8::/64 as well. Where a sync network
// is wanted, a second bridge of the switch joins the nodes' eth1 (203.0.113.1, .2, …). Whether
// flowsieve runs on the nodes or one node's kernel has the cluster address is the caller's choice.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../admin/index.js';
import type { Status } from '../../node/types.js';
import { type Child, until } from './child.js';
import { Driver } from './driver.js';
import type { Lab, RunOptions, Said } from './lab.js';

/** The address that the nodes share. */
export const CLUSTER_IPV4 = '192.0.2.100';
/** The IPv6 address that the nodes share. */
export const CLUSTER_IPV6 = '2001:db8::100';
/** The client's address, where no router is between. */
export const CLIENT_IPV4 = '192.0.2.200';
/** The client's IPv6 address, where no router is between. */
export const CLIENT_IPV6 = '2001:db8::200';
/** Where the servers listen. */
export const PORT = 8080;

const CLUSTER = 'lab';
// Given, so that buckets do not depend on the secret, which tests change under way.
const HASH_KEY = '000102030405060708090a0b0c0d0e0f';
const SECRET_FILE = 'secret';
const SECRET = 'of a laboratory that nobody else can reach';
// All nodes of a cluster, its servers and its clients share this machine's processors here. A node
// that waits for one behind the clients' program is as good as dead to the others; real nodes do not
// compete with their clients. Where the priority may not be raised, `nice` goes on without.
const AHEAD = ['nice', '-n', '-20'];
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
const SERVER = fileURLToPath(new URL('./server.js', import.meta.url));

/** What a caller can choose about the wiring. */
export interface ClusterOptions {
  readonly nodes?: number;
  /** The nodes speak to each other on a network of their own. */
  readonly syncNetwork?: boolean;
  /** A router between client and cluster whose client side has this MTU. */
  readonly routerMtu?: number;
}

/** One node: its namespace has its name. */
export interface ClusterNode {
  readonly name: string;
  readonly number: number;
  readonly configuration: string;
  /** Where the switch has its cables. */
  readonly ports: { readonly traffic: string; readonly sync: string | undefined };
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

  /** Writes every node's configuration file, and the secret that they share. */
  async configure(weights: readonly number[] = [], sections: Sections = {}): Promise<void> {
    this.sections = sections;
    await this.writeSecret(SECRET_FILE, SECRET);
    await this.writeConfigurations(weights);
  }

  /** Writes a secret beside the configurations; `secret: { file: NAME }` names it. */
  writeSecret(file: string, secret: string): Promise<void> {
    return writeFile(join(this.lab.directory, file), `${secret}\n`, { mode: 0o600 });
  }

  /** Starts `flowsieve run` on every node (or those named) and waits until each is ready. */
  async startDaemons(
    nodes: readonly ClusterNode[] = this.nodes,
    argv: readonly string[] = [],
  ): Promise<void> {
    await Promise.all(
      nodes.map(async (node) => {
        const run = flowsieve('run', '-c', node.configuration, ...argv);
        node.daemon = this.lab.spawn(node.name, [...AHEAD, ...run]);
        await node.daemon.line((line) => line === 'ready', 20_000);
      }),
    );
  }

  /** The nodes on which `flowsieve run` has been started and has not ended. */
  get running(): ClusterNode[] {
    return this.nodes.filter((node) => node.daemon?.running === true);
  }

  /**
   * Runs a command that asks the node (`drain`, `weight`, …) to its end; its configuration
   * is added.
   */
  command(node: ClusterNode, words: readonly string[], options: RunOptions = {}): Promise<Said> {
    const argv = flowsieve(...words, '-c', node.configuration);
    return this.lab.run(node.name, argv, { deadlineMs: 20_000, ...options });
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
    return this.admin(node).status();
  }

  /** Asks the node as the commands do. */
  admin(node: ClusterNode): AdminClient {
    const socket = join(this.lab.runDirectory(node.name), `${CLUSTER}.sock`);
    return new AdminClient({ cluster: CLUSTER, socket });
  }

  /** What every running node (or those named) says about itself. */
  statuses(nodes: readonly ClusterNode[] = this.running): Promise<Status[]> {
    return Promise.all(nodes.map((node) => this.status(node)));
  }

  /**
   * Waits until the running nodes (or those named) have one and the same epoch and members, and
   * `wanted` holds for each. A node that cannot be asked at the moment, or may not open
   * connections, does not agree.
   */
  agreed(
    what: string,
    wanted: (status: Status) => boolean,
    nodes: readonly ClusterNode[] = this.running,
    deadlineMs = 15_000,
  ): Promise<Status[]> {
    let last: readonly Status[] = [];
    const agreement = until(
      `${what} on every node`,
      async () => {
        const all = await this.statuses(nodes).catch(() => []);
        last = all;
        const views = new Set(
          all.map(({ epoch, members }) => {
            return JSON.stringify([
              epoch,
              members.map((one) => [one.name, one.state, one.buckets]),
            ]);
          }),
        );
        const able = all.every(({ state }) => state === 'member' || state === 'draining');
        return views.size === 1 && able && all.every(wanted) && all;
      },
      deadlineMs,
    );
    return agreement.catch((error: Error) => {
      throw new Error(`${error.message} ${last.map(describeStatus).join('; ')}`);
    });
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

  /** The Ethernet address that a node's packets come from. */
  async ethernetAddress(node: ClusterNode): Promise<string> {
    const said = await this.lab.run(node.name, ['ip', '-j', 'link', 'show', 'dev', 'eth0']);
    const [device] = JSON.parse(said.stdout) as { readonly address: string }[];
    if (!device) throw new Error(`Expected a device eth0 of ${node.name} but none is listed.`);
    return device.address;
  }

  private async makeSwitch(): Promise<void> {
    await this.lab.namespace('switch', ['net.ipv6.conf.all.disable_ipv6=1']);
    const bridges = this.options.syncNetwork === true ? ['br0', 'br1'] : ['br0'];
    await this.lab.ip(
      'switch',
      bridges.flatMap((bridge) => [
        `link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        `link set ${bridge} up`,
      ]),
    );
  }

  /**
   * Joins a namespace's device to the switch: to br0, where the traffic is, or to br1, the
   * sync network.
   */
  async plug(name: string, device: string, port: string, bridge = 'br0'): Promise<void> {
    await this.lab.link(name, device, 'switch', port);
    await this.lab.ip('switch', [`link set ${port} master ${bridge}`]);
  }

  private async addNode(number: number): Promise<void> {
    const name = `node-${number}`;
    const bound = ['net.ipv4.ip_nonlocal_bind=1', 'net.ipv6.ip_nonlocal_bind=1'];
    await this.lab.namespace(name, bound);
    const ports = { traffic: `port${number}`, sync: undefined as string | undefined };
    await this.plug(name, 'eth0', ports.traffic);
    if (this.options.syncNetwork === true) {
      ports.sync = `sync${number}`;
      await this.plug(name, 'eth1', ports.sync, 'br1');
      await this.lab.ip(name, [`address add ${syncAddress(number)}/24 dev eth1`]);
    }
    const routes =
      this.options.routerMtu === undefined
        ? []
        : ['route add default via 192.0.2.254', 'route add default via 2001:db8::254'];
    await this.lab.ip(name, [
      `address add 192.0.2.${number}/24 dev eth0`,
      `address add 2001:db8::${number}/64 dev eth0 nodad`,
      ...routes,
    ]);
    const configuration = join(this.lab.directory, `${name}.yaml`);
    this.nodes.push({ name, number, configuration, ports });
  }

  private async addClient(): Promise<void> {
    await this.lab.namespace('client');
    await this.plug('client', 'eth0', 'port0');
    await this.lab.ip('client', [
      `address add ${CLIENT_IPV4}/24 dev eth0`,
      `address add ${CLIENT_IPV6}/64 dev eth0 nodad`,
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
      const sync = this.options.syncNetwork === true ? { sync: syncAddress(number) } : {};
      return { name, address: `192.0.2.${number}`, weight: weights[i] ?? 1, ...sync };
    });
    for (const node of this.nodes) {
      const text = {
        cluster: CLUSTER,
        addresses: [CLUSTER_IPV4, CLUSTER_IPV6],
        node: node.name,
        nodes,
        interface: 'eth0',
        distribution: { key: HASH_KEY },
        secret: { file: SECRET_FILE },
        ...this.sections,
      };
      // JSON is YAML.
      await writeFile(node.configuration, `${JSON.stringify(text, null, 2)}\n`);
    }
  }
}

/** What a node says about the cluster, in one line. */
function describeStatus({ node, state, epoch, coordinator, members }: Status): string {
  const list = members.map((one) => `${one.name} ${one.state} ${one.buckets}`).join(', ');
  return `${node}: ${state}, epoch ${epoch}, coordinator ${coordinator}: ${list}`;
}

/** A node's address on the sync network. */
export function syncAddress(number: number): string {
  return `203.0.113.${number}`;
}

/** The argument vector of a flowsieve command. */
export function flowsieve(...words: readonly string[]): string[] {
  return [process.execPath, MAIN, ...words];
}
