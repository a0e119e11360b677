// The client side of the live test of QUIC connection ids; see quic.server.ts. Reads one JSON command a line and
// prints an answer each:
//
//   {"do":"open","from":A,"to":B,"port":N,"config":C}   a new connection from a new port of address A
//                                   -> {"connection":I,"id":hex,"node":name}
//   {"do":"say","connection":I}     one packet of it -> {"nodes":[name …],"resets":[name …]}
//   {"do":"move","connection":I,"from":A}
//                                   the same from a new port of address A, where it then stays
//
// Answers are waited for until one has come and then for a moment more, so that a second one is seen.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

interface Connection {
  socket: Socket;
  readonly to: string;
  readonly port: number;
  readonly id: Buffer;
}

interface Order {
  readonly do: 'open' | 'say' | 'move';
  readonly connection: number;
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly config: number;
}

const LONGEST_WAIT_MS = 1_000;
const SECOND_ANSWER_MS = 20;
const connections: Connection[] = [];
let said = 0;

function bound(from: string): Promise<Socket> {
  const socket = createSocket(isIPv6(from) ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  return new Promise((resolve) => socket.bind(0, from, () => resolve(socket)));
}

/** Sends a packet and gathers what comes back. */
function exchange(socket: Socket, packet: Buffer, port: number, to: string): Promise<Buffer[]> {
  return new Promise((resolve) => {
    const answers: Buffer[] = [];
    const finish = (): void => {
      socket.off('message', take);
      resolve(answers);
    };
    let timer = setTimeout(finish, LONGEST_WAIT_MS);
    const take = (answer: Buffer): void => {
      answers.push(answer);
      clearTimeout(timer);
      timer = setTimeout(finish, SECOND_ANSWER_MS);
    };
    socket.on('message', take);
    socket.send(packet, port, to);
  });
}

async function opened({ from, to, port, config }: Order): Promise<object> {
  const socket = await bound(from);
  // An Initial with a client-chosen id and an empty source id; padded as RFC 9000 14.1 asks for.
  const chosen = Buffer.from([...'chosen-1'].map((letter) => letter.charCodeAt(0)));
  const head = [Buffer.of(0xc0, 0, 0, 0, 1, chosen.length), chosen, Buffer.of(0, config)];
  const packet = Buffer.concat([...head, Buffer.alloc(1_200)]);
  const [first, ...more] = await exchange(socket, packet, port, to);
  if (!first || more.length > 0) return { error: `${more.length + (first ? 1 : 0)} answers` };
  const id = first.subarray(7, 7 + (first[6] as number));
  connections.push({ socket, to, port, id });
  const node = first.subarray(7 + id.length).toString();
  return { connection: connections.length - 1, id: id.toString('hex'), node };
}

async function say({ socket, id, port, to }: Connection): Promise<object> {
  said += 1;
  const packet = Buffer.concat([Buffer.of(0x40), id, Buffer.from(`packet ${said} `.padEnd(40))]);
  const answers = (await exchange(socket, packet, port, to)).map((each) =>
    each.subarray(1).toString(),
  );
  const resets = answers.filter((text) => text.startsWith('reset '));
  return {
    nodes: answers.filter((text) => !resets.includes(text)).map((text) => text.split(' ')[0]),
    resets: resets.map((text) => text.split(' ')[1]),
  };
}

async function obey(order: Order): Promise<object> {
  if (order.do === 'open') return opened(order);
  const connection = connections[order.connection] as Connection;
  if (order.do === 'move') {
    connection.socket.close();
    connection.socket = await bound(order.from);
  }
  return say(connection);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await obey(JSON.parse(line) as Order)));
}
