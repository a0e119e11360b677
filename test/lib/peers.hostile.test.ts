import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import type { ListBlock, Refusal } from '../../lib/peers/index.js';
import { ReplayWindow } from '../../lib/peers/window.js';
import {
  addresses,
  Cluster,
  connected,
  echo,
  heartbeat,
  later,
  OTHER_SECRET,
  type Overrides,
  PORT,
  SECRET,
  type TestNode,
  until,
} from './peers.support.js';

// HKDF and AES-256-GCM as the comments of lib/peers/keys.ts and seal.ts say, without their code.
function derived(info: string, bytes = 32, secret = SECRET): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'web', `flowsieve peers ${info}`, bytes));
}

function opened(sealed: Buffer, key: Buffer): Buffer {
  const headBytes = 25 + (sealed[24] as number);
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(12, 24));
  decipher.setAAD(sealed.subarray(0, headBytes));
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(headBytes, -16)), decipher.final()]);
}

/** Sends datagrams from an address, to a node. */
async function shoot(from: string, to: string, datagrams: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind({ address: from }, resolve));
  for (const [i, bytes] of datagrams.entries()) {
    await new Promise((resolve) => socket.send(bytes, PORT, to, resolve));
    // More than the receiver's buffer holds would be lost on the way.
    if (i % 50 === 49) await later(1);
  }
  socket.close();
}

/** A socket that has connected, or has been turned away. */
async function knock(from: string, to: string): Promise<Socket> {
  const socket = connect({ host: to, port: PORT, localAddress: from });
  socket.on('error', () => undefined);
  await new Promise((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', resolve);
  });
  return socket;
}

function gone(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  socket.resume();
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function refused(node: TestNode, reason: Refusal): number {
  return node.peers.status().refused[reason];
}

describe('what is not a peer’s', () => {
  let cluster: Cluster;
  beforeEach(() => {
    cluster = new Cluster(3);
  });
  afterEach(() => cluster.close());

  /** Heartbeats of node-1 on the wire, as somebody has recorded them. */
  async function recorded(count: number, overrides: Overrides = {}): Promise<Buffer[]> {
    const recorder = new Cluster(1);
    const { hub } = recorder;
    const one = await recorder.start('node-1', { wire: hub.path('a'), ...overrides });
    for (let i = 0; i < count; i += 1)
      one.peers.sendHeartbeat(heartbeat('node-1', { sent: i }), null);
    await recorder.close();
    return [...hub.sent];
  }

  describe('a heartbeat', () => {
    it('is sealed as it is written down, with a nonce that never comes again', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const send = (incarnation: number) => {
        for (let i = 0; i < 100; i += 1) {
          one.peers.sendHeartbeat(heartbeat('node-1', { incarnation }), null);
        }
      };
      send(1000);
      one.peers.configure({ nodes: cluster.nodes, secrets: [OTHER_SECRET, SECRET] });
      one.peers.configure({ nodes: cluster.nodes.slice(0, 1), secrets: [SECRET] });
      one.peers.configure({ nodes: cluster.nodes, secrets: [SECRET] });
      send(1000);
      one.peers.setIdentity({ name: 'node-1', incarnation: 1001 });
      send(1001);
      const nonces = new Set(hub.sent.map((sealed) => sealed.toString('hex', 12, 24)));
      assert.equal(nonces.size, 300);
      const [first] = hub.sent as [Buffer];
      assert.equal(first.toString('latin1', 0, 2), 'FS');
      assert.deepEqual([...first.subarray(2, 4)], [2, 1]);
      assert.deepEqual(first.subarray(8, 12), derived('key id', 4));
      assert.equal(first.toString('latin1', 25, 31), 'node-1');
      // flags, incarnation, sent, term, epoch, name, coordinator, no echoes
      const plain = `02${'00000000000003e8'}${'405ed00000000000'}${'0000000000000003'}`;
      const names = `${'0000000000000009'}066e6f64652d31066e6f64652d310000`;
      assert.equal(opened(first, derived('wire/node-1/*')).toString('hex'), plain + names);
    });

    it('that was recorded is taken once; late ones are taken, very late ones are not', async () => {
      const { hub } = cluster;
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const all = await recorded(200);
      const inject = (index: number) => {
        hub.inject(all[index] as Buffer, 'a');
        return two.heartbeats.length;
      };
      // 5, then older ones within 64 numbers, each once.
      assert.equal(inject(5), 1);
      assert.equal(inject(5), 1);
      assert.equal(inject(3), 2);
      assert.equal(inject(3), 2);
      assert.equal(inject(4), 3);
      assert.equal(inject(100), 4);
      assert.equal(inject(100 - 63), 5);
      assert.equal(inject(100 - 63), 5);
      assert.equal(inject(100 - 64), 5);
      assert.equal(inject(100 - 32), 6);
      assert.equal(inject(100 - 31), 7);
      assert.equal(inject(100 - 31), 7);
      assert.equal(inject(101), 8);
      assert.equal(inject(100), 8);
      assert.equal(inject(101 - 31), 9);
      assert.equal(inject(101 - 32), 9);
      assert.equal(refused(two, 'replay'), 7);
      const came = two.heartbeats.map(({ heartbeat }) => heartbeat.sent);
      assert.deepEqual(came, [5, 3, 4, 100, 37, 68, 69, 101, 70]);
    });

    it('of another secret, cluster, version, layout or name is refused, by its name', async () => {
      const { hub } = cluster;
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const [genuine] = (await recorded(1)) as [Buffer];
      const changed = (at: number) => {
        const bytes = Buffer.from(genuine);
        bytes[at] = (bytes[at] as number) ^ 1;
        return bytes;
      };
      const sent: [Refusal, Buffer, RegExp][] = [
        ['secret', (await recorded(1, { secrets: [OTHER_SECRET] }))[0] as Buffer, /secret/],
        ['cluster', (await recorded(1, { cluster: 'other' }))[0] as Buffer, /another cluster/],
        ['version', changed(2), /another version/],
        ['layout', (await recorded(1, { hashLayoutVersion: 2 }))[0] as Buffer, /another layout/],
        ['name', changed(30), /node-0.* none of the configured nodes/],
        ['garbage', changed(0), /nothing that flowsieve sends/],
        ['garbage', Buffer.from('hello'), /nothing/],
        ['garbage', Buffer.alloc(0), /nothing/],
        ['forged', changed(genuine.length - 1), /does not open/],
        ['forged', changed(20), /does not open/],
        ['forged', changed(40), /does not open/],
      ];
      for (const [reason, bytes, sentence] of sent) {
        const before = refused(two, reason);
        hub.inject(bytes, 'a');
        assert.equal(refused(two, reason), before + 1, reason);
        const line = two.lines.find((each) => each.reason === reason);
        assert.match(line?.msg ?? '', sentence);
        assert.equal(line?.level, 'warn');
      }
      assert.equal(two.heartbeats.length, 0);
      hub.inject(genuine, 'a');
      assert.equal(two.heartbeats.length, 1);
    });

    it('for another node, of another path or from another address is refused', async () => {
      const { hub } = cluster;
      // What node-1 sends to node-3, which is not there: somebody else listens in its place.
      const ear = createSocket('udp4');
      const heard: Buffer[] = [];
      ear.on('message', (bytes) => void heard.push(bytes));
      await new Promise<void>((resolve) => {
        ear.bind({ address: cluster.address('node-3'), port: PORT }, resolve);
      });
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      hub.up = false;
      one.peers.sendHeartbeat(heartbeat('node-1', { echoes: [echo('node-3')] }), ['node-3']);
      await until('a datagram', () => heard.length === 1);
      hub.up = true;
      await new Promise<void>((resolve) => ear.close(() => resolve()));
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const three = await cluster.start('node-3', { wire: hub.path('c') });
      const sync = heard[0] as Buffer;
      const wire = hub.sent[0] as Buffer;
      const { address } = one;
      await shoot(address, two.address, [sync, wire]);
      await until('refusals', () => refused(two, 'forged') === 2);
      hub.inject(sync, 'a');
      assert.equal(refused(three, 'forged'), 1);
      await shoot(two.address, three.address, [sync]);
      await until('a refusal', () => refused(three, 'address') === 1);
      assert.deepEqual([two.heartbeats.length, three.heartbeats.length], [0, 0]);
      await shoot(address, three.address, [sync, sync]);
      await until('a refusal', () => refused(three, 'replay') === 1);
      assert.equal(three.heartbeats.length, 1);
    });

    it('of an old life is refused on every path once one has seen the new one', async () => {
      const { hub } = cluster;
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const [old] = await recorded(1);
      const self = { name: 'node-1', incarnation: 2000 };
      const one = await cluster.start('node-1', { self });
      one.peers.sendHeartbeat(heartbeat('node-1', { incarnation: 2000 }), null);
      await until('the heartbeat', () => two.heartbeats.length === 1);
      hub.inject(old as Buffer, 'a');
      assert.equal(two.heartbeats.length, 1);
      assert.equal(refused(two, 'incarnation'), 1);
    });

    it('of this node itself, heard on the wire, is no news', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      one.peers.sendHeartbeat(heartbeat('node-1'), null);
      hub.inject(hub.sent[0] as Buffer, 'somebody');
      assert.deepEqual([one.heartbeats.length, one.lines.length], [0, 0]);
    });

    it('in a flood is counted each time and logged once', async () => {
      const two = await cluster.start('node-2');
      const [from] = addresses(1) as [string];
      await shoot(from, two.address, Array(500).fill(Buffer.from('garbage')));
      await until('all of them', () => refused(two, 'garbage') === 500);
      assert.equal(two.lines.filter(({ reason }) => reason === 'garbage').length, 1);
    });
  });
});

describe('a replay window', () => {
  it('takes what a plain set of numbers and a highest one would take', () => {
    const numbers = fc.array(fc.oneof(fc.nat(200), fc.nat(2 ** 40)), { maxLength: 300 });
    fc.assert(
      fc.property(numbers, fc.nat(2 ** 45), (steps, start) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let highest = -1;
        for (const step of steps) {
          const number = start + step;
          const fresh = !seen.has(number) && number > highest - 64;
          assert.equal(window.has(number), !fresh);
          assert.equal(window.take(number), fresh);
          seen.add(number);
          highest = Math.max(highest, number);
        }
      }),
    );
  });
});

describe('a connection that is not a peer’s', () => {
  let cluster: Cluster;
  const sockets: Socket[] = [];
  beforeEach(() => {
    cluster = new Cluster(3);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await cluster.close();
  });

  /** A TLS client that says what it is told to, from the address of a node. */
  async function disguised(as: string, identity: string, psk?: Buffer): Promise<TLSSocket> {
    const key = psk ?? derived(`stream/${as}/node-2`);
    const socket = connectTls({
      host: cluster.address('node-2'),
      port: PORT,
      localAddress: cluster.address(as),
      minVersion: 'TLSv1.3',
      pskCallback: () => ({ psk: key, identity }),
      checkServerIdentity: () => undefined,
    } as ConnectionOptions);
    sockets.push(socket);
    socket.on('error', () => undefined);
    await new Promise((resolve) => {
      socket.once('secureConnect', resolve);
      socket.once('close', resolve);
    });
    return socket;
  }

  const keyId = derived('key id', 4).toString('hex');

  it('is refused for what its identity says, and said which', async () => {
    const two = await cluster.start('node-2');
    const otherId = derived('key id', 4, OTHER_SECRET).toString('hex');
    const attempts: [Refusal, string][] = [
      ['version', `flowsieve/1/1/web/node-1/node-2/${keyId}`],
      ['version', 'flowsieve/3/something/quite/new'],
      ['layout', `flowsieve/2/2/web/node-1/node-2/${keyId}`],
      ['cluster', `flowsieve/2/1/other/node-1/node-2/${keyId}`],
      ['destination', `flowsieve/2/1/web/node-1/node-3/${keyId}`],
      ['name', `flowsieve/2/1/web/node-9/node-2/${keyId}`],
      ['address', `flowsieve/2/1/web/node-3/node-2/${keyId}`],
      ['secret', `flowsieve/2/1/web/node-1/node-2/${otherId}`],
      ['garbage', 'somebody'],
      ['garbage', 'flowsieve/2/1/web/node-1/node-2/'],
    ];
    for (const [reason, identity] of attempts) {
      const before = refused(two, reason);
      const socket = await disguised('node-1', identity);
      await until(reason, () => refused(two, reason) === before + 1);
      await gone(socket);
      assert.ok(two.lines.some((line) => line.reason === reason));
    }
    assert.equal(refused(two, 'forged'), 0);
  });

  it('and has the right identity without the key gets nowhere', async () => {
    const two = await cluster.start('node-2');
    const identity = `flowsieve/2/1/web/node-1/node-2/${keyId}`;
    await gone(await disguised('node-1', identity, Buffer.alloc(32, 1)));
    await until('the refusal', () => refused(two, 'forged') === 1);
  });

  it('is told from this node’s side, too: whom it dials without luck', async () => {
    await cluster.start('node-2', { secrets: [OTHER_SECRET] });
    const one = await cluster.start('node-1');
    await until('a line', () => one.lines.some(({ msg }) => msg.includes('its log says why')));
    assert.equal(connected(one, 'node-2'), false);
  });

  it('and speaks nonsense once it is in is thrown out', async () => {
    const two = await cluster.start('node-2');
    const identity = `flowsieve/2/1/web/node-1/node-2/${keyId}`;
    const hello = Buffer.from('0000000a0100000000000003e800', 'hex');
    const nonsense = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from('0000000004', 'hex'),
      Buffer.from('ffffffff04', 'hex'),
      Buffer.concat([hello, Buffer.from('0000000108', 'hex')]),
      Buffer.concat([hello, Buffer.from('7fffffff04', 'hex')]),
      Buffer.concat([hello, Buffer.from('0000000704000000027b7d', 'hex')]),
    ];
    for (const [i, bytes] of nonsense.entries()) {
      const socket = await disguised('node-1', identity);
      socket.write(bytes);
      await gone(socket);
      await until(`refusal ${i + 1}`, () => refused(two, 'malformed') === i + 1);
    }
    const proper = await disguised('node-1', identity);
    proper.write(Buffer.concat([hello, Buffer.from('0000000105', 'hex')]));
    const answer: Buffer = await new Promise((resolve) => {
      let came = Buffer.alloc(0);
      proper.on('data', (bytes) => {
        came = Buffer.concat([came, bytes]);
        if (came.length >= 18) resolve(came);
      });
    });
    // WELCOME with node-2's incarnation, PONG.
    assert.equal(answer.toString('hex'), '000000090200000000000003e80000000106');
  });

  it('and has taken more of a list than there was, or less than before, is thrown out', async () => {
    async function* list(): AsyncGenerator<ListBlock> {
      for (;;) yield { records: Buffer.alloc(64 * 100), now: 0, names: [] };
    }
    const two = await cluster.start('node-2', { list });
    const taken = (records: number) => {
      return Buffer.from(`000000090a${records.toString(16).padStart(16, '0')}`, 'hex');
    };
    for (const [i, said] of [[0], [1_000_000], [100, 100], [200, 100]].entries()) {
      const socket = await disguised('node-1', `flowsieve/2/1/web/node-1/node-2/${keyId}`);
      socket.write(Buffer.from('000000120100000000000003e8030000000000000007', 'hex'));
      await new Promise((resolve) => socket.once('data', resolve));
      await until('a list', () => two.peers.status().counters.listsGiven === i + 1);
      // So much has been given by then.
      await later(20);
      socket.write(Buffer.concat(said.map(taken)));
      await gone(socket);
      await until(`refusal ${i + 1}`, () => refused(two, 'malformed') === i + 1);
    }
  });

  it('and says nothing once it is in is ended', async () => {
    const two = await cluster.start('node-2', { limits: { handshakeMs: 300 } });
    const silent = await disguised('node-1', `flowsieve/2/1/web/node-1/node-2/${keyId}`);
    assert.equal(silent.authorized, true);
    await gone(silent);
    assert.equal(refused(two, 'slow'), 1);
  });

  it('from an address that is no node’s is closed before a byte is read', async () => {
    const two = await cluster.start('node-2');
    const [from] = addresses(1) as [string];
    await gone(await knock(from, two.address));
    assert.equal(refused(two, 'address'), 1);
  });

  it('that says nothing, or a byte now and then, is ended; others get in meanwhile', async () => {
    const limits = { handshakeMs: 600, handshakesMax: 4 };
    const two = await cluster.start('node-2', { limits });
    const from = cluster.address('node-3');
    const slow = await Promise.all(Array.from({ length: 12 }, () => knock(from, two.address)));
    sockets.push(...slow);
    await until('that most are turned away', () => refused(two, 'crowded') === 8);
    const drip = setInterval(() => {
      for (const socket of slow) socket.write(Buffer.of(22));
    }, 50);
    const one = await cluster.start('node-1');
    const since = performance.now();
    await until('a member’s connections', () => {
      return connected(one, 'node-2') && connected(two, 'node-1');
    });
    assert.ok(performance.now() - since < 500);
    await Promise.all(slow.map(gone));
    clearInterval(drip);
    assert.ok(refused(two, 'slow') + refused(two, 'garbage') > 0);
    await until('room', () => refused(two, 'crowded') === 8);
    const three = await cluster.start('node-3');
    await until('a member’s connection', () => connected(three, 'node-2'));
  });

  it('and sends forged heartbeats in a flood does not delay those of others', async () => {
    const two = await cluster.start('node-2');
    // Everything that can be known without the secret is right: the dearest to refuse.
    const head = Buffer.concat([
      Buffer.from('46530201', 'hex'),
      createHash('sha256').update('flowsieve cluster web').digest().subarray(0, 4),
      Buffer.from(`${keyId}${'07'.repeat(12)}066e6f64652d33`, 'hex'),
    ]);
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      const head = Buffer.from('${head.toString('hex')}', 'hex');
      const bytes = Buffer.concat([head, Buffer.alloc(90)]);
      const more = () => socket.send(bytes, ${PORT}, '${two.address}', () => setImmediate(more));
      socket.bind(0, '${cluster.address('node-3')}', () => {
        for (let i = 0; i < 64; i += 1) more();
      });`;
    const flood = spawn(process.execPath, ['-e', script], { stdio: 'inherit' });
    try {
      await until('the flood', () => refused(two, 'forged') > 1000, 10_000);
      const one = await cluster.start('node-1');
      const delays: number[] = [];
      for (let i = 1; i <= 30; i += 1) {
        const sent = performance.now();
        one.peers.sendHeartbeat(heartbeat('node-1', { sent: i }), null);
        await until(`heartbeat ${i}`, () => two.heartbeats.length === i, 2000);
        delays.push(performance.now() - sent);
        await later(10);
      }
      const median = delays.sort((a, b) => a - b)[15] as number;
      assert.ok(median < 100, `a median of ${median} ms`);
      await until('a connection', () => connected(one, 'node-2') && connected(two, 'node-1'));
      assert.equal(two.lines.filter(({ reason }) => reason === 'forged').length, 1);
    } finally {
      flood.kill('SIGKILL');
    }
  }).timeout(40_000);
});
