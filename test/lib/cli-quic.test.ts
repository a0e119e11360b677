import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConnectionIds, parseConfiguration } from '../../lib/index.js';

// `flowsieve quic-id` as a process.

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

describe('flowsieve quic-id', function () {
  this.timeout(120_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-quic-id-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function quicId(input: object, ...args: string[]) {
    const file = join(folder, 'flowsieve.json');
    writeFileSync(file, JSON.stringify(input));
    const all = [main, 'quic-id', '-c', file, ...args];
    return spawnSync(process.execPath, all, { encoding: 'utf8' });
  }

  it('says, a line for each config, what connection ids are made of, and makes some', () => {
    const { status, stdout } = quicId(INPUT, '--json', '--count', '2');
    assert.equal(status, 0);
    const [plain, encrypted] = stdout.trim().split('\n').map((line) => JSON.parse(line));
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
    for (const json of [[], ['--json']]) {
      assert.ok(!quicId(INPUT, ...json).stdout.includes(key));
      assert.ok(quicId(INPUT, '--key', ...json).stdout.includes(key));
    }
  });

  it('says it in columns for people, of any node', () => {
    const { status, stdout } = quicId(INPUT, '--node', 'node-2');
    assert.equal(status, 0);
    assert.match(stdout, /^config 0 +plain, connection ids of 8 octets, which the first octet says$/m);
    assert.match(stdout, /^server id +[0-9a-f]{6} \(node-2\)$/m);
    assert.match(stdout, /^config 1 +encrypted, connection ids of 17 octets/m);
  });

  it('says whom a connection id names', () => {
    assert.equal(quicId(INPUT, '--read', '07c4605e4504cc4f').stdout, 'config 0, server id c4605e: node-1\n');
    assert.match(quicId(INPUT, '--read', '07c4605f4504cc4f').stdout, /server id c4605f: no node/);
    assert.match(quicId(INPUT, '--read', 'e7c4605e4504cc4f').stdout, /^no config reads it/);
    const { stdout } = quicId(INPUT, '--json', '--read', '07c4605e4504cc4f');
    assert.deepEqual(JSON.parse(stdout), {
      connectionId: '07c4605e4504cc4f',
      routable: true,
      node: 'node-1',
      config: 0,
      serverId: 'c4605e',
    });
  });

  it('ends with an error for what is not there', () => {
    const { quic: _, ...without } = INPUT;
    const missing = quicId(without);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^Expected the section quic for quic but received none\.$/m);
    assert.equal(quicId(INPUT, '--node', 'node-9').status, 2);
    assert.equal(quicId(INPUT, '--read', '07c').status, 2);
  });
});
