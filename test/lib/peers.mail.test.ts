import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import fc from 'fast-check';
import { Answers } from '../../lib/peers/answers.js';
import { Asking, type AskingContext } from '../../lib/peers/asking.js';
import { Counters } from '../../lib/peers/counters.js';
import { Inbox, REMEMBERED_MAX } from '../../lib/peers/inbox.js';
import { DEFAULT_LIMITS, type ListBlock } from '../../lib/peers/index.js';
import { clusterTag, Secret } from '../../lib/peers/keys.js';
import { ALL_PARTS, type Content, encodeLetter, PART_BYTES } from '../../lib/peers/letters.js';
import { encodeMessage } from '../../lib/peers/messages.js';
import { cut, type Piece, Pieces } from '../../lib/peers/pieces.js';
import { Roster } from '../../lib/peers/roster.js';
import { Numbering, seal } from '../../lib/peers/seal.js';
import type { Message } from '../../lib/protocol/index.js';
import { Cluster, later, PORT, SECRET, until } from './peers.support.js';

const HOLD: Message = { type: 'hold', term: 4, epoch: 9 };

const NODES = [
  { name: 'node-1', address: '127.0.0.1' },
  { name: 'node-2', address: '127.0.0.2' },
];

async function* fifty(): AsyncGenerator<ListBlock> {
  yield { records: Buffer.alloc(50 * 64, 3), now: 1, names: ['node-1', 'node-2'] };
}

describe('who asks for a list by letters', () => {
  /** node-2 asks node-1, which lives its life 5. */
  function begin() {
    const self = { name: 'node-2', incarnation: 9 };
    const roster = new Roster('web', 1, self, { nodes: NODES, secrets: [SECRET] });
    const peer = roster.peers.get('node-1');
    assert.ok(peer);
    peer.incarnation = 5;
    const missing: number[] = [];
    const post: AskingContext['post'] = (_, to, content) => {
      assert.ok(to === 5 && content.type === 'ask');
      missing.push(content.missing);
    };
    const asking = new Asking({ roster, post }, peer, { kind: 'released', epoch: 1 });
    asking.ask();
    return { asking, missing, peer, roster };
  }

  function part(request: number, index: number, snapshot = 1, parts = 3): Content {
    const bytes = Buffer.from(`${snapshot}.${index} `);
    return { type: 'part', request, snapshot, parts, part: index, bytes };
  }

  it('puts parts together in their order, and asks only for what is missing', async () => {
    const { asking, missing } = begin();
    const { request } = asking;
    asking.take('node-1', 5, part(request, 2));
    await later(15);
    asking.take('node-1', 5, part(request, 0));
    await later(15);
    asking.take('node-1', 5, part(request, 1));
    assert.equal(`${await asking.frames}`, '1.0 1.1 1.2 ');
    assert.equal(missing[0], ALL_PARTS);
    assert.deepEqual([...new Set(missing.slice(1))], [0b011, 0b010]);
    const asked = missing.length;
    await later(50);
    assert.equal(missing.length, asked);
  });

  it('takes each part once, of one snapshot, from one life of whom it asked', async () => {
    const { asking, missing } = begin();
    const { request } = asking;
    asking.take('node-3', 5, part(request, 0, 7));
    asking.take('node-1', 4, part(request, 0, 7));
    asking.take('node-1', 5, part(request, 1));
    asking.take('node-1', 5, part(request, 1));
    asking.take('node-1', 5, part(request, 0, 2));
    asking.take('node-1', 5, part(request, 0, 1, 2));
    asking.take('node-1', 6, { type: 'nothing', request, why: 'list' });
    await later(15);
    assert.equal(missing.at(-1), 0b101);
    asking.take('node-1', 5, part(request, 0));
    asking.take('node-1', 5, part(request, 2));
    assert.equal(`${await asking.frames}`, '1.0 1.1 1.2 ');
  });

  it('goes to a stream when either begins another life, or the giver is no peer now', async () => {
    const changes: ((begun: ReturnType<typeof begin>) => void)[] = [
      ({ peer }) => {
        peer.incarnation = 6;
      },
      ({ roster }) => {
        roster.self = { name: 'node-2', incarnation: 10 };
      },
      ({ roster }) => {
        roster.configure({ nodes: NODES.slice(1), secrets: [SECRET] });
      },
    ];
    for (const change of changes) {
      const begun = begin();
      change(begun);
      const since = performance.now();
      assert.equal(await begun.asking.frames, null);
      assert.ok(performance.now() - since < 300);
      assert.equal(begun.missing.length, 1);
    }
  });
});

describe('who gives a list by letters', () => {
  const list = { kind: 'released', epoch: 1 } as const;

  /** What is posted to node-1 by an `Answers` whose lists come when `go` is called. */
  function begin(limits = DEFAULT_LIMITS) {
    const self = { name: 'node-2', incarnation: 9 };
    const roster = new Roster('web', 1, self, { nodes: NODES, secrets: [SECRET] });
    const peer = roster.peers.get('node-1');
    assert.ok(peer);
    const posted: Content[] = [];
    const waiting: (() => void)[] = [];
    async function* late(): AsyncGenerator<ListBlock> {
      await new Promise<void>((resolve) => waiting.push(resolve));
      yield* fifty();
    }
    const answers = new Answers({
      limits,
      counters: new Counters(),
      post: (_, to, content) => {
        assert.equal(to, 3);
        posted.push(content);
      },
      onList: late,
    });
    const ask = (request: number, missing: number) => {
      const content = { type: 'ask', request, list, missing } as const;
      answers.take(peer, { incarnation: 3, to: 9, content }, content);
    };
    const parts = () => posted.splice(0).map((each) => (each.type === 'part' ? each.part : -1));
    return { answers, roster, ask, parts, posted, waiting };
  }

  it('makes it once, and gives only those parts that were asked for, also meanwhile', async () => {
    const { ask, parts, posted, waiting } = begin();
    ask(1, 0b0001);
    ask(1, 0b0100);
    await until('the list', () => waiting.length === 1);
    assert.equal(posted.length, 0);
    waiting[0]?.();
    await until('its parts', () => posted.length > 0);
    assert.deepEqual(parts(), [0, 2]);
    ask(1, 0b1010);
    assert.deepEqual(parts(), [1, 3]);
    ask(1, ALL_PARTS);
    const snapshots = () => posted.map((each) => each.type === 'part' && each.snapshot);
    assert.equal(new Set(snapshots()).size, 1);
    assert.deepEqual(parts(), [0, 1, 2, 3]);
    assert.equal(waiting.length, 1);
    ask(1, 1);
    ask(2, 1);
    await until('another list', () => waiting.length === 2);
    waiting[1]?.();
    await until('its part', () => posted.length === 2);
    assert.equal(new Set(snapshots()).size, 2);
  });

  it('makes few at a time, and says where others are to be had', async () => {
    const { ask, posted, waiting } = begin({ ...DEFAULT_LIMITS, listsMax: 2 });
    for (const request of [1, 2, 3]) ask(request, ALL_PARTS);
    assert.deepEqual(posted, [{ type: 'nothing', request: 3, why: 'elsewhere' }]);
    await until('two lists', () => waiting.length === 2);
  });

  it('gives nothing to who is configured away meanwhile, nor of an earlier life', async () => {
    for (const forget of [
      ({ answers }: ReturnType<typeof begin>) => answers.prune(new Map()),
      ({ answers }: ReturnType<typeof begin>) => answers.clear(),
    ]) {
      const begun = begin();
      begun.ask(1, ALL_PARTS);
      await until('the list', () => begun.waiting.length === 1);
      forget(begun);
      begun.waiting[0]?.();
      await later(20);
      assert.equal(begun.posted.length, 0);
    }
  });
});

describe('a peer that asks by letters', () => {
  let cluster: Cluster;
  beforeEach(() => {
    cluster = new Cluster(2);
  });
  afterEach(() => cluster.close());

  it('without measure costs only a few lists and letters', async () => {
    let asked = 0;
    const list = () => {
      asked += 1;
      return fifty();
    };
    const two = await cluster.start('node-2', { list });
    const secret = new Secret(SECRET, 'web');
    const numbering = new Numbering();
    const socket = createSocket('udp4');
    socket.on('error', () => undefined);
    let answers = 0;
    socket.on('message', () => {
      answers += 1;
    });
    const address = cluster.address('node-1');
    await new Promise<void>((resolve) => socket.bind({ address, port: PORT }, resolve));
    const ask = async (request: number) => {
      const list = { kind: 'released', epoch: 1 } as const;
      const content = { type: 'ask', request, list, missing: ALL_PARTS } as const;
      const sealed = seal(encodeLetter({ incarnation: 1000, to: 1000, content }), {
        layout: 1,
        cluster: clusterTag('web'),
        secret,
        key: secret.key('letter', 'node-1', 'node-2'),
        numbering,
        sender: 'node-1',
        path: 'letter',
        to: 'node-2',
      });
      await new Promise((resolve) => {
        socket.send(sealed, PORT, cluster.address('node-2'), resolve);
      });
      await later(1);
    };
    const sent = () => two.peers.status().counters.lettersSent;
    for (let i = 0; i < 200; i += 1) await ask(1);
    await until('all of them', () => two.peers.status().counters.lettersReceived === 200);
    assert.equal(asked, 1);
    // Each of four parts a few times; then silence.
    assert.ok(sent() <= 4 * 24 && sent() >= 4 * 20, `${sent()} letters`);
    const since = performance.now();
    for (let request = 2; request < 102; request += 1) await ask(request);
    await until('all of them', () => two.peers.status().counters.lettersReceived === 300);
    const seconds = Math.ceil((performance.now() - since) / 1000);
    assert.ok(asked <= 32 * (1 + seconds), `${asked} lists`);
    assert.ok(asked < 101 && answers > 0);
    socket.close();
  });
});

describe('an inbox', () => {
  const bytes = encodeMessage(HOLD);

  function inbox(): { inbox: Inbox; counters: Counters } {
    const counters = new Counters();
    return { inbox: new Inbox({ counters, onMessage: () => undefined }), counters };
  }

  it('hands over each message once when the stream brings all, whatever letters do', () => {
    const letters = fc.array(fc.nat(60), { maxLength: 200 });
    fc.assert(
      fc.property(letters, fc.array(fc.boolean()), (numbers, turns) => {
        const { inbox: each, counters } = inbox();
        const came = [...numbers];
        let next = 0;
        const seen = new Set<number>();
        const stream = () => {
          each.fromStream('a', { life: 1, number: next }, bytes);
          seen.add(next);
          next += 1;
        };
        for (const letter of turns) {
          const number = letter ? came.pop() : undefined;
          if (number === undefined) stream();
          else {
            each.fromLetter('a', { life: 1, number }, bytes);
            seen.add(number);
          }
          assert.equal(counters.all().messagesReceived, seen.size);
        }
      }),
    );
  });

  it('begins anew with a life, and each peer has its own', () => {
    const { inbox: one, counters } = inbox();
    for (const [from, life] of [
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ] as const) {
      const before = counters.all().messagesReceived;
      one.fromLetter(from, { life, number: 0 }, bytes);
      assert.equal(counters.all().messagesReceived, before + 1);
      one.fromStream(from, { life, number: 0 }, bytes);
      assert.equal(counters.all().messagesReceived, before + 1);
    }
    assert.equal(counters.all().messagesDoubled, 3);
  });

  it('forgets the oldest when no stream comes, and hands those over again', () => {
    const { inbox: one, counters } = inbox();
    for (let number = 0; number <= REMEMBERED_MAX; number += 1) {
      one.fromLetter('a', { life: 1, number }, bytes);
    }
    one.fromStream('a', { life: 1, number: 0 }, bytes);
    one.fromStream('a', { life: 1, number: 1 }, bytes);
    const { messagesReceived, messagesDoubled } = counters.all();
    assert.deepEqual([messagesReceived, messagesDoubled], [REMEMBERED_MAX + 2, 1]);
  });
});

describe('the pieces of a message', () => {
  const message = Buffer.from(Array.from({ length: 3 * PART_BYTES - 7 }, (_, i) => i % 251));

  function taken(pieces: Pieces, life: number, content: Piece, now = 0): string | null {
    return pieces.take(life, content, now)?.toString('hex') ?? null;
  }

  it('are as many as it takes, and make the message again in any order', () => {
    const all = cut(4, message);
    assert.deepEqual(
      all.map(({ bytes }) => bytes.length),
      [PART_BYTES, PART_BYTES, PART_BYTES - 7],
    );
    const pieces = new Pieces();
    const [first, second, third] = all as [Piece, Piece, Piece];
    assert.equal(taken(pieces, 1, third), null);
    assert.equal(taken(pieces, 1, first), null);
    assert.equal(taken(pieces, 1, first), null, 'a copy');
    assert.equal(taken(pieces, 1, second), message.toString('hex'));
    assert.equal(pieces.waiting, 0);
  });

  it('are not mixed: of two messages, of two lives, of two ways to cut', () => {
    const pieces = new Pieces();
    const [first, second, third] = cut(4, message) as [Piece, Piece, Piece];
    taken(pieces, 1, first);
    taken(pieces, 1, { ...second, number: 5 });
    assert.equal(taken(pieces, 1, { ...third, pieces: 4 }), null);
    assert.equal(taken(pieces, 1, third), null);
    assert.equal(taken(pieces, 2, second), null);
    assert.equal(pieces.waiting, 1, 'nothing of the life before');
  });

  it('are forgotten after a moment, and when there are too many', () => {
    const pieces = new Pieces();
    const [first, second, third] = cut(4, message) as [Piece, Piece, Piece];
    taken(pieces, 1, first, 0);
    taken(pieces, 1, second, 0);
    assert.equal(taken(pieces, 1, third, 501), null);
    for (let number = 100; number < 200; number += 1) taken(pieces, 1, { ...first, number }, 501);
    assert.equal(pieces.waiting, 16);
    // No peer says that a message is longer than it may be.
    assert.equal(taken(pieces, 1, { ...first, number: 300, pieces: 17 }, 501), null);
    assert.equal(pieces.waiting, 16);
  });
});
