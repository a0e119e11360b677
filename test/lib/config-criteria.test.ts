import assert from 'node:assert/strict';
import {
  type Configuration,
  criteriaSettings,
  HASH_LAYOUT_VERSION,
  parseConfiguration,
  resolveDistribution,
  resolveSettings,
} from '../../lib/config/index.js';
import type { FlowsieveError } from '../../lib/errors/index.js';
import { addon } from '../../lib/native/index.js';

const SMALLEST = { cluster: 'web', addresses: ['192.0.2.100'] };
const options = { hostName: 'node-1' };

function parse(more: object = {}): Configuration {
  return parseConfiguration({ ...SMALLEST, ...more }, options);
}

describe('configuration: the criteria of the distribution as nodes tell them', () => {
  const KEY = '000102030405060708090a0b0c0d0e0f';

  function digest(distribution: object, more: object = {}): string {
    return criteriaSettings(parse({ distribution, ...more })).digest;
  }

  it('are JSON, with everything that the hash needs', () => {
    const { settings } = criteriaSettings(
      parse({
        distribution: {
          key: KEY,
          fields: ['sourcePort', 'source'],
          buckets: 512,
          prefixes: { source: { ipv4: 24 } },
        },
      }),
    );
    assert.deepEqual(JSON.parse(JSON.stringify(settings)), {
      layout: 1,
      hash: 'siphash',
      key: KEY,
      fields: ['source', 'sourcePort'],
      buckets: 512,
      symmetric: false,
      prefixes: { source: { ipv4: 24, ipv6: 128 }, destination: { ipv4: 32, ipv6: 128 } },
    });
  });

  it('name the layout of the hashed bytes that the native layer has', () => {
    assert.equal(HASH_LAYOUT_VERSION, addon.vocabulary().hashLayoutVersion);
  });

  it('have one digest, however they were written', () => {
    const plain = digest({ key: KEY });
    assert.match(plain, /^[0-9a-f]{64}$/);
    const fields = ['destinationPort', 'destination', 'source', 'sourcePort'];
    assert.equal(digest({ key: KEY.toUpperCase(), fields }), plain);
    assert.equal(digest({ key: `${KEY}ffff` }), plain, 'siphash uses 16 bytes of its key');
    assert.equal(digest({ key: KEY }, { node: 'b', nodes: [{ name: 'b' }], workers: 3 }), plain);
    const ports = { key: KEY, fields: ['sourcePort'] };
    assert.equal(digest({ ...ports, prefixes: { source: { ipv4: 24 } } }), digest(ports));
  });

  const others: readonly [what: string, distribution: object, more?: object][] = [
    ['hash', { key: KEY, hash: 'crc32c' }],
    ['key', { key: KEY.replace('0f', '1f') }],
    ['fields', { key: KEY, fields: ['source'] }],
    ['buckets', { key: KEY, buckets: 512 }],
    ['symmetric', { key: KEY, symmetric: true }],
    ['source prefix', { key: KEY, prefixes: { source: { ipv4: 24 } } }],
    ['destination prefix', { key: KEY, prefixes: { destination: { ipv6: 64 } } }],
    ['derived key', {}, { cluster: 'mail' }],
  ];
  for (const [what, distribution, more] of others) {
    it(`have another digest with another ${what}`, () => {
      const base = what === 'derived key' ? digest({}) : digest({ key: KEY });
      assert.notEqual(digest(distribution, more), base);
    });
  }

  it('come back as the distribution that they were made from', () => {
    for (const hash of ['siphash', 'toeplitz', 'crc32c', 'jhash']) {
      const config = parse({
        distribution: { hash, buckets: 64, prefixes: { destination: { ipv6: 64 } } },
      });
      const resolved = resolveDistribution(config);
      const read = resolveSettings(JSON.parse(JSON.stringify(criteriaSettings(config).settings)));
      const used = { siphash: 16, toeplitz: 40, crc32c: 4, jhash: 4 }[hash] ?? 0;
      assert.equal(read.key.length, 40);
      assert.deepEqual(read.key.subarray(0, used), resolved.key.subarray(0, used));
      const comparable = ({ fields, ...rest }: typeof read) => ({
        ...rest,
        key: null,
        fields: new Set(fields),
      });
      assert.deepEqual(comparable(read), comparable(resolved));
    }
  });

  const good = criteriaSettings(parse()).settings as Record<string, unknown>;
  const wrong: readonly [path: string, settings: unknown][] = [
    ['', null],
    ['', 'siphash'],
    ['layout', { ...good, layout: 2 }],
    ['hash', { ...good, hash: 'md5' }],
    ['key', { ...good, key: 'c0ffee' }],
    ['key', { ...good, key: `${String(good['key'])}00` }],
    ['fields', { ...good, fields: [] }],
    ['fields', { ...good, fields: ['source', 'source'] }],
    ['buckets', { ...good, buckets: 300 }],
    ['buckets', { ...good, buckets: 131_072 }],
    ['symmetric', { ...good, symmetric: 1 }],
    ['prefixes.source.ipv4', { ...good, prefixes: prefixes(33) }],
    ['', { ...good, more: 1 }],
  ];
  for (const [path, settings] of wrong) {
    it(`are refused with ${JSON.stringify(settings).slice(0, 60)}`, () => {
      assert.throws(
        () => resolveSettings(settings),
        (error: FlowsieveError) => {
          assert.deepEqual([error.code, error.path], ['FLOWSIEVE_FORMAT', path]);
          assert.match(error.message, /^Expected .+ for .+ but received .+\.$/);
          assert.ok(!error.message.includes('c0ffee'));
          return true;
        },
      );
    });
  }

  function prefixes(ipv4: number): object {
    return { source: { ipv4, ipv6: 128 }, destination: { ipv4: 32, ipv6: 128 } };
  }
});
