import assert from 'node:assert/strict';
import {
  addon,
  callNative,
  type NativeCriteria,
  type NativeMemoryNode,
  type NativeTransition,
  type NativeWorkerOptions,
  RECORD_BYTES,
  readRecord,
  vocabulary,
} from '../../lib/native/index.js';

// A handover of all buckets from node 0 to node 1, packet by packet, as
// docs/decisions/cluster-protocol.md tells it; here what crosses between JavaScript and C++.

const distribution = {
  hash: 'siphash',
  key: Buffer.alloc(40, 7),
  fields: 15,
  sourcePrefixIpv4: 32,
  sourcePrefixIpv6: 128,
  destinationPrefixIpv4: 32,
  destinationPrefixIpv6: 128,
  symmetric: false,
  buckets: 16,
};

function workerOptions(self: number): NativeWorkerOptions {
  return {
    capacity: 1000,
    openingShare: 1,
    timeouts: Array<number>(15).fill(30),
    nodes: 0xffff,
    self,
    addresses: null,
    linkAddresses: [],
    bothDirections: false,
    sampleEvery: 0,
    fragments: { held: 16, heldBytes: 65536, holdSeconds: 1 },
    holdBytes: 65536,
    holdMs: 200,
  };
}

function criteria(self: number, epoch: number, owner: number): NativeCriteria {
  const owners = new Uint16Array(16).fill(owner);
  return {
    distribution,
    epoch,
    self,
    owners,
    tracking: 'observe',
    monitoring: true,
    forwards: false,
  };
}

const TO_NODE_1: NativeTransition = {
  distribution,
  epoch: 2,
  owners: new Uint16Array(16).fill(1),
  dead: [],
};

/** An Ethernet frame with the SYN of 10.0.0.1, `port`, to 192.0.2.100, 80. */
function syn(port: number): Buffer {
  const frame = Buffer.alloc(54);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame.writeUInt16BE(40, 16);
  frame[22] = 64;
  frame[23] = 6;
  frame.set([10, 0, 0, 1], 26);
  frame.set([192, 0, 2, 100], 30);
  frame.writeUInt16BE(port, 34);
  frame.writeUInt16BE(80, 36);
  frame[46] = 0x50;
  frame[47] = 0x02;
  return frame;
}

const BEGIN = 1_000_000_000n;
const NO_END = 2n ** 64n - 1n;

describe('a node in memory', () => {
  let nodes: [NativeMemoryNode, NativeMemoryNode];
  let now: bigint;
  beforeEach(() => {
    now = BEGIN;
    nodes = [
      new addon.MemoryNode(workerOptions(0), criteria(0, 1, 0), now),
      new addon.MemoryNode(workerOptions(1), criteria(1, 1, 0), now),
    ];
  });

  /** Both nodes see a SYN and look at it: the indexes of those that deliver something. */
  function see(port: number): number[] {
    for (const node of nodes) assert.equal(node.push(syn(port)), true);
    return turn();
  }
  function turn(): number[] {
    return nodes.flatMap((node, index) => node.turn(now, 100).map(() => index));
  }

  it('delivers the IP packet, the first 128 bytes of it', () => {
    nodes[0].push(syn(1));
    assert.deepEqual(nodes[0].turn(now, 1), [syn(1).subarray(14)]);
    const long = Buffer.concat([syn(1), Buffer.alloc(500, 1)]);
    long[47] = 0x10;
    long.writeUInt16BE(540, 16);
    nodes[0].push(long);
    assert.deepEqual(nodes[0].turn(now, 1), [long.subarray(14, 142)]);
  });

  it('decides as many frames as it is told to, and says how many wait', () => {
    for (let port = 1; port <= 5; port += 1) nodes[0].push(syn(port));
    assert.equal(nodes[0].backlog, 5);
    assert.equal(nodes[0].turn(now, 2).length, 2);
    assert.equal(nodes[0].backlog, 3);
    assert.equal(nodes[0].turn(now, 0).length, 0);
    assert.equal(nodes[0].turn(now, 100).length, 3);
  });

  it('goes through a handover, every SYN delivered once', () => {
    const [loser, gainer] = nodes;
    assert.deepEqual(see(1), [0]);
    for (const node of nodes) node.prepare(TO_NODE_1);
    assert.deepEqual(see(2), [0]);
    const moving = loser.exportList('moving', 1, 0, 0n, 100);
    assert.equal(moving.records.length, 2 * RECORD_BYTES);
    assert.equal(moving.cursor, 0n);
    gainer.hold();
    for (const node of nodes) node.push(syn(3));
    assert.deepEqual(gainer.turn(now, 10), []);
    assert.equal(gainer.snapshot()[0]?.held, 1);

    loser.release(); // decides SYN 3, which it had received
    assert.equal(loser.backlog, 0);
    assert.equal(loser.turn(now, 0).length, 1);
    assert.equal(loser.snapshot()[0]?.contested, 2); // SYNs 2 and 3
    assert.deepEqual(see(4), []);
    const released = loser.exportList('released', 1, 0, 0n, 100);
    assert.equal(released.records.length, 2 * RECORD_BYTES);
    const ours = gainer.importList(released.records, released.now, Uint16Array.of(0, 1));
    assert.deepEqual(ours, {
      inserted: 1, // SYN 3, which waits
      corrected: 0,
      known: 1, // SYN 2, noted from the wire
      refused: 0,
      full: 0,
      evicted: 0,
      disputed: 0,
    });
    assert.deepEqual(gainer.acquire([0]), { opened: 1, followed: 1, expired: 0 });
    assert.equal(gainer.turn(now, 0).length, 1); // SYN 4
    nodes.forEach((node, self) => {
      node.replaceCriteria(criteria(self, 2, 1));
    });
    assert.deepEqual(see(5), [1]);
    for (const node of nodes) node.clearContested();
    assert.equal(loser.snapshot()[0]?.contested, 0);
  });

  it('adds up its audit: what all have taken is what each has seen', () => {
    for (let port = 1; port <= 20; port += 1) see(port);
    nodes.forEach((node, self) => {
      node.replaceCriteria(criteria(self, 2, 1));
    });
    for (let port = 21; port <= 50; port += 1) see(port);
    const [first = [], second = []] = nodes.map((node) => node.snapshot()[0]?.audit);
    assert.deepEqual(
      first.map(({ epoch, seen, taken }) => [epoch, seen, taken]),
      [
        [1, 20, 20],
        [2, 30, 0],
      ],
    );
    first.forEach((sums, i) => {
      assert.equal(sums.seen, second[i]?.seen);
      assert.equal(sums.seenSum, second[i]?.seenSum);
      assert.equal((sums.takenSum + (second[i]?.takenSum ?? 0n)) & NO_END, sums.seenSum);
    });
  });

  it('opens nothing past its lease, to the nanosecond', () => {
    const [node] = nodes;
    const discarded = () => {
      const at = vocabulary.drops.findIndex(({ name }) => name === 'leaseOver');
      return node.snapshot()[0]?.drops[at];
    };
    node.setOpenUntil(now + 10n);
    node.push(syn(1));
    assert.equal(node.turn(now + 9n, 1).length, 1);
    node.push(syn(2));
    assert.equal(node.turn(now + 10n, 1).length, 0);
    assert.equal(discarded(), 1);
    // What was refused is answered when the lease begins again; then it is an open connection.
    node.setOpenUntil(NO_END);
    assert.equal(node.turn(now + 10n, 0).length, 1);
    node.push(syn(2));
    assert.equal(node.turn(now + 10n, 1).length, 1);
  });

  it('gives the connections of the dead away and answers what they left unanswered', () => {
    const [dead, heir] = nodes;
    see(1);
    now += 1_000_000_000n;
    dead.push(syn(2)); // dies with it
    heir.push(syn(2));
    assert.equal(heir.turn(now, 10).length, 0);
    heir.takeover({ ...TO_NODE_1, dead: [0] });
    heir.push(syn(3));
    assert.equal(heir.turn(now, 10).length, 0);
    heir.adopt([0]);
    heir.acquire([0]);
    heir.replaceCriteria(criteria(1, 2, 1));
    const ports = heir.turn(now, 0).map((packet) => packet.readUInt16BE(20));
    assert.deepEqual(new Set(ports), new Set([1, 2, 3]));
    assert.equal(heir.snapshot()[0]?.sizes.own, 3);
  });

  it('lists in pieces, with owners by its own indexes', () => {
    for (let port = 1; port <= 25; port += 1) see(port);
    const ports: number[] = [];
    let cursor = 0n;
    do {
      const piece = nodes[1].exportList('tables', 0, 0, cursor, 10);
      assert.ok(piece.records.length <= 10 * RECORD_BYTES);
      for (let at = 0; at < piece.records.length; at += RECORD_BYTES) {
        const record = readRecord(piece.records.subarray(at, at + RECORD_BYTES));
        assert.equal(record.owner, 0);
        ports.push(record.client.port);
      }
      cursor = piece.cursor;
    } while (cursor !== 0n);
    assert.deepEqual(
      ports.sort((a, b) => a - b),
      Array.from({ length: 25 }, (_, i) => i + 1),
    );
    assert.equal(nodes[1].exportList('own', 0, 0, 0n, 10).records.length, 0);
  });

  it('refuses records of nodes that have no name here', () => {
    see(1);
    const { records, now: then } = nodes[0].exportList('own', 1, 0, 0n, 10);
    assert.equal(records.length, RECORD_BYTES);
    assert.equal(nodes[1].importList(records, then, new Uint16Array(0)).refused, 1);
  });

  const kind = 'everything' as 'tables';
  const refused: [what: string, call: (node: NativeMemoryNode) => unknown][] = [
    ['a kind of list that it does not have', (node) => node.exportList(kind, 0, 0, 0n, 1)],
    ['a worker that it does not have', (node) => node.exportList('own', 0, 1, 0n, 1)],
    ['half a record', (node) => node.importList(Buffer.alloc(96), 1, new Uint16Array(1))],
    [
      'owners that are no Uint16Array',
      (node) => node.importList(Buffer.alloc(64), 1, new Uint8Array(1) as unknown as Uint16Array),
    ],
    [
      'a transition with too few owners',
      (node) => node.prepare({ ...TO_NODE_1, owners: new Uint16Array(15) }),
    ],
    ['a node index that no node has', (node) => node.acquire([65535])],
  ];
  for (const [what, call] of refused) {
    it(`refuses ${what}, because it could corrupt memory`, () => {
      assert.throws(() => callNative(() => call(nodes[0])), { code: 'FLOWSIEVE_ARGUMENT' });
    });
  }
});
