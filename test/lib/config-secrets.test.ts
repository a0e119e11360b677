import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Configuration,
  loadConfiguration,
  parseConfiguration,
  resolveDistribution,
  syncSecrets,
} from '../../lib/config/index.js';
import type { ConfigurationError } from '../../lib/errors/index.js';

const SMALLEST = { cluster: 'web', addresses: ['192.0.2.100'] };
const options = { hostName: 'node-1' };

function parse(more: object = {}): Configuration {
  return parseConfiguration({ ...SMALLEST, ...more }, options);
}

describe('configuration: files and the secret', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-config-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function write(name: string, text: string, mode = 0o600): string {
    const file = join(folder, name);
    writeFileSync(file, text);
    chmodSync(file, mode);
    return file;
  }

  function withSecret(secret: string, mode?: number): Configuration {
    write('secret', secret, mode);
    const file = write(
      'web.yaml',
      'cluster: web\naddresses: [192.0.2.100]\nsecret: { file: secret }\n',
    );
    return loadConfiguration(file, options);
  }

  // RFC 5869, written out: the twin of the library's.
  function hkdf(material: string | Buffer, salt: string, info: string, bytes: number): string {
    const extracted = createHmac('sha256', salt).update(material).digest();
    let block = Buffer.alloc(0);
    let out = Buffer.alloc(0);
    for (let count = 1; out.length < bytes; count += 1) {
      block = createHmac('sha256', extracted)
        .update(block)
        .update(info)
        .update(Buffer.from([count]))
        .digest();
      out = Buffer.concat([out, block]);
    }
    return out.subarray(0, bytes).toString('hex');
  }

  it('the hash key is HKDF-SHA256 of the secret', () => {
    const { key, hash, buckets } = resolveDistribution(withSecret('0123456789abcdef'));
    assert.equal(
      key.toString('hex'),
      hkdf('0123456789abcdef', 'web', 'flowsieve distribution v1', 40),
    );
    assert.deepEqual([hash, buckets], ['siphash', 256]);
  });

  it('a line end behind the secret does not count', () => {
    const key = resolveDistribution(withSecret('0123456789abcdef')).key;
    assert.deepEqual(resolveDistribution(withSecret('0123456789abcdef\r\n')).key, key);
  });

  it('without a secret the key comes from the name of the cluster and a warning says so', () => {
    const config = parse();
    const key = resolveDistribution(config).key.toString('hex');
    assert.equal(key, hkdf('web', 'web', 'flowsieve distribution v1', 40));
    assert.ok(config.warnings.some((warning) => warning.includes('aim at one node')));
    assert.ok(!withSecret('0123456789abcdef').warnings.some((warning) => warning.includes('aim')));
  });

  it('a given key is taken as it is, zeros behind it', () => {
    const given = '000102030405060708090a0b0c0d0e0f';
    const { key } = resolveDistribution(parse({ distribution: { key: given } }));
    assert.equal(key.toString('hex'), given + '00'.repeat(24));
  });

  it('a configuration whose secret nobody has read gives no key', () => {
    const config = parse({ secret: { file: 'secret' } });
    assert.throws(() => resolveDistribution(config), {
      code: 'FLOWSIEVE_STATE',
      path: 'secret.file',
    });
    const read = parseConfiguration(
      { ...SMALLEST, secret: { file: 'secret' } },
      { ...options, secret: Buffer.from('0123456789abcdef') },
    );
    assert.equal(resolveDistribution(read).key.length, 40);
  });

  it('nodes know each other by the secret, and accept a second one besides', () => {
    const first = '0123456789abcdef';
    assert.deepEqual(syncSecrets(withSecret(`${first}\n`)), [Buffer.from(first)]);
    write('next', 'fedcba9876543210\n');
    const file = write(
      'both.yaml',
      'cluster: web\naddresses: [192.0.2.100]\nsecret: { file: secret, also: next }\n',
    );
    const config = loadConfiguration(file, options);
    assert.deepEqual(syncSecrets(config), [Buffer.from(first), Buffer.from('fedcba9876543210')]);
    assert.equal(
      resolveDistribution(config).key.toString('hex'),
      hkdf(first, 'web', 'flowsieve distribution v1', 40),
      'the first one alone makes the hash key',
    );
    assert.ok(!JSON.stringify(config).includes('fedcba'));
  });

  it('without a secret nodes know each other by the name, derived for this purpose alone', () => {
    const [only, ...rest] = syncSecrets(parse());
    assert.deepEqual(rest, []);
    assert.equal(only?.toString('hex'), hkdf('web', 'web', 'flowsieve sync without secret v1', 32));
    assert.notEqual(
      only?.toString('hex'),
      resolveDistribution(parse()).key.subarray(0, 32).toString('hex'),
    );
  });

  it('secrets that nobody has read let nobody speak', () => {
    const text = { ...SMALLEST, secret: { file: 'secret', also: 'next' } };
    assert.throws(() => syncSecrets(parseConfiguration(text, options)), {
      code: 'FLOWSIEVE_STATE',
      path: 'secret.file',
    });
    const secret = Buffer.from('0123456789abcdef');
    assert.throws(() => syncSecrets(parseConfiguration(text, { ...options, secret })), {
      code: 'FLOWSIEVE_STATE',
      path: 'secret.also',
    });
    const alsoSecret = Buffer.from('fedcba9876543210');
    const both = parseConfiguration(text, { ...options, secret, alsoSecret });
    assert.deepEqual(syncSecrets(both), [secret, alsoSecret]);
  });

  it('a second secret that is short, missing or readable by others is told by its own path', () => {
    write('secret', '0123456789abcdef');
    const load = (also: string) =>
      loadConfiguration(
        write(
          'also.yaml',
          `cluster: web\naddresses: [192.0.2.100]\nsecret: { file: secret, also: ${also} }\n`,
        ),
        options,
      );
    write('short', 'short');
    assert.throws(() => load('short'), { path: 'secret.also' });
    assert.throws(() => load('nowhere'), { path: 'secret.also' });
    write('open', 'fedcba9876543210', 0o644);
    assert.ok(load('open').warnings.some((warning) => /^secret\.also .*chmod 600/.test(warning)));
  });

  it('nothing that prints a configuration prints the secret', () => {
    const config = withSecret('0123456789abcdef');
    assert.ok(!JSON.stringify(config).includes('0123456789abcdef'));
  });

  it('a short or missing secret is a problem among the others', () => {
    assert.throws(() => withSecret('short'), { path: 'secret.file' });
    const file = write('bad.yaml', 'cluster: web\naddresses: [x]\nsecret: { file: nowhere }\n');
    assert.throws(
      () => loadConfiguration(file, options),
      (error: ConfigurationError) => {
        assert.deepEqual(
          error.problems.map((problem) => problem.path),
          ['addresses[0]', 'secret.file'],
        );
        return true;
      },
    );
  });

  it('a secret that others can read is warned of', () => {
    const warned = (mode: number) =>
      withSecret('0123456789abcdef', mode).warnings.some((warning) =>
        warning.includes('chmod 600'),
      );
    assert.equal(warned(0o644), true);
    assert.equal(warned(0o600), false);
  });

  it('a file that is not there is a configuration error', () => {
    assert.throws(() => loadConfiguration(join(folder, 'none.yaml')), {
      code: 'FLOWSIEVE_CONFIGURATION',
    });
  });
});
