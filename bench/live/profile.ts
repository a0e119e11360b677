// Where the time of a packet goes: shares of the processors' time, by the kernel's call chains.
//
//   node dist/bench/live/profile.js
//
// Takes perf (Debian: linux-perf) and root. Prints two Markdown tables, each with and without a
// bypass: of a foreign packet at a moderate pace, and of a request on one of 64 connections, whose
// packets are own ones at one node and foreign ones at the two others. All that the machine does
// is in them, so compare within a column; the profile itself takes time, too, so take rates and
// costs from run.ts.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { enterPrivateNamespaces, insidePrivateNamespaces } from '../../lib/cli/demo/private.js';
import { Foreign } from './flood.js';
import { buildPrograms } from './programs.js';
import { makeBypass, makeFlowsieve, request, type Subject } from './subjects.js';

const SECONDS = 6;
const FOREIGN = { packets: 100_000 * SECONDS, rate: 100_000 };
const REQUESTS = { connections: 64, each: 'request', seconds: SECONDS } as const;

/** One sample: the thread's name, and its call chain from the inside out. */
interface Sample {
  readonly thread: string;
  readonly chain: readonly string[];
}

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
  ['packet sockets: waking a worker', /./, /^(sock_def_readable|tpacket_.*wake.*)$/],
  [
    'ingress program, and sending on',
    /./,
    /^(tcf?x_run|sch_handle_ingress|skb_do_redirect|__bpf_redirect.*|bpf_redirect.*)$/,
  ],
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

function partOf({ thread, chain }: Sample): string {
  const rules = RULES.filter(([, threads]) => threads.test(thread));
  for (const called of chain) {
    const rule = rules.find(([, , frame]) => frame.test(called));
    if (rule !== undefined) return rule[0];
  }
  return 'not attributed';
}

/** Samples of all processors while `work` goes on, without those in which one was idle. */
async function profile(directory: string, work: () => Promise<unknown>): Promise<Sample[]> {
  const file = join(directory, 'perf.data');
  const options = ['record', '-q', '-a', '-g', '-F', '1500', '-e', 'cpu-clock', '-o', file];
  const perf = spawn('perf', options, { stdio: 'ignore' });
  const ended = once(perf, 'exit');
  await work();
  perf.kill('SIGINT');
  await ended;
  const script = ['script', '-i', file, '-F', 'comm,ip,sym'];
  const text = execFileSync('perf', script, {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  rmSync(file);
  return [...samplesOf(text.toString())].filter(({ thread }) => thread !== 'swapper');
}

function* samplesOf(text: string): Generator<Sample> {
  for (const block of text.split('\n\n')) {
    const [thread = '', ...lines] = block.split('\n').filter((line) => line.trim() !== '');
    if (thread === '') continue;
    yield { thread: thread.trim(), chain: lines.map((line) => line.trim().split(/\s+/)[1] ?? '') };
  }
}

function sharesOf(samples: readonly Sample[]): Map<string, number> {
  const shares = new Map<string, number>();
  for (const sample of samples) {
    const part = partOf(sample);
    shares.set(part, (shares.get(part) ?? 0) + 1 / samples.length);
  }
  return shares;
}

function printTable(title: string, columns: Readonly<Record<string, Map<string, number>>>): void {
  console.log(`| ${[title, ...Object.keys(columns)].join(' | ')} |`);
  console.log(`|---${'|---:'.repeat(Object.keys(columns).length)}|`);
  for (const part of [...new Set(RULES.map(([name]) => name)), 'not attributed']) {
    const shares = Object.values(columns).map((shares) => 100 * (shares.get(part) ?? 0));
    if (shares.every((share) => share < 0.5)) continue;
    console.log(`| ${[part, ...shares.map((share) => `${share.toFixed(1)} %`)].join(' | ')} |`);
  }
  console.log('');
}

async function withSubject<T>(subject: Subject, work: (s: Subject) => Promise<T>): Promise<T> {
  try {
    return await work(subject);
  } finally {
    await subject.cluster.lab.close();
  }
}

async function measure(): Promise<void> {
  buildPrograms();
  const apart = { weights: [0, 1, 1], syncNetwork: true };
  const foreign: Record<string, Map<string, number>> = {};
  const requests: Record<string, Map<string, number>> = {};
  for (const make of [makeFlowsieve, makeBypass]) {
    await withSubject(await make(apart), async (subject) => {
      const node = await Foreign.of(subject);
      const { directory } = subject.cluster.lab;
      const samples = await profile(directory, () => node.flood(FOREIGN, true));
      foreign[subject.name] = sharesOf(samples);
    });
    await withSubject(await make(), async (subject) => {
      const { directory } = subject.cluster.lab;
      // Connections that are busy already.
      await request(subject, { ...REQUESTS, seconds: 2 });
      const samples = await profile(directory, () => request(subject, REQUESTS));
      requests[subject.name] = sharesOf(samples);
    });
  }
  printTable('a foreign packet', foreign);
  printTable('a request', requests);
}

if (insidePrivateNamespaces()) await measure();
else process.exitCode = await enterPrivateNamespaces();
