import {
  EXPECTATION_STATES,
  type ExpectationState,
  type ExpectedEnd,
  type ExpectedTuple,
} from '../protocol/index.js';
import { addressBytes, addressText } from './records.js';

// The layout of native/decide/expectations.h, read and written in the buffers in which it crosses.

/** Where an expectation stands in a buffer of them. */
export const EXPECTATION_BYTES = 64;

/** An expectation as the workers have it. */
export interface NativeExpectation {
  readonly tuple: ExpectedTuple;
  readonly id: number;
  /** Node index. */
  readonly owner: number;
  readonly once: boolean;
  readonly state: ExpectationState;
  /** Tenths of a second on the worker's clock; only shown. */
  readonly expiresTick: number;
}

const EXACT_SOURCE_PORT = 1;
const EXACT_DESTINATION_PORT = 2;

function writeEnd(bytes: Buffer, end: ExpectedEnd, family: 4 | 6, at: number): void {
  if (end.address === null) return;
  const bits = end.prefix + (family === 4 ? 96 : 0);
  const address = addressBytes(end.address);
  for (let i = 0; i < 16; i += 1) {
    const kept = Math.max(0, Math.min(8, bits - 8 * i));
    bytes[at + i] = (address[i] as number) & (0xff00 >> kept) & 0xff;
  }
}

/** An expectation as the addon takes it. */
export function writeExpectation(expectation: NativeExpectation): Buffer {
  const { tuple, id, owner, once, state, expiresTick } = expectation;
  const { client, server, family } = tuple;
  const bytes = Buffer.alloc(EXPECTATION_BYTES);
  writeEnd(bytes, client, family, 0);
  writeEnd(bytes, server, family, 16);
  bytes.writeUInt16LE(client.port ?? 0, 32);
  bytes.writeUInt16LE(server.port ?? 0, 34);
  bytes[36] = tuple.protocol;
  bytes[37] = family;
  bytes.writeBigUInt64LE(BigInt(id), 40);
  bytes.writeUInt32LE(expiresTick >>> 0, 48);
  bytes.writeUInt16LE(owner, 52);
  bytes[54] = client.address === null ? 0 : client.prefix;
  bytes[55] = server.address === null ? 0 : server.prefix;
  bytes[56] =
    (client.port === null ? 0 : EXACT_SOURCE_PORT) |
    (server.port === null ? 0 : EXACT_DESTINATION_PORT);
  bytes[57] = EXPECTATION_STATES.indexOf(state) + 1;
  bytes[58] = once ? 1 : 0;
  return bytes;
}

/** The expectation at the beginning of `bytes`, which the addon has made or checked. */
export function readExpectation(bytes: Buffer): NativeExpectation {
  const family = bytes[37] === 6 ? 6 : 4;
  const exact = bytes[56] as number;
  const end = (at: number, prefix: number, port: number | null): ExpectedEnd => ({
    address: prefix === 0 ? null : addressText(bytes.subarray(at, at + 16), family === 4),
    prefix,
    port,
  });
  return {
    tuple: {
      protocol: bytes[36] as number,
      family,
      client: end(
        0,
        bytes[54] as number,
        (exact & EXACT_SOURCE_PORT) !== 0 ? bytes.readUInt16LE(32) : null,
      ),
      server: end(
        16,
        bytes[55] as number,
        (exact & EXACT_DESTINATION_PORT) !== 0 ? bytes.readUInt16LE(34) : null,
      ),
    },
    id: Number(bytes.readBigUInt64LE(40)),
    expiresTick: bytes.readUInt32LE(48),
    owner: bytes.readUInt16LE(52),
    state: EXPECTATION_STATES[(bytes[57] as number) - 1] ?? 'pending',
    once: bytes[58] === 1,
  };
}
