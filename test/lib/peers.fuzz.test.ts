// What comes over the network may be anything. Each decoder either refuses it with the typed error
// or takes it, and what it takes is written again as the same bytes.
//
//   FLOWSIEVE_FUZZ_MESSAGES_SECONDS   how long, instead of a few seconds
//   FLOWSIEVE_FUZZ_MESSAGES_SEED      the first seed; a failure names the one that it needs
//   FLOWSIEVE_WRITE_CORPUS=1          writes test/fuzz/messages/ again
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { FlowsieveError } from '../../lib/errors/index.js';
import { corpusFolder, corpusOf, decodeFrames, TARGETS, type Target } from './peers.samples.js';

const SECONDS = Number(process.env['FLOWSIEVE_FUZZ_MESSAGES_SECONDS'] ?? 4);
const FIRST_SEED = Number(process.env['FLOWSIEVE_FUZZ_MESSAGES_SEED'] ?? Date.now() % 2 ** 31);
const LENGTH_MAX = 4096;

/** Numbers below a bound, the same ones for the same seed (mulberry32). */
function chance(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Chance = ReturnType<typeof chance>;

// Pieces that mean something to one decoder or another.
const WORDS = [
  'null',
  'true',
  '-1',
  '-0',
  '1e999',
  '1.0',
  '""',
  '[]',
  '{}',
  '"__proto__"',
  '"type":"ask"',
  '\\u0041',
  ' ',
  '/',
  '\xff',
  '9007199254740993',
];
const BYTES = [0, 1, 2, 4, 8, 0x7f, 0x80, 0xff, 0x22, 0x2f, 0x5b, 0x7b];

function splice(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

/** One change of many kinds. */
function mutate(bytes: Buffer, others: readonly Buffer[], random: Chance): Buffer {
  const at = random(bytes.length + 1);
  const some = random(8) + 1;
  const other = others[random(others.length)] ?? bytes;
  const from = random(other.length + 1);
  switch (random(10)) {
    case 0:
      return splice(bytes, at, 1, Buffer.of((bytes[at] ?? 0) ^ (1 << random(8))));
    case 1:
      return splice(bytes, at, 1, Buffer.of(BYTES[random(BYTES.length)] ?? 0));
    case 2:
      return splice(bytes, at, some, Buffer.alloc(0));
    case 3:
      return splice(bytes, at, 0, Buffer.alloc(some, random(256)));
    case 4:
      return splice(bytes, at, 0, bytes.subarray(at, at + some));
    case 5:
      return splice(bytes, at, bytes.length, other.subarray(from));
    case 6:
      return bytes.subarray(0, at);
    case 7:
      return splice(bytes, at, random(4), Buffer.from(WORDS[random(WORDS.length)] ?? '', 'latin1'));
    case 8:
      return splice(bytes, at, 1, Buffer.of(((bytes[at] ?? 0) + (random(2) ? 1 : 255)) & 255));
    default:
      return splice(bytes, at, 4, Buffer.of(0, 0, random(2) * 255, random(256)));
  }
}

function mutated(corpus: readonly Buffer[], seed: number): Buffer {
  const random = chance(seed);
  let bytes = corpus[random(corpus.length)] ?? Buffer.alloc(0);
  for (let changes = random(4) + 1; changes > 0; changes -= 1) {
    bytes = mutate(bytes, corpus, random);
  }
  return bytes.subarray(0, LENGTH_MAX);
}

/** Tries one input; true when the decoder took it. */
function attempt(target: Target, bytes: Buffer): boolean {
  let value: unknown;
  try {
    value = target.decode(bytes);
  } catch (error) {
    if (!(error instanceof FlowsieveError)) throw error;
    assert.equal(error.code, 'FLOWSIEVE_FORMAT', error.message);
    return false;
  }
  const again = target.encode(value);
  assert.equal(again.toString('hex'), bytes.toString('hex'), 'the same bytes again');
  return true;
}

describe('a decoder of the transport', () => {
  for (const [name, target] of Object.entries(TARGETS)) {
    if (process.env['FLOWSIEVE_WRITE_CORPUS'] === '1') {
      mkdirSync(corpusFolder(name), { recursive: true });
      for (const [sample, value] of Object.entries(target.samples)) {
        writeFileSync(join(corpusFolder(name), sample), target.encode(value));
      }
    }

    it(`of ${name} reads the samples that are kept as files, and each is what it was`, () => {
      const files = corpusOf(name);
      for (const [sample, value] of Object.entries(target.samples)) {
        const bytes = files.get(sample);
        assert.ok(bytes, `a file of ${sample}; FLOWSIEVE_WRITE_CORPUS=1 writes it`);
        assert.deepEqual(target.decode(bytes), value, sample);
        assert.equal(target.encode(value).toString('hex'), bytes.toString('hex'), sample);
      }
    });

    it(`of ${name} refuses every beginning of a sample, and a sample with more behind it`, () => {
      // The frames of a stream are a sequence, and some letters end with bytes of their own: a
      // beginning may be whole, and so may more.
      if (name === 'frames' || name === 'letter') return;
      for (const bytes of corpusOf(name).values()) {
        const beginnings = new Set([0, 1, bytes.length - 1, bytes.length >> 1]);
        for (const length of beginnings) {
          if (length >= bytes.length) continue;
          assert.equal(attempt(target, bytes.subarray(0, length)), false, `${length} bytes`);
        }
        assert.equal(attempt(target, Buffer.concat([bytes, Buffer.of(0)])), false, 'one more');
      }
    });

    it(`of ${name} takes nothing that it would write otherwise, and throws its one error`, () => {
      const corpus = [...corpusOf(name).values()];
      for (const bytes of corpus) attempt(target, bytes);
      const end = performance.now() + (SECONDS * 1000) / Object.keys(TARGETS).length;
      let refused = 0;
      for (let seed = FIRST_SEED; performance.now() < end; seed += 1) {
        const bytes = mutated(corpus, seed);
        try {
          if (!attempt(target, bytes)) refused += 1;
        } catch (cause) {
          const input = bytes.toString('base64');
          throw new Error(`Expected a sound decoder for seed ${seed}: ${input}`, { cause });
        }
      }
      assert.ok(refused > 0, 'some input to be refused');
    }).timeout(SECONDS * 1000 + 20_000);
  }

  it('of letters refuses what is shorter or longer than its type', () => {
    const files = corpusOf('letter');
    const letters = TARGETS['letter'] as Target;
    for (const name of ['ask', 'ask-again', 'part', 'piece', 'only-part', 'nothing', 'elsewhere']) {
      const bytes = files.get(name) as Buffer;
      const more = Buffer.concat([bytes, Buffer.of(0)]);
      assert.equal(attempt(letters, more), false, name);
      // The only part of a list may be short.
      const least = name === 'only-part' ? 36 : bytes.length;
      for (let length = 0; length < least; length += 1) {
        assert.equal(
          attempt(letters, bytes.subarray(0, length)),
          false,
          `${name}, ${length} bytes`,
        );
      }
    }
  });

  it('of messages refuses settings that are nested without end', () => {
    const sample = corpusOf('message').get('commit') as Buffer;
    const json = sample.toString('latin1', 4, 4 + sample.readUInt32BE(0));
    for (const depth of [20, 1000, 100_000]) {
      const settings = `"settings":${'['.repeat(depth)}${']'.repeat(depth)}`;
      const nested = Buffer.from(json.replace(/"settings":\{.*?\},"x":null\}/, settings));
      assert.ok(nested.length > 2 * depth);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(nested.length);
      const rest = sample.subarray(4 + json.length);
      assert.equal(
        attempt(TARGETS['message'] as Target, Buffer.concat([length, nested, rest])),
        false,
      );
    }
  });

  describe('gives back what was written:', () => {
    const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
      fc.record(model, { noNullPrototype: true });
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
    const count = fc.maxSafeNat();
    const reading = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map(Math.abs);
    const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
    const echoes = record({
      name,
      incarnation: count,
      echo: orNull(reading),
      grant: orNull(reading),
      dead: fc.boolean(),
    });
    const heartbeats = record({
      name,
      incarnation: count,
      sent: reading,
      term: count,
      coordinator: orNull(name),
      elected: fc.boolean(),
      epoch: count,
      member: fc.boolean(),
      urgent: fc.boolean(),
      echoes: fc.array(echoes),
    });
    const members = record({
      name,
      incarnation: count,
      state: fc.constantFrom('joining', 'member', 'draining', 'dead', 'left'),
      weight: fc.double({ min: 0, max: 65_535, noNaN: true }).map(Math.abs),
      share: orNull(fc.double({ min: 0, max: 65_535, noNaN: true }).map(Math.abs)),
      wants: fc.string({ maxLength: 64 }),
    });
    const commits = record({
      term: count,
      epoch: count,
      members: fc.array(members, { maxLength: 20 }),
      names: fc.array(name, { minLength: 1, maxLength: 20 }),
      buckets: fc.integer({ min: 1, max: 600 }),
      settings: fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value))),
      digest: fc.string({ unit: 'grapheme', maxLength: 32 }),
    }).map(({ term, epoch, members, names, buckets, settings, digest }) => ({
      type: 'commit',
      term,
      view: {
        epoch,
        term,
        criteria: { digest, buckets, settings },
        members,
        allocation: {
          epoch,
          names,
          owners: Uint16Array.from({ length: buckets }, (_, i) => (i * 7) % names.length),
        },
      },
      condemned: members.map(({ name, incarnation }) => ({ name, incarnation })),
    }));
    const given: [string, fc.Arbitrary<unknown>][] = [
      ['heartbeat', heartbeats],
      ['message', commits],
      ['names', record({ first: fc.nat(65_535), names: fc.array(name) })],
    ];
    for (const [target, arbitrary] of given) {
      it(target, () => {
        const { decode, encode } = TARGETS[target] as Target;
        fc.assert(
          fc.property(arbitrary, (value) => {
            assert.deepEqual(decode(encode(value)), value);
          }),
          { numRuns: 300 },
        );
      });
    }
  });

  it('of frames reads the same from whatever pieces', () => {
    for (const bytes of corpusOf('frames').values()) {
      const whole = decodeFrames(bytes);
      for (let size = 1; size <= bytes.length; size += 1) {
        assert.deepEqual(decodeFrames(bytes, size), whole, `pieces of ${size}`);
      }
    }
  });
});
