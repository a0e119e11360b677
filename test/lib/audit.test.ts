import assert from 'node:assert/strict';
import { auditOf, auditSummary } from '../../lib/node/audit.js';
import type { OpeningCount, Report } from '../../lib/protocol/index.js';

const MASK = 2n ** 64n;

// Packets are their digests; what a node reports is counted from them here, plainly.
function count(epoch: number, seen: readonly bigint[], taken: readonly bigint[]): OpeningCount {
  const sum = (digests: readonly bigint[]) =>
    String(digests.reduce((total, digest) => (total + digest) % MASK, 0n));
  return {
    epoch,
    seen: seen.length,
    seenSum: sum(seen),
    taken: taken.length,
    takenSum: sum(taken),
  };
}

function report(...openings: OpeningCount[]): Report {
  return { incarnation: 1, openings, connections: 0, packets: 0, unseen: [] };
}

const PACKETS = [5n, 2n ** 63n, 2n ** 64n - 1n, 99n];
const [A = 0n, B = 0n, C = 0n, D = 0n] = PACKETS;

/** The verdict on epoch 1 of what two nodes took of the four packets. */
function verdict(first: bigint[], second: bigint[], seen: bigint[] = PACKETS) {
  const reports = new Map([
    ['a', report(count(1, PACKETS, first))],
    ['b', report(count(1, seen, second))],
  ]);
  return auditOf(reports, ['a', 'b'], 2).epochs[0]?.verdict;
}

describe('the audit', () => {
  it('finds epochs exact in which each packet was taken once', () => {
    assert.equal(verdict([A, B], [C, D]), 'exact');
    assert.equal(verdict([], PACKETS), 'exact');
    assert.equal(verdict([C], [A, B, D]), 'exact', 'sums go round at 2^64');
  });

  it('does not judge an epoch whose members have gone, and their last counts with them', () => {
    const reports = new Map([['a', report(count(1, PACKETS, [A, B]))]]);
    const membersOf = (epoch: number) => (epoch === 1 ? ['a', 'b'] : undefined);
    assert.equal(auditOf(reports, ['a'], 2, membersOf).epochs[0]?.verdict, 'incomplete');
    assert.equal(auditOf(reports, ['a'], 2).epochs[0]?.verdict, 'differs', 'b was never there');
  });

  it('finds packets that nobody took, and that two nodes took', () => {
    assert.equal(verdict([A, B], [C]), 'differs');
    assert.equal(verdict([A, B], [B, C, D]), 'differs');
  });

  it('finds one that was missed beside one that was taken twice, though the count is right', () => {
    assert.equal(verdict([A, B], [B, C]), 'differs');
  });

  it('does not judge nodes that have not seen the same packets', () => {
    assert.equal(verdict([A, B], [C], [A, B, C]), 'unlike');
    assert.equal(verdict([A, B], [C, D], [A, B, C, 7n]), 'unlike');
  });

  it('waits for all members, and for the end of the epoch', () => {
    const reports = new Map([
      ['a', report(count(1, PACKETS, PACKETS), count(2, PACKETS, [A]))],
      ['b', report(count(2, PACKETS, [B]))],
    ]);
    const view = auditOf(reports, ['a', 'b', 'c'], 2);
    assert.deepEqual(
      view.epochs.map(({ epoch, verdict: found }) => [epoch, found]),
      [
        [1, 'incomplete'],
        [2, 'counting'],
      ],
    );
    assert.deepEqual(view.silent, ['c']);
    assert.equal(auditOf(reports, ['a'], 2).epochs[0]?.verdict, 'exact');
  });

  it('shows what each has seen and taken, epochs in order', () => {
    const reports = new Map([
      ['b', report(count(3, PACKETS, [C, D]), count(2, [A], []))],
      ['a', report(count(2, [A], [A]), count(3, PACKETS, [A]))],
    ]);
    const { epochs } = auditOf(reports, ['a', 'b'], 9);
    assert.deepEqual(epochs, [
      {
        epoch: 2,
        verdict: 'exact',
        seen: 1,
        taken: 1,
        nodes: [
          { name: 'a', seen: 1, taken: 1 },
          { name: 'b', seen: 1, taken: 0 },
        ],
      },
      {
        epoch: 3,
        verdict: 'differs',
        seen: 4,
        taken: 3,
        nodes: [
          { name: 'a', seen: 4, taken: 1 },
          { name: 'b', seen: 4, taken: 2 },
        ],
      },
    ]);
    assert.deepEqual(auditSummary({ epochs, silent: [] }), {
      counting: 0,
      incomplete: 0,
      unlike: 0,
      exact: 1,
      differs: 1,
    });
  });
});
