import assert from 'node:assert/strict';
import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import {
  addressBytes,
  addressText,
  ENDED_BYTES,
  protocolName,
  RECORD_BYTES,
  readAll,
  readEnded,
  readFlow,
  readRecord,
  writeFlow,
} from '../../lib/native/records.js';

// The layouts are those drawn in native/packet/key.h, native/table/record.h and native/worker/ledger.h.

const sixteenBytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});

function bytesOf(groups: readonly number[]): Uint8Array {
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** One of the many ways to write an IPv6 address (RFC 4291 2.2). */
const spellings = fc
  .record({
    groups,
    pad: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 8, maxLength: 8 }),
    upper: fc.boolean(),
    dotted: fc.boolean(),
    gap: fc.integer({ min: 0, max: 7 }),
    gapLength: fc.integer({ min: 0, max: 8 }),
  })
  .map(({ groups, pad, upper, dotted, gap, gapLength }) => {
    const texts = groups.map((group, i) => group.toString(16).padStart(pad[i] ?? 1, '0'));
    if (dotted) {
      const [high = 0, low = 0] = groups.slice(6);
      texts.splice(6, 2, [high >> 8, high & 255, low >> 8, low & 255].join('.'));
    }
    // A run of zero groups from `gap` on becomes ::, if there is one.
    const hexGroups = dotted ? 6 : 8;
    let end = gap;
    while (end < hexGroups && end - gap < gapLength && groups[end] === 0) end += 1;
    const text =
      end > gap
        ? `${texts.slice(0, gap).join(':')}::${texts.slice(end).join(':')}`
        : texts.join(':');
    return { text: upper ? text.toUpperCase() : text, groups };
  });

describe('addresses', () => {
  it('are read in every spelling of IPv6, as node:net reads them', () => {
    fc.assert(
      fc.property(spellings, ({ text, groups }) => {
        assert.deepEqual(addressBytes(text), bytesOf(groups), text);
        const canonical = new SocketAddress({ address: text, family: 'ipv6' }).address;
        assert.equal(addressText(addressBytes(text), false), canonical, text);
      }),
      { numRuns: 2000 },
    );
  });

  it('come back from their bytes', () => {
    fc.assert(
      fc.property(sixteenBytes, (bytes) => {
        assert.deepEqual(addressBytes(addressText(bytes, false)), bytes);
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(groups, (groups) => {
        const bytes = bytesOf(groups);
        assert.deepEqual(addressBytes(addressText(bytes, false)), bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it('of IPv4 stand in the last four of sixteen bytes, behind ::ffff', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        const bytes = addressBytes(text);
        assert.deepEqual([...bytes.subarray(0, 12)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
        assert.equal(bytes.subarray(12).join('.'), text);
        assert.equal(addressText(bytes, true), text);
      }),
    );
  });

  const samples: [text: string, hex: string][] = [
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['1::', `0001${'0'.repeat(28)}`],
    ['2001:db8::100', '20010db8000000000000000000000100'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ['1:2:3:4:5:6:255.254.253.252', '000100020003000400050006fffefdfc'],
    ['192.0.2.100', '00000000000000000000ffffc0000264'],
  ];
  for (const [text, hex] of samples) {
    it(`has the bytes of ${text}`, () => {
      assert.equal(Buffer.from(addressBytes(text)).toString('hex'), hex);
    });
  }
});

/** A record byte by byte, in the drawing's order. */
function recordBytes(
  set: { status?: number; flags?: number; protocol?: number; seenHere?: number } = {},
): Buffer {
  const hex = [
    '00000000000000000000ffffc6336407', // 198.51.100.7
    '00000000000000000000ffffc0000264', // 192.0.2.100
    '409c', // 40000, little-endian
    '5000', // 80
    Buffer.of(set.protocol ?? 6).toString('hex'),
    '04', // IPv4
    '0000',
    '04030201', // last seen
    '08070605', // opened
    '0c0b0a09', // epoch
    '0e0d', // owner
    '100f', // bucket
    Buffer.of(set.status ?? 0, set.flags ?? 0, set.seenHere ?? 0, 0).toString('hex'),
    '00000000',
  ].join('');
  return Buffer.from(hex, 'hex');
}

const CLIENT = { address: '198.51.100.7', port: 40000 };
const SERVER = { address: '192.0.2.100', port: 80 };

describe('a record', () => {
  it('is read field by field', () => {
    assert.equal(recordBytes().length, RECORD_BYTES);
    assert.deepEqual(readRecord(recordBytes()), {
      protocol: 'tcp',
      protocolNumber: 6,
      client: CLIENT,
      server: SERVER,
      status: 'OPENING',
      opened: 'opening',
      closedBy: null,
      lastSeenTick: 0x01020304,
      openedTick: 0x05060708,
      epoch: 0x090a0b0c,
      owner: 0x0d0e,
      bucket: 0x0f10,
    });
  });

  it('has its client on the other side when the flag says so', () => {
    const { client, server } = readRecord(recordBytes({ flags: 1 }));
    assert.deepEqual({ client, server }, { client: SERVER, server: CLIENT });
  });

  it('says how it was opened and closed', () => {
    assert.equal(readRecord(recordBytes({ flags: 2 })).opened, 'midstream');
    assert.equal(readRecord(recordBytes({ flags: 16 })).closedBy, 'fin');
    assert.equal(readRecord(recordBytes({ flags: 32 })).closedBy, 'rst');
    // Concluded from its owner's death: the heir resets it.
    assert.equal(readRecord(recordBytes({ status: 2, seenHere: 128 })).closedBy, 'rst');
    // One side's FIN alone closes nothing.
    assert.equal(readRecord(recordBytes({ flags: 4 })).closedBy, null);
    assert.equal(readRecord(recordBytes({ flags: 8 })).closedBy, null);
    assert.equal(readRecord(recordBytes({ flags: 64 })).opened, 'opening');
  });

  it('has one of three statuses', () => {
    const statuses = [0, 1, 2].map((status) => readRecord(recordBytes({ status })).status);
    assert.deepEqual(statuses, ['OPENING', 'ESTABLISHED', 'CLOSING']);
  });

  it('has the name of its protocol', () => {
    const names = [1, 6, 17, 58, 132, 47, 0, 255].map(protocolName);
    const expected = ['icmp', 'tcp', 'udp', 'icmp6', 'sctp', 'other', 'other', 'other'];
    assert.deepEqual(names, expected);
  });

  it('of a replay ends with its account', () => {
    const account = Buffer.alloc(ENDED_BYTES - RECORD_BYTES);
    const numbers = [
      1_700_000_000_123_456_789n,
      1_700_000_001_000_000_000n,
      5n,
      6n,
      700n,
      2n ** 40n,
    ];
    for (const [i, value] of numbers.entries()) account.writeBigUInt64LE(value, 8 * i);
    account[48] = 1;
    const ended = readEnded(Buffer.concat([recordBytes(), account]));
    assert.equal(ended.firstSeenNs, numbers[0]);
    assert.equal(ended.lastSeenNs, numbers[1]);
    assert.equal(ended.packetsFromClient, 5);
    assert.equal(ended.packetsFromServer, 6);
    assert.equal(ended.bytesFromClient, 700);
    assert.equal(ended.bytesFromServer, 2 ** 40);
    assert.equal(ended.timedOut, true);
    assert.deepEqual(ended.client, CLIENT);
  });

  it('is read out of a block, each once, and a rest that is none is left', () => {
    const block = Buffer.concat([
      recordBytes({ status: 0 }),
      recordBytes({ status: 1 }),
      recordBytes({ status: 2 }),
      Buffer.alloc(RECORD_BYTES - 1),
    ]);
    const statuses = [...readAll(block, RECORD_BYTES, readRecord)].map(({ status }) => status);
    assert.deepEqual(statuses, ['OPENING', 'ESTABLISHED', 'CLOSING']);
    assert.deepEqual([...readAll(Buffer.alloc(0), RECORD_BYTES, readRecord)], []);
  });
});

describe('a flow', () => {
  it('is written as it is read, both families', () => {
    const ports = fc.integer({ min: 0, max: 65535 });
    const pairs = fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(sixteenBytes, sixteenBytes));
    fc.assert(
      fc.property(
        pairs,
        ports,
        ports,
        fc.integer({ min: 0, max: 255 }),
        ([a, b], p, q, protocol) => {
          const text = (end: string | Uint8Array) =>
            typeof end === 'string' ? end : addressText(end, false);
          const flow = {
            source: { address: text(a), port: p },
            destination: { address: text(b), port: q },
            protocolNumber: protocol,
          };
          assert.deepEqual(readFlow(writeFlow(flow)), flow);
        },
      ),
    );
  });

  it('is the first forty bytes of a record', () => {
    const flow = { source: CLIENT, destination: SERVER, protocolNumber: 6 };
    assert.deepEqual(writeFlow(flow), recordBytes().subarray(0, 40));
  });
});
