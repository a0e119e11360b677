// Datagrams in bursts, the client's side; large ones leave as fragments.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { ByNode, Datagrams, DatagramsResult } from './commands.js';
import { patternAt } from './pattern.js';
import { tally } from './transfers.js';

// Local ports one after another, below those that the kernel gives out: a flow on a port that was
// used before would be the old connection, not an opening, until that one's time is up.
const FIRST_PORT = 10_000;
const PORTS = 20_000;
let flows = 0;

/** A UDP socket connected to the target, so that answers from any other address never reach it. */
export function connected(address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: isIPv6(address) ? 'udp6' : 'udp4',
    recvBufferSize: 1_048_576,
  });
  const local = FIRST_PORT + (flows % PORTS);
  flows += 1;
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(local, () => {
      socket.connect(port, address, () => {
        socket.off('error', reject);
        resolve(socket);
      });
    });
  });
}

/** `number:` and the pattern from there on, `size` bytes in all. */
function compose(number: number, size: number): Buffer {
  const head = Buffer.from(`${number}:`);
  const pieces: Buffer[] = [head];
  for (let left = size - head.length, at = number * 7; left > 0; ) {
    const piece = patternAt(at, left);
    pieces.push(piece);
    at += piece.length;
    left -= piece.length;
  }
  return Buffer.concat(pieces);
}

interface Flow {
  readonly socket: Socket;
  readonly answers: number[];
  readonly nodes: Set<string>;
  wrong: number;
}

async function openFlow(order: Datagrams, sent: readonly Buffer[]): Promise<Flow> {
  const socket = await connected(order.address, order.port);
  const flow: Flow = { socket, answers: sent.map(() => 0), nodes: new Set(), wrong: 0 };
  // A refused datagram is an unanswered one.
  socket.on('error', () => {});
  socket.on('message', (bytes) => {
    const space = bytes.indexOf(32);
    const body = bytes.subarray(space + 1);
    const number = Number(body.subarray(0, body.indexOf(58)).toString());
    flow.nodes.add(bytes.subarray(0, space).toString());
    if (sent[number]?.equals(body) === true) flow.answers[number] = (flow.answers[number] ?? 0) + 1;
    else flow.wrong += 1;
  });
  return flow;
}

/**
 * See {@link Datagrams}. Each socket's next datagram goes out when the last was answered,
 * or after a second.
 */
export async function datagrams(order: Datagrams): Promise<DatagramsResult> {
  const sent = Array.from({ length: order.each }, (_, number) => compose(number, order.size));
  const flows: Flow[] = [];
  for (let i = 0; i < order.count; i += 1) flows.push(await openFlow(order, sent));
  const exchange = async (flow: Flow): Promise<void> => {
    for (const [number, bytes] of sent.entries()) {
      flow.socket.send(bytes);
      await answeredOr(flow, number, order.waitMs);
    }
  };
  // A few at a time: the point is the answers, not to overrun a socket's buffer.
  for (let i = 0; i < flows.length; i += 16)
    await Promise.all(flows.slice(i, i + 16).map(exchange));
  const nodes: ByNode = {};
  for (const flow of flows) {
    flow.socket.close();
    for (const name of flow.nodes) tally(nodes, name);
  }
  const all = flows.flatMap((flow) => flow.answers);
  return {
    sent: order.count * order.each,
    answered: all.filter((times) => times > 0).length,
    twice: all.filter((times) => times > 1).length,
    wrong: flows.reduce((sum, flow) => sum + flow.wrong, 0),
    moved: flows.filter((flow) => flow.nodes.size > 1).length,
    nodes,
  };
}

function answeredOr(flow: Flow, number: number, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      flow.socket.off('message', look);
      resolve();
    };
    const look = (): void => {
      if ((flow.answers[number] ?? 0) > 0) done();
    };
    const timer = setTimeout(done, waitMs);
    flow.socket.on('message', look);
  });
}
