// Real servers and clients in real sockets, in namespaces joined by a switch: flowsieve beside the
// kernel's own cluster match and beside no cluster at all, in turns.
//
//   node dist/bench/live/run.js [--full] [--filter REGEX]
//
//   live/start                    start.ts
//   live/requests, live/latency   requests.ts
//   live/bulk                     bulk.ts
//   live/foreign                  foreign.ts, flood.ts: what other nodes' packets cost
//   live/capture                  capture.ts: reading packets beside libpcap and npm's cap
//
// Prints lines of results.ts. Everything shares the processors of this machine, nodes and clients
// alike: compare what stands beside each other, do not carry numbers elsewhere.
import { parseArgs } from 'node:util';
import {
  enterPrivateNamespaces,
  insidePrivateNamespaces,
  privateNamespacesMissing,
} from '../../lib/cli/demo/private.js';
import { print } from '../results.js';
import { BULK, measureBulk, printBulk } from './bulk.js';
import { measureCapture } from './capture.js';
import { softirqsUncharged } from './cpu.js';
import { Foreign } from './flood.js';
import { measureForeign } from './foreign.js';
import { inTurns, type Plan, planOf } from './plan.js';
import { buildPrograms } from './programs.js';
import { measureRequests, printRequests, REQUESTS } from './requests.js';
import { measureStart, START } from './start.js';
import {
  type Maker,
  makeBypass,
  makeFlowsieve,
  makeKernelRules,
  makeNone,
  type Subject,
  withSubjects,
} from './subjects.js';

// Names of figures by which one sees whether a part of the room is wanted.
const TRAFFIC = [...REQUESTS, 'live/latency', ...BULK];
const OTHERS = ['live/foreign', 'live/foreign/unpaced', 'live/capture'];

/**
 * Each subject is alone while it is measured, and made anew for every round: daemons that only wait
 * would take time from ways that have none.
 */
async function measureTraffic(plan: Plan): Promise<void> {
  const makers: readonly Maker[] = [makeFlowsieve, makeBypass, makeKernelRules, makeNone];
  const all = await inTurns(makers, plan.rounds, (make) =>
    withSubjects([make], async ([subject]) => {
      const { name, note } = subject as Subject;
      const requests = await measureRequests(subject as Subject, plan);
      return {
        subject: { name, note },
        requests,
        bulk: await measureBulk(subject as Subject, plan),
      };
    }),
  );
  for (const rounds of all.values()) {
    const subject = rounds[0]?.subject;
    if (subject === undefined) continue;
    printRequests(
      subject,
      rounds.map(({ requests }) => requests),
    );
    printBulk(
      subject,
      rounds.map(({ bulk }) => bulk),
    );
  }
}

function measureOthersPackets(plan: Plan): Promise<void> {
  // Without weight, a node owns nothing.
  const apart = { weights: [0, 1, 1], syncNetwork: true };
  const foreign = () => makeFlowsieve(apart);
  const bypassed = () => makeBypass(apart);
  return withSubjects([foreign, bypassed, makeKernelRules, makeNone], async (subjects) => {
    const foreigners: Foreign[] = [];
    for (const subject of subjects) foreigners.push(await Foreign.of(subject));
    await measureForeign(foreigners, plan);
    const [flowsieve, , plain] = foreigners;
    if (flowsieve !== undefined && plain !== undefined) {
      await measureCapture(flowsieve, plain, plan);
    }
  });
}

async function measure(plan: Plan): Promise<void> {
  buildPrograms();
  if (plan.wanted(START)) await measureStart(plan);
  if (TRAFFIC.some((name) => plan.wanted(name))) await measureTraffic(plan);
  if (!OTHERS.some((name) => plan.wanted(name))) return;
  if (softirqsUncharged()) {
    const missing = 'the kernel charges softirqs to nobody (CONFIG_IRQ_TIME_ACCOUNTING)';
    print({ name: 'live/foreign', of: 'flowsieve', missing });
    return;
  }
  await measureOthersPackets(plan);
}

const { values: options } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    filter: { type: 'string', default: '.' },
  },
});

if (insidePrivateNamespaces()) {
  await measure(planOf(options.full, new RegExp(options.filter)));
} else {
  const missing = privateNamespacesMissing();
  if (missing === undefined) process.exitCode = await enterPrivateNamespaces();
  else print({ name: 'live', of: 'flowsieve', missing });
}
