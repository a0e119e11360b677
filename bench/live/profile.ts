// Where the time of a packet goes, by the kernel's call chains: processors' time in each part of the
// way, for each foreign packet at a moderate pace, and for each request on one of 64 connections or on
// one of its own, whose packets are own ones at one node and foreign ones at the two others; each with
// and without a bypass.
//
//   node dist/bench/live/profile.js
//
// Takes perf (Debian: linux-perf) and root. Prints Markdown tables. All that the machine does is
// in them, also what daemons do without packets, and the profile takes time itself: take rates and costs
// from run.ts.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { enterPrivateNamespaces, insidePrivateNamespaces } from '../../lib/cli/demo/private.js';
import { Foreign } from './flood.js';
import { buildPrograms } from './programs.js';
import {
  type Making,
  makeBypass,
  makeFlowsieve,
  request,
  type Subject,
  withSubjects,
} from './subjects.js';

const SECONDS = 6;
/** Samples of each processor in a second. */
const HERTZ = 1500;
const FOREIGN = { packets: 100_000 * SECONDS, rate: 100_000 };
const LOADS = [
  {
    title: 'ns for each request on an open connection',
    connections: 64,
    each: 'request',
    seconds: SECONDS,
  },
  {
    title: 'ns for each connection with one request',
    connections: 512,
    each: 'connection',
    seconds: SECONDS,
  },
] as const;

/** One sample: the thread's name, and its call chain from the inside out. */
interface Sample {
  readonly thread: string;
  readonly chain: readonly string[];
}

type Costs = ReadonlyMap<string, number>;

type Rule = readonly [part: string, thread: RegExp, frame: RegExp];

/**
 * The parts, by thread and function. A sample belongs to the first rule that matches its innermost
 * function, or else the next one outwards, and so on.
 */
const RULES: readonly Rule[] = [
  [
    'worker: waiting and being woken',
    /^flowsieve-\d/,
    /^(__poll|do_sys_poll|__nanosleep|.*nanosleep)$/,
  ],
  ['stack behind the delivery device', /^flowsieve-\d/, /^(netif_receive_skb|process_backlog)$/],
  ['worker: delivery', /^flowsieve-\d/, /deliver|^tun_|writev/i],
  ['worker: reading, deciding, aging', /^flowsieve-\d/, /^flowsieve::|Lane::run/],
  ['daemon: JavaScript', /^(node|flowsieve-beat)/, /./],
  ['reception, ingress program, sending on', /./, /^(__netif_receive_skb_core.*|skb_do_redirect)$/],
  [
    'packet sockets: filter, program, copy',
    /./,
    /^(tpacket_rcv|packet_rcv.*|packet_rcv_fanout|dev_queue_xmit_nit)$/,
  ],
  ['transport and sockets', /./, /^(tcp_v[46]_rcv|udp_rcv|udpv6_rcv|tcp_v[46]_do_rcv)$/],
  ['cable and switch', /./, /^(br_.*|veth_.*|netif_rx.*|dev_hard_start_xmit|__dev_queue_xmit)$/],
  [
    'IP: routes, filter rules',
    /./,
    /^(ip_rcv.*|ip_local_.*|ip_list_rcv|ip6_.*|ipv6_rcv|nf_hook_slow|nf_ingress|ip_sabotage_in)$/,
  ],
  [
    'sending: TCP, UDP and IP',
    /./,
    /^(tcp_write_xmit|__tcp_transmit_skb|udp_send.*|ip_send_skb|ip_output|tcp_sendmsg.*)$/,
  ],
  ['interrupts: the rest', /./, /^(handle_softirqs|net_rx_action|__irq_exit_rcu)$/],
  [
    'applications and system calls',
    /./,
    /^(do_syscall_64|entry_SYSCALL_64.*|main|__libc_start_call_main|start_thread)$/,
  ],
];

const WAKING = 'packet sockets: waking a worker';

function partOf({ thread, chain }: Sample): string {
  // Sockets of applications wake in the same way.
  if (chain.includes('sock_def_readable') && chain.includes('tpacket_rcv')) return WAKING;
  const rules = RULES.filter(([, threads]) => threads.test(thread));
  for (const called of chain) {
    const rule = rules.find(([, , frame]) => frame.test(called));
    if (rule !== undefined) return rule[0];
  }
  return 'not attributed';
}

/** Samples of all processors while `work` goes on, without those in which one was idle. */
async function profile<Result>(subject: Subject, work: () => Promise<Result>) {
  const file = join(subject.cluster.lab.directory, 'perf.data');
  const options = ['record', '-q', '-a', '-g', '-F', String(HERTZ), '-e', 'cpu-clock', '-o', file];
  const perf = spawn('perf', options, { stdio: 'ignore' });
  const ended = once(perf, 'exit');
  const result = await work();
  perf.kill('SIGINT');
  await ended;
  const script = ['script', '-i', file, '-F', 'comm,ip,sym'];
  const text = execFileSync('perf', script, {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  rmSync(file);
  const samples = [...samplesOf(text.toString())].filter(({ thread }) => thread !== 'swapper');
  return { samples, result };
}

function* samplesOf(text: string): Generator<Sample> {
  for (const block of text.split('\n\n')) {
    const [thread = '', ...lines] = block.split('\n').filter((line) => line.trim() !== '');
    if (thread === '') continue;
    yield { thread: thread.trim(), chain: lines.map((line) => line.trim().split(/\s+/)[1] ?? '') };
  }
}

/** Nanoseconds in each part for each of `count` packets or requests. */
function costsOf(samples: readonly Sample[], count: number): Costs {
  const costs = new Map<string, number>();
  for (const sample of samples) {
    const part = partOf(sample);
    costs.set(part, (costs.get(part) ?? 0) + 1e9 / HERTZ / count);
  }
  return costs;
}

function printTable(title: string, columns: Readonly<Record<string, Costs>>): void {
  console.log(`| ${[title, ...Object.keys(columns)].join(' | ')} |`);
  console.log(`|---${'|---:'.repeat(Object.keys(columns).length)}|`);
  for (const part of [WAKING, ...new Set(RULES.map(([name]) => name)), 'not attributed']) {
    const row = Object.values(columns).map((costs) => (costs.get(part) ?? 0).toFixed(0));
    console.log(`| ${[part, ...row].join(' | ')} |`);
  }
  console.log('');
}

/** What each of the ways to run costs, made anew and alone for it. */
async function compare(
  making: Making,
  cost: (subject: Subject) => Promise<Costs>,
): Promise<Record<string, Costs>> {
  const columns: Record<string, Costs> = {};
  for (const make of [makeFlowsieve, makeBypass]) {
    await withSubjects([() => make(making)], async ([subject]) => {
      if (subject !== undefined) columns[subject.name] = await cost(subject);
    });
  }
  return columns;
}

async function measure(): Promise<void> {
  buildPrograms();
  const apart = { weights: [0, 1, 1], syncNetwork: true };
  const foreign = await compare(apart, async (subject) => {
    const node = await Foreign.of(subject);
    const { samples } = await profile(subject, () => node.flood(FOREIGN, true));
    return costsOf(samples, FOREIGN.packets);
  });
  printTable('ns for each foreign packet', foreign);
  for (const { title, ...load } of LOADS) {
    const requests = await compare({}, async (subject) => {
      await request(subject, { ...load, seconds: 2 }); // until it goes at its pace
      const { samples, result } = await profile(subject, () => request(subject, load));
      return costsOf(samples, result.total);
    });
    printTable(title, requests);
  }
}

if (insidePrivateNamespaces()) await measure();
else process.exitCode = await enterPrivateNamespaces();
