export {
  type AddressFamily,
  canonicalAddress,
  deriveLinkAddress,
  familyOf,
  isAddress,
} from './addresses.js';
export {
  type AdminConfiguration,
  type Configuration,
  type DeepReadonly,
  type DispatcherConfiguration,
  defaultSocket,
  type FieldName,
  type HashName,
  type HealthConfiguration,
  healthOf,
  type NodeConfiguration,
  type ProtocolName,
  syncAddressOf,
} from './configuration.js';
export {
  type CriteriaSettings,
  criteriaSettings,
  HASH_LAYOUT_VERSION,
  resolveSettings,
} from './criteria.js';
export {
  DISTRIBUTION_KEY_BYTES,
  DISTRIBUTION_KEY_INFO,
  type ResolvedDistribution,
  resolveDistribution,
} from './distribution.js';
export { loadConfiguration, type ParseOptions, parseConfiguration } from './load.js';
export { type ConfigurationInput, FIELDS, HASHES, PROTOCOLS } from './schema.js';
export { SYNC_SECRET_INFO, syncSecrets } from './secrets.js';
