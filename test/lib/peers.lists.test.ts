import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { hkdfSync } from 'node:crypto';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FlowsieveError } from '../../lib/errors/index.js';
import type { ListBlock, ListRequest } from '../../lib/peers/index.js';
import type { ListKind, Message } from '../../lib/protocol/index.js';
import { Cluster, connected, later, PORT, SECRET, type TestNode, until } from './peers.support.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const RECORD = 64;
const REQUEST: ListRequest = { kind: 'moving', epoch: 7 };

function hex(bytes: string): Buffer {
  return Buffer.from(bytes, 'hex');
}

/** As if the process had been stopped: nothing of it runs. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Records that say their number, so that one that is lost, doubled or moved is seen. */
function numbered(first: number, count: number): Buffer {
  const records = Buffer.alloc(count * RECORD);
  for (let i = 0; i < count; i += 1) records.writeUInt32LE(first + i, i * RECORD);
  return records;
}

async function* blocksOf(sizes: readonly number[], names = ['a']): AsyncGenerator<ListBlock> {
  let first = 0;
  for (const [now, size] of sizes.entries()) {
    yield { records: numbered(first, size), now: 100 + now, names };
    first += size;
  }
}

describe('a list', () => {
  let cluster: Cluster;
  const children: ChildProcess[] = [];
  beforeEach(() => {
    cluster = new Cluster(3);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await cluster.close();
  });

  async function pair(
    list: (to: string, request: ListRequest) => AsyncIterable<ListBlock> | null,
    limits = {},
  ): Promise<[giver: TestNode, puller: TestNode]> {
    const giver = await cluster.start('node-1', { list, limits });
    return [giver, await cluster.start('node-2', { limits })];
  }

  /** node-1 in a process of its own. */
  async function child(blocks: number): Promise<ChildProcess> {
    const options = { name: 'node-1', port: PORT, nodes: cluster.nodes, blocks };
    const script = fileURLToPath(new URL('peers.child.js', import.meta.url));
    const started = spawn(process.execPath, [script, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(started);
    await new Promise((resolve) => started.stdout?.once('data', resolve));
    return started;
  }

  /** Who says on node-1's behalf whatever it likes when a puller has said HELLO. */
  async function saying(answer: (socket: TLSSocket) => void): Promise<Server> {
    const psk = hkdfSync('sha256', SECRET, 'web', 'flowsieve peers stream/node-2/node-1', 32);
    const giver = createServer({ pskCallback: () => Buffer.from(psk) } as TlsOptions, (socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => answer(socket));
    });
    await new Promise<void>((resolve) => {
      giver.listen(PORT, cluster.address('node-1'), resolve);
    });
    return giver;
  }

  it('comes whole and in order, whatever the sizes of its blocks', async () => {
    const sizes = [1, 8192, 8193, 50_000, 2];
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const [, puller] = await pair(() => blocksOf(sizes));
    let next = 0;
    const ticks = new Set<number>();
    const pulled = await puller.peers.pull('node-1', REQUEST, async ({ records, now, names }) => {
      assert.deepEqual(names, ['a']);
      ticks.add(now);
      for (let at = 0; at < records.length; at += RECORD) {
        assert.equal(records.readUInt32LE(at), next);
        next += 1;
      }
    });
    assert.deepEqual(pulled, { records: total, bytes: total * RECORD });
    assert.equal(next, total);
    assert.deepEqual([...ticks], [100, 101, 102, 103, 104]);
  });

  it('may be empty', async () => {
    const [, puller] = await pair(() => blocksOf([]));
    const never = async () => assert.fail('a block');
    assert.deepEqual(await puller.peers.pull('node-1', REQUEST, never), { records: 0, bytes: 0 });
  });

  it('is asked for by kind and epoch, and the giver knows by whom', async () => {
    const asked: unknown[] = [];
    const [, puller] = await pair((to, request) => {
      asked.push({ to, ...request });
      return blocksOf([]);
    });
    const kinds: ListKind[] = ['tables', 'own', 'moving', 'released', 'claims', 'contested'];
    for (const [epoch, kind] of kinds.entries()) {
      await puller.peers.pull('node-1', { kind, epoch }, async () => undefined);
    }
    assert.deepEqual(
      asked,
      kinds.map((kind, epoch) => ({ to: 'node-2', kind, epoch })),
    );
  });

  it('brings the names that have been added meanwhile', async () => {
    const all = Array.from({ length: 3000 }, (_, i) => `node-${i}`);
    async function* growing(): AsyncGenerator<ListBlock> {
      for (const count of [1, 1, 3, 2500, 3000]) {
        yield { records: numbered(0, 1), now: count, names: all.slice(0, count) };
      }
    }
    const [, puller] = await pair(growing);
    await puller.peers.pull('node-1', REQUEST, async ({ names, now }) => {
      assert.deepEqual(names, all.slice(0, now));
    });
  });

  it('that is refused says so', async () => {
    const [giver, puller] = await pair(() => null);
    await assert.rejects(
      puller.peers.pull('node-1', REQUEST, async () => undefined),
      {
        code: 'FLOWSIEVE_REFUSED',
      },
    );
    assert.equal(giver.peers.status().counters.listsRefused, 1);
  });

  it('of somebody unknown or absent is an error', async () => {
    const [, puller] = await pair(() => null);
    const pull = (from: string) => puller.peers.pull(from, REQUEST, async () => undefined);
    await assert.rejects(pull('nobody'), { code: 'FLOWSIEVE_ARGUMENT' });
    await assert.rejects(pull('node-3'), { code: 'FLOWSIEVE_UNREACHABLE' });
  });

  it('is not read ahead of a slow receiver, so that neither side holds much of it', async () => {
    const block = 64 * 8192;
    const blocks = 400;
    let yielded = 0;
    async function* big(): AsyncGenerator<ListBlock> {
      for (; yielded < blocks; yielded += 1) {
        yield { records: Buffer.alloc(block, 1), now: yielded, names: ['a'] };
      }
    }
    const [, puller] = await pair(big, { listAgeMs: 10_000 });
    const held = async () => {
      // Buffers are freed in the background, some time after they were found.
      let least = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 5; round += 1) {
        collectGarbage();
        await later(15);
        least = Math.min(least, process.memoryUsage().arrayBuffers);
      }
      return least;
    };
    const before = await held();
    let taken = 0;
    let aheadMax = 0;
    let heldMax = 0;
    await puller.peers.pull('node-1', REQUEST, async ({ records }) => {
      taken += records.length;
      aheadMax = Math.max(aheadMax, yielded * block - taken);
      if (taken % (20 * block) !== 0) return;
      heldMax = Math.max(heldMax, (await held()) - before);
    });
    assert.equal(taken, blocks * block);
    // Of 200 MiB, in the kernel's two buffers and in this process, which is both sides.
    assert.ok(aheadMax <= 3 * block, `${aheadMax} bytes ahead`);
    assert.ok(heldMax < 8 * block, `${heldMax} bytes of buffers`);
  }).timeout(60_000);

  it('ends on both sides when the receiver fails, with the receiver’s error', async () => {
    let ended = false;
    async function* endless(): AsyncGenerator<ListBlock> {
      try {
        for (;;) yield { records: numbered(0, 8192), now: 0, names: [] };
      } finally {
        ended = true;
      }
    }
    const [, puller] = await pair(endless);
    const fail = async () => {
      throw new RangeError('full');
    };
    await assert.rejects(puller.peers.pull('node-1', REQUEST, fail), (error: FlowsieveError) => {
      assert.equal(error.code, 'FLOWSIEVE_INTERNAL');
      assert.ok(error.cause instanceof RangeError);
      return true;
    });
    await until('the end of the giver’s list', () => ended);
  });

  it('that fails at the giver is an error, not an end', async () => {
    async function* failing(): AsyncGenerator<ListBlock> {
      yield { records: numbered(0, 10), now: 0, names: [] };
      throw new Error('the engine was closed');
    }
    const [giver, puller] = await pair(failing);
    await assert.rejects(
      puller.peers.pull('node-1', REQUEST, async () => undefined),
      {
        code: 'FLOWSIEVE_SYSTEM',
      },
    );
    assert.ok(giver.lines.some(({ msg }) => msg.includes('the engine was closed')));
  });

  it('that stands still is given up on both sides', async () => {
    let ended = 0;
    const stuck: AsyncIterable<ListBlock> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => undefined),
        return: async () => {
          ended += 1;
          return { done: true, value: undefined };
        },
      }),
    };
    const [, puller] = await pair(() => stuck, { stallMs: 300 });
    const since = performance.now();
    // Both have the same patience: either the puller's runs out, or the giver hangs up first.
    await assert.rejects(
      puller.peers.pull('node-1', REQUEST, async () => undefined),
      (error: FlowsieveError) => ['FLOWSIEVE_TIMEOUT', 'FLOWSIEVE_SYSTEM'].includes(error.code),
    );
    assert.ok(performance.now() - since < 2000);
    await until('the end at the giver', () => ended === 1);
  });

  it('that the receiver does not take is given up by the giver', async () => {
    let ended = false;
    async function* endless(): AsyncGenerator<ListBlock> {
      try {
        for (;;) yield { records: numbered(0, 8192), now: 0, names: [] };
      } finally {
        ended = true;
      }
    }
    const giver = await cluster.start('node-1', { list: endless, limits: { stallMs: 300 } });
    const puller = await cluster.start('node-2', { limits: { listAgeMs: 10_000 } });
    let go: () => void = () => undefined;
    const pulled = puller.peers.pull('node-1', REQUEST, () => {
      return new Promise<void>((resolve) => {
        go = resolve;
      });
    });
    const outcome = assert.rejects(pulled, { code: 'FLOWSIEVE_SYSTEM' });
    await until('the end of the giver’s list', () => ended);
    assert.equal(giver.peers.status().counters.listsGiven, 1);
    const going = setInterval(() => go(), 5);
    await outcome;
    clearInterval(going);
  });

  it('is not given up while the receiver is at work on a block', async () => {
    // The second is made when the first has been taken.
    await cluster.start('node-1', { list: () => blocksOf([8193, 10]) });
    const limits = { stallMs: 300, listAgeMs: 10_000 };
    const puller = await cluster.start('node-2', { limits });
    const pulled = await puller.peers.pull('node-1', REQUEST, () => later(600));
    assert.equal(pulled.records, 8203);
  });

  it('is given to one peer a few times at once, and not more', async () => {
    const open: (() => void)[] = [];
    async function* waiting(): AsyncGenerator<ListBlock> {
      await new Promise<void>((resolve) => open.push(resolve));
      yield { records: numbered(0, 1), now: 0, names: [] };
    }
    const [, puller] = await pair(waiting, { listsMax: 2, listAgeMs: 10_000 });
    const pull = () => puller.peers.pull('node-1', REQUEST, async () => undefined);
    const first = [pull(), pull()];
    await until('two lists', () => open.length === 2);
    await assert.rejects(pull(), { code: 'FLOWSIEVE_REFUSED' });
    for (const go of open) go();
    assert.deepEqual(await Promise.all(first), Array(2).fill({ records: 1, bytes: RECORD }));
    const last = pull();
    await until('a third one', () => open.length === 3);
    open[2]?.();
    assert.equal((await last).records, 1);
  });

  it('is checked: whole records, names in order, the number at the end', async () => {
    // HELLO is answered by what no giver says, behind WELCOME and a record.
    const welcome = '00000009020000000000000001';
    const record = `0000004d0800000000000000ff00000000${'07'.repeat(64)}`;
    const wrong: [FlowsieveError['code'], string][] = [
      ['FLOWSIEVE_FORMAT', '00000009090000000000000002'],
      ['FLOWSIEVE_FORMAT', `0000004c0800000000000000ff00000000${'07'.repeat(63)}`],
      ['FLOWSIEVE_FORMAT', '0000000a07000000010001026161'],
      ['FLOWSIEVE_FORMAT', '0000000106'],
      ['FLOWSIEVE_FORMAT', '7fffffff08'],
      ['FLOWSIEVE_SYSTEM', ''],
    ];
    const puller = await cluster.start('node-2');
    for (const [code, bytes] of wrong) {
      const giver = await saying((socket) => socket.end(hex(welcome + record + bytes)));
      let blocks = 0;
      const pulled = puller.peers.pull('node-1', REQUEST, async ({ now, records, names }) => {
        assert.deepEqual([now, records.length, names], [255, 64, []]);
        blocks += 1;
      });
      await assert.rejects(pulled, { code }, bytes);
      assert.equal(blocks, 1);
      await new Promise<void>((resolve) => giver.close(() => resolve()));
    }
  });

  it('is refused when it is taken long after it can have been made', async () => {
    // The records say how long after HELLO they were made; WELCOME comes 400 ms after it.
    const frames = (madeAfter: number) => {
      const after = madeAfter.toString(16).padStart(8, '0');
      const records = `0000004d0800000000000000ff${after}${'07'.repeat(64)}`;
      return hex(`00000009020000000000000001${records}00000009090000000000000001`);
    };
    const puller = await cluster.start('node-2', { limits: { listAgeMs: 200 } });
    for (const [madeAfter, code] of [
      [0, 'FLOWSIEVE_TIMEOUT'],
      [199, 'FLOWSIEVE_TIMEOUT'],
      [400, null],
    ] as const) {
      const giver = await saying(async (socket) => {
        await later(400);
        socket.end(frames(madeAfter));
      });
      let blocks = 0;
      const pulled = puller.peers.pull('node-1', REQUEST, async () => {
        blocks += 1;
      });
      if (code) await assert.rejects(pulled, { code });
      else assert.equal((await pulled).records, 1);
      assert.equal(blocks, code ? 0 : 1);
      await new Promise<void>((resolve) => giver.close(() => resolve()));
    }
    assert.equal(puller.peers.status().refused.old, 2);
    const lines = puller.lines.filter(({ reason }) => reason === 'old');
    assert.deepEqual(
      lines.map(({ level, msg }) => [level, msg.includes('a list of node-1 (moving)')]),
      [['warn', true]],
    );
  });

  it('that came while its puller stood still is not taken, and pulled again it is', async () => {
    const giver = await child(40);
    const puller = await cluster.start('node-2');
    let taken = 0;
    const paused = puller.peers.pull('node-1', REQUEST, async () => {
      taken += 1;
      if (taken === 3) standStill(600);
    });
    await assert.rejects(paused, { code: 'FLOWSIEVE_TIMEOUT' });
    assert.equal(taken, 3);
    assert.equal(puller.peers.status().refused.old, 1);
    assert.equal(giver.exitCode, null);
    const { records } = await puller.peers.pull('node-1', REQUEST, async () => undefined);
    assert.equal(records, 40 * 4096);
  });

  it('that is taken slowly is made slowly, so that it is never old', async () => {
    await child(20);
    const puller = await cluster.start('node-2');
    for (const ms of [20, 120]) {
      const { records } = await puller.peers.pull('node-1', REQUEST, () => later(ms));
      assert.equal(records, 20 * 4096);
    }
  });

  it('takes the time of blocks without records, and gives none of them', async () => {
    async function* sparse(): AsyncGenerator<ListBlock> {
      for (let i = 0; i < 10; i += 1) {
        await later(50);
        yield { records: Buffer.alloc(0), now: 1, names: [] };
      }
      yield* blocksOf([1]);
    }
    const [, puller] = await pair(() => sparse());
    let blocks = 0;
    const pulled = await puller.peers.pull('node-1', REQUEST, async () => {
      blocks += 1;
    });
    assert.deepEqual([pulled.records, blocks], [1, 1]);
  });

  it('ends when this node closes', async () => {
    async function* endless(): AsyncGenerator<ListBlock> {
      for (;;) yield { records: numbered(0, 100), now: 0, names: [] };
    }
    const [, puller] = await pair(endless);
    let blocks = 0;
    const pulled = puller.peers.pull('node-1', REQUEST, async () => {
      blocks += 1;
    });
    const outcome = assert.rejects(pulled, { code: 'FLOWSIEVE_STATE' });
    await until('a block', () => blocks > 0);
    await puller.peers.close();
    await outcome;
  });

  it('of a peer that is killed in its middle is an error at once', async () => {
    const killed = await child(1_000_000);
    const puller = await cluster.start('node-2');
    let blocks = 0;
    let killedAt = 0;
    const pulled = puller.peers.pull('node-1', REQUEST, async () => {
      blocks += 1;
      if (blocks !== 20) return;
      killed.kill('SIGKILL');
      killedAt = performance.now();
    });
    await assert.rejects(pulled, { code: 'FLOWSIEVE_SYSTEM' });
    assert.ok(performance.now() - killedAt < 2000);
  });

  it('of a peer that is stopped in its middle is given up, and so is its connection', async () => {
    const stopped = await child(1_000_000);
    const limits = { stallMs: 500, silenceMs: 600 };
    const puller = await cluster.start('node-2', { limits });
    await until('a connection', () => connected(puller, 'node-1'));
    let blocks = 0;
    const pulled = puller.peers.pull('node-1', REQUEST, async () => {
      blocks += 1;
      if (blocks === 20) stopped.kill('SIGSTOP');
    });
    await assert.rejects(pulled, { code: 'FLOWSIEVE_TIMEOUT' });
    await until('the loss', () => !connected(puller, 'node-1'));
    stopped.kill('SIGCONT');
    await until('a connection', () => connected(puller, 'node-1'));
    const message: Message = { type: 'ask', term: 1 };
    const came = new Promise<string>((resolve) => {
      stopped.stdout?.once('data', (text) => resolve(`${text}`));
    });
    puller.peers.send('node-1', message);
    assert.deepEqual(JSON.parse(await came), { from: 'node-2', message });
  });
});
