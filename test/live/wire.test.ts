import assert from 'node:assert/strict';
import { openingsIn, type WireFrame } from './wire.js';

// The reader that judges the cluster, against frames that are written out here.

const [CLIENT, SERVER] = ['c00002c8', 'c0000264'];
const SYN = '02';
const SYN_ACK = '12';

interface Written {
  readonly timeMs: number;
  readonly flags: string;
  readonly port: string;
  readonly sequence: string;
  readonly acknowledgement?: string;
}

/** An Ethernet frame with a TCP header, byte by byte as RFC 791 and RFC 9293 draw them. */
function frame({ timeMs, flags, port, sequence, acknowledgement }: Written): WireFrame {
  const toServer = flags === SYN;
  const link = `${'00'.repeat(12)}0800`;
  const ends = toServer ? CLIENT + SERVER : SERVER + CLIENT;
  const ip = `4500002800004000400600${'00'}${ends}`;
  const ports = toServer ? `${port}1f90` : `1f90${port}`;
  const tcp = `${ports}${sequence}${acknowledgement ?? '00000000'}50${flags}ffff00000000`;
  return { timeMs, bytes: Buffer.from(link + ip + tcp, 'hex') };
}

describe('the reader of handshakes', () => {
  it('tells once, twice and never answered apart, and takes a repeated SYN for the same', () => {
    const openings = openingsIn([
      frame({ timeMs: 1, flags: SYN, port: '1001', sequence: '000000aa' }),
      frame({ timeMs: 2, flags: SYN, port: '1002', sequence: '000000bb' }),
      frame({ timeMs: 3, flags: SYN, port: '1003', sequence: 'ffffffff' }),
      ...['11110000', '11110000'].map((sequence, i) =>
        frame({
          ...{ timeMs: 4 + i, flags: SYN_ACK, port: '1001' },
          ...{ sequence, acknowledgement: '000000ab' },
        }),
      ),
      frame({ timeMs: 1002, flags: SYN, port: '1002', sequence: '000000bb' }),
      ...['22220000', '33330000'].map((sequence, i) =>
        frame({
          ...{ timeMs: 1003 + i, flags: SYN_ACK, port: '1003' },
          ...{ sequence, acknowledgement: '00000000' },
        }),
      ),
    ]);
    const found = openings.map(({ client, timeMs, asked, answeredMs, answers }) => {
      return [client.port, timeMs, asked.length, answeredMs, answers.size];
    });
    assert.deepEqual(found, [
      [0x1001, 1, 1, 4, 1],
      [0x1002, 2, 2, undefined, 0],
      [0x1003, 3, 1, 1003, 2],
    ]);
    assert.deepEqual(openings[0]?.server, { address: SERVER, port: 8080 });
  });
});
