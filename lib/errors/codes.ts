/**
 * What a command's exit status says: 0 done, 1 failed, 2 wrong usage or configuration, 3 missing
 * privilege or kernel feature.
 */
export type ExitCode = 1 | 2 | 3;

/** One line of the list of error codes. */
export interface ErrorCodeInfo {
  /** The exit status of a command that ends with this error. */
  readonly exitCode: ExitCode;
  /** What the code means, one sentence; the documentation is made from it. */
  readonly sentence: string;
}

/**
 * Every error code there is: the type, the exit status and the documentation
 * (docs/reference/errors.md) come from this list. The native layer's error kinds
 * (native/base/status.h) are the last six.
 */
export const ERROR_CODES = {
  FLOWSIEVE_CONFIGURATION: {
    exitCode: 2,
    sentence: 'The configuration is not valid; `problems` lists everything that is wrong with it.',
  },
  FLOWSIEVE_USAGE: {
    exitCode: 2,
    sentence: 'A command was called with options or arguments that it does not have.',
  },
  FLOWSIEVE_UNREACHABLE: {
    exitCode: 1,
    sentence: 'No running node answers, on the admin socket or at the address of a peer.',
  },
  FLOWSIEVE_REFUSED: {
    exitCode: 1,
    sentence: 'The running node understood the request and refused it.',
  },
  FLOWSIEVE_FULL: {
    exitCode: 1,
    sentence: 'There is no room for more of what was asked for.',
  },
  FLOWSIEVE_TIMEOUT: {
    exitCode: 1,
    sentence: 'Something that was waited for did not happen in time.',
  },
  FLOWSIEVE_INTERNAL: {
    exitCode: 1,
    sentence: 'flowsieve itself is wrong; please report it.',
  },
  FLOWSIEVE_CLASH: {
    exitCode: 3,
    sentence: 'Somebody else has a cluster address.',
  },
  FLOWSIEVE_ARGUMENT: {
    exitCode: 2,
    sentence: 'A value handed to the TypeScript API or the native layer cannot be used.',
  },
  FLOWSIEVE_PRIVILEGE: {
    exitCode: 3,
    sentence: 'The operating system refused for want of a privilege.',
  },
  FLOWSIEVE_MISSING: {
    exitCode: 3,
    sentence: 'An interface, a file or a kernel feature is not there.',
  },
  FLOWSIEVE_SYSTEM: {
    exitCode: 1,
    sentence: 'A system call failed.',
  },
  FLOWSIEVE_FORMAT: {
    exitCode: 1,
    sentence: 'A file or a block of records is not what it should be.',
  },
  FLOWSIEVE_STATE: {
    exitCode: 1,
    sentence: 'The call does not fit the state of the object, for example because it was closed.',
  },
} as const satisfies Record<string, ErrorCodeInfo>;

/** The name of an error code. */
export type ErrorCode = keyof typeof ERROR_CODES;
