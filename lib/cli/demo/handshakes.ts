// What was said on the client's wire about new connections, noted by the client's own kernel: rules
// of nftables keep every SYN that left and every SYN-ACK that came. Nothing of flowsieve judges
// flowsieve here.
import { isIPv6 } from 'node:net';
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
  set acceptors {
    typeof meta protocol . tcp dport . ether saddr
    size 65535
    flags dynamic
  }
  chain leaving {
    type filter hook output priority 0
    tcp flags & (syn | ack) == syn update @asked { tcp sport . tcp sequence }
  }
  chain coming {
    type filter hook input priority 0
    tcp flags & (syn | ack) != (syn | ack) accept
    update @answered { tcp dport . tcp ackseq . tcp sequence }
    update @acceptors { meta protocol . tcp dport . ether saddr }
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
  /** The Ethernet addresses that the answers came from, by {@link endOf} the client's end. */
  readonly acceptors: ReadonlyMap<string, readonly string[]>;
}

/** A client's end of a connection to an address, as a word. */
export function endOf(address: string, port: number): string {
  return `${isIPv6(address) ? 'ip6' : 'ip'} ${port}`;
}

/** Notes handshakes in a namespace from when this resolves. */
export async function noteHandshakes(lab: Lab, namespace: string): Promise<void> {
  await lab.run(namespace, ['nft', '-f', '-'], { input: RULES });
}

/** What was noted so far. */
export async function readHandshakes(lab: Lab, namespace: string): Promise<Handshakes> {
  const [asked, answered, accepted] = await Promise.all([
    elements(lab, namespace, 'asked'),
    elements(lab, namespace, 'answered'),
    elements(lab, namespace, 'acceptors'),
  ]);
  const answers = new Map<string, number>();
  for (const [port, acknowledgement] of answered) {
    const key = `${port} ${(Number(acknowledgement) - 1) >>> 0}`;
    answers.set(key, (answers.get(key) ?? 0) + 1);
  }
  const acceptors = new Map<string, string[]>();
  for (const [protocol, port, from] of accepted) {
    const end = `${protocol} ${port}`;
    acceptors.set(end, [...(acceptors.get(end) ?? []), String(from)]);
  }
  const times = asked.map(([port, sequence]) => answers.get(`${port} ${sequence}`) ?? 0);
  return {
    asked: times.length,
    twice: times.filter((one) => one > 1).length,
    never: times.filter((one) => one === 0).length,
    acceptors,
  };
}

type Element = readonly (number | string)[];

interface ListedSet {
  readonly nftables: readonly {
    readonly set?: { readonly elem?: readonly { readonly concat: Element }[] };
  }[];
}

async function elements(lab: Lab, namespace: string, set: string): Promise<readonly Element[]> {
  const argv = ['nft', '-j', 'list', 'set', ...TABLE.split(' '), set];
  const said = await lab.run(namespace, argv);
  const { nftables } = JSON.parse(said.stdout) as ListedSet;
  return nftables.flatMap((one) => one.set?.elem ?? []).map(({ concat }) => concat);
}
