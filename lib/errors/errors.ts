import { ERROR_CODES, type ErrorCode, type ExitCode } from './codes.js';

/** What an error carries besides its sentence. */
export interface FlowsieveErrorOptions {
  /** The offending configuration path, for example `distribution.buckets`. */
  readonly path?: string | undefined;
  /** What led to this error. */
  readonly cause?: unknown;
}

/** Every error that flowsieve throws on purpose: a sentence for people, a code for programs. */
export class FlowsieveError extends Error {
  override readonly name: string = 'FlowsieveError';
  /** One of the codes of the list in codes.ts. */
  readonly code: ErrorCode;
  /** The offending configuration path, when there is one. */
  readonly path: string | undefined;

  constructor(code: ErrorCode, message: string, options: FlowsieveErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.path = options.path;
  }

  /** The exit status of a command that ends with this error. */
  get exitCode(): ExitCode {
    return ERROR_CODES[this.code].exitCode;
  }
}

/** One thing that is wrong with a configuration. */
export interface Problem {
  /** Where it is, for example `nodes[1].weight`; empty for the configuration as a whole. */
  readonly path: string;
  /** One sentence: *Expected X for Y but received Z.* */
  readonly message: string;
}

/** Everything that is wrong with a configuration, at once. */
export class ConfigurationError extends FlowsieveError {
  override readonly name = 'ConfigurationError';
  /** At least one. */
  readonly problems: readonly Problem[];

  constructor(subject: string, problems: readonly Problem[], options: { cause?: unknown } = {}) {
    super('FLOWSIEVE_CONFIGURATION', summarise(subject, problems), {
      path: problems[0]?.path,
      cause: options.cause,
    });
    this.problems = problems;
  }
}

function summarise(subject: string, problems: readonly Problem[]): string {
  const [only] = problems;
  if (only && problems.length === 1) return only.message;
  const lines = problems.map((problem) => `\n  ${problem.message}`).join('');
  return `Expected a valid configuration for ${subject} but received ${problems.length} problems:${lines}`;
}

const SHOWN_MAX = 60;

/** A short, printable form of a received value; never more than about sixty characters of it. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(shorten(value));
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) {
    return value.length === 0 ? 'an empty list' : `the list ${shorten(asJson(value))}`;
  }
  if (typeof value === 'object') return `the map ${shorten(asJson(value))}`;
  return `a ${typeof value}`;
}

function shorten(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
}

function asJson(value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '(one that refers to itself)';
  }
}

/**
 * The one shape that error sentences have: *Expected X for Y but received Z.*
 *
 * @param expected - X, for example `an integer from 1 to 64`
 * @param subject - Y, for example `workers`
 * @param received - Z, already a phrase (see {@link show})
 */
export function expectedSentence(expected: string, subject: string, received: string): string {
  return `Expected ${expected} for ${subject} but received ${received}.`;
}

/**
 * The exit status for anything that was thrown: an error that is not ours is a
 * failure like another.
 */
export function exitCodeOf(thrown: unknown): ExitCode {
  return thrown instanceof FlowsieveError ? thrown.exitCode : 1;
}
