// Bytes that both ends can make by themselves, so that every piece of a transfer can be checked
// where it arrives, not only at the end.

// Prime, so that the pattern never falls into step with segment or buffer sizes: a repeated or
// missing segment cannot look right.
const PERIOD = 1_048_573;

const block = makeBlock();

function makeBlock(): Buffer {
  const bytes = Buffer.alloc(PERIOD);
  let state = 0x9e3779b9;
  for (let i = 0; i < PERIOD; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}

/**
 * The pattern's bytes from `offset` on: at least one and at most `limit`; these bytes are shared
 * and must not be written.
 */
export function patternAt(offset: number, limit: number): Buffer {
  const start = offset % PERIOD;
  return block.subarray(start, Math.min(start + limit, PERIOD));
}

/** True when `bytes` are the pattern's bytes from `offset` on. */
export function isPattern(offset: number, bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; ) {
    const expected = patternAt(offset + at, bytes.length - at);
    if (bytes.compare(expected, 0, expected.length, at, at + expected.length) !== 0) return false;
    at += expected.length;
  }
  return true;
}
