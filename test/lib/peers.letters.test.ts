import assert from 'node:assert/strict';
import type { FlowsieveError } from '../../lib/errors/index.js';
import { collectList } from '../../lib/peers/giving.js';
import type { ListBlock, ListRequest } from '../../lib/peers/index.js';
import { takeList } from '../../lib/peers/lists.js';
import type { Message } from '../../lib/protocol/index.js';
import { chances, isLetter, Middle, type Passing } from './peers.middle.js';
import {
  Cluster,
  connected,
  heartbeat,
  later,
  type Overrides,
  type TestNode,
  until,
} from './peers.support.js';

const RECORD = 64;
const REQUEST: ListRequest = { kind: 'released', epoch: 7 };
const NAMES = ['node-1', 'node-2'];
const HOLD: Message = { type: 'hold', term: 4, epoch: 9 };

/** Records that say their number and their list's. */
function numbered(first: number, count: number, list: number): Buffer {
  const records = Buffer.alloc(count * RECORD, 0xa5);
  for (let i = 0; i < count; i += 1) {
    records.writeUInt32LE(first + i, i * RECORD);
    records.writeUInt32LE(list, i * RECORD + 4);
  }
  return records;
}

async function* blocksOf(sizes: readonly number[], list = 0): AsyncGenerator<ListBlock> {
  let first = 0;
  for (const [i, size] of sizes.entries()) {
    yield { records: numbered(first, size, list), now: 100 + i, names: NAMES };
    first += size;
  }
}

/** Everything that a pull has handed over. */
class Taking {
  readonly numbers: number[] = [];
  readonly lists = new Set<number>();
  readonly ticks = new Set<number>();

  readonly onBlock = async ({ records, now, names }: ListBlock) => {
    assert.deepEqual(names, NAMES);
    this.ticks.add(now);
    for (let at = 0; at < records.length; at += RECORD) {
      this.numbers.push(records.readUInt32LE(at));
      this.lists.add(records.readUInt32LE(at + 4));
    }
  };

  assertWhole(count: number): void {
    assert.deepEqual(
      this.numbers,
      Array.from({ length: count }, (_, i) => i),
    );
    assert.ok(this.lists.size <= 1, `records of ${this.lists.size} lists`);
  }
}

describe('letters', () => {
  let cluster: Cluster;
  let middle: Middle;
  beforeEach(async () => {
    cluster = new Cluster(0);
    middle = new Middle();
    await middle.open();
  });
  afterEach(async () => {
    middle.close();
    await cluster.close();
  });

  function start(name: string, overrides: Overrides = {}): Promise<TestNode> {
    return cluster.start(name, { nodes: middle.nodesOf(name), ...overrides });
  }

  /** node-1 gives and node-2 pulls; they have heard each other. */
  async function pair(list: Overrides['list'], limits = {}): Promise<[TestNode, TestNode]> {
    const one = await start('node-1', { list: list ?? (() => null), limits });
    const two = await start('node-2', { limits });
    await until('both connections', () => {
      return connected(one, 'node-2') && connected(two, 'node-1');
    });
    return [one, two];
  }

  function loseSome(share: number, seed: number): void {
    const chance = chances(seed);
    middle.loses = () => chance() < share;
  }

  describe('bring a short list', () => {
    it('without a stream, block by block as a stream would', async () => {
      const [one, two] = await pair(() => blocksOf([1, 30, 19]));
      middle.cut();
      const taking = new Taking();
      const pulled = await two.peers.pull('node-1', REQUEST, taking.onBlock);
      assert.deepEqual(pulled, { records: 50, bytes: 50 * RECORD });
      taking.assertWhole(50);
      assert.deepEqual([...taking.ticks], [100, 101, 102]);
      const { counters } = two.peers.status();
      assert.deepEqual([counters.listsPulled, counters.listsPulledByLetters], [1, 1]);
      assert.equal(one.peers.status().counters.listsGiven, 1);
    });

    it('that is empty', async () => {
      const [, two] = await pair(() => blocksOf([]));
      middle.cut();
      const never = async () => assert.fail('a block');
      const pulled = await two.peers.pull('node-1', REQUEST, never);
      assert.deepEqual(pulled, { records: 0, bytes: 0 });
    });

    it('of as many records as fit, and a longer one goes over a stream at once', async () => {
      let asked = 0;
      let sizes = [512];
      const [, two] = await pair(() => {
        asked += 1;
        return blocksOf(sizes);
      });
      const pull = async (count: number) => {
        const taking = new Taking();
        const since = performance.now();
        await two.peers.pull('node-1', REQUEST, taking.onBlock);
        taking.assertWhole(count);
        return performance.now() - since;
      };
      await pull(512);
      assert.equal(asked, 1);
      assert.equal(two.peers.status().counters.listsPulledByLetters, 1);
      // It has grown beyond that, at once or little by little.
      for (sizes of [[20_000], Array<number>(600).fill(1)]) {
        const total = sizes.reduce((sum, size) => sum + size, 0);
        assert.ok((await pull(total)) < 450, 'before it would have been given up');
      }
      assert.equal(asked, 5);
      const { listsPulled, listsFallenBack, listsPulledByLetters } = two.peers.status().counters;
      assert.deepEqual([listsPulled, listsFallenBack, listsPulledByLetters], [3, 2, 1]);
    });

    it('when three of ten datagrams are lost each way, mostly within 150 ms', async () => {
      let asked = 0;
      const [, two] = await pair(
        () => {
          asked += 1;
          return blocksOf([50], asked);
        },
        { listAgeMs: 10_000 },
      );
      loseSome(0.3, 5);
      const times: number[] = [];
      for (let i = 0; i < 60; i += 1) {
        const taking = new Taking();
        const since = performance.now();
        await two.peers.pull('node-1', REQUEST, taking.onBlock);
        times.push(performance.now() - since);
        taking.assertWhole(50);
        await later(35);
      }
      times.sort((a, b) => a - b);
      assert.ok((times[47] as number) < 150, `${times[47]} ms for four of five`);
      const { listsPulledByLetters, listsFallenBack } = two.peers.status().counters;
      assert.equal(listsPulledByLetters + listsFallenBack, 60);
      assert.ok(listsPulledByLetters >= 57, `${listsPulledByLetters} by letters`);
      // However often its parts were asked for, a list was made once.
      assert.equal(asked, 60 + listsFallenBack);
    }).timeout(30_000);

    it('over a stream when letters do not come through', async () => {
      const [, two] = await pair(() => blocksOf([50]));
      middle.loses = ({ to }) => to === 'node-2';
      const taking = new Taking();
      await two.peers.pull('node-1', REQUEST, taking.onBlock);
      taking.assertWhole(50);
      assert.equal(two.peers.status().counters.listsFallenBack, 1);
      middle.cut();
      await assert.rejects(two.peers.pull('node-1', REQUEST, taking.onBlock), {
        code: 'FLOWSIEVE_UNREACHABLE',
      });
      taking.assertWhole(50);
    });

    it('over a stream, and no record twice, when one part never comes', async () => {
      const [, two] = await pair(() => blocksOf([50]));
      // Of four full and short parts those of the last are shorter.
      middle.loses = (passing) => isLetter(passing) && passing.to === 'node-2' && isLast(passing);
      const taking = new Taking();
      await two.peers.pull('node-1', REQUEST, taking.onBlock);
      taking.assertWhole(50);
      assert.equal(two.peers.status().counters.listsFallenBack, 1);
    });

    it('that is too old when its last part comes is not taken', async () => {
      const [, two] = await pair(() => blocksOf([50]));
      middle.loses = (passing) => isLetter(passing) && passing.to === 'node-2' && isLast(passing);
      setTimeout(() => {
        middle.loses = () => false;
      }, 300);
      const never = async () => assert.fail('a block');
      const code = 'FLOWSIEVE_TIMEOUT';
      await assert.rejects(two.peers.pull('node-1', REQUEST, never), { code });
      const { refused, counters } = two.peers.status();
      assert.deepEqual([refused.old, counters.listsPulled, counters.listsFallenBack], [1, 0, 0]);
      const taking = new Taking();
      await two.peers.pull('node-1', REQUEST, taking.onBlock);
      taking.assertWhole(50);
    });

    it('that was made late is not old for it, but its first records may be', async () => {
      const block = (records: number): ListBlock => {
        return { records: Buffer.alloc(records * RECORD), now: 1, names: [] };
      };
      async function* slow(first: number): AsyncGenerator<ListBlock> {
        yield block(first);
        await later(150);
        yield block(0);
        yield block(1);
      }
      for (const first of [0, 1]) {
        const askedAt = performance.now();
        const frames = await collectList(slow(first), 1000, 10_000);
        assert.ok(frames);
        let old = 0;
        const onOld = () => {
          old += 1;
        };
        const ages = { askedAt, ageMs: 140, onOld };
        const taken = takeList(frames, 'node-1', ages, async () => undefined);
        if (first === 0) assert.equal((await taken).records, 1);
        else await assert.rejects(taken, { code: 'FLOWSIEVE_TIMEOUT' });
        assert.equal(old, first);
      }
    });

    it('and say at once that there is none', async () => {
      let asked = 0;
      const [one, two] = await pair(() => {
        asked += 1;
        return null;
      });
      middle.cut();
      const since = performance.now();
      await assert.rejects(
        two.peers.pull('node-1', REQUEST, async () => undefined),
        { code: 'FLOWSIEVE_REFUSED' },
      );
      assert.ok(performance.now() - since < 450);
      assert.equal(asked, 1);
      assert.equal(one.peers.status().counters.listsRefused, 1);
    });

    it('but leave those to streams that are long by nature', async () => {
      const [, two] = await pair(() => blocksOf([1]));
      for (const kind of ['tables', 'own', 'moving'] as const) {
        await two.peers.pull('node-1', { kind, epoch: 1 }, async () => undefined);
      }
      const { listsPulled, lettersSent } = two.peers.status().counters;
      assert.deepEqual([listsPulled, lettersSent], [3, 0]);
    });

    it('and an error of the receiver is his', async () => {
      const [, two] = await pair(() => blocksOf([10, 10]));
      const fail = async () => {
        throw new RangeError('full');
      };
      await assert.rejects(two.peers.pull('node-1', REQUEST, fail), { code: 'FLOWSIEVE_INTERNAL' });
    });

    it('and leave a list that stands still to a stream, and end it', async () => {
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
      const [, two] = await pair(() => stuck, { stallMs: 200 });
      // Both sides lose patience at the same time: either ours runs out, or the giver hangs up.
      await assert.rejects(
        two.peers.pull('node-1', REQUEST, async () => undefined),
        (error) =>
          ['FLOWSIEVE_TIMEOUT', 'FLOWSIEVE_SYSTEM'].includes((error as FlowsieveError).code),
      );
      await until('both ends', () => ended === 2);
    });

    it('of one life of the giver: what another gives is not mixed with it', async () => {
      const [one, two] = await pair(() => blocksOf([50], 1));
      middle.loses = (passing) => passing.to === 'node-2' && isLetter(passing) && isLast(passing);
      const taking = new Taking();
      const pulled = two.peers.pull('node-1', REQUEST, taking.onBlock);
      await until('a part', () => middle.passed.some(({ to }) => to === 'node-2'));
      await one.peers.close();
      const self = { name: 'node-1', incarnation: 2000 };
      const again = await start('node-1', { self, list: () => blocksOf([40], 2) });
      middle.loses = () => false;
      again.peers.sendHeartbeat(heartbeat('node-1', { incarnation: 2000 }), null);
      const since = performance.now();
      await pulled;
      assert.ok(performance.now() - since < 450, 'as soon as the other life was heard');
      taking.assertWhole(40);
      assert.deepEqual([...taking.lists], [2]);
    });

    it('and no more blocks when this node has closed between two of them', async () => {
      const [, two] = await pair(() => blocksOf([10, 10]));
      let blocks = 0;
      const pulled = two.peers.pull('node-1', REQUEST, async () => {
        blocks += 1;
        await two.peers.close();
      });
      await assert.rejects(pulled, { code: 'FLOWSIEVE_STATE' });
      assert.equal(blocks, 1);
    });

    it('not any more when this node closes', async () => {
      const [, two] = await pair(() => blocksOf([50]));
      middle.loses = () => true;
      const pulled = two.peers.pull('node-1', REQUEST, async () => assert.fail('a block'));
      const outcome = assert.rejects(pulled, { code: 'FLOWSIEVE_STATE' });
      const since = performance.now();
      await two.peers.close();
      await outcome;
      assert.ok(performance.now() - since < 400);
    });
  });

  describe('bring messages', () => {
    /** A message that names so many nodes. */
    function settle(term: number, nodes: number): Message {
      const from = Array.from({ length: nodes }, (_, i) => `node-${i}`);
      return { type: 'settle', term, epoch: 9, from };
    }

    it('without a stream, when the peer is known', async () => {
      const [one, two] = await pair(undefined);
      middle.cut();
      one.peers.send('node-2', HOLD);
      await until('the message', () => two.messages.length === 1);
      assert.deepEqual(two.messages, [{ from: 'node-1', message: HOLD }]);
    });

    it('once, though they come as three letters and over a stream', async () => {
      const [one, two] = await pair(undefined);
      for (let term = 0; term < 200; term += 1) {
        one.peers.send('node-2', { type: 'ask', term });
        await later(1);
      }
      await until('all copies', () => {
        const { messagesReceived, messagesDoubled } = two.peers.status().counters;
        return messagesReceived + messagesDoubled === 800;
      });
      const terms = two.messages.map(({ message }) => 'term' in message && message.term);
      assert.deepEqual(
        terms.sort((a, b) => Number(a) - Number(b)),
        Array.from({ length: 200 }, (_, term) => term),
      );
    });

    it('when three of ten datagrams are lost and no stream is there', async () => {
      const [one, two] = await pair(undefined);
      middle.cut();
      loseSome(0.3, 9);
      for (let term = 0; term < 100; term += 1) {
        one.peers.send('node-2', { type: 'ask', term });
        await later(2);
      }
      await later(100);
      const terms = new Set(two.messages.map(({ message }) => 'term' in message && message.term));
      assert.equal(two.messages.length, terms.size);
      // Three copies: 27 of 1000 are lost.
      assert.ok(terms.size >= 90 && terms.size <= 100, `${terms.size} messages`);
    });

    it('of this life only: what an earlier one wanted to say is not said again', async () => {
      const [one, two] = await pair(undefined);
      middle.cut();
      middle.loses = () => true;
      one.peers.send('node-2', HOLD);
      one.peers.setIdentity({ name: 'node-1', incarnation: 2000 });
      await until('the first letter', () => middle.passed.length === 1);
      middle.loses = () => false;
      await later(80);
      assert.equal(one.peers.status().counters.lettersSent, 1);
      assert.equal(two.messages.length, 0);
    });

    it('in pieces, when three of ten datagrams are lost and no stream is there', async () => {
      const [one, two] = await pair(undefined);
      middle.cut();
      loseSome(0.3, 10);
      const sent = Array.from({ length: 100 }, (_, term) => settle(term, 200));
      for (const message of sent) {
        one.peers.send('node-2', message);
        await later(2);
      }
      await later(100);
      const come = two.messages.map(({ message }) => message);
      const terms = new Set(come.map((message) => 'term' in message && message.term));
      assert.equal(come.length, terms.size, 'each at most once');
      for (const message of come) {
        assert.deepEqual(message, sent['term' in message ? message.term : -1]);
      }
      // Three copies of three pieces: 79 of 1000 are lost.
      assert.ok(terms.size >= 78 && terms.size <= 100, `${terms.size} messages`);
    });

    it('and leave long ones to the stream', async () => {
      const [one, two] = await pair(undefined);
      const message = settle(4, 2000);
      one.peers.send('node-2', message);
      await until('the message', () => two.messages.length === 1);
      assert.equal(one.peers.status().counters.lettersSent, 0);
    });
  });

  describe('are refused', () => {
    it('when they come again', async () => {
      const [one, two] = await pair(undefined);
      one.peers.send('node-2', HOLD);
      await until('all copies', () => two.peers.status().counters.lettersReceived === 3);
      const letters = middle.passed.filter(isLetter);
      assert.equal(letters.length, 3);
      for (const letter of letters) middle.inject(letter);
      await until('refusals', () => two.peers.status().refused.replay === 3);
      assert.equal(two.messages.length, 1);
    });

    it('when they are for another life of the receiver', async () => {
      const [one, two] = await pair(undefined);
      middle.loses = isLetter;
      one.peers.send('node-2', HOLD);
      await until('letters', () => middle.passed.filter(isLetter).length === 3);
      await two.peers.close();
      const again = await start('node-2', { self: { name: 'node-2', incarnation: 2000 } });
      for (const letter of middle.passed.filter(isLetter)) middle.inject(letter);
      await until('refusals', () => again.peers.status().refused.life === 3);
      assert.equal(again.messages.length, 0);
    });

    it('when they are of an earlier life of the sender', async () => {
      const [one, two] = await pair(undefined);
      middle.loses = isLetter;
      one.peers.send('node-2', HOLD);
      await until('letters and the stream', () => {
        return middle.passed.filter(isLetter).length === 3 && two.messages.length === 1;
      });
      one.peers.setIdentity({ name: 'node-1', incarnation: 2000 });
      one.peers.sendHeartbeat(heartbeat('node-1', { incarnation: 2000 }), null);
      await until('the heartbeat', () => two.heartbeats.length === 1);
      for (const letter of middle.passed.filter(isLetter)) middle.inject(letter);
      await until('refusals', () => two.peers.status().refused.incarnation === 3);
      assert.equal(two.messages.length, 1);
    });

    it('when they were heartbeats, or are changed, or are not the peer’s', async () => {
      const [one, two] = await pair(undefined);
      middle.loses = () => true;
      one.peers.sendHeartbeat(heartbeat('node-1'), null);
      one.peers.send('node-2', HOLD);
      await until('both', () => middle.passed.length === 4);
      middle.loses = () => false;
      const changed = (passing: Passing | undefined, at: number, to: number) => {
        const bytes = Buffer.from(passing?.bytes ?? Buffer.alloc(0));
        bytes[at] = to;
        return { bytes, to: 'node-2' };
      };
      const letter = middle.passed.find(isLetter) as Passing;
      const beat = middle.passed.find((each) => !isLetter(each));
      middle.inject(changed(beat, 1, 0x4c));
      middle.inject(changed(letter, 1, 0x53));
      middle.inject(changed(letter, 40, (letter.bytes[40] as number) ^ 1));
      await until('refusals', () => two.peers.status().refused.forged === 3);
      // Back to where it came from.
      middle.inject({ bytes: letter.bytes, to: 'node-1' });
      await until('a refusal', () => one.peers.status().refused.name === 1);
      assert.equal(two.heartbeats.length, 0);
    });
  });

  it('have nonces that never come again, and fit a datagram of 1200 bytes', async () => {
    const long = ['a', 'b'].map((each) => each.repeat(63)) as [string, string];
    const wide = new Middle(long);
    await wide.open();
    try {
      const [one, two] = (await Promise.all(
        long.map((name) =>
          cluster.start(name, { nodes: wide.nodesOf(name), list: () => blocksOf([512]) }),
        ),
      )) as [TestNode, TestNode];
      await until('both', () => connected(one, long[1]) && connected(two, long[0]));
      await two.peers.pull(long[0], REQUEST, async () => undefined);
      for (let size = 1; size < 60; size += 1) {
        const from = Array.from({ length: size }, (_, i) => `some-node-${i}`);
        one.peers.send(long[1], { type: 'settle', term: 4, epoch: 9, from });
        one.peers.sendHeartbeat(heartbeat(long[0]), null);
      }
      await later(100);
      const lengths = wide.passed.map(({ bytes }) => bytes.length);
      assert.ok(Math.max(...lengths) <= 1200 && Math.max(...lengths) > 1150);
      const nonces = wide.passed.map((passing) => {
        return `${isLetter(passing)} ${passing.to} ${passing.bytes.toString('hex', 12, 24)}`;
      });
      assert.equal(new Set(nonces).size, nonces.length);
    } finally {
      wide.close();
    }
  });
});

/** True for a part that is shorter than others: the last of its list. */
function isLast({ bytes }: Passing): boolean {
  return bytes.length > 100 && bytes.length < 1056;
}
