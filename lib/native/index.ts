export {
  addon,
  type NativeAudit,
  type NativeCriteria,
  type NativeDistribution,
  type NativeEngine,
  type NativeExpectations,
  type NativeExpectOutcome,
  type NativeExplained,
  type NativeFtpDetour,
  type NativeHandover,
  type NativeImported,
  type NativeMemoryNode,
  type NativeRecords,
  type NativeReplay,
  type NativeResolved,
  type NativeTransition,
  type NativeWireChannel,
  type NativeWorkerOptions,
  type NativeWorkerSnapshot,
} from './addon.js';
export { type Counts, classesOf, nameCounters, vocabulary } from './counters.js';
export {
  NodeIndexes,
  nativeCriteria,
  nativeDistribution,
  nativeTransition,
  nativeWorkerOptions,
} from './criteria.js';
export { awaitNative, callNative } from './errors.js';
export {
  EXPECTATION_BYTES,
  type NativeExpectation,
  readExpectation,
  writeExpectation,
} from './expectations.js';
export { type Hashed, hash } from './hash.js';
export {
  addressBytes,
  addressText,
  type ConnectionRecord,
  type ConnectionStatus,
  ENDED_BYTES,
  type EndedRecord,
  type Endpoint,
  type Flow,
  protocolName,
  RECORD_BYTES,
  readAll,
  readEnded,
  readFlow,
  readRecord,
} from './records.js';
