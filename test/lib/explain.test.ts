import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConfigurationInput,
  type ExplainedPacket,
  explain,
  type Flow,
  hash,
  ownerOf,
  parseConfiguration,
  plan,
  type ReplayOptions,
} from '../../lib/index.js';
import { vocabulary } from '../../lib/native/index.js';
import { pcap } from '../fixtures/capture-file.js';
import { spaced } from '../fixtures/case.js';
import { ethernet, etherTypes, fields, raw } from '../fixtures/packets.js';

const CLIENT = '198.51.100.7';
const CLUSTER = '192.0.2.100';
const INPUT: ConfigurationInput = {
  cluster: 'web',
  addresses: [CLUSTER],
  node: 'node-1',
  nodes: [{ name: 'node-1' }, { name: 'node-2' }],
  tables: { connections: 1000 },
};
const config = parseConfiguration(INPUT);
const allocation = plan({ members: config.nodes, buckets: config.distribution.buckets });

function flowOf(port: number): Flow {
  return {
    source: { address: CLIENT, port },
    destination: { address: CLUSTER, port: 80 },
    protocolNumber: 6,
  };
}

/** Two TCP ports of the client whose connections `owner` opens. */
function portsOf(owner: string): [number, number] {
  const found: number[] = [];
  for (let port = 40000; found.length < 2; port += 1) {
    if (ownerOf(allocation, hash(config, flowOf(port)).bucket) === owner) found.push(port);
  }
  return found as [number, number];
}

const toCluster = (port: number, flags: string) =>
  ethernet().ipv4(CLIENT, CLUSTER).tcp(port, 80, flags).build();
const fromCluster = (port: number, flags: string) =>
  ethernet().ipv4(CLUSTER, CLIENT).tcp(80, port, flags).build();

function patched(frame: Uint8Array, offset: number, ...bytes: number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, offset);
  return copy;
}

describe('explain', function () {
  this.timeout(60_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-explain-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  async function explainAll(
    frames: readonly Uint8Array[],
    options: ReplayOptions = { config },
    snap?: number,
  ): Promise<ExplainedPacket[]> {
    const path = join(folder, 'frames.pcap');
    const timed = spaced(frames).map((frame) => (snap === undefined ? frame : { ...frame, snap }));
    writeFileSync(path, pcap(timed));
    const lines: ExplainedPacket[] = [];
    for await (const line of explain({ path }, options)) lines.push(line);
    return lines;
  }

  async function explainOne(frame: Uint8Array, options?: ReplayOptions, snap?: number) {
    const [line, ...rest] = await explainAll([frame], options, snap);
    assert.deepEqual(rest, []);
    assert.ok(line);
    return line;
  }

  it('says for each of the six classes why', async () => {
    const [mine, mine2] = portsOf('node-1');
    const [theirs, theirs2] = portsOf('node-2');
    const lines = await explainAll([
      toCluster(mine, 'S'),
      toCluster(mine, 'A'),
      toCluster(theirs, 'S'),
      toCluster(theirs, 'A'),
      toCluster(mine2, 'A'),
      toCluster(theirs2, 'A'),
    ]);
    assert.deepEqual(
      lines.map((line) => line.class),
      [1, 2, 3, 4, 5, 6],
    );
    assert.deepEqual(
      lines.map(({ verdict }) => verdict),
      ['deliver', 'deliver', 'discard', 'discard', 'deliver', 'discard'],
    );
    assert.deepEqual(
      lines.map(({ owner }) => owner),
      ['node-1', 'node-1', 'node-2', 'node-2', 'node-1', 'node-2'],
    );
    assert.deepEqual(
      lines.map(({ why }) => why),
      [
        `It opens a connection, and bucket ${lines[0]?.bucket} is node-1's.`,
        'The own table has its connection.',
        `It opens a connection, and bucket ${lines[2]?.bucket} is node-2's.`,
        'The others table has its connection, and node-2 as its owner.',
        `No table has its connection; bucket ${lines[4]?.bucket} is node-1's.`,
        `No table has its connection; bucket ${lines[5]?.bucket} is node-2's.`,
      ],
    );
  });

  it('shows the bytes, the hash and the bucket that the distribution has for the connection', async () => {
    const [port] = portsOf('node-1');
    const line = await explainOne(toCluster(port, 'S'));
    const flow = flowOf(port);
    const made = hash(config, flow);
    assert.deepEqual(line.flow, flow);
    assert.equal(line.hashed, made.bytes.toString('hex'));
    assert.equal(line.hash, `0x${made.hash.toString(16)}`);
    assert.equal(line.bucket, made.bucket);
    assert.equal(line.from, CLIENT);
    assert.equal(line.to, CLUSTER);
    assert.equal(line.bytes, toCluster(port, 'S').length);
  });

  it('tells what a packet is', async () => {
    const quoted = ethernet().ipv4(CLUSTER, CLIENT).tcp(80, 40000, 'A').payload(20);
    const udp = ethernet().ipv4(CLIENT, CLUSTER).udp(5000, 53).payload(1000);
    const cases: [frame: Uint8Array, what: string][] = [
      [toCluster(1, 'S'), 'tcp SYN'],
      [toCluster(1, 'SA'), 'tcp SYN ACK'],
      [toCluster(1, 'FPA'), 'tcp FIN ACK PSH'],
      [toCluster(1, ''), 'tcp'],
      [udp.build(), 'udp'],
      [udp.fragments(7, 512)[0] as Uint8Array, 'udp fragment'],
      [ethernet().ipv4(CLIENT, CLUSTER).echoRequest(5).build(), 'icmp'],
      [ethernet().ipv4(CLIENT, CLUSTER).sctp(1, 2, 1).payload(16).build(), 'sctp'],
      [ethernet().ipv4(CLIENT, CLUSTER).esp().payload(16).build(), 'protocol 50'],
      [
        ethernet().ipv4('203.0.113.1', CLUSTER).icmpError(3, 3, quoted).build(),
        'ICMP error about tcp',
      ],
      [
        ethernet()
          .other(etherTypes.mpls, fields([32, 0x100ff]))
          .payload(40)
          .build(),
        'no IP',
      ],
    ];
    for (const [frame, what] of cases) assert.equal((await explainOne(frame)).what, what);
  });

  it('follows an ICMP error to the connection that it quotes, and says so', async () => {
    const [port] = portsOf('node-1');
    const reply = ethernet().ipv4(CLUSTER, CLIENT).tcp(80, port, 'A').payload(20);
    const error = ethernet().ipv4('203.0.113.1', CLUSTER).icmpError(3, 1, reply).build();
    const lines = await explainAll([toCluster(port, 'S'), error]);
    assert.equal(lines[1]?.why, 'The own table has the connection that it quotes.');
    assert.equal(lines[1]?.verdict, 'deliver');
    const alone = await explainOne(error);
    assert.match(
      alone.why,
      /^No table has the connection that it quotes; bucket \d+ is node-1's\.$/,
    );
  });

  it("tells the server's packets and strangers apart", async () => {
    const [port] = portsOf('node-1');
    const stranger = ethernet().ipv4(CLIENT, '203.0.113.9').tcp(1, 2, 'S').build();
    const lines = await explainAll([toCluster(port, 'S'), fromCluster(port, 'SA'), stranger]);
    assert.equal(lines[1]?.why, 'Sent by the server side of a connection of node-1.');
    assert.equal(lines[1]?.class, null);
    assert.equal(lines[2]?.why, 'Not for a cluster address.');
    assert.equal(lines[2]?.verdict, 'pass');
    assert.equal(lines[2]?.owner, null);
  });

  it('tells of a later fragment that it waits', async () => {
    const pieces = ethernet().ipv4(CLIENT, CLUSTER).udp(5000, 53).payload(1000).fragments(7, 512);
    const [later, first] = await explainAll([pieces[1], pieces[0]] as Uint8Array[]);
    assert.equal(later?.verdict, 'held');
    assert.equal(later?.what, 'later fragment');
    assert.equal(later?.why, 'Waits for the first fragment of its datagram.');
    assert.equal(later?.flow, null);
    assert.equal(first?.class === 1 || first?.class === 3, true);
  });

  it('says of link-local control traffic and of what is not IP that it is no connection', async () => {
    const arp = ethernet().other(0x0806, new Uint8Array(28)).build();
    assert.equal((await explainOne(arp)).why, 'Not IP: none of the cluster.');
    const solicitation = ethernet().ipv6('fe80::1', 'ff02::1:ff00:100').icmp(135, 0).payload(16);
    const line = await explainOne(solicitation.build());
    assert.equal(line.what, 'link-local control');
    assert.equal(line.why, 'Link-local control traffic is never a connection.');
  });

  // Each made from a good SYN by one change; the IP header begins at byte 14, TCP at 34.
  const syn = toCluster(40000, 'S');
  let tags = ethernet();
  for (let i = 0; i < 5; i += 1) tags = tags.vlan(i + 1);
  const options = ethernet().ipv6('2001:db8::1', '2001:db8::2');
  const dropped: [reason: string, frame: Uint8Array, what: string, snap?: number][] = [
    ['frameShort', syn.slice(0, 13), 'unreadable'],
    ['linkTags', tags.ipv4(CLIENT, CLUSTER).tcp(1, 2, 'S').build(), 'unreadable'],
    ['ipVersion', patched(syn, 14, 0x75), 'unreadable'],
    ['ipHeader', patched(syn, 14, 0x44), 'unreadable'],
    ['ipLength', patched(syn, 16, 0xff, 0xff), 'unreadable'],
    ['extensionHeader', patched(options.hopByHop().build(), 55, 200), 'unreadable'],
    ['transportShort', patched(syn.slice(0, 44), 16, 0, 30), 'IP'],
    ['tcpOffset', patched(syn, 46, 0x40), 'IP'],
    ['fragmentLength', patched(syn, 20, 0x20), 'IP'],
    ['quoteUnusable', ethernet().ipv4(CLIENT, CLUSTER).icmp(3, 1).build(), 'IP'],
    ['cutShort', syn, 'IP', 36],
  ];
  for (const [reason, frame, what, snap] of dropped) {
    it(`says of a packet dropped for ${reason} what is wrong with it`, async () => {
      const line = await explainOne(frame, { config }, snap);
      const text = vocabulary.drops.find(({ name }) => name === reason)?.text ?? '';
      assert.equal(line.verdict, 'dropped');
      assert.equal(line.why.toLowerCase(), `${text}.`.toLowerCase());
      assert.match(line.why, /^[A-Z]/);
      assert.equal(line.what, what);
      assert.equal(line.class, null);
      assert.equal(line.hashed, null);
      assert.equal(line.flow, null);
    });
  }

  it('reads one frame without a link header', async () => {
    const frame = raw().ipv6('2001:db8::1', '2001:db8::2').udp(5000, 53).payload(4).build();
    const lines: ExplainedPacket[] = [];
    for await (const line of explain({ frame, link: 'raw' })) lines.push(line);
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.from, '2001:db8::1');
    assert.equal(lines[0]?.what, 'udp');
    assert.equal(lines[0]?.class, 1);
    assert.equal(lines[0]?.owner, 'node-1');
  });
});
