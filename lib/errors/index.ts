export { ERROR_CODES, type ErrorCode, type ErrorCodeInfo, type ExitCode } from './codes.js';
export {
  ConfigurationError,
  exitCodeOf,
  expectedSentence,
  FlowsieveError,
  type FlowsieveErrorOptions,
  type Problem,
  show,
} from './errors.js';
