import assert from 'node:assert/strict';
import {
  bucketCounts,
  bucketsOf,
  planSingle,
  singleOwners,
  withSingles,
} from '../../lib/allocation/index.js';
import { decodeMessage, encodeMessage } from '../../lib/peers/messages.js';
import { afterDeath, firstView, orphaned, planned } from '../../lib/protocol/target.js';
import type { Criteria, Member, View } from '../../lib/protocol/types.js';
import { moves } from '../../lib/protocol/view.js';

const CRITERIA: Criteria = {
  digest: 'd',
  buckets: 16,
  singles: [['node-2', 'node-1'], []],
  settings: null,
};

const member = (name: string, state: Member['state'] = 'member', weight = 1): Member => ({
  name,
  incarnation: 1,
  state,
  weight,
  share: null,
  wants: 'd',
});

function viewOf(members: readonly Member[], criteria = CRITERIA): View {
  const newcomers = members.map(({ name, incarnation, weight, wants }) => ({
    name,
    incarnation,
    weight,
    wants,
  }));
  return planned(firstView(newcomers, criteria, 1, 1), members, criteria, 2, 1);
}

const ownersIn = ({ allocation, criteria }: View): string[] =>
  singleOwners(allocation, criteria.buckets);

describe('who has a single rule', () => {
  const able = (name: string, rank = 0, weighted = true) => ({ name, rank, weighted });

  it('is the first of its list that is able, then the others by name', () => {
    const members = [able('node-1'), able('node-2'), able('node-3')];
    assert.equal(planSingle(['node-2', 'node-1'], members), 'node-2');
    assert.equal(planSingle(['node-2', 'node-1'], [able('node-1'), able('node-2', 1)]), 'node-1');
    assert.equal(planSingle(['node-9'], members), 'node-1');
    assert.equal(planSingle([], [able('node-1', 0, false), able('node-3')]), 'node-3');
    assert.equal(planSingle(['node-1'], [able('node-1', 0, false), able('node-3')]), 'node-1');
    assert.equal(planSingle(['node-2'], [able('node-2', 1)]), 'node-2');
    assert.equal(planSingle(['node-2'], []), undefined);
  });

  it('stands behind the buckets, which are planned as if it were not there', () => {
    const members = ['node-1', 'node-2', 'node-3'].map((name) => member(name));
    const view = viewOf(members);
    assert.deepEqual(ownersIn(view), ['node-2', 'node-1']);
    const { singles: _, ...without } = CRITERIA;
    const plain = viewOf(members, without);
    assert.deepEqual(bucketsOf(view.allocation, 16).owners, plain.allocation.owners);
    assert.equal(plain.allocation.owners.length, 16);
    const counts = bucketCounts(bucketsOf(view.allocation, 16));
    assert.equal(
      [...counts.values()].reduce((sum, count) => sum + count, 0),
      16,
    );
  });

  it('changes when it drains, dies or comes back, and moves nothing else', () => {
    const names = ['node-1', 'node-2', 'node-3'];
    const view = viewOf(names.map((name) => member(name)));
    const draining = names.map((name) => member(name, name === 'node-2' ? 'draining' : 'member'));
    assert.deepEqual(ownersIn(planned(view, draining, CRITERIA, 3, 1)), ['node-1', 'node-1']);
    const dead = afterDeath(view, new Map([['node-2', 'dead']]), 3, 1);
    assert.deepEqual(ownersIn(dead), ['node-1', 'node-1']);
    assert.deepEqual(orphaned(dead), []);
    assert.deepEqual(
      [...moves(view, dead)].map(([from]) => from),
      ['node-2'],
    );
    const others = afterDeath(view, new Map([['node-3', 'dead']]), 3, 1);
    assert.deepEqual(ownersIn(others), ['node-2', 'node-1']);
    const back = planned(dead, view.members, CRITERIA, 4, 1);
    assert.deepEqual(ownersIn(back), ['node-2', 'node-1']);
  });

  it('may be a node of weight 0 when it is named, and otherwise only the last resort', () => {
    const view = viewOf([
      member('node-1', 'member', 0),
      member('node-2', 'member', 0),
      member('node-3'),
    ]);
    assert.deepEqual(ownersIn(view), ['node-2', 'node-3']);
  });

  it('comes and goes with the criteria', () => {
    const view = viewOf([member('node-1'), member('node-2')]);
    const { singles: _, ...without } = CRITERIA;
    const gone = planned(view, view.members, { ...without, digest: 'e' }, 3, 1);
    assert.equal(gone.allocation.owners.length, 16);
    const again = planned(gone, view.members, CRITERIA, 4, 1);
    assert.deepEqual(ownersIn(again), ['node-2', 'node-1']);
    assert.deepEqual(bucketsOf(again.allocation, 16).owners, gone.allocation.owners);
  });

  it('travels with the view, and only in the number that the criteria say', () => {
    const view = viewOf([member('node-1'), member('node-2')]);
    const message = { type: 'commit', term: 1, view, condemned: [] } as const;
    assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    const allocation = withSingles(view.allocation, ['node-1']);
    assert.throws(() => encodeMessage({ ...message, view: { ...view, allocation } }));
    assert.throws(() => {
      const criteria = { ...view.criteria, singles: [['not a name']] };
      return encodeMessage({ ...message, view: { ...view, criteria } });
    });
  });
});
