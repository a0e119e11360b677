export {
  CONNECTION_ID_MAX,
  decodeConnectionId,
  encodeConnectionId,
  type ReadConnectionId,
} from './connection-id.js';
export {
  type ConnectionIdFacts,
  type ConnectionIdMeaning,
  ConnectionIds,
  type ConnectionIdWish,
} from './connection-ids.js';
