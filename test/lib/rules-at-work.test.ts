import assert from 'node:assert/strict';
import { parseConfiguration, resolveDistribution } from '../../lib/config/index.js';
import { passLines } from '../../lib/host/passes.js';
import { type ExplainedPacket, explain } from '../../lib/replay/index.js';

function configured(rules: object[]) {
  return parseConfiguration({
    cluster: 'web',
    addresses: ['192.0.2.100', '2001:db8::100'],
    node: 'node-1',
    nodes: [{ name: 'node-1' }, { name: 'node-2' }],
    rules,
  });
}

/** A TCP SYN from 198.51.100.7:40000 to the cluster address, from the IP header on (RFC 791, 9293). */
function syn(port: number): Buffer {
  const packet = Buffer.alloc(40);
  packet.set([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6]);
  packet.set([198, 51, 100, 7, 192, 0, 2, 100], 12);
  packet.writeUInt16BE(40_000, 20);
  packet.writeUInt16BE(port, 22);
  packet.set([0x50, 0x02], 32);
  return packet;
}

async function explained(rules: object[], port: number): Promise<ExplainedPacket> {
  const input = { frame: syn(port), link: 'raw' } as const;
  for await (const packet of explain(input, { config: configured(rules) })) return packet;
  throw new Error('no packet');
}

describe('explain names the rule', () => {
  const rules = [
    { protocol: 'tcp', ports: [443], do: 'single', nodes: ['node-2', 'node-1'] },
    { ports: ['1-1023'], do: 'refuse' },
    { ports: [5000], do: 'pass' },
    { ports: [8080], affinity: 'source' },
  ];

  it('that gives to a single node', async () => {
    const { rule, verdict, owner, hashed, bucket, why } = await explained(rules, 443);
    assert.deepEqual([rule, verdict, owner, hashed, bucket], [1, 'discard', 'node-2', null, null]);
    assert.match(why, /Rule 1 \(tcp 443: single node-2, node-1\) gives it to node-2\.$/);
  });

  it('that refuses', async () => {
    const { rule, verdict, owner, why } = await explained(rules, 22);
    assert.deepEqual([rule, verdict, owner], [2, 'dropped', null]);
    assert.equal(why, 'Rule 2 (any 1-1023: refuse) refuses it.');
  });

  it('that passes', async () => {
    const { rule, verdict, why } = await explained(rules, 5000);
    assert.deepEqual([rule, verdict], [3, 'pass']);
    assert.equal(why, 'Rule 3 (any 5000: pass) leaves it to the kernel of every node.');
  });

  it('that has other fields hashed, with the bytes', async () => {
    const { rule, hashed, bucket, why } = await explained(rules, 8080);
    assert.deepEqual([rule, hashed], [4, 'c6336407']);
    assert.match(why, new RegExp(`bucket ${bucket} by rule 4 .* is node-[12]'s\\.$`));
  });

  it('or none', async () => {
    assert.equal((await explained(rules, 2000)).rule, null);
  });
});

describe('what the guard lets through', () => {
  const linesOf = (rules: object[]) => passLines(resolveDistribution(configured(rules)).rules);
  const ACCEPT = 'meta pkttype set host counter name passed accept';

  it('is nothing without a rule that passes', () => {
    assert.deepEqual(linesOf([{ do: 'refuse' }, { do: 'single' }]), []);
  });

  it('goes by the order of the rules, up to the last that passes', () => {
    const lines = linesOf([
      { protocol: 'tcp', ports: [22], do: 'refuse' },
      { addresses: ['2001:db8::100'], protocol: 'udp', ports: [500, '4500-4501'], do: 'pass' },
      { ports: ['1-1023'], do: 'pass' },
      { protocol: 'icmp', do: 'pass' },
      { do: 'refuse' },
    ]);
    assert.deepEqual(lines.slice(-4), [
      'meta l4proto { 6 } th dport { 22 } return',
      `ip6 daddr { 2001:db8::100 } meta l4proto { 17 } th dport { 500, 4500-4501 } ${ACCEPT}`,
      `meta l4proto { 6, 17, 132 } th dport { 1-1023 } ${ACCEPT}`,
      `meta l4proto { 1, 58 } ${ACCEPT}`,
    ]);
    assert.ok(lines.slice(0, -4).every((line) => line.endsWith(' return')));
  });
});
