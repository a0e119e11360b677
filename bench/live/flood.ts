// A node that none of the packets belongs to, alone on the switch with the client; and what a flood
// of packets costs there.
//
// A node's softirqs are charged to no process of its own (cpu.ts), so a cost is a difference: the
// CPU time of the sending process, of ksoftirqd and of the node's processes, over the same packets
// at the same pace, once with the node's cable in the switch and once without. What is left is the
// switch's copy to that cable, the cable, and all that the node does with the packet. Other
// processes of the machine are not in it, and those of the node are for what they do anyway.
//
// The owners' cables are pulled for the whole time: with them in, their work would be in both terms
// and its noise in the difference. flowsieve's nodes go on agreeing over their sync network.
import { CLUSTER_IPV4, type ClusterNode } from '../../lib/cli/demo/cluster.js';
import { hearAtMulticast } from './cluster-match.js';
import { cpuNs, sleeps, softirqThreads } from './cpu.js';
import { ask, command } from './programs.js';
import { isOurs, request, SOURCES, type Subject } from './subjects.js';

/** Nothing listens there; frames of this payload have 60 bytes, 64 with the check sequence. */
export const DISCARD = 9;
const PAYLOAD_BYTES = 18;
const FLOWS = 64;
/** In which a node or a reader comes to the end of what it was sent. */
const SETTLE_MS = 300;
const [SOURCE = ''] = SOURCES;

/** Packets at a pace; 0: as fast as one thread sends. */
export interface Pace {
  readonly packets: number;
  readonly rate: number;
}

/** What one flood took, nanoseconds of CPU time. */
export interface Flood {
  readonly sent: number;
  /** How long CPU time was counted: the flood, and what it takes to read the rest of it. */
  readonly seconds: number;
  /** Of the processes that were named. */
  readonly processesNs: number;
  /** Of these, the sender and ksoftirqd. */
  readonly allNs: number;
  /** How often threads of the named processes were woken. */
  readonly wakes: number;
}

/** What `udp_flood` prints. */
interface Sent {
  readonly sent: number;
  readonly cpuNs: number;
}

/** A foreign node, and the subject that it is of. */
export class Foreign {
  private constructor(
    readonly subject: Subject,
    readonly node: ClusterNode,
  ) {}

  /** Finds a node that the packets do not belong to, and pulls the others' cables. */
  static async of(subject: Subject): Promise<Foreign> {
    const { cluster } = subject;
    const sources = [SOURCE];
    const order = { connections: 1, each: 'connection', seconds: 0.2, sources } as const;
    const { nodes } = await request(subject, order);
    // Without a cluster, node-1 has everything. flowsieve spreads by more than the source, so that
    // the node that run.ts gives no weight is foreign there.
    const node = cluster.nodes.find(({ name }) => nodes[name] === undefined);
    if (node === undefined) throw new Error('Expected a node without packets but all had some.');
    if (isOurs(subject)) await Foreign.pinNeighbour(subject);
    else await hearAtMulticast(cluster);
    const foreign = new Foreign(subject, node);
    for (const { ports } of cluster.nodes) await foreign.plug(ports.traffic, false);
    // The first packets of a flow are dearer than the others, whoever decides.
    await foreign.flood({ packets: 4 * FLOWS * 8, rate: 20_000 }, true);
    return foreign;
  }

  /** Nobody may answer ARP any more: the client keeps what it knows. */
  private static async pinNeighbour({ cluster: { lab } }: Subject): Promise<void> {
    const { stdout } = await lab.run('client', ['ip', 'neigh', 'show', 'to', CLUSTER_IPV4]);
    const mac = /lladdr (\S+)/.exec(stdout)?.[1] ?? '';
    const neighbour = `${CLUSTER_IPV4} lladdr ${mac} dev eth0 nud permanent`;
    await lab.ip('client', [`neigh replace ${neighbour}`]);
  }

  /** Sends the packets with the node's cable in the switch or not. */
  async flood({ packets, rate }: Pace, plugged: boolean, pids = this.pids): Promise<Flood> {
    const { lab } = this.subject.cluster;
    await this.plug(this.node.ports.traffic, plugged);
    const softirq = softirqThreads();
    const before = {
      received: await this.received(),
      processes: cpuNs(pids),
      wakes: sleeps(pids),
      softirq: cpuNs(softirq),
    };
    const begin = performance.now();
    const options = { to: CLUSTER_IPV4, port: DISCARD, from: SOURCE, flows: FLOWS };
    const pace = { count: packets, rate, bytes: PAYLOAD_BYTES };
    const argv = command('udp_flood', { ...options, ...pace });
    const flood = await ask<Sent>(lab, 'client', argv);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const seconds = (performance.now() - begin) / 1e3;
    const processesNs = cpuNs(pids) - before.processes;
    const softirqNs = cpuNs(softirq) - before.softirq;
    const wakes = sleeps(pids) - before.wakes;
    const received = (await this.received()) - before.received;
    if (plugged && rate > 0 && received < flood.sent * 0.99) {
      throw new Error(`Expected ${flood.sent} packets at the node but received ${received}.`);
    }
    const allNs = processesNs + softirqNs + flood.cpuNs;
    return { sent: flood.sent, seconds, processesNs, allNs, wakes };
  }

  /** The node's daemon, if it has one. */
  get pids(): number[] {
    return this.node.daemon === undefined ? [] : [this.node.daemon.pid];
  }

  private async plug(port: string, plugged: boolean): Promise<void> {
    const master = plugged ? 'master br0' : 'nomaster';
    await this.subject.cluster.lab.ip('switch', [`link set ${port} ${master}`]);
  }

  /** Frames that the node's interface has received. */
  private async received(): Promise<number> {
    const file = '/sys/class/net/eth0/statistics/rx_packets';
    const { stdout } = await this.subject.cluster.lab.run(this.node.name, ['cat', file]);
    return Number(stdout);
  }
}
