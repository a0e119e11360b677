// From the text of a configuration to the frozen object that everything else goes by.
import { parseConfiguration } from '../../lib/index.js';
import { type Asked, premise } from './room.js';
import { inTurn } from './trials.js';

// The gateway of docs/guide/operating.md.
const TEXT = `
cluster: fw
role: gateway
link: unicast
node: node-1
interfaces:
  - { name: eth0, addresses: [198.51.100.1, "2001:db8:1::1"] }
  - { name: eth1, addresses: [203.0.113.1, "2001:db8:2::1"] }
nodes:
  - name: node-1
    address: 198.51.100.11
    addresses: [203.0.113.11, "2001:db8:1::11", "2001:db8:2::11"]
    ports: 20000-34999
  - name: node-2
    address: 198.51.100.12
    addresses: [203.0.113.12, "2001:db8:1::12", "2001:db8:2::12"]
    ports: 35000-49999
  - name: node-3
    address: 198.51.100.13
    addresses: [203.0.113.13, "2001:db8:1::13", "2001:db8:2::13"]
    ports: 50000-64999
secret: { file: /etc/flowsieve/secret }
`;

/** Parsing and validating YAML. */
export function configuration(asked: Asked): void {
  premise(
    parseConfiguration(TEXT).nodes.length === 3,
    'the text is a configuration of three nodes',
  );
  const note = `a gateway of three nodes, ${TEXT.length} bytes of YAML`;
  inTurn(asked, { name: 'js/configuration', unit: 'us', note }, [
    { of: 'flowsieve', call: () => void parseConfiguration(TEXT) },
  ]);
}
