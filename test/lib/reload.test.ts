import assert from 'node:assert/strict';
import { type ConfigurationInput, parseConfiguration } from '../../lib/index.js';
import { compareForReload } from '../../lib/node/reload.js';

const INPUT: ConfigurationInput = {
  cluster: 'web',
  addresses: ['192.0.2.100'],
  node: 'node-1',
  nodes: [{ name: 'node-1' }, { name: 'node-2', weight: 2 }],
  interface: 'eth0',
};

function compare(change: Partial<ConfigurationInput>, base: Partial<ConfigurationInput> = {}) {
  const running = parseConfiguration({ ...INPUT, ...base });
  const next = parseConfiguration({ ...INPUT, ...base, ...change });
  return compareForReload(running, running.nodes, next);
}

describe('a reload', () => {
  it('of the same configuration asks for nothing', () => {
    assert.deepEqual(compare({}), { nodesChanged: false, needRestart: [] });
  });

  it('of the same configuration in other words asks for nothing', () => {
    const nodes = [
      { weight: 1, name: 'node-1' },
      { weight: 2, name: 'node-2' },
    ];
    const { nodesChanged, needRestart } = compare({ nodes, workers: 1, tracking: 'observe' });
    assert.deepEqual({ nodesChanged, needRestart }, { nodesChanged: false, needRestart: [] });
  });

  const lists: [what: string, nodes: ConfigurationInput['nodes']][] = [
    ['another weight', [{ name: 'node-1' }, { name: 'node-2', weight: 3 }]],
    ['a node more', [{ name: 'node-1' }, { name: 'node-2', weight: 2 }, { name: 'node-3' }]],
    ['a node less', [{ name: 'node-1' }]],
  ];
  for (const [what, nodes] of lists) {
    it(`takes over ${what}, without a restart`, () => {
      assert.deepEqual(compare({ nodes }), { nodesChanged: true, needRestart: [] });
    });

    it(`refuses ${what} with tracking own, because others' connections are not known`, () => {
      assert.throws(() => compare({ nodes }, { tracking: 'own' }), {
        code: 'FLOWSIEVE_STATE',
        path: 'nodes',
      });
    });
  }

  it('compares with the list in force, not with the one of the start', () => {
    const running = parseConfiguration(INPUT);
    const reloaded = parseConfiguration({ ...INPUT, nodes: [{ name: 'node-1' }] });
    assert.equal(compareForReload(running, reloaded.nodes, reloaded).nodesChanged, false);
    assert.equal(compareForReload(running, reloaded.nodes, running).nodesChanged, true);
  });

  const restarts: [key: string, change: Partial<ConfigurationInput>][] = [
    ['addresses', { addresses: ['192.0.2.101'], linkAddress: '01:00:5e:00:00:64' }],
    ['interface', { interface: 'eth1' }],
    ['workers', { workers: 2 }],
    ['tables', { tables: { connections: 5000 } }],
    ['timeouts', { timeouts: { tcp: { opening: 5 } } }],
    ['distribution', { distribution: { buckets: 512 } }],
    ['tracking', { tracking: 'own' }],
    ['deliver', { deliver: { device: 'flowsieve1' } }],
    ['admin', { admin: { socket: '/run/other.sock' } }],
  ];
  for (const [key, change] of restarts) {
    it(`leaves ${key} for the next start, and says so`, () => {
      const { nodesChanged, needRestart } = compare(change, {
        linkAddress: '01:00:5e:00:00:64',
      });
      assert.equal(nodesChanged, false);
      assert.deepEqual(needRestart, [key]);
    });
  }

  it('says so too of a key that is gone', () => {
    const running = parseConfiguration(INPUT);
    const { interface: _, ...rest } = INPUT;
    const next = parseConfiguration(rest);
    assert.deepEqual(compareForReload(running, running.nodes, next).needRestart, ['interface']);
  });

  it('may change nodes and other keys at once', () => {
    const { nodesChanged, needRestart } = compare({ nodes: [{ name: 'node-1' }], workers: 2 });
    assert.deepEqual(
      { nodesChanged, needRestart },
      { nodesChanged: true, needRestart: ['workers'] },
    );
  });
});
