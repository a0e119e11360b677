import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { EXPECTATION_BYTES } from '../../lib/native/expectations.js';
import { addon, vocabulary } from '../../lib/native/index.js';
import { ENDED_BYTES, RECORD_BYTES } from '../../lib/native/records.js';

const page = readFileSync(new URL('../../../docs/reference/counters.md', import.meta.url), 'utf8');

describe('the words that both layers share', () => {
  it('are those of the documentation, counter by counter', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \|$/gm)].map(([, name, text]) => ({
      name,
      text,
    }));
    assert.deepEqual(
      rows,
      vocabulary.counters.map(({ name, text }) => ({ name, text })),
    );
  });

  it('are those of the documentation, drop reason by drop reason', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (yes|no) \| ([^|]+) \|$/gm)];
    const listed = rows.map(([, name, malformed, text]) => ({
      name,
      malformed: malformed === 'yes',
      text,
    }));
    assert.deepEqual(listed, vocabulary.drops.slice(1));
  });

  it('include the sizes of the structures that cross', () => {
    assert.equal(vocabulary.recordBytes, RECORD_BYTES);
    assert.equal(vocabulary.endedBytes, ENDED_BYTES);
    assert.equal(vocabulary.expectationBytes, EXPECTATION_BYTES);
  });
});

describe('the addon', () => {
  const key = Buffer.alloc(40);
  const distribution = {
    hash: 'siphash',
    key: Buffer.alloc(40),
    fields: 15,
    sourcePrefixIpv4: 32,
    sourcePrefixIpv6: 128,
    destinationPrefixIpv4: 32,
    destinationPrefixIpv6: 128,
    symmetric: false,
    buckets: 256,
  };
  const refused: [what: string, call: () => unknown][] = [
    ['a key that is too short', () => addon.hash({ ...distribution, key: Buffer.alloc(39) }, key)],
    ['a hash that it does not have', () => addon.hash({ ...distribution, hash: 'md5' }, key)],
    ['buckets that are no power of two', () => addon.hash({ ...distribution, buckets: 100 }, key)],
    [
      'a prefix longer than its address',
      () => addon.hash({ ...distribution, sourcePrefixIpv4: 33 }, key),
    ],
    ['a connection that is no key', () => addon.hash(distribution, Buffer.alloc(3))],
  ];
  for (const [what, call] of refused) {
    it(`refuses ${what}, because it could corrupt memory`, () => {
      assert.throws(call, { code: 'argument' });
    });
  }
});
