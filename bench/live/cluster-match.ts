// The Linux kernel's own way: every node has the cluster address, all get every packet at a multicast
// MAC address, and a rule on each takes the connections whose source address hashes to this node
// (`cluster` in iptables-extensions(8), whose script this is). Connection tracking gives the match
// the source of the connection, and replies theirs.
//
// The match also makes a packet with a multicast MAC one "to us", without which TCP refuses it. So
// it stands before everything, and no rule accepts established connections past it.
//
// Where iptables or the match is missing, nftables does the same by `jhash`.
import { spawnSync } from 'node:child_process';
import { CLUSTER_IPV4, type Cluster, type ClusterNode } from '../../lib/cli/demo/cluster.js';

const SEED = '0xdeadbeef';
/** The MAC address at which all nodes hear the cluster. */
export const MULTICAST_MAC = '01:00:5e:00:01:64';

// The match needs the legacy backend where the kernel has no nft_compat.
const TOOLS = ['iptables-legacy', 'iptables'];

/** How the kernel's way is set up here. */
export interface KernelRules {
  /** The subject's name. */
  readonly name: string;
  /** Why it is not the cluster match, if it is not. */
  readonly note: string | undefined;
  /** The argument vector and the input that set the rules of a node. */
  rules(number: number, total: number): { readonly argv: string[]; readonly input: string };
}

/** The cluster match, or what stands in for it. */
export function kernelRules(): KernelRules {
  const tool = TOOLS.find((each) => spawnSync(each, ['-m', 'cluster', '--help']).status === 0);
  if (tool !== undefined && canMatch(tool)) {
    const rules = (number: number, total: number) => matchRules(tool, number, total);
    return { name: 'cluster match', note: undefined, rules };
  }
  const why = tool === undefined ? 'iptables is not installed' : 'the kernel has no xt_cluster';
  const note = `in place of the cluster match: ${why}`;
  return { name: 'nftables jhash rules', note, rules: jhashRules };
}

function canMatch(tool: string): boolean {
  // Asked of the namespaces' own tables: we are inside private ones.
  const match = ['-m', 'cluster', '--cluster-total-nodes', '2', '--cluster-local-node', '1'];
  const rule = ['OUTPUT', ...match, '--cluster-hash-seed', SEED];
  if (spawnSync(tool, ['-A', ...rule]).status !== 0) return false;
  spawnSync(tool, ['-D', ...rule]);
  return true;
}

function matchRules(tool: string, number: number, total: number) {
  const to = `-A PREROUTING -i eth0 -d ${CLUSTER_IPV4}`;
  const match = `-m cluster --cluster-total-nodes ${total} --cluster-local-node ${number}`;
  const input = [
    '*mangle',
    `${to} ${match} --cluster-hash-seed ${SEED} -j MARK --set-mark 0xffff`,
    `${to} -m mark ! --mark 0xffff -j DROP`,
    'COMMIT',
    '',
  ].join('\n');
  return { argv: [`${tool}-restore`], input };
}

function jhashRules(number: number, total: number) {
  const to = `iifname "eth0" ip daddr ${CLUSTER_IPV4}`;
  const input = `table ip cluster {
    chain prerouting {
      type filter hook prerouting priority mangle; policy accept;
      ${to} meta pkttype set host
      ${to} ct state invalid drop
      ${to} jhash ip saddr mod ${total} seed ${SEED} != ${number - 1} drop
    }
  }\n`;
  return { argv: ['nft', '-f', '-'], input };
}

/** Makes a cluster of the kernel's kind of all nodes. */
export async function giveToKernels(cluster: Cluster, rules: KernelRules): Promise<void> {
  for (const node of cluster.nodes) await giveOne(cluster, node, rules);
  await hearAtMulticast(cluster);
}

async function giveOne(cluster: Cluster, node: ClusterNode, rules: KernelRules): Promise<void> {
  const { argv, input } = rules.rules(node.number, cluster.nodes.length);
  await cluster.lab.run(node.name, argv, { input });
  // Otherwise an acknowledgement in the middle would open a connection, as the manual says.
  await cluster.lab.sysctl(node.name, ['net.netfilter.nf_conntrack_tcp_loose=0']);
  await cluster.lab.ip(node.name, [
    `address add ${CLUSTER_IPV4}/32 dev eth0`,
    `maddress add ${MULTICAST_MAC} dev eth0`,
  ]);
}

/** Tells the client once and for all where the cluster address is: nobody answers ARP for it. */
export async function hearAtMulticast(cluster: Cluster): Promise<void> {
  const neighbour = `${CLUSTER_IPV4} lladdr ${MULTICAST_MAC} dev eth0 nud permanent`;
  await cluster.lab.ip('client', [`neigh replace ${neighbour}`]);
}
