import assert from 'node:assert/strict';
import fc from 'fast-check';
import { criteriaSettings, parseConfiguration } from '../../lib/config/index.js';
import type { ConnectionRecord } from '../../lib/native/index.js';
import type { ConnectionsQuery } from '../../lib/node/types.js';
import {
  allocationView,
  connectionView,
  cursorText,
  isWanted,
  memberStatuses,
  readCursor,
  sumTables,
} from '../../lib/node/views.js';
import type { ProtocolState } from '../../lib/protocol/index.js';

const RECORD: ConnectionRecord = {
  protocol: 'tcp',
  protocolNumber: 6,
  client: { address: '198.51.100.7', port: 40000 },
  server: { address: '192.0.2.100', port: 80 },
  status: 'ESTABLISHED',
  opened: 'opening',
  closedBy: null,
  owner: 1,
  bucket: 17,
  epoch: 4,
  openedTick: 1000,
  lastSeenTick: 1025,
};
const NAMES = ['node-1', 'node-2'];

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-6, `${actual} is not ${expected}`);
}

describe('a connection as it is shown', () => {
  it('has the name of its owner, and says whether that is this node', () => {
    const others = connectionView(RECORD, NAMES, 'node-1', 1030, 5000);
    assert.equal(others.owner, 'node-2');
    assert.equal(others.own, false);
    assert.equal(connectionView(RECORD, NAMES, 'node-2', 1030, 5000).own, true);
    const unknown = connectionView({ ...RECORD, owner: 9 }, NAMES, 'node-1', 1030, 5000);
    assert.equal(unknown.owner, '');
    assert.equal(unknown.own, false);
  });

  it('has times on the clock of people, from tenths of a second', () => {
    const view = connectionView(RECORD, NAMES, 'node-1', 1030, 5000);
    near(view.firstSeen, 4997);
    near(view.lastSeen, 4999.5);
  });

  it('keeps its times while the 32-bit tick wraps around', () => {
    const ages = fc.integer({ min: 0, max: 2 ** 31 });
    const ticks = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(ticks, ages, (nowTick, age) => {
        const openedTick = (nowTick - age + 2 ** 32) % 2 ** 32;
        const record = { ...RECORD, openedTick, lastSeenTick: nowTick };
        const view = connectionView(record, NAMES, 'node-1', nowTick, 1_700_000_000);
        near(view.firstSeen, 1_700_000_000 - age / 10);
        near(view.lastSeen, 1_700_000_000);
      }),
    );
  });
});

describe('the filter of connections', () => {
  const view = connectionView(RECORD, NAMES, 'node-1', 1030, 5000);
  const cases: [what: string, query: Omit<ConnectionsQuery, 'limit'>, wanted: boolean][] = [
    ['nothing', {}, true],
    ['the protocol by name', { protocol: 'tcp' }, true],
    ['the protocol by number', { protocol: 6 }, true],
    ['another protocol', { protocol: 'udp' }, false],
    ['another protocol number', { protocol: 17 }, false],
    ['the owner', { owner: 'node-2' }, true],
    ['another owner', { owner: 'node-1' }, false],
    ['the status', { status: 'ESTABLISHED' }, true],
    ['another status', { status: 'CLOSING' }, false],
    ['the client', { client: { address: '198.51.100.7', port: 40000 } }, true],
    ["the client's port alone", { client: { port: 40000 } }, true],
    ['another client', { client: { address: '198.51.100.8' } }, false],
    ['another port of the client', { client: { address: '198.51.100.7', port: 1 } }, false],
    ['the server as the client', { client: { address: '192.0.2.100' } }, false],
    ['the server', { server: { address: '192.0.2.100', port: 80 } }, true],
    ['another server port', { server: { port: 443 } }, false],
    ['several that agree', { protocol: 'tcp', owner: 'node-2', server: { port: 80 } }, true],
    ['several of which one does not', { protocol: 'tcp', owner: 'node-1' }, false],
  ];
  for (const [what, query, wanted] of cases) {
    it(`${wanted ? 'lets through' : 'keeps out'} by ${what}`, () => {
      assert.equal(isWanted(view, { limit: 1, ...query }), wanted);
    });
  }
});

describe('a cursor', () => {
  it('comes back as it was handed out', () => {
    const places = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 63 }), places, (worker, place) => {
        assert.deepEqual(readCursor(cursorText({ worker, place }), 64), { worker, place });
      }),
    );
  });

  it('begins at the beginning when there is none', () => {
    assert.deepEqual(readCursor(undefined, 1), { worker: 0, place: 0n });
  });

  for (const bad of [
    '',
    '1',
    '0.',
    '.0',
    '0.-1',
    '-1.0',
    '2.0',
    '999.0',
    '0.0.0',
    '0.1e3',
    ' 0.0',
    '0.0\n',
    'x.y',
    `0.${'9'.repeat(20)}`,
  ]) {
    it(`is refused as ${JSON.stringify(bad)}`, () => {
      assert.throws(() => readCursor(bad, 2), { code: 'FLOWSIEVE_ARGUMENT', path: 'cursor' });
    });
  }
});

describe('the allocation and the members as they are shown', () => {
  const configuration = parseConfiguration({
    cluster: 'shown',
    addresses: ['192.0.2.100'],
    node: 'a',
    nodes: [
      { name: 'a', weight: 3 },
      { name: 'b', weight: 1 },
      { name: 'c', weight: 0 },
    ],
  });
  const allocation = { epoch: 3, names: ['a', 'gone', 'b'], owners: Uint16Array.of(0, 0, 2, 0) };
  const { settings } = criteriaSettings(configuration);
  const criteria = { digest: 'd', buckets: 4, settings };
  const member = { incarnation: 1, share: null, wants: 'd' };
  const state: ProtocolState = {
    state: 'member',
    incarnation: 1,
    view: {
      epoch: 3,
      term: 1,
      criteria,
      allocation,
      members: [
        { ...member, name: 'b', state: 'draining', weight: 1 },
        { ...member, name: 'a', state: 'member', weight: 5 },
      ],
    },
    term: 1,
    coordinator: 'a',
    coordinating: true,
    transition: null,
    waiting: null,
    peers: [
      { name: 'b', incarnation: 1, heardAt: 9_500, suspected: false },
      { name: 'c', incarnation: 1, heardAt: 9_900, suspected: false },
    ],
    completed: 0,
    rolledBack: 0,
  };

  it('has the buckets of every node, with the weights that the nodes have agreed on', () => {
    assert.deepEqual(allocationView(configuration, state), {
      epoch: 3,
      buckets: 4,
      names: ['a', 'gone', 'b'],
      owners: [0, 0, 2, 0],
      shares: [
        { name: 'a', weight: 5, buckets: 3 },
        { name: 'b', weight: 1, buckets: 1 },
        { name: 'c', weight: 0, buckets: 0 },
      ],
      rules: [],
    });
  });

  it('says when each node was last heard, and which are on their way', () => {
    const [a, b, c] = memberStatuses(configuration, state, 10_000, 5000);
    assert.deepEqual(a, { name: 'a', state: 'member', weight: 5, buckets: 3, lastSeen: 5000 });
    assert.deepEqual(b, { name: 'b', state: 'draining', weight: 1, buckets: 1, lastSeen: 4999.5 });
    assert.equal(c?.state, 'joining');
    near(c?.lastSeen ?? 0, 4999.9);
  });

  it('counts a configured node that was never heard among those that are not there', () => {
    const [, , c] = memberStatuses(configuration, { ...state, peers: [] }, 10_000, 5000);
    assert.equal(c?.state, 'left');
    assert.equal(c?.lastSeen, null);
  });

  it('has no buckets to show before the nodes have agreed', () => {
    const view = allocationView(configuration, { ...state, view: null });
    assert.equal(view.epoch, 0);
    assert.equal(view.buckets, 256);
    assert.deepEqual(view.owners, []);
  });
});

describe('the tables of several workers', () => {
  it('are added up, each number by itself', () => {
    const one = { own: 1, others: 2, capacity: 3, opening: 4, established: 5, closing: 6 };
    const sum = { own: 2, others: 4, capacity: 6, opening: 8, established: 10, closing: 12 };
    assert.deepEqual(sumTables([one, one]), sum);
  });
});
