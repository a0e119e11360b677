import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  criteriaSettings,
  loadConfiguration,
  parseConfiguration,
  type QuicConfig,
  resolveQuic,
  resolveQuicSettings,
  resolveSettings,
} from '../../lib/config/index.js';
import { ConfigurationError } from '../../lib/errors/index.js';
import { type ConfigurationInput, ConnectionIds } from '../../lib/index.js';
import { reloadOf } from '../../lib/node/reload.js';
import { decodeConnectionId, encodeConnectionId } from '../../lib/quic/index.js';
import { QUIC_LB_UNROUTABLE, QUIC_LB_VECTORS, type QuicLbVector } from '../fixtures/quic-lb.js';

const hex = (digits: string): Buffer => Buffer.from(digits, 'hex');

function configOf({ config, key, serverId, nonce }: QuicLbVector): QuicConfig {
  return {
    id: config,
    serverIdLength: serverId.length / 2,
    nonceLength: nonce.length / 2,
    encodesLength: true,
    key: key === null ? null : hex(key),
  };
}

const INPUT: ConfigurationInput = {
  cluster: 'web',
  addresses: ['192.0.2.100'],
  node: 'node-2',
  nodes: [{ name: 'node-1' }, { name: 'node-2' }, { name: 'node-3' }],
  quic: { ports: [443] },
};

function parse(change: Partial<ConfigurationInput> = {}) {
  return parseConfiguration({ ...INPUT, ...change });
}

describe('QUIC-LB connection ids', () => {
  for (const vector of QUIC_LB_VECTORS) {
    const { connectionId, serverId, nonce } = vector;
    it(`are made and read as published: ${connectionId}`, () => {
      const config = configOf(vector);
      const made = encodeConnectionId(config, hex(serverId), hex(nonce));
      assert.equal(made.toString('hex'), connectionId);
      const read = decodeConnectionId([config], hex(connectionId));
      assert.deepEqual(read, { config: config.id, serverId: hex(serverId), nonce: hex(nonce) });
    });
  }

  for (const { connectionId, config, why } of QUIC_LB_UNROUTABLE) {
    it(`say nothing: ${why}`, () => {
      const id = { id: config, serverIdLength: 3, nonceLength: 4, encodesLength: false, key: null };
      assert.equal(decodeConnectionId([id], hex(connectionId)), null);
    });
  }

  it('come back as they were made, whatever the config', () => {
    const lengths = fc
      .integer({ min: 1, max: 15 })
      .chain((serverId) =>
        fc.tuple(fc.constant(serverId), fc.integer({ min: 4, max: 19 - serverId })),
      );
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const all = lengths.chain(([serverId, nonce]) =>
      fc.record({
        serverId: bytes(serverId),
        nonce: bytes(nonce),
        key: fc.option(bytes(16)),
        id: fc.integer({ min: 0, max: 6 }),
        encodesLength: fc.boolean(),
        low: fc.nat(31),
      }),
    );
    fc.assert(
      fc.property(all, ({ serverId, nonce, key, id, encodesLength, low }) => {
        const config = {
          id,
          serverIdLength: serverId.length,
          nonceLength: nonce.length,
          encodesLength,
          key: key === null ? null : Buffer.from(key),
        };
        const made = encodeConnectionId(config, serverId, nonce, low);
        assert.equal(made.length, 1 + serverId.length + nonce.length);
        assert.equal((made[0] as number) >> 5, id);
        assert.equal((made[0] as number) & 31, encodesLength ? made.length - 1 : low);
        const read = decodeConnectionId([config], Buffer.concat([made, Buffer.of(1)]));
        assert.deepEqual(read?.serverId, Buffer.from(serverId));
        assert.deepEqual(read?.nonce, Buffer.from(nonce));
      }),
    );
  });

  it('are refused with octets of another number', () => {
    const config = configOf(QUIC_LB_VECTORS[0] as QuicLbVector);
    for (const [serverId, nonce, path] of [
      ['c460', '4504cc4f', 'serverId'],
      ['c4605e', '4504cc', 'nonce'],
    ] as const) {
      assert.throws(() => encodeConnectionId(config, hex(serverId), hex(nonce)), {
        code: 'FLOWSIEVE_ARGUMENT',
        path,
      });
    }
  });
});

describe('the connection ids of a cluster', () => {
  it('name the node that they were made for', () => {
    const ids = new ConnectionIds(parse());
    assert.equal(ids.read(ids.make())?.node, 'node-2');
    assert.equal(ids.read(ids.make({ node: 'node-3' }))?.node, 'node-3');
    assert.notDeepEqual(ids.make(), ids.make());
    assert.equal(ids.make().length, 11);
  });

  it('are made under the newest config unless another is asked for', () => {
    const configs = [
      { id: 2, serverIdLength: 3, nonceLength: 4 },
      { id: 0, encrypted: false },
    ];
    const ids = new ConnectionIds(parse({ quic: { ports: [443], configs } }));
    assert.equal((ids.make()[0] as number) >> 5, 2);
    const plain = ids.make({ config: 0, node: 'node-1', nonce: hex('0001020304050607') });
    const serverId = createHash('sha256').update('node-1').digest('hex').slice(0, 4);
    assert.equal(plain.toString('hex'), `0a${serverId}0001020304050607`);
    assert.deepEqual(
      ids
        .facts('node-1')
        .map((facts) => [facts.config, facts.length, facts.serverId.toString('hex')]),
      [
        [0, 11, serverId],
        [2, 8, createHash('sha256').update('node-1').digest('hex').slice(0, 6)],
      ],
    );
  });

  it('can name nobody', () => {
    const ids = new ConnectionIds(parse());
    const id = ids.makeUnroutable(12);
    assert.equal(id.length, 12);
    assert.equal(id[0], 0xe0 | 11);
    assert.equal(ids.read(id), null);
    assert.throws(() => ids.makeUnroutable(7), { code: 'FLOWSIEVE_ARGUMENT', path: 'length' });
    const foreign = new ConnectionIds(parse({ nodes: [{ name: 'node-2' }, { name: 'other' }] }));
    assert.equal(ids.read(foreign.make({ node: 'other' }))?.node, null);
  });

  it('are refused for what is not configured', () => {
    assert.throws(() => new ConnectionIds(parse({ quic: undefined })), {
      code: 'FLOWSIEVE_STATE',
      path: 'quic',
    });
    const ids = new ConnectionIds(parse());
    assert.throws(() => ids.make({ node: 'node-9' }), { code: 'FLOWSIEVE_ARGUMENT', path: 'node' });
    assert.throws(() => ids.make({ config: 3 }), { code: 'FLOWSIEVE_ARGUMENT', path: 'config' });
    assert.throws(() => ids.make({ nonce: hex('00') }), {
      code: 'FLOWSIEVE_ARGUMENT',
      path: 'nonce',
    });
  });
});

describe('configuration: quic', () => {
  const problemsOf = (change: Partial<ConfigurationInput>): string[] => {
    try {
      parse(change);
    } catch (error) {
      assert.ok(error instanceof ConfigurationError, String(error));
      for (const { message } of error.problems)
        assert.match(message, /^Expected .+ but received .+\.$/s);
      return error.problems.map(({ path }) => path);
    }
    return [];
  };

  const wrong: readonly [path: string, change: Partial<ConfigurationInput>][] = [
    ['quic.ports', { quic: { ports: [] } }],
    ['quic.ports[0]', { quic: { ports: [0] } }],
    ['quic.ports[1]', { quic: { ports: [443, 443] } }],
    ['quic.configs', { quic: { ports: [443], configs: [] } }],
    ['quic.configs[0].id', { quic: { ports: [443], configs: [{ id: 7 }] } }],
    ['quic.configs[1].id', { quic: { ports: [443], configs: [{ id: 1 }, { id: 1 }] } }],
    [
      'quic.configs[0].serverIdLength',
      { quic: { ports: [443], configs: [{ serverIdLength: 0 }] } },
    ],
    ['quic.configs[0].nonceLength', { quic: { ports: [443], configs: [{ nonceLength: 3 }] } }],
    [
      'quic.configs[0].nonceLength',
      { quic: { ports: [443], configs: [{ serverIdLength: 10, nonceLength: 10 }] } },
    ],
    [
      'quic.configs[0].keyFile',
      { quic: { ports: [443], configs: [{ encrypted: false, keyFile: 'key' }] } },
    ],
    ['nodes[0].serverId', { nodes: [{ name: 'node-2', serverId: 'abc' }] }],
    ['nodes[0].serverId', { nodes: [{ name: 'node-2', serverId: 'ab' }] }],
    [
      'nodes[1].serverId',
      {
        nodes: [
          { name: 'node-2', serverId: 'abcd01' },
          { name: 'b', serverId: 'ABCD02' },
        ],
      },
    ],
  ];
  for (const [path, change] of wrong) {
    it(`has a problem with ${path}: ${JSON.stringify(change)}`, () => {
      assert.deepEqual(problemsOf(change), [path]);
    });
  }

  it('compares server ids only as far as the configs look at them', () => {
    const nodes = [
      { name: 'node-2', serverId: 'abcd01' },
      { name: 'b', serverId: 'abcd02' },
    ];
    const quic = { ports: [443], configs: [{ serverIdLength: 3 }] };
    assert.deepEqual(problemsOf({ nodes, quic }), []);
    assert.deepEqual(problemsOf({ nodes, quic: undefined }), []);
  });

  it('finds two names whose derived ids are the same', () => {
    const nodes = Array.from({ length: 600 }, (_, i) => ({ name: i === 0 ? 'node-2' : `n${i}` }));
    const quic = { ports: [443], configs: [{ serverIdLength: 1 }] };
    const problems = problemsOf({ nodes, quic });
    assert.ok(problems.length >= 600 - 256);
    assert.match(problems[0] as string, /^nodes\[\d+\]\.serverId$/);
  });

  it('warns of what is plain, and of a key that everybody can work out', () => {
    const warnings = (quic: ConfigurationInput['quic']) =>
      parse({ quic }).warnings.filter((text) => text.includes('quic config'));
    assert.equal(warnings({ ports: [443] }).length, 1);
    assert.equal(warnings({ ports: [443], configs: [{ encrypted: false }] }).length, 1);
    const idle = parse({ quic: undefined, nodes: [{ name: 'node-2', serverId: 'abcd' }] });
    assert.ok(idle.warnings.some((text) => text.includes('no effect without quic')));
  });

  it('derives keys by HKDF-SHA256 from the secret, another one for each config', () => {
    const secret = Buffer.from('a secret of some length');
    const config = parseConfiguration(
      { ...INPUT, secret: { file: 's' }, quic: { ports: [443], configs: [{ id: 0 }, { id: 5 }] } },
      { secret },
    );
    // RFC 5869 by hand: one block is enough for 16 bytes.
    const extracted = createHmac('sha256', 'web').update(secret).digest();
    for (const { id, key } of resolveQuic(config)?.configs ?? []) {
      const block = createHmac('sha256', extracted).update(
        `flowsieve quic-lb v1 config ${id}\u0001`,
      );
      assert.deepEqual(key, block.digest().subarray(0, 16));
    }
  });

  it('reads keys from files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'flowsieve-quic-'));
    try {
      const key = '8f95f09245765f80256934e50c66207f';
      const quic = { ports: [443], configs: [{ id: 4, keyFile: 'key' }] };
      const file = join(folder, 'cluster.yaml');
      writeFileSync(file, JSON.stringify({ ...INPUT, quic }));
      writeFileSync(join(folder, 'key'), `${key}\n`);
      chmodSync(join(folder, 'key'), 0o600);
      const config = loadConfiguration(file);
      assert.equal(resolveQuic(config)?.configs[0]?.key?.toString('hex'), key);
      assert.ok(!JSON.stringify(config).includes(key));
      writeFileSync(join(folder, 'key'), `${key}00\n`);
      assert.throws(
        () => loadConfiguration(file),
        /32 hexadecimal digits for quic.configs\[0\].keyFile/,
      );
      rmSync(join(folder, 'key'));
      assert.throws(() => loadConfiguration(file), /quic.configs\[0\].keyFile/);
      assert.throws(() => resolveQuic(parse({ quic })), { code: 'FLOWSIEVE_STATE' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the criteria with quic', () => {
  const digest = (change: Partial<ConfigurationInput> = {}) =>
    criteriaSettings(parse(change)).digest;

  it('are what they were without the section', () => {
    const { settings } = criteriaSettings(parse({ quic: undefined }));
    assert.equal(resolveQuicSettings(settings), null);
    assert.ok(!Object.hasOwn(settings as object, 'quic'));
  });

  it('come back as they were made', () => {
    const config = parse({
      quic: { ports: [8443, 443], configs: [{ id: 3 }, { id: 1, encrypted: false }] },
    });
    const settings: unknown = JSON.parse(JSON.stringify(criteriaSettings(config).settings));
    assert.deepEqual(resolveQuicSettings(settings), resolveQuic(config));
    assert.equal(resolveSettings(settings).buckets, 256);
  });

  it('have one digest, however they were written', () => {
    const nodes = [{ name: 'node-3' }, { name: 'node-1' }, { name: 'node-2', weight: 4 }];
    assert.equal(digest({ nodes, node: 'node-1' }), digest());
    assert.equal(digest({ quic: { ports: [443, 80] } }), digest({ quic: { ports: [80, 443] } }));
    const derived = createHash('sha256').update('node-1').digest('hex').slice(0, 4);
    const given = [
      { name: 'node-1', serverId: derived.toUpperCase() },
      { name: 'node-2' },
      { name: 'node-3' },
    ];
    assert.equal(digest({ nodes: given }), digest());
  });

  const others: readonly [what: string, change: Partial<ConfigurationInput>][] = [
    ['no section', { quic: undefined }],
    ['another port', { quic: { ports: [8443] } }],
    ['another config id', { quic: { ports: [443], configs: [{ id: 1 }] } }],
    ['another length', { quic: { ports: [443], configs: [{ nonceLength: 9 }] } }],
    ['plain ids', { quic: { ports: [443], configs: [{ encrypted: false }] } }],
    [
      'ids that do not say their length',
      { quic: { ports: [443], configs: [{ encodesLength: false }] } },
    ],
    [
      'another server id',
      { nodes: [{ name: 'node-1', serverId: '0001' }, ...(INPUT.nodes ?? []).slice(1)] },
    ],
    ['a node more', { nodes: [...(INPUT.nodes ?? []), { name: 'node-4' }] }],
  ];
  for (const [what, change] of others) {
    it(`have another digest with ${what}`, () => assert.notEqual(digest(change), digest()));
  }

  const good = (criteriaSettings(parse()).settings as { quic: Record<string, unknown> }) ?? {};
  const [config] = good.quic['configs'] as Record<string, unknown>[];
  const wrong: readonly [path: string, quic: unknown][] = [
    ['quic', 1],
    ['quic.ports', { ...good.quic, ports: [] }],
    ['quic.configs', { ...good.quic, configs: [] }],
    ['quic.configs.0.id', { ...good.quic, configs: [{ ...config, id: 7 }] }],
    ['quic.configs.0.key', { ...good.quic, configs: [{ ...config, key: 'c0ffee' }] }],
    ['quic.configs.0', { ...good.quic, configs: [{ ...config, nonceLength: 18 }] }],
    ['quic.serverIds.0.1', { ...good.quic, serverIds: [['node-1', 'c0ffe']] }],
  ];
  for (const [path, quic] of wrong) {
    it(`are refused with a wrong ${path}`, () => {
      assert.throws(() => resolveSettings({ ...good, quic }), { code: 'FLOWSIEVE_FORMAT', path });
    });
  }

  it('are taken over by a reload', () => {
    const started = parse();
    const next = parse({ quic: { ports: [443], configs: [{ id: 0 }, { id: 1 }] } });
    const { changed, needRestart } = reloadOf(started, started, next);
    assert.deepEqual([...changed], ['distribution', 'quic']);
    assert.deepEqual(needRestart, []);
  });
});
