import { type DestinationStream, pino } from 'pino';

/** The levels that FLOWSIEVE_LOG may name, the most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Structured logging: `logger.info({ bucket: 17 }, 'bucket gained')`. */
export type Logger = Pick<
  pino.Logger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level' | 'isLevelEnabled'
> & {
  /** A logger that adds `bindings` to every line. */
  child(bindings: Record<string, unknown>): Logger;
};

/** Where a logger gets its level from and writes to; both are handed in by tests only. */
export interface LoggerOptions {
  /** Fields of every line, for example the cluster and the node. */
  readonly bindings?: Record<string, unknown>;
  /** Instead of the environment variable FLOWSIEVE_LOG. */
  readonly level?: string | undefined;
  /** Instead of standard error. */
  readonly destination?: DestinationStream;
}

function isLogLevel(level: string): level is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(level);
}

/**
 * A logger: one JSON object a line, to standard error, because standard output belongs to the line
 * `ready` and to what commands print. The level comes from FLOWSIEVE_LOG, `info` without it. Lines
 * are written at once, not buffered: the last line before a crash is the one that is wanted.
 *
 * A level that does not exist does not stop a node: it is `info` then, and the first line says so.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const wanted = options.level ?? process.env['FLOWSIEVE_LOG'] ?? '';
  const level = isLogLevel(wanted) ? wanted : 'info';
  const logger: Logger = pino(
    {
      level,
      base: options.bindings ?? null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
  if (wanted !== '' && wanted !== level) {
    logger.warn(
      { received: wanted },
      `Expected one of ${LOG_LEVELS.join(', ')} for FLOWSIEVE_LOG but received another level.`,
    );
  }
  return logger;
}
