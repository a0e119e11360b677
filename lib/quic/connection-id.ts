import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { QuicConfig } from '../config/index.js';
import { expectedSentence, FlowsieveError } from '../errors/index.js';

// QUIC-LB connection ids: made for applications, and read as the data plane reads them
// (native/allocation/quic_lb.h, which holds the drawing). Source: draft-ietf-quic-load-balancers, the text after
// draft 21, sections 3 and 5.

/** The config id that says: this connection id names nobody. */
export const UNROUTABLE_CONFIG = 7;
const BLOCK_BYTES = 16;
/** The longest connection id of QUIC version 1. */
export const CONNECTION_ID_MAX = 20;

/** What a connection id consists of. */
export interface ReadConnectionId {
  /** The config id. */
  readonly config: number;
  readonly serverId: Buffer;
  readonly nonce: Buffer;
}

function wrong(expected: string, path: string, received: string): never {
  throw new FlowsieveError('FLOWSIEVE_ARGUMENT', expectedSentence(expected, path, received), {
    path,
  });
}

function encryptBlock(key: Buffer, block: Buffer): Buffer {
  return createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(block);
}

function decryptBlock(key: Buffer, block: Buffer): Buffer {
  return createDecipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(block);
}

/**
 * Does the rounds of the Feistel network that are named, in their order. The text is taken apart into
 * hexadecimal digits, of which each half has as many as the text has octets: so an odd length needs no care.
 */
function feistel(key: Buffer, text: Buffer, rounds: readonly number[]): Buffer {
  const digits = text.toString('hex');
  const half = text.length;
  // The right half stands at the end of its octets, the left one at their beginning.
  const odd = half % 2 === 1 ? '0' : '';
  let left = digits.slice(0, half);
  let right = digits.slice(half);
  const mask = (input: string, round: number, skip: number): string => {
    const block = Buffer.alloc(BLOCK_BYTES);
    block.write(input, 'hex');
    block[14] = text.length;
    block[15] = round;
    return encryptBlock(key, block)
      .toString('hex')
      .slice(skip, skip + half);
  };
  const xor = (one: string, other: string): string =>
    [...one]
      .map((digit, i) =>
        (Number.parseInt(digit, 16) ^ Number.parseInt(other[i] as string, 16)).toString(16),
      )
      .join('');
  for (const round of rounds) {
    if (round % 2 === 1) right = xor(right, mask(left + odd, round, odd.length));
    else left = xor(left, mask(odd + right, round, 0));
  }
  return Buffer.from(left + right, 'hex');
}

/** The same octets, encrypted or decrypted. */
function turned(key: Buffer | null, text: Buffer, encrypt: boolean): Buffer {
  if (key === null) return text;
  if (text.length === BLOCK_BYTES)
    return encrypt ? encryptBlock(key, text) : decryptBlock(key, text);
  return feistel(key, text, encrypt ? [1, 2, 3, 4] : [4, 3, 2, 1]);
}

/**
 * The connection id that names a server.
 *
 * @param serverId - as many octets as `config.serverIdLength` says
 * @param nonce - as many octets as `config.nonceLength` says, of which no two ids of a server have the
 * same. Without a key they are seen as they are: random ones
 * @param low - the lower five bits of the first octet where they are not the length: random ones
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT for octets of another number
 */
export function encodeConnectionId(
  config: QuicConfig,
  serverId: Uint8Array,
  nonce: Uint8Array,
  low = 0,
): Buffer {
  const { id, serverIdLength, nonceLength, encodesLength, key } = config;
  if (serverId.length !== serverIdLength) {
    wrong(`${serverIdLength} octets`, 'serverId', `${serverId.length}`);
  }
  if (nonce.length !== nonceLength) wrong(`${nonceLength} octets`, 'nonce', `${nonce.length}`);
  const rest = turned(key, Buffer.concat([serverId, nonce]), true);
  const first = (id << 5) | (encodesLength ? rest.length : low & 0x1f);
  return Buffer.concat([Buffer.of(first), rest]);
}

/**
 * Takes a connection id apart.
 *
 * @param connectionId - the id, or more where nothing says how long it is
 * @returns null when the configs do not read it: an unknown config id, too short, or of another length
 * than it says
 */
export function decodeConnectionId(
  configs: readonly QuicConfig[],
  connectionId: Uint8Array,
): ReadConnectionId | null {
  const first = connectionId[0] ?? UNROUTABLE_CONFIG << 5;
  const config = configs.find(({ id }) => id === first >> 5);
  if (!config) return null;
  const { serverIdLength, nonceLength, encodesLength, key } = config;
  const length = serverIdLength + nonceLength;
  if (connectionId.length < 1 + length) return null;
  if (encodesLength && (first & 0x1f) !== length) return null;
  const text = turned(key, Buffer.from(connectionId.subarray(1, 1 + length)), false);
  return {
    config: config.id,
    serverId: text.subarray(0, serverIdLength),
    nonce: text.subarray(serverIdLength),
  };
}
