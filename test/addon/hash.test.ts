import assert from 'node:assert/strict';
import { type Flow, hash, parseConfiguration } from '../../lib/index.js';

describe('hash()', () => {
  it('gives both directions of a connection the same bucket when symmetric', () => {
    const config = parseConfiguration({
      cluster: 'web',
      node: 'node-1',
      addresses: ['192.0.2.100'],
      distribution: { symmetric: true },
    });
    const flow: Flow = {
      source: { address: '198.51.100.7', port: 40000 },
      destination: { address: '192.0.2.100', port: 80 },
      protocolNumber: 6,
    };
    const back = { ...flow, source: flow.destination, destination: flow.source };
    assert.equal(hash(config, flow).bucket, hash(config, back).bucket);
  });

  // By hand from docs/reference/hash-layout.md: source, destination, source port, destination port.
  it('lays out addresses and ports as the reference says', () => {
    const config = parseConfiguration({
      cluster: 'web',
      node: 'node-1',
      addresses: ['192.0.2.100'],
    });
    const { bytes } = hash(config, {
      source: { address: '198.51.100.7', port: 40000 },
      destination: { address: '192.0.2.100', port: 80 },
      protocolNumber: 6,
    });
    assert.equal(bytes.toString('hex'), 'c6336407c00002649c400050');
  });

  const config = parseConfiguration({ cluster: 'web', node: 'node-1', addresses: ['192.0.2.100'] });
  const flow: Flow = {
    source: { address: '198.51.100.7', port: 40000 },
    destination: { address: '192.0.2.100', port: 80 },
    protocolNumber: 6,
  };
  const { source, destination } = flow;
  const refused: [path: string, flow: Flow][] = [
    ['source.address', { ...flow, source: { ...source, address: 'somewhere' } }],
    ['source.address', { ...flow, source: { ...source, address: 'fe80::1%eth0' } }],
    ['destination.address', { ...flow, destination: { ...destination, address: '2001:db8::1' } }],
    ['source.port', { ...flow, source: { ...source, port: 65536 } }],
    ['destination.port', { ...flow, destination: { ...destination, port: 1.5 } }],
    ['protocolNumber', { ...flow, protocolNumber: 256 }],
  ];
  for (const [path, wrong] of refused) {
    it(`refuses a ${path} that no packet can have: ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => hash(config, wrong), { code: 'FLOWSIEVE_ARGUMENT', path });
    });
  }
});
