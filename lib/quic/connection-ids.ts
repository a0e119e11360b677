import { randomBytes } from 'node:crypto';
import {
  type Configuration,
  type QuicConfig,
  type ResolvedQuic,
  resolveQuic,
} from '../config/index.js';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';
import { decodeConnectionId, encodeConnectionId, UNROUTABLE_CONFIG } from './connection-id.js';

/** What an application needs to make connection ids of one node under one config. */
export interface ConnectionIdFacts {
  readonly node: string;
  /** The config id. */
  readonly config: number;
  readonly serverId: Buffer;
  /** Octets. */
  readonly nonceLength: number;
  /** Octets of a connection id. */
  readonly length: number;
  /** The lower five bits of the first octet are the length of the rest. */
  readonly encodesLength: boolean;
  /** 16 bytes of AES-128, or null: plain. */
  readonly key: Buffer | null;
}

/** Which connection id is asked for. */
export interface ConnectionIdWish {
  /** By default the configuration's. */
  readonly node?: string | undefined;
  /** A config id; by default the highest that is configured. */
  readonly config?: number | undefined;
  /** Never the same twice for a node and a config; by default random. */
  readonly nonce?: Uint8Array | undefined;
}

/** What a connection id says. */
export interface ConnectionIdMeaning {
  /** The config id. */
  readonly config: number;
  readonly serverId: Buffer;
  readonly nonce: Buffer;
  /** The node whose server id it is; null: nobody's. */
  readonly node: string | null;
}

function refuse(expected: string, path: string, received: unknown): never {
  const message = expectedSentence(expected, path, show(received));
  throw new FlowsieveError('FLOWSIEVE_ARGUMENT', message, { path });
}

/**
 * The QUIC connection ids of a cluster: an application makes its own with it, so that its connections stay on
 * its node when their clients change their address.
 *
 * @example
 * ```ts
 * const ids = new ConnectionIds(loadConfiguration('/etc/flowsieve/flowsieve.yaml'));
 * const id = ids.make(); // of this node
 * ```
 */
export class ConnectionIds {
  private readonly quic: ResolvedQuic;
  private readonly self: string;

  /**
   * @throws FlowsieveError FLOWSIEVE_STATE for a configuration without `quic`, or one that names files
   * which nobody has read
   */
  constructor(config: Configuration) {
    const quic = resolveQuic(config);
    if (!quic) {
      const message = expectedSentence('the section quic', 'quic', 'none');
      throw new FlowsieveError('FLOWSIEVE_STATE', message, { path: 'quic' });
    }
    this.quic = quic;
    this.self = config.node;
  }

  /**
   * What a node's connection ids are made of, for each config.
   *
   * @param node - by default the configuration's
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for a node that is not in the configuration
   */
  facts(node: string = this.self): ConnectionIdFacts[] {
    return this.quic.configs.map((config) => ({
      node,
      config: config.id,
      serverId: this.serverId(node, config),
      nonceLength: config.nonceLength,
      length: 1 + config.serverIdLength + config.nonceLength,
      encodesLength: config.encodesLength,
      key: config.key,
    }));
  }

  /**
   * A connection id that names a node. Random nonces of n octets meet again after about 2^(4n) ids: whoever
   * makes so many counts them, or changes to another config in time.
   *
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for a node or config that is not configured, and for a nonce of
   * another length
   */
  make(wish: ConnectionIdWish = {}): Buffer {
    const config = this.config(wish.config);
    const nonce = wish.nonce ?? randomBytes(config.nonceLength);
    const serverId = this.serverId(wish.node ?? this.self, config);
    return encodeConnectionId(config, serverId, nonce, randomBytes(1)[0]);
  }

  /**
   * A connection id that names nobody: its packets go by the four-tuple.
   *
   * @param length - octets, 8 to 20
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for another length
   */
  makeUnroutable(length = 8): Buffer {
    if (!Number.isInteger(length) || length < 8 || length > 20) {
      refuse('an integer from 8 to 20', 'length', length);
    }
    const id = randomBytes(length);
    id[0] = (UNROUTABLE_CONFIG << 5) | (length - 1);
    return id;
  }

  /** What a connection id says; null when no config reads it. */
  read(connectionId: Uint8Array): ConnectionIdMeaning | null {
    const parts = decodeConnectionId(this.quic.configs, connectionId);
    if (!parts) return null;
    const length = parts.serverId.length;
    const found = [...this.quic.serverIds].find(([, serverId]) =>
      serverId.subarray(0, length).equals(parts.serverId),
    );
    return { ...parts, node: found?.[0] ?? null };
  }

  private config(id: number | undefined): QuicConfig {
    const { configs } = this.quic;
    const found = id === undefined ? configs.at(-1) : configs.find((each) => each.id === id);
    const known = configs.map((each) => each.id).join(', ');
    return found ?? refuse(`one of the config ids ${known}`, 'config', id);
  }

  private serverId(node: string, config: QuicConfig): Buffer {
    const serverId = this.quic.serverIds.get(node);
    const known = [...this.quic.serverIds.keys()].join(', ');
    return serverId?.subarray(0, config.serverIdLength) ?? refuse(`one of ${known}`, 'node', node);
  }
}
