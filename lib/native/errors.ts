import { type ErrorCode, FlowsieveError } from '../errors/index.js';

// native/base/status.h: ErrorCode, as the addon spells them.
const CODES: Readonly<Record<string, ErrorCode>> = {
  argument: 'FLOWSIEVE_ARGUMENT',
  privilege: 'FLOWSIEVE_PRIVILEGE',
  missing: 'FLOWSIEVE_MISSING',
  system: 'FLOWSIEVE_SYSTEM',
  format: 'FLOWSIEVE_FORMAT',
  state: 'FLOWSIEVE_STATE',
};

/** What the addon threw, as one of our errors; anything else as it is. */
export function translated(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || !('code' in thrown)) return thrown;
  const code = CODES[String(thrown.code)];
  return code === undefined ? thrown : new FlowsieveError(code, thrown.message, { cause: thrown });
}

/** Calls the addon, translating what it throws. */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translated(error);
  }
}

/** Awaits the addon, translating what it rejects with. */
export async function awaitNative<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw translated(error);
  }
}
