import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type QuicIdCommandOptions, quicIdCommand } from '../../lib/cli/quic-id.js';
import { ConnectionIds, parseConfiguration } from '../../lib/index.js';

// `flowsieve quic-id`: once as a process, otherwise what that calls, as many processes take long.

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const INPUT = {
  cluster: 'web',
  addresses: ['192.0.2.100'],
  node: 'node-1',
  nodes: [{ name: 'node-1', serverId: 'c4605e' }, { name: 'node-2' }],
  quic: {
    ports: [443],
    configs: [
      { id: 0, serverIdLength: 3, nonceLength: 4, encrypted: false },
      { id: 1, serverIdLength: 3, nonceLength: 13 },
    ],
  },
};

describe('flowsieve quic-id', () => {
  let folder = '';
  let file = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-quic-id-'));
    file = join(folder, 'flowsieve.json');
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What the command prints. */
  function said(options: Partial<QuicIdCommandOptions> = {}, input: object = INPUT): string {
    writeFileSync(file, JSON.stringify(input));
    const write = process.stdout.write;
    let text = '';
    process.stdout.write = ((piece: string) => {
      text += piece;
      return true;
    }) as typeof write;
    try {
      quicIdCommand({ config: file, count: 1, ...options });
    } finally {
      process.stdout.write = write;
    }
    return text;
  }

  it('is a command: a line for each config, what connection ids are made of, and some', function () {
    this.timeout(120_000);
    writeFileSync(file, JSON.stringify(INPUT));
    const args = [main, 'quic-id', '-c', file, '--json', '--count', '2', '--node', 'node-1'];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0);
    const lines = stdout.trim().split('\n');
    const [plain, encrypted] = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      { ...plain, connectionIds: plain.connectionIds.length },
      {
        node: 'node-1',
        config: 0,
        serverId: 'c4605e',
        nonceLength: 4,
        length: 8,
        encodesLength: true,
        encrypted: false,
        connectionIds: 2,
      },
    );
    assert.match(plain.connectionIds[0], /^07c4605e[0-9a-f]{8}$/);
    assert.equal(encrypted.encrypted, true);
    const ids = new ConnectionIds(parseConfiguration(INPUT));
    for (const id of encrypted.connectionIds) {
      assert.equal(ids.read(Buffer.from(id, 'hex'))?.node, 'node-1');
    }
  });

  it('shows the key only when asked for it', () => {
    const key = new ConnectionIds(parseConfiguration(INPUT)).facts()[1]?.key?.toString('hex') ?? '';
    assert.equal(key.length, 32);
    for (const json of [false, true]) {
      assert.ok(!said({ json }).includes(key));
      assert.ok(said({ json, key: true }).includes(key));
    }
  });

  it('says it in columns for people, of any node', () => {
    const text = said({ node: 'node-2' });
    assert.match(
      text,
      /^config 0 +plain, connection ids of 8 octets, which the first octet says$/m,
    );
    assert.match(text, /^server id +[0-9a-f]{6} \(node-2\)$/m);
    assert.match(text, /^config 1 +encrypted, connection ids of 17 octets/m);
  });

  it('says whom a connection id names', () => {
    const read = (hex: string) => said({ read: hex });
    assert.equal(read('07c4605e4504cc4f'), 'config 0, server id c4605e: node-1\n');
    assert.match(read('07c4605f4504cc4f'), /server id c4605f: no node/);
    assert.match(read('e7c4605e4504cc4f'), /^no config reads it/);
    assert.deepEqual(JSON.parse(said({ read: '07c4605e4504cc4f', json: true })), {
      connectionId: '07c4605e4504cc4f',
      routable: true,
      node: 'node-1',
      config: 0,
      serverId: 'c4605e',
    });
  });

  it('refuses what is not there', () => {
    const { quic: _, ...without } = INPUT;
    assert.throws(() => said({}, without), { code: 'FLOWSIEVE_STATE' });
    assert.throws(() => said({ node: 'node-9' }), { code: 'FLOWSIEVE_ARGUMENT' });
    assert.throws(() => said({ read: '07c' }), { code: 'FLOWSIEVE_USAGE' });
  });
});
