import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { ConfigurationError, expectedSentence, type Problem, show } from '../errors/index.js';
import { crossCheck } from './check.js';
import { type Configuration, complete } from './configuration.js';
import { problemsOf, salvage } from './problems.js';
import { keepQuicKeys, quicKeyProblem, readQuicKey } from './quic.js';
import { configurationSchema } from './schema.js';
import { keepSecrets } from './secrets.js';

/** What the environment says to a configuration. */
export interface ParseOptions {
  /**
   * The name of a node whose configuration does not say it; the machine's host name when not given.
   */
  readonly hostName?: string;
  /** What stands in front of the problems, for example the file's name. */
  readonly subject?: string;
  /** The content of the secret's file. */
  readonly secret?: Buffer;
  /** The content of `secret.also`. */
  readonly alsoSecret?: Buffer;
  /** The keys in the `keyFile`s of `quic.configs`, 16 bytes each, by config id. */
  readonly quicKeys?: ReadonlyMap<number, Buffer>;
}

interface Outcome {
  readonly config?: Configuration;
  readonly problems: Problem[];
}

function readText(text: string): { value?: unknown; problems: Problem[] } {
  const lines = new LineCounter();
  // YAML 1.2 has JSON as a part of it: one reader does both.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = [...document.errors, ...document.warnings].map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    const received = `a text with an error in line ${line}, column ${col}: ${error.message.split('\n')[0]}`;
    return { path: '', message: expectedSentence('YAML or JSON', 'the configuration', received) };
  });
  if (problems.length > 0) return { problems };
  try {
    return { value: document.toJS({ maxAliasCount: 100 }), problems };
  } catch (error) {
    const received = error instanceof Error ? error.message : 'aliases without end';
    const message = expectedSentence('YAML or JSON', 'the configuration', received);
    return { problems: [{ path: '', message }] };
  }
}

function given(input: unknown): Set<string> {
  return new Set(typeof input === 'object' && input !== null ? Object.keys(input) : []);
}

function judge(input: unknown, options: ParseOptions, warnings: readonly string[]): Outcome {
  const parsed = configurationSchema.safeParse(input);
  const found = parsed.success ? [] : problemsOf(configurationSchema, parsed.error.issues, input);
  const parts = parsed.success ? parsed.data : salvage(configurationSchema, input);
  const node = parts?.node ?? options.hostName ?? hostname();
  if (!given(input).has('node')) {
    const named = configurationSchema.shape.node.safeParse(node);
    if (!named.success) {
      const expected = 'a node, because the host name is none,';
      found.push({ path: 'node', message: expectedSentence(expected, 'node', show(node)) });
    }
  }
  const known = new Set(found.map((problem) => problem.path));
  const crossed = parts ? crossCheck({ ...parts, node }) : [];
  const problems = [...found, ...crossed.filter((problem) => !known.has(problem.path))];
  if (!parsed.success || problems.length > 0) return { problems };
  const config = complete(parsed.data, node, warnings);
  const { secret, alsoSecret, quicKeys } = options;
  if (secret) keepSecrets(config, alsoSecret ? [secret, alsoSecret] : [secret]);
  if (quicKeys) keepQuicKeys(config, quicKeys);
  return { config, problems };
}

/**
 * Makes a configuration of YAML or JSON text, or of an object. Pure but for the host name.
 *
 * @throws ConfigurationError with everything that is wrong
 */
export function parseConfiguration(
  source: string | object,
  options: ParseOptions = {},
): Configuration {
  const subject = options.subject ?? 'the cluster';
  const read = typeof source === 'string' ? readText(source) : { value: source, problems: [] };
  if (read.problems.length > 0) throw new ConfigurationError(subject, read.problems);
  const { config, problems } = judge(read.value, options, []);
  if (!config) throw new ConfigurationError(subject, problems);
  return config;
}

/** The most bytes of a configuration file. */
export const CONFIGURATION_BYTES_MAX = 1_048_576;
/** The least bytes of a secret. */
export const SECRET_BYTES_MIN = 16;
/** The most bytes of a secret's file. */
export const SECRET_BYTES_MAX = 65_536;

function readBounded(file: string, bytesMax: number, path: string): Buffer | Problem {
  const fail = (received: string): Problem => ({
    path,
    message: expectedSentence(
      `a file of at most ${bytesMax} bytes`,
      path || 'the configuration',
      received,
    ),
  });
  try {
    const { size } = statSync(file);
    return size > bytesMax ? fail(`${file} with ${size} bytes`) : readFileSync(file);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    return fail(`${file} (${reason})`);
  }
}

interface SecretRead {
  readonly secret?: Buffer;
  readonly problem?: Problem;
  readonly warning?: string;
}

// An editor ends a file with a line end and `echo -n` does not: nodes must not disagree for that.
function withoutTrailingSpace(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && [0x09, 0x0a, 0x0d, 0x20].includes(bytes[end - 1] ?? 0)) end -= 1;
  return bytes.subarray(0, end);
}

function readSecret(file: string, path: string): SecretRead {
  const bytes = readBounded(file, SECRET_BYTES_MAX, path);
  if (!Buffer.isBuffer(bytes)) return { problem: bytes };
  const secret = withoutTrailingSpace(bytes);
  if (secret.length < SECRET_BYTES_MIN) {
    const expected = `a secret of at least ${SECRET_BYTES_MIN} bytes`;
    const message = expectedSentence(expected, path, `${secret.length} bytes in ${file}`);
    return { problem: { path, message } };
  }
  const open = (statSync(file).mode & 0o077) !== 0;
  const warning = `${path} ${file} can be read by others than its owner: chmod 600 keeps it a secret.`;
  return { secret, ...(open ? { warning } : {}) };
}

interface SecretsRead {
  readonly options: Pick<ParseOptions, 'secret' | 'alsoSecret'>;
  readonly problems: Problem[];
  readonly warnings: string[];
}

function readSecrets(input: unknown, folder: string): SecretsRead {
  const named = salvage(configurationSchema.shape.secret, (input as { secret?: unknown })?.secret);
  const read = (key: 'file' | 'also'): SecretRead => {
    const file = named?.[key];
    return file ? readSecret(resolve(folder, file), `secret.${key}`) : {};
  };
  const first = read('file');
  const second = read('also');
  return {
    options: {
      ...(first.secret ? { secret: first.secret } : {}),
      ...(second.secret ? { alsoSecret: second.secret } : {}),
    },
    problems: [first.problem ?? [], second.problem ?? []].flat(),
    warnings: [first.warning ?? [], second.warning ?? []].flat(),
  };
}

interface QuicKeysRead {
  readonly quicKeys: ReadonlyMap<number, Buffer>;
  readonly problems: Problem[];
}

function readQuicKeys(input: unknown, folder: string): QuicKeysRead {
  const configs = salvage(
    configurationSchema.shape.quic,
    (input as { quic?: unknown })?.quic,
  )?.configs;
  const quicKeys = new Map<number, Buffer>();
  const problems: Problem[] = [];
  for (const [index, config] of (configs ?? []).entries()) {
    if (config?.keyFile === undefined || config.id === undefined) continue;
    const path = `quic.configs[${index}].keyFile`;
    const file = resolve(folder, config.keyFile);
    const bytes = readBounded(file, SECRET_BYTES_MAX, path);
    if (!Buffer.isBuffer(bytes)) {
      problems.push(bytes);
      continue;
    }
    const key = readQuicKey(bytes);
    if (key) quicKeys.set(config.id, key);
    else problems.push({ path, message: quicKeyProblem(path, file) });
  }
  return { quicKeys, problems };
}

/**
 * Reads a configuration file and the files of secrets and keys that it names (relative to its own folder).
 *
 * @throws ConfigurationError with everything that is wrong, an unreadable file included
 */
export function loadConfiguration(
  file: string,
  options: Pick<ParseOptions, 'hostName'> = {},
): Configuration {
  const bytes = readBounded(file, CONFIGURATION_BYTES_MAX, '');
  if (!Buffer.isBuffer(bytes)) throw new ConfigurationError(file, [bytes]);
  const read = readText(bytes.toString('utf8'));
  if (read.problems.length > 0) throw new ConfigurationError(file, read.problems);
  const secrets = readSecrets(read.value, dirname(file));
  const { quicKeys, problems } = readQuicKeys(read.value, dirname(file));
  const filled = { ...options, ...secrets.options, quicKeys };
  const judged = judge(read.value, filled, secrets.warnings);
  const all = [...judged.problems, ...secrets.problems, ...problems];
  if (!judged.config || all.length > 0) throw new ConfigurationError(file, all);
  return judged.config;
}
