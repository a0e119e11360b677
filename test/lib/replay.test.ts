import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ReplayConnection, type ReplaySummary, replay } from '../../lib/index.js';
import { captureStart, PcapngWriter, pcap } from '../fixtures/capture-file.js';
import { type CaptureCase, captureCases, type ExpectedConnection } from '../fixtures/cases.js';
import { ethernet } from '../fixtures/packets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const sharedCaptures = join(root, '../shared/captures');

interface Replayed {
  readonly connections: ReplayConnection[];
  readonly summary: ReplaySummary;
}

/** Reads a replay to its end, which must be one summary. */
async function readAll(path: string, nodes?: number): Promise<Replayed> {
  const connections: ReplayConnection[] = [];
  let summary: ReplaySummary | undefined;
  for await (const line of replay(path, nodes === undefined ? {} : { nodes })) {
    assert.equal(summary, undefined, 'a line after the summary');
    if (line.type === 'connection') connections.push(line);
    else summary = line;
  }
  assert.ok(summary, 'no summary');
  return { connections, summary };
}

/** Sorts by endpoints, whichever is the client; what has equal endpoints stays in its order. */
function byEndpoints<T extends ExpectedConnection>(connections: readonly T[]): T[] {
  const key = ({ protocolNumber, client, server }: ExpectedConnection) =>
    JSON.stringify([
      protocolNumber,
      ...[client, server].map(({ address, port }) => `${address} ${port}`).sort(),
    ]);
  return connections.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** The fields of `line` that `expected` settles. */
function settled(line: ReplayConnection, expected: ExpectedConnection): unknown {
  const values = line as unknown as Record<string, unknown>;
  return Object.fromEntries(Object.keys(expected).map((field) => [field, values[field]]));
}

function compare({ connections, summary }: Replayed, expected: CaptureCase): void {
  const got = byEndpoints(connections.toSorted((a, b) => a.firstSeen - b.firstSeen));
  const wanted = byEndpoints(expected.connections);
  assert.deepEqual(
    got.map((line, index) => settled(line, wanted[index] ?? line)),
    wanted,
  );
  assert.equal(summary.connections, wanted.length);
  const numbers = summary as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(expected.summary)) {
    assert.equal(numbers[name], value, `summary.${name}`);
  }
}

describe('replay', function () {
  // Every replay takes a table of a million places; on a busy machine that is noticed.
  this.timeout(60_000);
  let folder = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-replay-'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function store(name: string, bytes: Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  }

  it('has a name for every case, and no name twice', () => {
    assert.equal(new Set(captureCases.map(({ name }) => name)).size, captureCases.length);
  });

  for (const expected of captureCases) {
    it(`reports the connections of ${expected.name}`, async () => {
      const path = store(`${expected.name}.${expected.format}`, expected.file());
      compare(await readAll(path), expected);
    });
  }

  it('reports the same connections whichever of several nodes own them', async () => {
    const names = ['node-1', 'node-2', 'node-3'];
    for (const expected of captureCases) {
      const path = store(`${expected.name}.${expected.format}`, expected.file());
      const replayed = await readAll(path, 3);
      compare(replayed, expected);
      for (const { owner } of replayed.connections) assert.ok(names.includes(owner), owner);
      assert.deepEqual(Object.keys(replayed.summary.nodes).sort(), names);
    }
  });

  it("tells first and last seen in the capture's own seconds", async () => {
    const bytes = ethernet().ipv4('10.0.0.1', '10.0.0.2').udp(1, 2).payload(4).build();
    const frames = [0.25, 1.5, 7.75].map((time) => ({ time, bytes }));
    const { connections } = await readAll(store('seconds.pcap', pcap(frames, { variant: 'nano' })));
    assert.equal(connections.length, 1);
    const [first, last] = [connections[0]?.firstSeen ?? 0, connections[0]?.lastSeen ?? 0];
    assert.ok(Math.abs(first - captureStart - 0.25) < 0.1, `first ${first}`);
    assert.ok(Math.abs(last - captureStart - 7.75) < 0.1, `last ${last}`);
  });

  it('refuses a link type that it does not read, by name', async () => {
    const refused = { code: 'FLOWSIEVE_FORMAT', message: /link type 105/ };
    await assert.rejects(readAll(store('radio.pcap', pcap([], { link: 105 }))), refused);
    const file = new PcapngWriter()
      .interface(105)
      .enhanced(0, { time: 0, bytes: new Uint8Array(8) });
    await assert.rejects(readAll(store('radio.pcapng', file.build())), refused);
  });

  it('refuses what is no capture, and a file that is not there', async () => {
    const text = store('text.pcap', Buffer.from('once upon a time there was no capture'));
    await assert.rejects(readAll(text), {
      code: 'FLOWSIEVE_FORMAT',
      message: /^Expected a pcap or pcapng/,
    });
    const gzip = store('gzip.pcap', Uint8Array.from([0x1f, 0x8b, 8, 0]));
    await assert.rejects(readAll(gzip), { code: 'FLOWSIEVE_FORMAT', message: /gzip/ });
    await assert.rejects(readAll(join(folder, 'missing')), { code: 'FLOWSIEVE_MISSING' });
  });

  it('agrees with the outside captures', function () {
    if (!existsSync(sharedCaptures)) {
      console.error(
        'LEFT OUT: ../shared/captures is not there, none of its 30 captures was replayed',
      );
      if (process.env['CI'] === 'true') assert.fail('CI must have ../shared/captures');
      this.skip();
    }
    this.timeout(120_000);
    const expectations = readdirSync(sharedCaptures)
      .filter((name) => name.endsWith('.expected.json'))
      .map((name) => join(sharedCaptures, name));
    assert.equal(expectations.length, 30);
    const command = 'node dist/lib/cli/main.js replay {pcap} --json';
    const checker = join(sharedCaptures, 'check_replay.py');
    const run = spawnSync('python3', [checker, '--replay', command, ...expectations], {
      cwd: root,
      encoding: 'utf8',
    });
    console.log(run.stdout);
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
  });
});
