import assert from 'node:assert/strict';
import { plan } from '../../lib/allocation/index.js';
import { Protocol } from '../../lib/protocol/index.js';

const BUCKETS = 65_536;
const HEARTBEAT = 100;

function timed(work: () => unknown): number {
  const begin = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begin);
}

describe('a coordinator with nothing to do', () => {
  it('does not plan the allocation again at every heartbeat', () => {
    const criteria = { digest: 'criteria', buckets: BUCKETS, settings: null };
    const protocol = new Protocol(
      {
        name: 'node-1',
        incarnation: 1,
        configured: { nodes: ['node-1'], weight: 1, criteria },
        quorum: 'majority',
        timing: { heartbeat: HEARTBEAT, failAfter: 300, guard: 5 },
      },
      0,
    );
    let now = 0;
    const beats = (count: number): void => {
      for (const end = now + count * HEARTBEAT; now < end; now += HEARTBEAT) {
        const asked = protocol.handle({ type: 'tick' }, now);
        for (const action of asked) {
          if (action.type !== 'plane') continue;
          protocol.handle({ type: 'done', token: action.token, ok: true }, now);
        }
      }
    };
    beats(20);
    const { view, coordinating, transition } = protocol.state(now);
    assert.deepEqual([coordinating, transition, view?.members.length], [true, null, 1]);
    assert.equal(view?.allocation.owners.length, BUCKETS);

    const previous = view?.allocation;
    const once = timed(() => {
      plan({ members: [{ name: 'node-1', weight: 1 }], buckets: BUCKETS, previous });
    });
    const hundred = timed(() => beats(100));
    assert.ok(hundred < 20 * once, `100 heartbeats took ${hundred} ns, a plan ${once} ns`);
  });
});
