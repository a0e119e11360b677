import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseConfiguration, resolveQuic } from '../../lib/config/index.js';
import { type ConfigurationInput, ConnectionIds, explain } from '../../lib/index.js';
import { addon, NodeIndexes, nativeQuic } from '../../lib/native/index.js';
import { ethernet } from '../fixtures/packets.js';

// The data plane reads what applications make: native/allocation/quic_lb against lib/quic, which uses Node's
// AES.

const NAMES = ['node-1', 'node-2', 'node-3', 'node-4'];
const LIVING = NAMES.slice(0, 3);

type QuicInput = NonNullable<ConfigurationInput['quic']>;

function cluster(quic: QuicInput) {
  return parseConfiguration({
    cluster: 'web',
    addresses: ['192.0.2.100'],
    node: 'node-1',
    // Different from the first octet on, for configs that look at no more.
    nodes: NAMES.map((name, i) => ({ name, serverId: `${i}${i}${'5a'.repeat(14)}` })),
    quic,
  });
}

const configs = fc.uniqueArray(
  fc
    .record({
      id: fc.integer({ min: 0, max: 6 }),
      serverIdLength: fc.integer({ min: 1, max: 15 }),
      nonceLength: fc.integer({ min: 4, max: 18 }),
      encrypted: fc.boolean(),
      encodesLength: fc.boolean(),
    })
    .filter(({ serverIdLength, nonceLength }) => serverIdLength + nonceLength <= 19),
  { selector: ({ id }) => id, minLength: 1, maxLength: 7 },
);

describe('readConnectionId()', () => {
  it('reads what ConnectionIds makes, and everything else as that does', () => {
    const seen = new Set<string>();
    const spoiling = fc.option(fc.tuple(fc.nat(18), fc.integer({ min: 1, max: 255 })));
    fc.assert(
      fc.property(
        configs,
        fc.nat(6),
        fc.constantFrom(...NAMES),
        spoiling,
        fc.uint8Array({ maxLength: 3 }),
        (used, which, name, spoil, more) => {
          const config = cluster({ ports: [443], configs: used });
          const ids = new ConnectionIds(config);
          const indexes = new NodeIndexes();
          const quic = nativeQuic(resolveQuic(config), LIVING, indexes);
          assert.ok(quic);
          const id = ids.make({ node: name, config: used[which % used.length]?.id });
          if (spoil && id.length > spoil[0]) id[spoil[0]] = (id[spoil[0]] as number) ^ spoil[1];
          // Behind a short header nothing says where the id ends.
          const bytes = Buffer.concat([id, more]);
          const read = ids.read(bytes);
          const answer = addon.readConnectionId(quic, Buffer.concat([Buffer.of(0x40), bytes]));
          const node = read?.node ?? null;
          const routable = node !== null && LIVING.includes(node);
          assert.equal(answer.id === 'node', routable, JSON.stringify([answer, read]));
          if (routable) assert.equal(indexes.names()[answer.node], node);
          else assert.equal(answer.id === 'nobody', read !== null);
          seen.add(answer.id);
        },
      ),
      { numRuns: 3000 },
    );
    assert.deepEqual([...seen].sort(), ['length', 'nobody', 'node', 'unconfigured']);
  });

  it('refuses what would not fit', () => {
    const config = { id: 0, serverIdLength: 2, nonceLength: 8, encodesLength: true, key: null };
    const base = { ports: Uint16Array.of(443), configs: [config], servers: [] };
    const datagram = Buffer.of(0x40);
    for (const wrong of [
      { ...base, ports: new Uint16Array(17) },
      { ...base, configs: [{ ...config, id: 7 }] },
      { ...base, configs: [{ ...config, nonceLength: 18 }] },
      { ...base, configs: [{ ...config, serverIdLength: 0 }] },
      { ...base, configs: [{ ...config, key: Buffer.alloc(15) }] },
      { ...base, servers: [{ serverId: Buffer.alloc(16), node: 1 }] },
    ]) {
      assert.throws(() => addon.readConnectionId(wrong, datagram), { code: 'argument' });
    }
  });
});

describe('explain() of QUIC packets', () => {
  const config = cluster({ ports: [443] });
  const ids = new ConnectionIds(config);

  async function why(payload: Uint8Array, used = config): Promise<string[]> {
    const frame = ethernet()
      .ipv4('198.51.100.7', '192.0.2.100')
      .udp(40000, 443)
      .payload(payload)
      .build();
    for await (const packet of explain({ frame, link: 'ethernet' }, { config: used })) {
      return [packet.verdict, `${packet.class}`, `${packet.owner}`, packet.why];
    }
    return [];
  }

  const short = (id: Uint8Array) => Buffer.concat([Buffer.of(0x40), id, Buffer.alloc(20)]);
  const initial = Buffer.concat([Buffer.from('c00000000108', 'hex'), Buffer.alloc(30)]);

  it('names the node of the connection id', async () => {
    assert.deepEqual(await why(short(ids.make({ node: 'node-3' }))), [
      'discard',
      '6',
      'node-3',
      'It has a connection id of node-3.',
    ]);
    const own = await why(short(ids.make({ node: 'node-1' })));
    assert.deepEqual(own.slice(0, 3), ['deliver', '5', 'node-1']);
  });

  it('says why the four-tuple decides', async () => {
    const sentences = [
      [
        initial,
        /bucket \d+ is node-\d's\. The client has chosen its connection id, or may have\.$/,
      ],
      [short(ids.makeUnroutable()), /The config id of its connection id is not configured\.$/],
      [Buffer.of(0x40, 0x0a), /Its connection id is too short, or not as long as it says\.$/],
      [short(Buffer.alloc(11, 0x0a)), /Its connection id names no living member\.$/],
    ] as const;
    for (const [payload, sentence] of sentences) {
      assert.match((await why(payload))[3] as string, sentence);
    }
  });

  it('says nothing of it without the section', async () => {
    const { quic: _, ...without } = config;
    const plain = parseConfiguration({
      cluster: 'web',
      addresses: without.addresses as string[],
      node: 'node-1',
      nodes: NAMES.map((name) => ({ name })),
    });
    assert.match(
      (await why(short(ids.make()), plain))[3] as string,
      /^It opens a connection, and bucket \d+ is node-\d's\.$/,
    );
  });
});
