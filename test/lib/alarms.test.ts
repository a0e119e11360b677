import assert from 'node:assert/strict';
import { vocabulary } from '../../lib/native/index.js';
import { Alarms } from '../../lib/node/alarms.js';
import { type ClusterFacts, conditionsOf } from '../../lib/node/conditions.js';
import { REFUSALS } from '../../lib/peers/refusals.js';
import type { Member, View } from '../../lib/protocol/index.js';

type Counted = Partial<Record<'counters' | 'drops' | 'refused', Record<string, number>>>;

/** Names of what was raised and what ended, with + and -. */
function observe(
  alarms: Alarms,
  now: number,
  { counters = {}, drops = {}, refused }: Counted,
): string[] {
  return alarms
    .observe({ counters, drops, refused }, now)
    .map(({ alarm, raised }) => `${raised ? '+' : '-'}${alarm.name}`);
}

function names(alarms: Alarms): string[] {
  return alarms.list().map(({ name }) => name);
}

// Each alarm with what it watches.
const WATCHED: [name: string, counted: (count: number) => Counted][] = [
  ['openingShare', (openingUntracked) => ({ counters: { openingUntracked } })],
  ['tableFull', (fullUntracked) => ({ counters: { fullUntracked } })],
  ['ringFull', (ringFull) => ({ drops: { ringFull } })],
  ['ringTruncated', (ringTruncated) => ({ drops: { ringTruncated } })],
  ['deliverFailed', (deliverFailed) => ({ drops: { deliverFailed } })],
  ['holdDropped', (holdFull) => ({ drops: { holdFull } })],
  ['holdDropped', (holdExpired) => ({ drops: { holdExpired } })],
  ['duplicateName', (address) => ({ refused: { address } })],
  ['wrongSecret', (secret) => ({ refused: { secret } })],
  ['wrongSecret', (forged) => ({ refused: { forged } })],
];

describe('alarms', () => {
  for (const [name, counted] of WATCHED) {
    it(`raise ${name} when its counter grows, keep it while it grows, end it after ten seconds of stillness`, () => {
      const alarms = new Alarms();
      assert.deepEqual(observe(alarms, 100, counted(0)), []);
      assert.deepEqual(observe(alarms, 101, counted(3)), [`+${name}`]);
      assert.deepEqual(observe(alarms, 102, counted(3)), []);
      assert.deepEqual(observe(alarms, 109, counted(4)), []);
      assert.deepEqual(names(alarms), [name]);
      assert.equal(alarms.list()[0]?.since, 101);
      assert.deepEqual(observe(alarms, 118.9, counted(4)), []);
      assert.deepEqual(observe(alarms, 119, counted(4)), [`-${name}`]);
      assert.deepEqual(names(alarms), []);
      assert.deepEqual(observe(alarms, 200, counted(4)), []);
      assert.deepEqual(observe(alarms, 201, counted(5)), [`+${name}`]);
      assert.equal(alarms.list()[0]?.since, 201);
    });

    it(`watch with ${name} something that is counted`, () => {
      const { counters = {}, drops = {}, refused = {} } = counted(1);
      for (const counter of Object.keys(counters)) {
        assert.ok(vocabulary.counters.some((each) => each.name === counter));
      }
      for (const drop of Object.keys(drops)) {
        assert.ok(vocabulary.drops.some((each) => each.name === drop));
      }
      for (const reason of Object.keys(refused)) assert.ok(Object.hasOwn(REFUSALS, reason));
    });
  }

  it('stand beside each other, the oldest first, each with a sentence', () => {
    const alarms = new Alarms();
    observe(alarms, 1, { drops: { ringFull: 1 } });
    observe(alarms, 2, { counters: { openingUntracked: 1 }, drops: { ringFull: 2 } });
    assert.deepEqual(names(alarms), ['ringFull', 'openingShare']);
    for (const { message } of alarms.list()) assert.match(message, /^[A-Z].*\.$/s);
    assert.deepEqual(
      observe(alarms, 12, { counters: { openingUntracked: 1 }, drops: { ringFull: 3 } }),
      ['-openingShare'],
    );
    assert.deepEqual(names(alarms), ['ringFull']);
  });

  it('do not rise from other counters', () => {
    const alarms = new Alarms();
    const counters = { packets: 9, expired: 9, evicted: 9, reopened: 9 };
    assert.deepEqual(observe(alarms, 1, { counters, drops: { fragmentExpired: 9 } }), []);
  });
});

describe('alarms of the cluster', () => {
  function member(name: string, wants = 'd1', state: Member['state'] = 'member'): Member {
    return { name, incarnation: 1, state, weight: 1, share: null, wants };
  }

  function viewOf(...members: Member[]): View {
    return {
      epoch: 4,
      term: 1,
      criteria: { digest: 'd1', buckets: 16, settings: {} },
      members,
      allocation: { epoch: 4, names: ['a'], owners: new Uint16Array(16) },
    };
  }

  const WELL: ClusterFacts = {
    now: 5000,
    self: 'a',
    quorum: 'majority',
    nodes: ['a', 'b', 'c'],
    state: 'member',
    view: viewOf(member('a'), member('b'), member('c')),
    heard: ['b', 'c'],
    waiting: null,
    audit: { epochs: [], silent: [] },
    unseen: new Map([['a', []]]),
  };

  function found(change: Partial<ClusterFacts>): string[] {
    const conditions = conditionsOf({ ...WELL, ...change });
    for (const { message } of conditions) assert.match(message, /^[A-Z].*\.$/s);
    return conditions.map(({ name }) => name);
  }

  function sentence(change: Partial<ClusterFacts>): string {
    return conditionsOf({ ...WELL, ...change })
      .map(({ message }) => message)
      .join(' ');
  }

  it('are none when all is well', () => {
    assert.deepEqual(found({}), []);
    assert.deepEqual(found({ heard: ['b'] }), []);
    assert.deepEqual(found({ view: null, state: 'joining' }), []);
  });

  it('tell that the lease is lost', () => {
    assert.deepEqual(found({ state: 'fenced' }), ['leaseLost']);
  });

  it('tell that there is no majority, and who is missing', () => {
    assert.deepEqual(found({ heard: [] }), ['noMajority']);
    assert.match(sentence({ heard: [] }), /1 of the 3 .* Missing: b, c\.$/);
    const four = { nodes: ['a', 'b', 'c', 'd'] };
    assert.deepEqual(found({ ...four, heard: ['b'] }), ['noMajority'], 'half is none');
    assert.deepEqual(found({ ...four, heard: ['b', 'c'] }), []);
    assert.deepEqual(found({ heard: ['x', 'y'] }), ['noMajority'], 'strangers do not count');
    assert.deepEqual(found({ nodes: ['a', 'b'], heard: [], quorum: 'paths' }), []);
  });

  it('tell for whom the coordinator waits, once it has waited for a while', () => {
    const waiting = { step: 'release', names: ['b', 'c'], since: 4001 };
    assert.deepEqual(found({ waiting }), []);
    assert.deepEqual(found({ waiting, now: 5001 }), ['coordinatorWaits']);
    assert.match(sentence({ waiting, now: 5001 }), /waits for b, c to answer release/);
  });

  it('tell of epochs in which packets were not taken exactly once', () => {
    const epoch = { epoch: 3, seen: 30, taken: 29, nodes: [] };
    const audit = (verdict: 'differs' | 'exact' | 'unlike') => ({
      audit: { epochs: [{ ...epoch, verdict }], silent: [] },
    });
    assert.deepEqual(found(audit('exact')), []);
    assert.deepEqual(found(audit('unlike')), []);
    assert.deepEqual(found(audit('differs')), ['auditDiffers']);
    assert.match(sentence(audit('differs')), /epoch 3: 29 of 30/);
  });

  it('name who does not see the cluster MAC although the sync network works', () => {
    const unseen = new Map([
      ['a', []],
      ['b', ['a', 'c']],
    ]);
    assert.deepEqual(found({ unseen }), ['clusterAddressUnseen']);
    assert.match(sentence({ unseen }), /works: b sees none from a, c\./);
    assert.deepEqual(found({ unseen: new Map([['gone', ['a']]]) }), []);
  });

  it('name the living members whose configuration asks for another distribution', () => {
    const view = viewOf(member('a'), member('b', 'd2'), member('c', 'd3', 'dead'));
    assert.deepEqual(found({ view }), ['criteriaDiffer']);
    assert.match(sentence({ view }), /configuration of b asks/);
    assert.deepEqual(found({ view: viewOf(member('a'), member('c', 'd3', 'left')) }), []);
  });

  it('stand as long as what is wrong, and for ten seconds after it', () => {
    const alarms = new Alarms();
    const counted = { counters: {}, drops: {} };
    const step = (now: number, change: Partial<ClusterFacts>) =>
      alarms
        .observe(counted, now, conditionsOf({ ...WELL, ...change }))
        .map(({ alarm, raised }) => `${raised ? '+' : '-'}${alarm.name}`);
    assert.deepEqual(step(100, {}), []);
    assert.deepEqual(step(101, { heard: [], state: 'fenced' }), ['+leaseLost', '+noMajority']);
    assert.deepEqual(step(102, { heard: ['x'] }), []);
    assert.deepEqual(step(111, {}), ['-leaseLost']);
    assert.deepEqual(step(111.9, {}), []);
    assert.deepEqual(step(112, {}), ['-noMajority']);
    assert.deepEqual(alarms.list(), []);
  });

  it('say whom they concern now, since when they stand', () => {
    const alarms = new Alarms();
    const blind = (names: string[], now: number) =>
      alarms.observe(
        { counters: {}, drops: {} },
        now,
        conditionsOf({ ...WELL, unseen: new Map([['a', names]]) }),
      );
    blind(['b'], 10);
    assert.deepEqual(blind(['c'], 11), []);
    const [alarm, ...rest] = alarms.list();
    assert.deepEqual(rest, []);
    assert.equal(alarm?.since, 10);
    assert.match(alarm.message, /a sees none from c/);
  });
});
