import assert from 'node:assert/strict';
import { RawSender } from './raw.js';
import { FAMILIES, liveCluster } from './support.js';

describe('fragments', () => {
  const live = liveCluster();
  let raw: RawSender;

  before(() => {
    raw = new RawSender(live().lab);
  });

  for (const { address, family } of FAMILIES) {
    const version = family === 'IPv4' ? 4 : 6;

    it(`carry datagrams of 4 to 20 KB over ${family}: one node answers each, and rightly`, async function () {
      this.timeout(30_000);
      for (const size of [4_000, 9_000, 20_000]) {
        const udp = await live().client.datagrams(address, { count: 20, each: 3, size });
        const { answered, twice, wrong, moved } = udp;
        const expected = { answered: 60, twice: 0, wrong: 0, moved: 0 };
        assert.deepEqual({ answered, twice, wrong, moved }, expected, `${size} bytes`);
        assert.ok(Object.keys(udp.nodes).length > 1, 'more than one node takes part');
      }
    });

    it(`may come in any order over ${family}`, async function () {
      this.timeout(30_000);
      // 9,008 bytes of UDP at 1,400 each are seven fragments.
      for (const order of [
        [6, 5, 4, 3, 2, 1, 0],
        [1, 0, 2, 3, 4, 5, 6],
        [3, 6, 0, 5, 1, 4, 2],
      ]) {
        for (let i = 0; i < 5; i += 1) {
          const { nodes, right, fragments } = await raw.datagram({
            family: version,
            size: 9_000,
            order,
          });
          assert.deepEqual(
            { answers: nodes.length, right, fragments },
            { answers: 1, right: true, fragments: 7 },
          );
        }
      }
    });

    it(`may be repeated over ${family}`, async function () {
      this.timeout(20_000);
      for (const order of [
        [0, 1, 1, 2, 3],
        [2, 2, 3, 1, 0],
        [0, 1, 2, 3, 3],
      ]) {
        const { nodes, right } = await raw.datagram({ family: version, size: 5_000, order });
        // A kernel may drop a datagram with an overlapping fragment (RFC 5722) or take the
        // repetition as harmless; it never answers twice.
        assert.ok(nodes.length <= 1, 'not twice');
        assert.ok(right);
      }
    });

    it(`that are lost over ${family} cost only their own datagram`, async function () {
      this.timeout(30_000);
      for (const order of [[0, 1, 3], [1, 2, 3], [0]]) {
        const { nodes } = await raw.datagram({ family: version, size: 5_000, order, wait: 0.3 });
        assert.deepEqual(nodes, []);
        const whole = await raw.datagram({ family: version, size: 5_000 });
        assert.deepEqual(
          { answers: whole.nodes.length, right: whole.right },
          { answers: 1, right: true },
        );
      }
    });

    it(`may carry a SYN over ${family}: exactly one node answers`, async function () {
      this.timeout(40_000);
      for (const [first, order] of [
        [24, [0, 1]],
        [200, [0, 1]],
        [200, [1, 0]],
      ] as const) {
        for (let i = 0; i < 4; i += 1) {
          const { answers, fragments } = await raw.syn(version, first, order);
          assert.deepEqual({ answers, fragments }, { answers: 1, fragments: 2 });
        }
      }
    });
  }
});
