import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { FlowsieveError } from '../../lib/errors/index.js';
import { createLogger } from '../../lib/log/index.js';
import type { Expectation } from '../../lib/node/expectation.js';
import { Expectations, type ExpectingPlane } from '../../lib/node/expectations.js';
import type { ExpectationMessage, Incarnation, Message } from '../../lib/protocol/index.js';

// Three nodes' expectations with a network between them that loses, doubles and delays. The
// workers are lists that write down what they were told.

const GUARD_MS = 2;
const REQUEST = {
  protocol: 'tcp',
  client: { address: '198.51.100.7' },
  server: { address: '192.0.2.100', port: 50_000 },
} as const;

interface Network {
  readonly nodes: Map<string, TestNode>;
  /** Of the view that all have. */
  members: Map<string, Incarnation>;
  /** What becomes of a message: how often it comes, and when. */
  carry: (from: string, to: string, message: Message) => readonly number[];
  readonly log: string[];
}

class TestNode {
  readonly expectations: Expectations;
  readonly plane = new Map<string, Expectation>();
  contested = false;
  outcome: Awaited<ReturnType<ExpectingPlane['expect']>> = 'done';
  readonly ended: string[] = [];
  matched = 0;
  incarnation = 1000;

  constructor(
    readonly network: Network,
    readonly name: string,
  ) {
    const { log, members } = network;
    members.set(name, this.incarnation);
    network.nodes.set(name, this);
    this.expectations = new Expectations({
      self: name,
      logger: createLogger({ level: 'silent' }),
      guardMs: () => GUARD_MS,
      now: () => performance.now(),
      members: () => {
        if (network.members.get(name) !== this.incarnation) return null;
        const others = new Map(network.members);
        others.delete(name);
        return { incarnation: this.incarnation, others };
      },
      send: (to, message) => {
        for (const ms of network.carry(name, to, message)) {
          const arrive = () =>
            network.nodes.get(to)?.expectations.take(name, message as ExpectationMessage);
          setTimeout(arrive, ms);
        }
      },
      pullContested: async (from) => {
        log.push(`${name} pulls from ${from}`);
      },
      matched: async () => () => this.matched,
      onEnded: (_, why) => this.ended.push(why),
      plane: {
        expect: async (expectation) => {
          if (this.outcome === 'done') {
            this.plane.set(`${expectation.owner}/${expectation.id}`, { ...expectation });
            log.push(`${name} ${expectation.state}`);
          }
          return this.outcome;
        },
        unexpect: async (owner, id) => {
          if (this.plane.delete(`${owner}/${id}`)) log.push(`${name} gone`);
        },
        clear: async () => this.plane.clear(),
        contested: async () => this.contested,
      },
    });
  }

  states(): string[] {
    return [...this.plane.values()].map(({ state }) => state);
  }
}

function three(): { network: Network; a: TestNode; b: TestNode; c: TestNode } {
  const network: Network = {
    nodes: new Map(),
    members: new Map(),
    carry: () => [0],
    log: [],
  };
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new TestNode(network, name)) as [
    TestNode,
    TestNode,
    TestNode,
  ];
  return { network, a, b, c };
}

const ofCode = (code: string) => (error: unknown) =>
  error instanceof FlowsieveError && error.code === code;

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    if (what()) return;
    await pause(10);
  }
  assert.fail('it did not come about in time');
}

describe('expectations of a cluster', function () {
  this.timeout(20_000);
  let network: Network;
  let [a, b, c] = [] as unknown as [TestNode, TestNode, TestNode];

  beforeEach(() => {
    ({ network, a, b, c } = three());
  });
  afterEach(() => {
    for (const { expectations } of network.nodes.values()) expectations.close();
  });

  it('are active everywhere when the call returns, at the owner last', async () => {
    const { state, id } = await a.expectations.expect(REQUEST);
    assert.equal(state, 'active');
    assert.deepEqual([a.states(), b.states(), c.states()], [['active'], ['active'], ['active']]);
    const order = (line: string) => network.log.indexOf(line);
    for (const name of ['b', 'c']) {
      assert.ok(order(`${name} pending`) < order('a pending'));
      assert.ok(order('a pending') < order(`${name} active`));
      assert.ok(order(`${name} active`) < order('a active'));
    }
    await a.expectations.unexpect(id);
    assert.deepEqual([a.states(), b.states(), c.states()], [[], [], []]);
    const last = network.log.slice(-6);
    assert.equal(last[0], 'a ending');
    assert.deepEqual(last.slice(1, 3).sort(), ['b ending', 'c ending']);
    assert.equal(last[3], 'a gone');
    assert.deepEqual(a.ended, ['withdrawn']);
  });

  it('pull what is contested: the owner before it begins, the others before they end', async () => {
    b.contested = true;
    const { id } = await a.expectations.expect(REQUEST);
    assert.deepEqual(network.log.slice(-2), ['a pulls from b', 'a active']);
    a.contested = true;
    await a.expectations.unexpect(id);
    const { log } = network;
    for (const name of ['b', 'c']) {
      assert.ok(log.indexOf(`${name} pulls from a`) < log.lastIndexOf(`${name} gone`));
    }
  });

  it('come about though messages are lost, doubled and overtaken', async () => {
    let n = 0;
    network.carry = () => [[], [3], [0, 30], [15]][n++ % 4] as number[];
    const made = await Promise.all(
      [1, 2, 3, 4].map((port) =>
        a.expectations.expect({ ...REQUEST, client: { ...REQUEST.client, port } }),
      ),
    );
    assert.deepEqual(c.states(), ['active', 'active', 'active', 'active']);
    for (const { id } of made.slice(1)) await a.expectations.unexpect(id);
    // What was said before comes late, and raises nothing from the dead.
    await pause(100);
    assert.deepEqual([a.states(), b.states(), c.states()], [['active'], ['active'], ['active']]);
  });

  it('fail by name of who does not answer, and are withdrawn from all, in the end', async () => {
    network.carry = (from, to) => (from === 'c' || to === 'c' ? [] : [0]);
    const began = performance.now();
    await assert.rejects(a.expectations.expect(REQUEST), (error: unknown) => {
      assert.ok(ofCode('FLOWSIEVE_TIMEOUT')(error));
      assert.match((error as Error).message, /received none from c\.$/);
      return true;
    });
    assert.ok(performance.now() - began > 1900);
    await until(() => b.states().length === 0);
    network.carry = () => [0];
    await until(() => a.expectations.status().ended.failed === 1);
    assert.deepEqual([a.states(), b.states(), c.states()], [[], [], []]);
    assert.equal(a.expectations.status().refused, 1);
  });

  it('wait no longer for who is dead', async () => {
    network.carry = (from, to) => (from === 'c' || to === 'c' ? [] : [0]);
    const expected = a.expectations.expect(REQUEST);
    await pause(60);
    network.members.delete('c');
    a.expectations.membersChanged();
    assert.equal((await expected).state, 'active');
  });

  it('ask who comes in meanwhile as well', async () => {
    network.carry = (from, to) => (from === 'c' || to === 'c' ? [] : [0]);
    const expected = a.expectations.expect(REQUEST);
    await pause(30);
    const d = new TestNode(network, 'd');
    a.expectations.membersChanged();
    network.carry = () => [0];
    await expected;
    assert.deepEqual(d.states(), ['active']);
  });

  it('go with their owner, and a late word of its dead life counts for nothing', async () => {
    const { id, tuple } = await a.expectations.expect(REQUEST);
    network.members.set('a', 2000);
    for (const node of [b, c]) node.expectations.membersChanged();
    await pause(5);
    assert.deepEqual([b.states(), c.states()], [[], []]);
    b.expectations.take('a', {
      type: 'expect',
      incarnation: 1000,
      id: id + 1,
      state: 'active',
      tuple,
      once: false,
      left: 1000,
    });
    await pause(5);
    assert.deepEqual(b.states(), []);
    a.incarnation = 2000;
    a.expectations.lifeOver();
    assert.deepEqual([a.states(), a.ended], [[], ['life']]);
    const next = await a.expectations.expect(REQUEST);
    assert.ok(next.id > id, 'no id comes twice');
    assert.deepEqual(b.states(), ['active']);
  });

  it('are learned by a newcomer, but for those that have ended meanwhile', async () => {
    const { id } = await a.expectations.expect(REQUEST);
    const d = new TestNode(network, 'd');
    const given = b.expectations.all();
    await d.expectations.learn(given);
    assert.deepEqual(d.states(), ['active']);
    await a.expectations.unexpect(id);
    await d.expectations.learn(given);
    assert.deepEqual(d.states(), []);
  });

  it('end by themselves: in time, or once they have been met', async () => {
    await a.expectations.expect({ ...REQUEST, lifetime: 0.05 });
    await until(() => c.states().length === 0 && a.ended.length === 1);
    const once = await a.expectations.expect({ ...REQUEST, once: true });
    await a.expectations.look();
    assert.equal(once.state, 'active');
    a.matched = 1;
    await a.expectations.look();
    await until(() => c.states().length === 0 && a.ended.length === 2);
    assert.deepEqual(a.ended, ['expired', 'matched']);
  });

  it('last longer when their node expects the same again, and are another’s to nobody else', async () => {
    const first = await a.expectations.expect({ ...REQUEST, once: true, lifetime: 1 });
    a.matched = 3;
    const again = await a.expectations.expect({ ...REQUEST, once: true, lifetime: 50 });
    assert.equal(again.id, first.id);
    assert.ok(again.expiresAt - performance.now() > 40_000);
    await a.expectations.look();
    assert.equal(again.state, 'active', 'what met it before was another connection');
    await assert.rejects(b.expectations.expect(REQUEST), ofCode('FLOWSIEVE_STATE'));
    await assert.rejects(a.expectations.expect(REQUEST), ofCode('FLOWSIEVE_STATE'));
  });

  it('of two nodes that expect the same at once, at most one comes about', async () => {
    const both = await Promise.allSettled([
      a.expectations.expect(REQUEST),
      b.expectations.expect(REQUEST),
    ]);
    const came = both.filter(({ status }) => status === 'fulfilled').length;
    assert.ok(came <= 1);
    await until(() => c.states().length === came);
  });

  it('wait for another node’s that is to be met once, and are refused where that stays', async () => {
    const once = { ...REQUEST, once: true };
    await a.expectations.expect(once);
    const second = b.expectations.expect(once);
    await pause(150);
    assert.deepEqual(b.states(), ['active'], 'that of the first stands');
    a.matched = 1;
    await a.expectations.look();
    assert.equal((await second).owner, 'b');
    assert.deepEqual(a.ended, ['matched']);
    assert.equal(b.expectations.status().refused, 0);
    const began = performance.now();
    await assert.rejects(c.expectations.expect(once), ofCode('FLOWSIEVE_STATE'));
    const waited = performance.now() - began;
    assert.ok(waited > 1900 && waited < 4000, `refused after ${waited} ms`);
  });

  it('of two nodes that expect the same once and at once, one comes after the other', async () => {
    const once = { ...REQUEST, once: true };
    const both = [a, b].map((node) => node.expectations.expect(once));
    const first = await Promise.race(both);
    const owner = first.owner === 'a' ? a : b;
    owner.matched = 1;
    await owner.expectations.look();
    const owners = (await Promise.all(both)).map((each) => each.owner);
    assert.deepEqual(owners, ['a', 'b']);
  });

  it('are bounded: masks, and room in the workers', async () => {
    for (let prefix = 1; prefix <= 16; prefix += 1) {
      await a.expectations.expect({ ...REQUEST, client: { address: `198.51.100.7/${prefix}` } });
    }
    const more = { ...REQUEST, client: { address: '198.51.100.7/17' } };
    await assert.rejects(a.expectations.expect(more), ofCode('FLOWSIEVE_FULL'));
    c.outcome = 'full';
    const other = { ...REQUEST, client: { address: '203.0.113.7/16' } };
    await assert.rejects(a.expectations.expect(other), ofCode('FLOWSIEVE_FULL'));
    await until(() => b.states().length === 16);
  });

  it('refuse what cannot be expected', async () => {
    const { client, server } = REQUEST;
    const wrong: readonly object[] = [
      { protocol: 'ftp', client, server },
      { protocol: 256, client, server },
      { protocol: 'tcp' },
      { protocol: 'tcp', server: { address: '192.0.2.100' } },
      { protocol: 'tcp', client: { port: 5 }, server: { port: 6 } },
      { protocol: 'tcp', client: { address: '2001:db8::1' }, server },
      { protocol: 'tcp', client: { address: '198.51.100.0/33' }, server },
      { protocol: 'tcp', client: { address: '198.51.100.0/0' }, server },
      { protocol: 'tcp', client: { address: 'host' }, server },
      { protocol: 'tcp', client, server: { port: 65_536 } },
      { protocol: 47, client: { address: '198.51.100.7', port: 1 } },
      { protocol: 'tcp', client, server, lifetime: 0 },
      { protocol: 'tcp', client, server, lifetime: 86_401 },
    ];
    for (const request of wrong) {
      const asked = a.expectations.expect(request as typeof REQUEST);
      await assert.rejects(asked, ofCode('FLOWSIEVE_ARGUMENT'), JSON.stringify(request));
    }
    network.members.delete('a');
    await assert.rejects(a.expectations.expect(REQUEST), ofCode('FLOWSIEVE_STATE'));
    await assert.rejects(a.expectations.unexpect(7), ofCode('FLOWSIEVE_STATE'));
  });
});
