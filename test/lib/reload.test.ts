import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type ConfigurationInput, parseConfiguration } from '../../lib/index.js';
import { reloadOf } from '../../lib/node/reload.js';

const INPUT: ConfigurationInput = {
  cluster: 'web',
  addresses: ['192.0.2.100'],
  node: 'node-1',
  nodes: [{ name: 'node-1' }, { name: 'node-2', weight: 2 }],
  interface: 'eth0',
};
const SECRETS = {
  old: Buffer.from('the secret of yesterday'),
  new: Buffer.from('the secret of tomorrow!'),
};

function parse(input: ConfigurationInput, secret?: Buffer, alsoSecret?: Buffer) {
  return parseConfiguration(input, {
    ...(secret ? { secret } : {}),
    ...(alsoSecret ? { alsoSecret } : {}),
  });
}

/** What a reload asks for, in lists. */
function compare(change: Partial<ConfigurationInput>, base: Partial<ConfigurationInput> = {}) {
  const started = parse({ ...INPUT, ...base });
  const next = parse({ ...INPUT, ...base, ...change });
  const { changed, needRestart } = reloadOf(started, started, next);
  return { changed: [...changed], needRestart };
}

function named(...names: string[]) {
  return names.map((name) => ({ name }));
}

function numbered(count: number, from = 1) {
  return named(...Array.from({ length: count }, (_, i) => `node-${from + i}`));
}

describe('a reload', () => {
  it('of the same configuration asks for nothing', () => {
    assert.deepEqual(compare({}), { changed: [], needRestart: [] });
  });

  it('of the same configuration in other words asks for nothing', () => {
    const nodes = [
      { weight: 1, name: 'node-1' },
      { weight: 2, name: 'node-2' },
    ];
    const fields = ['destinationPort', 'source', 'sourcePort', 'destination'] as const;
    const same = { nodes, workers: 1, tracking: 'observe', sync: { port: 7946 } } as const;
    assert.deepEqual(compare(same), { changed: [], needRestart: [] });
    assert.deepEqual(compare({ distribution: { fields: [...fields] } }).changed, []);
  });

  const taken: [what: string, key: string, change: Partial<ConfigurationInput>][] = [
    ['another weight', 'nodes', { nodes: [{ name: 'node-1' }, { name: 'node-2', weight: 3 }] }],
    ['a node more', 'nodes', { nodes: [...(INPUT.nodes ?? []), { name: 'node-3' }] }],
    ['a node less', 'nodes', { nodes: named('node-1') }],
    ['other buckets', 'distribution', { distribution: { buckets: 512 } }],
    ['another hash', 'distribution', { distribution: { hash: 'crc32c' } }],
    ['rebalancing', 'rebalance', { rebalance: { by: 'connections' } }],
    ['another deadline', 'drain', { drain: { deadline: 60 } }],
  ];
  for (const [what, key, change] of taken) {
    it(`takes over ${what}, without a restart`, () => {
      assert.deepEqual(compare(change), { changed: [key], needRestart: [] });
    });

    it(`takes over ${what} with tracking own too`, () => {
      assert.deepEqual(compare(change, { tracking: 'own' }).changed, [key]);
    });
  }

  it('compares with what the reload before took over, and keys of the start with the start', () => {
    const started = parse(INPUT);
    const reloaded = parse({ ...INPUT, nodes: named('node-1'), workers: 2 });
    const again = reloadOf(started, reloaded, reloaded);
    assert.deepEqual([[...again.changed], again.needRestart], [[], ['workers']]);
    const back = reloadOf(started, reloaded, started);
    assert.deepEqual([[...back.changed], back.needRestart], [['nodes'], []]);
  });

  const restarts: [key: string, change: Partial<ConfigurationInput>][] = [
    ['addresses', { addresses: ['192.0.2.101'], linkAddress: '01:00:5e:00:00:64' }],
    ['interface', { interface: 'eth1' }],
    ['workers', { workers: 2 }],
    ['tables', { tables: { connections: 5000 } }],
    ['timeouts', { timeouts: { tcp: { opening: 5 } } }],
    ['tracking', { tracking: 'own' }],
    ['deliver', { deliver: { device: 'flowsieve1' } }],
    ['sync', { sync: { heartbeat: 50 } }],
    ['quorum', { quorum: 'paths' }],
    ['admin', { admin: { socket: '/run/other.sock' } }],
  ];
  for (const [key, change] of restarts) {
    it(`leaves ${key} for the next start, and says so`, () => {
      assert.deepEqual(compare(change, { linkAddress: '01:00:5e:00:00:64' }), {
        changed: [],
        needRestart: [key],
      });
    });
  }

  it('says so too of a key that is gone', () => {
    const started = parse(INPUT);
    const { interface: _, ...rest } = INPUT;
    assert.deepEqual(reloadOf(started, started, parse(rest)).needRestart, ['interface']);
  });

  it('may change nodes and other keys at once', () => {
    const both = { nodes: named('node-1'), workers: 2, drain: { deadline: 0 } };
    assert.deepEqual(compare(both), { changed: ['nodes', 'drain'], needRestart: ['workers'] });
  });

  it("refuses another cluster's configuration", () => {
    assert.throws(() => compare({ cluster: 'mail' }), {
      code: 'FLOWSIEVE_STATE',
      path: 'cluster',
      message: 'Expected the cluster that is running, web, for cluster but received mail.',
    });
  });
});

describe('a reload of the secrets', () => {
  const file = { ...INPUT, secret: { file: 's' } };
  const both = { ...INPUT, secret: { file: 's', also: 'a' } };
  const keyed = { distribution: { key: '00112233445566778899aabbccddeeff' } };

  it('takes over a second one, which does not change the criteria', () => {
    const before = parse(file, SECRETS.old);
    const next = parse(both, SECRETS.old, SECRETS.new);
    assert.deepEqual([...reloadOf(before, before, next).changed], ['secret']);
    assert.deepEqual([...reloadOf(before, next, before).changed], ['secret']);
  });

  it('takes over another content of the same files; the hash key changes with the first', () => {
    const before = parse(file, SECRETS.old);
    const next = parse(file, SECRETS.new);
    assert.deepEqual([...reloadOf(before, before, next).changed], ['distribution', 'secret']);
    assert.deepEqual([...reloadOf(before, before, parse(file, SECRETS.old)).changed], []);
  });

  it('leaves the criteria alone where the hash key is given', () => {
    const before = parse({ ...both, ...keyed }, SECRETS.old, SECRETS.new);
    const next = parse({ ...both, ...keyed }, SECRETS.new, SECRETS.old);
    assert.deepEqual([...reloadOf(before, before, next).changed], ['secret']);
  });

  it('takes over the first one that there is', () => {
    const before = parse(INPUT);
    const next = parse(file, SECRETS.new);
    assert.deepEqual([...reloadOf(before, before, next).changed], ['distribution', 'secret']);
    const forgot = reloadOf(before, next, before).changed;
    assert.deepEqual([...forgot], ['distribution', 'secret']);
  });
});

describe('a reload of the node list', () => {
  function change(before: { name: string }[], after: { name: string }[]) {
    const started = parse({ ...INPUT, nodes: before });
    return reloadOf(started, started, parse({ ...INPUT, nodes: after })).changed.has('nodes');
  }

  const allowed: [before: number, after: number][] = [
    [1, 2],
    [2, 1],
    [2, 3],
    [3, 2],
    [2, 4],
    [4, 3],
    [4, 6],
    [5, 6],
  ];
  for (const [before, after] of allowed) {
    it(`goes from ${before} to ${after} nodes`, () => {
      assert.equal(change(numbered(before), numbered(after)), true);
    });
  }

  const refused: [before: { name: string }[], after: { name: string }[], received: RegExp][] = [
    [numbered(1), numbered(3), /received \+node-2, \+node-3\.$/],
    [numbered(3), numbered(1), /received -node-2, -node-3\.$/],
    [numbered(3), numbered(5), /\+node-4, \+node-5/],
    [numbered(3), named('node-1', 'node-2', 'x'), /received \+x, -node-3\.$/],
  ];
  for (const [before, after, received] of refused) {
    const list = (nodes: { name: string }[]) => nodes.map(({ name }) => name).join(' ');
    it(`does not go at once from ${list(before)} to ${list(after)}`, () => {
      assert.throws(
        () => change(before, after),
        (error: { code: string; path: string; message: string }) => {
          assert.deepEqual([error.code, error.path], ['FLOWSIEVE_STATE', 'nodes']);
          assert.match(error.message, /^Expected .*one after the other.* for nodes but /);
          assert.match(error.message, received);
          return true;
        },
      );
    });
  }

  /** All majorities of a list, by brute force. */
  function majorities(list: readonly string[]): Set<string>[] {
    const subsets = Array.from({ length: 2 ** list.length }, (_, bits) =>
      list.filter((_name, i) => ((bits >> i) & 1) === 1),
    );
    return subsets.filter((each) => 2 * each.length > list.length).map((each) => new Set(each));
  }

  it('is taken if and only if no majority of the one list misses all of a majority of the other', () => {
    const others = fc.uniqueArray(fc.constantFrom(...'bcdefg'), { maxLength: 5 });
    fc.assert(
      fc.property(others, others, (one, other) => {
        const before = ['node-1', ...one];
        const after = ['node-1', ...other];
        const safe = majorities(before).every((left) =>
          majorities(after).every((right) => [...left].some((name) => right.has(name))),
        );
        let taken = true;
        try {
          change(named(...before), named(...after));
        } catch {
          taken = false;
        }
        assert.equal(taken, safe);
      }),
    );
  });

  it('does not move a node that stays to another sync address', () => {
    const two = (sync?: string, address = '10.0.0.2') => [
      { name: 'node-1', address: '10.0.0.1' },
      { name: 'node-2', address, ...(sync ? { sync } : {}) },
    ];
    const before = parse({ ...INPUT, nodes: two() });
    const reload = (nodes: ConfigurationInput['nodes']) => [
      ...reloadOf(before, before, parse({ ...INPUT, nodes })).changed,
    ];
    assert.throws(() => reload(two('10.1.0.2')), {
      code: 'FLOWSIEVE_STATE',
      path: 'nodes',
      message:
        'Expected the sync address that node-2 has had, 10.0.0.2, for nodes but received 10.1.0.2.',
    });
    assert.throws(() => reload(two(undefined, '10.0.0.3')), { path: 'nodes' });
    assert.deepEqual(reload(two('10.0.0.2')), ['nodes'], 'the same address in other words');
    assert.deepEqual(reload([...two(), { name: 'node-3', sync: '10.1.0.3' }]), ['nodes']);
  });
});
