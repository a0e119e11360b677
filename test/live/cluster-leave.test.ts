import assert from 'node:assert/strict';
import {
  bucketsOf,
  FAMILIES,
  type Live,
  liveCluster,
  nodeOf,
  note,
  type Status,
} from './support.js';

// A node that is asked to end (SIGTERM) while clients still have connections to it.

const DEADLINE_S = 2;

const TITLES = {
  leave: 'ends at the deadline; a client’s next packet is answered with a reset',
  reset: 'ends at the deadline; every client is reset without having to ask',
  wait: 'waits beyond the deadline for the last connection',
};

const JUDGES = {
  /** The clients go on talking: the nodes that take over have to reset them. */
  async leave(live: Live): Promise<void> {
    const { at, end } = await terminate(live, 200);
    assertAtDeadline((await end) - at);
    assert.deepEqual(await kept(live), ['ECONNRESET']);
  },

  /** The clients say nothing: only the node itself can reset them. */
  async reset(live: Live): Promise<void> {
    const { at, end } = await terminate(live, 600_000);
    assertAtDeadline((await end) - at);
    assert.deepEqual(await kept(live), ['ECONNRESET']);
  },

  async wait(live: Live): Promise<void> {
    const { at, end } = await terminate(live, 200);
    await new Promise((resolve) => setTimeout(resolve, DEADLINE_S * 1000 + 2_000));
    const victim = nodeOf(live.cluster, 'node-2');
    assert.equal(victim.daemon?.running, true, 'it still waits');
    assert.deepEqual(await kept(live), [null], 'nothing was broken');
    for (const { family } of FAMILIES) {
      assert.equal((await live.client.release(`lines ${family}`)).broken, 0);
    }
    const released = Date.now();
    assert.ok((await end) - at > DEADLINE_S * 1000);
    note(`ended ${(await end) - released} ms after its last connection`);
  },
};

for (const then of ['leave', 'reset', 'wait'] as const) {
  describe(`SIGTERM where \`then\` is ${then}`, () => {
    const live = liveCluster({
      nodes: 3,
      syncNetwork: true,
      sections: { drain: { deadline: DEADLINE_S, then } },
    });

    it(TITLES[then], async function () {
      this.timeout(60_000);
      await JUDGES[then](live());
    });
  });
}

/** Opens connections and asks node-2 to end; resolves with that moment and the moment of its end. */
async function terminate(
  { cluster, client }: Live,
  everyMs: number,
): Promise<{ at: number; end: Promise<number> }> {
  for (const { family, address } of FAMILIES) {
    await client.hold('lines', `lines ${family}`, address, 30, everyMs);
  }
  const victim = nodeOf(cluster, 'node-2');
  const at = Date.now();
  victim.daemon?.signal('SIGTERM');
  const end = victim.daemon?.ended.then((ended) => {
    assert.deepEqual(ended, { code: 0, signal: null });
    return Date.now();
  });
  assert.ok(end);
  const rest = cluster.nodes.filter((node) => node !== victim);
  const drained = (status: Status): boolean => bucketsOf(status, 'node-2') === 0;
  await cluster.agreed('node-2 without buckets', drained, rest);
  const short = await client.short(FAMILIES[0].address, 30);
  assert.deepEqual([short.opened, short.nodes['node-2'] ?? 0], [30, 0]);
  return { at, end };
}

function assertAtDeadline(ms: number): void {
  note(`ended ${ms} ms after SIGTERM; the deadline is ${DEADLINE_S} s`);
  const late = ms - DEADLINE_S * 1000;
  assert.ok(late > -100 && late < 2_000, `${late} ms after the deadline`);
}

/** How the connections of node-2 broke, a second later; every other node's must be whole. */
async function kept({ client }: Live): Promise<(string | null)[]> {
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const looks = await Promise.all(FAMILIES.map(({ family }) => client.look(`lines ${family}`)));
  const fates = looks.flatMap((look) => look.fates);
  const whole = fates.filter(({ node }) => node !== 'node-2');
  assert.deepEqual(
    whole.filter(({ broken, moved }) => broken !== null || moved),
    [],
  );
  const held = fates.filter(({ node }) => node === 'node-2');
  assert.ok(held.length > 5 && whole.length > 5);
  return [...new Set(held.map(({ broken }) => broken))];
}
