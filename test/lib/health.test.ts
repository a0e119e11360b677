import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type HealthSettings, Monitor, probe, Rating } from '../../lib/health/index.js';

const NODE = { name: 'n-1', address: '127.0.0.1' };
const SETTINGS: HealthSettings = {
  type: 'tcp',
  path: '/',
  interval: 50,
  timeout: 400,
  rise: 2,
  fall: 3,
};

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A server that does what it likes with each connection. */
async function withServer<T>(
  take: (socket: Socket) => void,
  use: (port: number) => Promise<T>,
): Promise<T> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    take(socket);
  });
  const port = await listening(server);
  try {
    return await use(port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const http = (port: number, more: Partial<HealthSettings> = {}) =>
  probe(NODE, { ...SETTINGS, type: 'http', port, ...more });
const command = (...argv: string[]) =>
  probe(NODE, { ...SETTINGS, type: 'command', command: argv, timeout: 700 });

describe('health: rating', () => {
  const run = (rise: number, fall: number, checks: string): string => {
    const rating = new Rating(rise, fall);
    return [...checks]
      .map((check) => {
        rating.take(check === '+');
        return rating.health[0];
      })
      .join('');
  };

  it('the first check decides; then it takes rise good or fall bad ones in a row', () => {
    assert.equal(run(2, 3, '+--+---+-++'), 'uuuuuuddddu');
    assert.equal(run(2, 3, '-+-++'), 'ddddu');
    assert.equal(run(1, 1, '+-+-'), 'udud');
  });
});

describe('health: tcp', () => {
  it('good when a connection is accepted, bad when not', async () => {
    await withServer(
      () => {},
      async (port) => {
        assert.equal((await probe(NODE, { ...SETTINGS, port })).good, true);
      },
    );
    const refused = await probe(NODE, { ...SETTINGS, port: 1 });
    assert.deepEqual(refused, { good: false, found: 'ECONNREFUSED' });
  });
});

describe('health: http', () => {
  it('goes by the status, follows no redirect, and reads no body', async () => {
    let asked = 0;
    const server = createHttp((request, response) => {
      asked += 1;
      if (request.url === '/moved') response.writeHead(302, { location: '/fine' }).end();
      else if (request.url === '/gone') response.writeHead(503).end();
      else {
        response.writeHead(200);
        response.write('without end');
      }
    });
    const port = await listening(server);
    assert.deepEqual(await http(port, { path: '/fine' }), { good: true, found: 'HTTP 200' });
    assert.deepEqual(await http(port, { path: '/gone' }), { good: false, found: 'HTTP 503' });
    assert.deepEqual(await http(port, { path: '/moved' }), { good: false, found: 'HTTP 302' });
    assert.equal((await http(port, { path: '/moved', status: [302] })).good, true);
    assert.equal(asked, 4);
    server.closeAllConnections();
    server.close();
  });

  it('ends in time, whatever does not come or comes without an end', async () => {
    const lies: ((socket: Socket) => void)[] = [
      () => {},
      (socket) => socket.write('HTTP/1.1 200'),
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`),
      (socket) => {
        const drip = setInterval(() => socket.write('x: y\r\n'), 5);
        socket.write('HTTP/1.1 200 OK\r\n');
        socket.on('close', () => clearInterval(drip));
      },
      (socket) => {
        const again = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 5);
        socket.on('close', () => clearInterval(again));
      },
      (socket) =>
        socket.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
      (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'),
      (socket) => socket.destroy(),
    ];
    for (const [i, lie] of lies.entries()) {
      const began = performance.now();
      const outcome = await withServer(lie, (port) => http(port));
      assert.equal(outcome.good, false, `lie ${i}: ${outcome.found}`);
      assert.ok(performance.now() - began < 3000, `lie ${i} ends`);
    }
  });

  it('takes any bytes for an answer, good only when they begin as a good one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 400 }),
          fc.string().map((text) => Buffer.from(`HTTP/1.1 ${text}`)),
          fc.string().map((text) => Buffer.from(`HTTP/1.1 200 OK\r\n${text}\r\n\r\n`)),
        ),
        async (bytes) => {
          const outcome = await withServer(
            (socket) => socket.end(bytes),
            (port) => http(port),
          );
          const begins = Buffer.from(bytes).toString('latin1');
          if (outcome.good) assert.match(begins, /^HTTP\/1\.[01] +2\d\d/);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('health: command', () => {
  it('good when the program ends with 0; it knows which node', async () => {
    assert.equal((await command('true')).good, true);
    assert.deepEqual(await command('false'), { good: false, found: 'ended with 1' });
    const told = 'test "$NODE_NAME $NODE_ADDRESS" = "n-1 127.0.0.1"';
    assert.equal((await command('sh', '-c', told)).good, true);
    assert.deepEqual(await command('/nowhere/at-all'), { good: false, found: 'ENOENT' });
  });

  it('is killed with what it has started, when it takes too long', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flowsieve-health-'));
    const file = join(folder, 'pid');
    const began = performance.now();
    const outcome = await command('sh', '-c', `sleep 60 & echo $! > ${file}; wait`);
    assert.deepEqual(outcome, { good: false, found: 'did not end within 700 ms' });
    const pid = Number(readFileSync(file, 'utf8'));
    rmSync(folder, { recursive: true });
    // Gone, or dead and not yet collected by whoever does that here.
    const state = (): string => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';
      } catch {
        return 'gone';
      }
    };
    while (!['gone', 'Z'].includes(state())) await new Promise((done) => setTimeout(done, 10));
    assert.ok(performance.now() - began < 2500);
  });
});

describe('health: monitor', () => {
  it('checks again and again, one at a time, and tells of changes', async () => {
    let open = 0;
    let most = 0;
    let answer = true;
    const server = createHttp((_request, response) => {
      open += 1;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= 1;
        response.writeHead(answer ? 200 : 500).end();
      }, 20);
    });
    const port = await listening(server);
    const changes: string[] = [];
    const monitor = new Monitor(
      NODE,
      { ...SETTINGS, type: 'http', port, interval: 50, rise: 1, fall: 2 },
      (health) => changes.push(health),
    );
    await monitor.start();
    assert.equal(monitor.health, 'up');
    answer = false;
    while (monitor.health === 'up') await new Promise((resolve) => setTimeout(resolve, 10));
    answer = true;
    while (monitor.health === 'down') await new Promise((resolve) => setTimeout(resolve, 10));
    monitor.close();
    assert.deepEqual(changes, ['up', 'down', 'up']);
    assert.equal(most, 1);
    assert.equal(monitor.last?.found, 'HTTP 200');
    server.closeAllConnections();
    server.close();
  });
});
