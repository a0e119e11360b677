import assert from 'node:assert/strict';
import { vocabulary } from '../../lib/native/index.js';
import { Alarms } from '../../lib/node/alarms.js';

type Counted = { counters?: Record<string, number>; drops?: Record<string, number> };

/** Names of what was raised and what ended, with + and -. */
function observe(alarms: Alarms, now: number, { counters = {}, drops = {} }: Counted): string[] {
  return alarms
    .observe({ counters, drops }, now)
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
      const { counters = {}, drops = {} } = counted(1);
      for (const counter of Object.keys(counters)) {
        assert.ok(vocabulary.counters.some((each) => each.name === counter));
      }
      for (const drop of Object.keys(drops)) {
        assert.ok(vocabulary.drops.some((each) => each.name === drop));
      }
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
