// Who there is, and by which secrets: what every part of the transport looks up, and what changes
// as a whole when the configuration is read again.
import { isIP, SocketAddress } from 'node:net';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import type { Identity } from '../protocol/index.js';
import { NAME_PATTERN } from './bytes.js';
import { clusterTag, EVERYBODY, Secret } from './keys.js';
import { type Common, type HeartbeatPath, Numbering, type Sender } from './seal.js';
import type { PeersConfiguration } from './types.js';

/** A configured peer. */
export interface RosterPeer extends Sender {
  readonly address: string;
  /** When it was heard, by `performance.now()`. */
  readonly lastSeen: Record<HeartbeatPath, number | null>;
}

/** The spelling in which the system gives an address. */
function canonical(address: string): string {
  const family = isIP(address);
  if (family !== 0) {
    return new SocketAddress({ address, family: family === 4 ? 'ipv4' : 'ipv6' }).address;
  }
  const sentence = expectedSentence('an address', 'nodes', JSON.stringify(address));
  throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { path: 'nodes' });
}

function checkNames(cluster: string, nodes: readonly { name: string }[]): void {
  for (const name of [cluster, ...nodes.map((node) => node.name)]) {
    if (NAME_PATTERN.test(name)) continue;
    const sentence = expectedSentence('a name', 'nodes', JSON.stringify(name));
    throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { path: 'nodes' });
  }
}

/** This node, its peers and their keys. */
export class Roster implements Common {
  readonly cluster: Buffer;
  readonly numbering = new Numbering();
  #self: Identity;
  #address = '';
  #addresses: ReadonlySet<string> = new Set();
  #secrets: readonly Secret[] = [];
  #known: ReadonlyMap<number, Secret> = new Map();
  #peers: ReadonlyMap<string, RosterPeer> = new Map();

  constructor(
    readonly clusterName: string,
    readonly layout: number,
    self: Identity,
    configuration: PeersConfiguration,
  ) {
    this.#self = self;
    this.cluster = clusterTag(clusterName);
    this.configure(configuration);
  }

  get self(): Identity {
    return this.#self;
  }

  /** Begins another incarnation of this node; the name stays. */
  set self(self: Identity) {
    this.#self = self;
  }

  /** This node's own address. */
  get address(): string {
    return this.#address;
  }

  get peers(): ReadonlyMap<string, RosterPeer> {
    return this.#peers;
  }

  /** True for the address of a peer. */
  hasAddress(address: string): boolean {
    return this.#addresses.has(address);
  }

  /** The secret that signs. */
  get signing(): Secret {
    return this.#secrets[0] as Secret;
  }

  /** The secret of this key id, as a number. */
  secret(keyId: number): Secret | undefined {
    return this.#known.get(keyId);
  }

  /** @throws FlowsieveError FLOWSIEVE_ARGUMENT, and nothing has changed */
  configure({ nodes, secrets }: PeersConfiguration): void {
    checkNames(this.clusterName, nodes);
    for (const node of nodes) canonical(node.address);
    const own = nodes.find((node) => node.name === this.#self.name);
    if (!own || secrets.length === 0) {
      const [subject, received] = own ? ['secrets', 'none'] : ['nodes', 'a list without it'];
      const sentence = expectedSentence('this node and a secret', subject, received);
      throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { path: subject });
    }
    this.#address = canonical(own.address);
    this.#secrets = secrets.map((secret) => this.#derived(new Secret(secret, this.clusterName)));
    this.#known = new Map(this.#secrets.map((secret) => [secret.id.readUInt32BE(), secret]));
    const others = nodes.filter((node) => node !== own);
    this.#peers = new Map(
      others.map(({ name, address }) => [name, this.#peer(name, canonical(address))]),
    );
    this.#addresses = new Set([...this.#peers.values()].map(({ address }) => address));
  }

  // A secret that stays keeps the keys that have been derived from it.
  #derived(secret: Secret): Secret {
    return this.#known.get(secret.id.readUInt32BE()) ?? secret;
  }

  #peer(name: string, address: string): RosterPeer {
    const before = this.#peers.get(name);
    const self = this.#self.name;
    const keys = new Map(
      this.#secrets.map((secret) => [
        secret.id.readUInt32BE(),
        {
          sync: secret.key('sync', name, self),
          wire: secret.key('wire', name, EVERYBODY),
          letter: secret.key('letter', name, self),
        },
      ]),
    );
    if (before && before.address === address) return Object.assign(before, { keys });
    const seen = before?.seen ?? { sync: null, wire: null, letter: null };
    const lastSeen = before?.lastSeen ?? { sync: null, wire: null };
    return { name, address, keys, seen, lastSeen, incarnation: before?.incarnation ?? 0 };
  }
}
