// The small server behind each node of a laboratory; every answer names the node. Run as a program:
//   server.js --name node-1 --port 8080 --udp 192.0.2.100 --udp 2001:db8::100
//
//   GET  /who                  the node's name
//   GET  /bytes?n=N            N bytes of the pattern
//   POST /upload               the SHA-256 and length of what was sent, as JSON
//   GET  /hold (upgrade)       echoes lines, each behind the node's name, until the client closes
//   GET  /stream (upgrade)     sends the pattern at a steady pace until the client sends a byte,
//                              then closes
//   GET  /later (upgrade)      the same, but begins only when the client sends a byte
//   UDP                        echoes each datagram behind the node's name and a space
//
// TCP listens on every address, because the cluster address comes and goes with flowsieve's device.
// A UDP answer must come from the address that was asked, so those sockets are bound to the cluster
// addresses, which the namespace allows before they are there (ip_nonlocal_bind).
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { parseArgs } from 'node:util';
import { patternAt } from './pattern.js';

const CHUNK = 65_536;
const STREAM_TICK_MS = 25;
const STREAM_CHUNK = 4_096;

function sendPattern(response: ServerResponse, bytes: number): void {
  let sent = 0;
  const fill = (): void => {
    while (sent < bytes) {
      const piece = patternAt(sent, Math.min(CHUNK, bytes - sent));
      sent += piece.length;
      if (!response.write(piece)) return;
    }
    response.off('drain', fill);
    response.end();
  };
  response.on('drain', fill);
  fill();
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (piece: Buffer) => {
    hash.update(piece);
    bytes += piece.length;
  });
  request.on('end', () => response.end(JSON.stringify({ sha256: hash.digest('hex'), bytes })));
}

function answer(request: IncomingMessage, response: ServerResponse, name: string): void {
  const url = new URL(request.url ?? '/', 'http://cluster');
  response.setHeader('x-node', name);
  if (url.pathname === '/who') response.end(name);
  else if (url.pathname === '/bytes')
    sendPattern(response, Number(url.searchParams.get('n') ?? '0'));
  else if (url.pathname === '/upload') receive(request, response);
  else response.writeHead(404).end();
}

/** Long-lived conversations: one timer paces all streams, so that hundreds of them cost little. */
class Conversations {
  private readonly streams = new Map<Duplex, number>();

  constructor(private readonly name: string) {
    setInterval(() => this.tick(), STREAM_TICK_MS).unref();
  }

  upgrade(request: IncomingMessage, socket: Duplex): void {
    // The client going away is the normal end here.
    socket.on('error', () => socket.destroy());
    const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: pattern'];
    socket.write(`${[...head, `X-Node: ${this.name}`].join('\r\n')}\r\n\r\n`);
    if (request.url === '/stream') this.stream(socket);
    else if (request.url === '/later') socket.once('data', () => this.stream(socket));
    else this.hold(socket);
  }

  private hold(socket: Duplex): void {
    let rest = '';
    socket.on('data', (piece: Buffer) => {
      const lines = (rest + piece.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) socket.write(`${this.name} ${line}\n`);
    });
    socket.on('end', () => socket.end());
  }

  private stream(socket: Duplex): void {
    this.streams.set(socket, 0);
    socket.on('close', () => this.streams.delete(socket));
    const finish = (): void => {
      if (this.streams.delete(socket)) socket.end();
    };
    socket.on('data', finish);
    socket.on('end', finish);
  }

  private tick(): void {
    for (const [socket, sent] of this.streams) {
      if (socket.writableNeedDrain) continue;
      const piece = patternAt(sent, STREAM_CHUNK);
      socket.write(piece);
      this.streams.set(socket, sent + piece.length);
    }
  }
}

function echoDatagrams(name: string, address: string, port: number): Promise<void> {
  const socket = createSocket({
    type: isIPv6(address) ? 'udp6' : 'udp4',
    recvBufferSize: 4_194_304,
  });
  // An answer that cannot be sent (the device is gone) is a lost datagram, as on any host.
  socket.on('error', () => {});
  socket.on('message', (bytes, from) => {
    socket.send(Buffer.concat([Buffer.from(`${name} `), bytes]), from.port, from.address);
  });
  return new Promise((resolve) => socket.bind(port, address, resolve));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      name: { type: 'string', default: 'node' },
      port: { type: 'string', default: '8080' },
      udp: { type: 'string', multiple: true, default: [] },
    },
  });
  const port = Number(values.port);
  const conversations = new Conversations(values.name);
  const server = createServer((request, response) => answer(request, response, values.name));
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on('upgrade', (request, socket) => conversations.upgrade(request, socket));
  for (const address of values.udp) await echoDatagrams(values.name, address, port);
  server.listen({ port, host: '::', backlog: 4096 }, () => console.log('listening'));
}

await main();
