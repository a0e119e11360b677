// What was said on the client's wire about new connections, noted by the client's own kernel: rules
// of nftables keep every SYN that left and every SYN-ACK that came. Nothing of flowsieve judges
// flowsieve here.
import type { Lab } from './lab.js';

const TABLE = 'inet flowsieve_demo';
const RULES = `
table ${TABLE} {
  set asked {
    typeof tcp sport . tcp sequence
    size 65535
    flags dynamic
  }
  set answered {
    typeof tcp dport . tcp ackseq . tcp sequence
    size 65535
    flags dynamic
  }
  chain leaving {
    type filter hook output priority 0
    tcp flags & (syn | ack) == syn update @asked { tcp sport . tcp sequence }
  }
  chain coming {
    type filter hook input priority 0
    tcp flags & (syn | ack) == (syn | ack) update @answered { tcp dport . tcp ackseq . tcp sequence }
  }
}
`;

/** The handshakes of a namespace's TCP connections. */
export interface Handshakes {
  /** Opening packets; a repeated one counts once. */
  readonly asked: number;
  /** Those with two or more different answers: more than one node took them. */
  readonly twice: number;
  /** Those that nobody answered. */
  readonly never: number;
}

/** Notes handshakes in a namespace from when this resolves. */
export async function noteHandshakes(lab: Lab, namespace: string): Promise<void> {
  await lab.run(namespace, ['nft', '-f', '-'], { input: RULES });
}

/** What was noted so far. */
export async function readHandshakes(lab: Lab, namespace: string): Promise<Handshakes> {
  const [asked, answered] = await Promise.all([
    elements(lab, namespace, 'asked'),
    elements(lab, namespace, 'answered'),
  ]);
  const answers = new Map<string, number>();
  for (const [port = 0, acknowledgement = 0] of answered) {
    const key = `${port} ${(acknowledgement - 1) >>> 0}`;
    answers.set(key, (answers.get(key) ?? 0) + 1);
  }
  const times = asked.map(([port, sequence]) => answers.get(`${port} ${sequence}`) ?? 0);
  return {
    asked: times.length,
    twice: times.filter((one) => one > 1).length,
    never: times.filter((one) => one === 0).length,
  };
}

interface ListedSet {
  readonly nftables: readonly {
    readonly set?: { readonly elem?: readonly { readonly concat: readonly number[] }[] };
  }[];
}

async function elements(
  lab: Lab,
  namespace: string,
  set: string,
): Promise<readonly (readonly number[])[]> {
  const argv = ['nft', '-j', 'list', 'set', ...TABLE.split(' '), set];
  const said = await lab.run(namespace, argv);
  const { nftables } = JSON.parse(said.stdout) as ListedSet;
  return nftables.flatMap((one) => one.set?.elem ?? []).map(({ concat }) => concat);
}
