import assert from 'node:assert/strict';
import type { OpeningFate } from '../../lib/cli/demo/commands.js';
import { endOf } from '../../lib/cli/demo/handshakes.js';
import { type DemoResult, failedOpenings, judge } from '../../lib/cli/demo/outcome.js';

const KILLED_AT = 1_000_000;
const KILLED = '02:00:00:00:00:03';
const ALIVE = '02:00:00:00:00:01';
const ADDRESS = '192.0.2.100';

/** A short connection that was under way when the node was killed. */
function opening(changes: Partial<OpeningFate> = {}): OpeningFate {
  return {
    address: ADDRESS,
    port: 40_000,
    at: KILLED_AT - 300,
    connectMs: 250,
    endedAt: KILLED_AT + 600,
    node: null,
    error: 'ECONNRESET',
    ...changes,
  };
}

function result(one: OpeningFate, acceptors: readonly string[]): DemoResult {
  return {
    nodes: ['node-1', 'node-3'],
    killed: { name: 'node-3', ethernet: KILLED, at: KILLED_AT },
    changes: [],
    groups: [],
    openings: [one],
    handshakes: {
      asked: 1,
      twice: 0,
      never: 0,
      acceptors: new Map([[endOf(ADDRESS, 40_000), acceptors]]),
    },
    audit: { epochs: [], silent: [] },
    downloads: [],
    seconds: 1,
  };
}

function passes(one: OpeningFate, acceptors: readonly string[]): boolean {
  return judge(result(one, acceptors)).every(({ good }) => good);
}

describe("the demo's judgement of a short connection", () => {
  it('excuses one that the killed node had accepted, reset or silent', () => {
    assert.equal(passes(opening(), [KILLED]), true);
    assert.equal(passes(opening({ error: 'timeout', endedAt: KILLED_AT + 8_000 }), [KILLED]), true);
    assert.equal(failedOpenings(result(opening(), [KILLED])).withNode.length, 1);
  });

  it('excuses none that another node had accepted', () => {
    assert.equal(passes(opening(), [ALIVE]), false);
  });

  it('excuses none that nobody had accepted', () => {
    assert.equal(passes(opening({ connectMs: null, error: 'timeout' }), []), false);
  });

  it('excuses none that came to nothing before the node was killed', () => {
    assert.equal(passes(opening({ endedAt: KILLED_AT - 1 }), [KILLED]), false);
  });

  it('tells the families apart', () => {
    assert.equal(passes(opening({ address: '2001:db8::100' }), [KILLED]), false);
  });

  it('has nothing against one that was answered', () => {
    assert.equal(passes(opening({ node: 'node-1', error: null }), [ALIVE]), true);
  });
});
