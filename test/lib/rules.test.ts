import assert from 'node:assert/strict';
import {
  type Configuration,
  criteriaSettings,
  matchingRule,
  parseConfiguration,
  resolveDistribution,
  resolveSettings,
  ruleText,
} from '../../lib/config/index.js';
import { ConfigurationError, FlowsieveError } from '../../lib/errors/index.js';
import { hash } from '../../lib/native/index.js';

const ADDRESSES = ['192.0.2.100', '2001:db8::100'];
const NODES = [{ name: 'node-1' }, { name: 'node-2' }, { name: 'node-3' }];

function configured(rules: unknown, more: object = {}): Configuration {
  return parseConfiguration({
    cluster: 'web',
    addresses: ADDRESSES,
    node: 'node-1',
    nodes: NODES,
    rules,
    ...more,
  });
}

function problemsOf(rules: unknown, more: object = {}): [path: string, message: string][] {
  try {
    configured(rules, more);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems.map(({ path, message }) => [path, message]);
  }
  return [];
}

const textsOf = (config: Configuration): string[] =>
  resolveDistribution(config).rules.map((rule) => ruleText(rule));

describe('port rules in a configuration', () => {
  it('say in words what they mean', () => {
    const config = configured([
      {
        addresses: ['192.0.2.100'],
        protocol: 'tcp',
        ports: [443, '8000-8099'],
        affinity: 'source',
      },
      { protocol: 'tcp', ports: [25], do: 'single', nodes: ['node-2', 'node-1'] },
      { ports: ['1-1023'], do: 'refuse' },
      { protocol: 47, do: 'pass' },
      { protocol: 'udp', affinity: 'network', prefix: { ipv4: 20 } },
      { protocol: 'icmp', do: 'single' },
      { do: 'refuse', addresses: ADDRESSES },
    ]);
    assert.deepEqual(textsOf(config), [
      'tcp 443,8000-8099 on 192.0.2.100: distribute by source',
      'tcp 25: single node-2, node-1',
      'any 1-1023: refuse',
      'protocol 47: pass',
      'udp: distribute by source /20, /64',
      'icmp: single',
      'everything: refuse',
    ]);
  });

  it('without affinity are distributed as everything else, and with none by all four fields', () => {
    const fields = { distribution: { fields: ['source'] } };
    const rules = [{ ports: [1] }, { ports: [2], affinity: 'none' }];
    assert.deepEqual(textsOf(configured(rules, fields)), [
      'any 1: distribute by source',
      'any 2: distribute by source, destination, sourcePort, destinationPort',
    ]);
  });

  for (const [what, rules, path, expected] of [
    [
      'a range that runs backwards',
      [{ ports: ['8099-8000'] }],
      'rules[0].ports[0]',
      /not above its last/,
    ],
    ['a port beyond the last', [{ ports: [65_536] }], 'rules[0].ports[0]', /65535/],
    ['no ports at all', [{ ports: [] }], 'rules[0].ports', /1 to 512/],
    ['ports of ICMP', [{ protocol: 'icmp', ports: [1] }], 'rules[0].ports', /tcp, udp and sctp/],
    ['ports of another protocol', [{ protocol: 47, ports: [1] }], 'rules[0].ports', /protocol 47/],
    [
      "an address that is not the cluster's",
      [{ addresses: ['192.0.2.1'] }],
      'rules[0].addresses[0]',
      /cluster addresses/,
    ],
    [
      'an unknown node',
      [{ do: 'single', nodes: ['node-4'] }],
      'rules[0].nodes[0]',
      /node-1, node-2, node-3/,
    ],
    [
      'a node twice',
      [{ do: 'single', nodes: ['node-1', 'node-1'] }],
      'rules[0].nodes[1]',
      /not in the list yet/,
    ],
    ['nodes for many', [{ nodes: ['node-1'] }], 'rules[0].nodes', /nothing with do distribute/],
    [
      'affinity for one',
      [{ do: 'single', affinity: 'source' }],
      'rules[0].affinity',
      /nothing with do single/,
    ],
    [
      'a prefix without affinity',
      [{ prefix: { ipv4: 24 } }],
      'rules[0].prefix',
      /affinity network/,
    ],
    [
      'a prefix with another affinity',
      [{ affinity: 'source', prefix: {} }],
      'rules[0].prefix',
      /with source/,
    ],
    [
      'an action that is none',
      [{ do: 'reject' }],
      'rules[0].do',
      /distribute, single, refuse, pass/,
    ],
    ['a protocol that is none', [{ protocol: 'http' }], 'rules[0].protocol', /0 to 255/],
    ['a key that is none', [{ port: 80 }], 'rules[0].port', /one of the keys/],
    ['too many rules', Array(65).fill({}), 'rules', /at most 64/],
    ['too many ranges', Array(6).fill({ ports: Array(100).fill(1) }), 'rules', /at most 512 ports/],
  ] as const) {
    it(`refuse ${what}`, () => {
      const [problem, ...others] = problemsOf(rules);
      assert.equal(problem?.[0], path);
      assert.match(problem?.[1] ?? '', expected);
      assert.deepEqual(others, []);
    });
  }

  it('do not go with symmetric, nor single ones with 65536 buckets', () => {
    const symmetric = { distribution: { symmetric: true } };
    assert.equal(problemsOf([{ do: 'refuse' }], symmetric)[0]?.[0], 'rules');
    const many = { distribution: { buckets: 65_536 } };
    assert.equal(problemsOf([{ do: 'single' }], many)[0]?.[0], 'distribution.buckets');
    assert.deepEqual(problemsOf([{ do: 'refuse' }], many), []);
  });

  it('may overlap; one that can never match is worth a note', () => {
    const { warnings } = configured([
      { protocol: 'tcp', ports: ['80-90'] },
      { protocol: 'tcp', ports: [85, 91], do: 'refuse' },
      { protocol: 'tcp', ports: ['81-91'], do: 'single' },
      { addresses: ['192.0.2.100'], do: 'refuse' },
      { addresses: ['2001:db8::100'], do: 'refuse' },
      { protocol: 99, do: 'single' },
    ]);
    const unreachable = warnings.filter((warning) => warning.includes('never matches'));
    assert.deepEqual(
      unreachable.map((warning) => warning.split(' ')[0]),
      ['rules[2]', 'rules[5]'],
    );
  });
});

describe('the criteria with port rules', () => {
  it('are the same for the same rules, however they are written', () => {
    const one = configured([{ protocol: 'tcp', ports: ['80-90', 91, 443], addresses: ADDRESSES }]);
    const other = configured([{ protocol: 6, ports: [443, '85-91', '80-86'] }]);
    assert.equal(criteriaSettings(one).digest, criteriaSettings(other).digest);
    const third = configured([{ protocol: 'tcp', ports: ['80-90', 443] }]);
    assert.notEqual(criteriaSettings(one).digest, criteriaSettings(third).digest);
    const nodes = (names: string[]) => configured([{ do: 'single', nodes: names }]);
    assert.notEqual(
      criteriaSettings(nodes(['node-1', 'node-2'])).digest,
      criteriaSettings(nodes(['node-2', 'node-1'])).digest,
    );
  });

  it('come back as they went', () => {
    const config = configured([
      { protocol: 'tcp', ports: [443], affinity: 'network' },
      { do: 'single', nodes: ['node-3'] },
      { do: 'pass' },
    ]);
    const { settings } = criteriaSettings(config);
    const back = resolveSettings(JSON.parse(JSON.stringify(settings)));
    assert.deepEqual(back.rules, resolveDistribution(config).rules);
  });

  it('are unchanged for those who have none', () => {
    const { settings } = criteriaSettings(configured([]));
    assert.ok(!Object.hasOwn(settings as object, 'rules'));
  });

  for (const [what, change] of [
    ['another action', { do: 'reject' }],
    ['ports out of order', { ports: [[9, 8]] }],
    ['no hash where one is needed', { hash: null }],
    ['an address that is none', { addresses: ['192.0.2'] }],
    ['a key more', { name: 'x' }],
    ['three protocols', { protocols: [1, 2, 3] }],
  ] as const) {
    it(`are refused with ${what}`, () => {
      const settings = criteriaSettings(configured([{ ports: [80] }])).settings as {
        rules: object[];
      };
      const changed = { ...settings, rules: [{ ...settings.rules[0], ...change }] };
      assert.throws(
        () => resolveSettings(changed),
        (error) => error instanceof FlowsieveError && error.code === 'FLOWSIEVE_FORMAT',
      );
    });
  }
});

describe('the look-up of a rule', () => {
  // A plain generator: the same lists every time.
  function lists(seed: number) {
    let state = seed;
    const below = (n: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 16) % n;
    };
    const pick = <T>(of: readonly T[]): T => of[below(of.length)] as T;
    const range = (): string => {
      const first = below(60);
      return `${first}-${first + below(20)}`;
    };
    return Array.from({ length: 1 + below(8) }, () => {
      const ported = below(3) > 0;
      const protocol = pick(ported ? ['any', 'tcp', 'udp'] : ['any', 'tcp', 'icmp', 47]);
      return {
        protocol,
        do: pick(['distribute', 'refuse', 'pass', 'single']),
        ...(ported ? { ports: Array.from({ length: 1 + below(3) }, range) } : {}),
        ...(below(2) === 0 ? { addresses: [pick(ADDRESSES)] } : {}),
      };
    });
  }

  it('is the same in the addon and in plain words', function () {
    this.timeout(60_000);
    let asked = 0;
    for (let seed = 1; seed <= 12; seed += 1) {
      const config = configured(lists(seed));
      const { rules } = resolveDistribution(config);
      for (const address of ADDRESSES) {
        const source = address.includes(':') ? '2001:db8::7' : '198.51.100.7';
        for (const protocolNumber of [1, 6, 17, 47, 58, 132]) {
          for (let port = 0; port < 82; port += 3) {
            const flow = {
              source: { address: source, port: 40_000 },
              destination: { address, port },
              protocolNumber,
            };
            const expected = matchingRule(rules, address, protocolNumber, port);
            const made = hash(config, flow);
            assert.equal(made.rule, expected < 0 ? null : expected + 1);
            const action = rules[expected]?.do ?? 'distribute';
            assert.equal(made.bucket < 256, action === 'distribute');
            asked += 1;
          }
        }
      }
    }
    assert.ok(asked > 3000);
  });
});
