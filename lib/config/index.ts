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
  type NetworkConfiguration,
  type NodeConfiguration,
  type ProtocolName,
  syncAddressOf,
} from './configuration.js';
export {
  type CriteriaSettings,
  criteriaSettings,
  HASH_LAYOUT_VERSION,
  resolveQuicSettings,
  resolveSettings,
} from './criteria.js';
export {
  DISTRIBUTION_KEY_BYTES,
  DISTRIBUTION_KEY_INFO,
  type ResolvedDistribution,
  resolveDistribution,
} from './distribution.js';
export { FIELDS, HASHES, PROTOCOLS, splitPorts } from './leaves.js';
export { loadConfiguration, type ParseOptions, parseConfiguration } from './load.js';
export { QUIC_KEY_INFO, type QuicConfig, type ResolvedQuic, resolveQuic } from './quic.js';
export {
  matchingRule,
  PORT_PROTOCOLS,
  type ResolvedRule,
  type RuleAction,
  type RuleConfiguration,
  ruleText,
  singlesOf,
} from './rules.js';
export type { ConfigurationInput } from './schema.js';
export { SYNC_SECRET_INFO, syncSecrets } from './secrets.js';
