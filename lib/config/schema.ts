import { z } from 'zod';
import {
  ADDRESSES_MAX,
  address,
  device,
  FIELDS,
  flag,
  HASHES,
  IDENTIFIERS,
  integer,
  linkAddress,
  NETWORKS_MAX,
  NODES_MAX,
  name,
  note,
  oneOf,
  path,
  prefix,
  splitPorts,
  timeouts,
} from './leaves.js';
import { dispatcherSchema, FORWARDS, health, nodeHealth } from './schema-dispatcher.js';
import { RULES_MAX, rule } from './schema-rules.js';

// The one description of a configuration. Types, validation, defaults and
// docs/reference/configuration.md come from here.

const network = z.strictObject({
  name: device('the interface by which the network is reached'),
  addresses: note(
    z.array(address("the gateway's address on this network")).min(1).max(ADDRESSES_MAX),
    {
      expected: `a list of 1 to ${ADDRESSES_MAX} addresses`,
      text: 'the cluster addresses on this network; all nodes have the same, in the same order',
    },
  ),
  linkAddress: linkAddress(
    "the cluster's MAC address on this network",
    'as `linkAddress`, from the addresses of this network',
  ).optional(),
});

const node = z.strictObject({
  name: name('the node, as `node` on that node says it'),
  address: address('its node address: packets to it are always its own').optional(),
  sync: address(
    'its address on the network on which nodes speak to each other',
    'its `address`',
  ).optional(),
  addresses: note(z.array(address('a node address')).max(ADDRESSES_MAX), {
    expected: `a list of at most ${ADDRESSES_MAX} addresses`,
    text: 'its further node addresses: on each network of a gateway it has one',
  }).optional(),
  ports: note(
    z.string().refine((value) => splitPorts(value) !== undefined),
    {
      expected: 'a range of ports such as 20000-29999',
      text:
        'the ports (and ICMP identifiers) of the cluster addresses that are its alone, for connections that it ' +
        'opens from there, itself or by translating addresses; no other node takes packets to them',
      derived: 'none',
    },
  ).optional(),
  weight: note(
    z
      .number()
      .min(0)
      .max(65_535)
      .refine((value) => value === 0 || value >= 0.001),
    {
      expected: '0 or a number from 0.001 to 65535',
      text: 'its share of the buckets beside the other weights; 0: none',
    },
  ).default(1),
  forward: oneOf(
    FORWARDS,
    'dispatcher: how packets get to it, where that is not as to all',
  ).optional(),
  health: nodeHealth.optional(),
  serverId: note(z.string().regex(/^([0-9a-f]{2}){1,15}$/i), {
    expected: '2 to 30 hexadecimal digits',
    text: 'what QUIC connection ids name it by, see `quic`; each of the configs takes as many of the first octets as it needs',
    derived: 'SHA-256 of its name',
  })
    .transform((digits) => digits.toLowerCase())
    .optional(),
});

/** The most UDP ports of `quic`. */
export const QUIC_PORTS_MAX = 16;
/** The most octets of server id and nonce together: QUIC's longest connection id without its first octet. */
export const QUIC_PLAINTEXT_MAX = 19;

const quicConfig = z.strictObject({
  id: integer(0, 6, 'its config id: the three upper bits of each connection id').default(0),
  serverIdLength: integer(1, 15, 'octets of the server id').default(2),
  nonceLength: integer(4, 18, 'octets of the nonce, which differs in each connection id').default(
    8,
  ),
  encrypted: flag('server id and nonce are encrypted, so that nobody else sees the node').default(
    true,
  ),
  keyFile: path(
    "a file with 32 hexadecimal digits, the key, relative to the configuration's folder; spaces and line ends at its end do not count",
    'derived from the secret',
  ).optional(),
  encodesLength: flag(
    'the five lower bits of the first octet say how long the rest is, and nothing follows the nonce: what does not fit that names no node',
  ).default(true),
});

const quic = z.strictObject({
  ports: note(
    z
      .array(integer(1, 65_535, 'a UDP port of the cluster addresses'))
      .min(1)
      .max(QUIC_PORTS_MAX),
    {
      expected: `a list of 1 to ${QUIC_PORTS_MAX} ports`,
      text: 'with `quic`: the UDP ports on which QUIC is spoken; connections there follow the node that their connection id names (QUIC-LB)',
    },
  ),
  configs: note(z.array(quicConfig).min(1).max(7), {
    expected: 'a list of 1 to 7 configs',
    text: 'how connection ids are read, by their config id; all nodes have the same',
  }).prefault([{}]),
});

const distribution = z.strictObject({
  hash: oneOf(HASHES, 'the hash function; all nodes must have the same').default('siphash'),
  fields: note(
    z.array(oneOf(FIELDS, 'a header field of the opening packet')).min(1).max(FIELDS.length),
    {
      expected: `a list of 1 to ${FIELDS.length} of ${FIELDS.join(', ')}`,
      text: 'the header fields that are hashed; their order does not matter',
    },
  ).default(['source', 'sourcePort', 'destination', 'destinationPort']),
  buckets: note(
    z
      .number()
      .int()
      .min(16)
      .max(65_536)
      .refine((value) => (value & (value - 1)) === 0),
    { expected: 'a power of two from 16 to 65536', text: 'the number of buckets' },
  ).default(256),
  symmetric: flag(
    'both directions of a connection get the same bucket',
    'false; true with role gateway, which cannot do without',
  ).optional(),
  prefixes: z
    .strictObject({ source: prefix('source'), destination: prefix('destination') })
    .prefault({}),
  key: note(z.string().regex(/^([0-9a-f]{2}){4,40}$/i), {
    expected: '8 to 80 hexadecimal digits',
    text:
      'the hash key, instead of one derived from the secret: at least 16 bytes for siphash, 40 for toeplitz, 4 for ' +
      'crc32c and jhash (a little-endian seed); zeros fill the rest',
    confidential: true,
  }).optional(),
});

const tables = z.strictObject({
  connections: integer(
    64,
    67_108_864,
    'connections that the tables hold, own and others together; the memory is taken at the start',
  ).default(1_000_000),
  openingShare: note(z.number().gt(0).max(1), {
    expected: 'a number above 0 and at most 1',
    text: 'the share of them that connections in status OPENING may use',
  }).default(0.25),
});

const fragments = z.strictObject({
  held: integer(0, 65_536, 'fragments held because their first fragment has not come yet').default(
    256,
  ),
  heldBytes: integer(0, 268_435_456, 'bytes of held fragments together').default(1_048_576),
  holdSeconds: note(z.number().min(0.1).max(60), {
    expected: 'a number of seconds from 0.1 to 60',
    text: 'seconds that a later fragment waits for its first one',
  }).default(1),
});

const sync = z.strictObject({
  port: integer(1, 65_535, 'the port, UDP and TCP, on which nodes speak to each other').default(
    7946,
  ),
  heartbeat: integer(10, 60_000, 'milliseconds between heartbeats').default(100),
  failAfter: integer(
    20,
    600_000,
    'milliseconds of silence on every path until a node is declared dead',
  ).default(300),
  guard: integer(
    0,
    1000,
    'milliseconds between hold and release: how far apart two nodes may see the same packet',
  ).default(5),
  hold: integer(
    1,
    10_000,
    'milliseconds that an opening packet may be held during a handover; past it the packet is dropped and counted',
  ).default(200),
  holdBytes: integer(0, 268_435_456, 'bytes of held packets together, of each worker').default(
    1_048_576,
  ),
});

const rebalance = z.strictObject({
  by: oneOf(
    ['off', 'connections', 'packets'],
    'the load by which buckets move to nodes that have less of it: open connections, packets, or none',
  ).default('off'),
  threshold: note(z.number().min(0.01).max(10), {
    expected: 'a number from 0.01 to 10',
    text: "how far a node's load may be from its share, relative to it, before anything moves",
  }).default(0.25),
  movesPerMinute: integer(1, 65_536, 'buckets that move within any minute, at most').default(16),
});

const drain = z.strictObject({
  deadline: note(z.number().min(0).max(2_592_000), {
    expected: 'a number of seconds from 0 to 2592000',
    text: 'seconds that a draining node keeps its open connections',
  }).default(300),
  then: oneOf(
    ['leave', 'wait', 'reset'],
    'what happens at the deadline: the node leaves, it waits for its last connection, or it resets what is open and leaves',
  ).default('leave'),
});

const os = z.strictObject({
  every: note(z.number().min(0.1).max(3600), {
    expected: 'a number of seconds from 0.1 to 3600',
    text: "with `tracking: os`: seconds between two comparisons with the operating system's list",
  }).default(5),
  match: note(z.array(oneOf(IDENTIFIERS, 'an identifier that is the same in both')).min(3).max(4), {
    expected: `a list of 3 or 4 of ${IDENTIFIERS.join(', ')}`,
    text: 'the identifiers that the application leaves as they were; one of the four may be missing',
  }).default([...IDENTIFIERS]),
  conntrack: note(z.union([z.literal('auto'), z.boolean()]), {
    expected: 'auto, true or false',
    text: 'whether the connections that the kernel translates are looked up under their original addresses; auto: where it can list them',
  }).default('auto'),
  dryRun: flag('the comparison only counts what it would drop and restore').default(false),
});

const HTTP = /^(\[[0-9a-f:.]+\]|[^\s:[\]]+):([0-9]{1,5})$/i;

/** Takes `host:port` or `[IPv6 address]:port` apart; undefined when it is neither. */
export function splitHostPort(text: string): { host: string; port: number } | undefined {
  const match = HTTP.exec(text);
  if (!match) return undefined;
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  const port = Number(match[2]);
  return port > 65_535 ? undefined : { host, port };
}

const FTP_PORTS_MAX = 16;

const helpers = z.strictObject({
  ftp: z
    .strictObject({
      ports: note(
        z
          .array(z.int().min(1).max(65_535))
          .max(FTP_PORTS_MAX)
          .refine((ports) => new Set(ports).size === ports.length),
        {
          expected: `a list of at most ${FTP_PORTS_MAX} different ports`,
          text: 'ports of FTP control connections whose data connections come to the same node; none: no helper',
        },
      ).default([]),
    })
    .prefault({}),
});

const admin = z.strictObject({
  socket: path(
    'the Unix socket on which the node answers commands',
    '/run/flowsieve/<cluster>.sock',
  ).optional(),
  http: note(
    z.string().refine((value) => splitHostPort(value) !== undefined),
    {
      expected: 'host:port',
      text: 'where metrics and status are also served over HTTP; nothing is when it is not given',
    },
  ).optional(),
});

/** The schema of a configuration, before what depends on several keys is checked and filled in. */
export const configurationSchema = z.strictObject({
  cluster: name("the cluster's name; all nodes have the same"),
  addresses: note(z.array(address('an address that all nodes share')).min(1).max(ADDRESSES_MAX), {
    expected: `a list of 1 to ${ADDRESSES_MAX} addresses`,
    text: 'the cluster addresses; all nodes have the same, in the same order',
    derived: 'those of `interfaces`',
  }).optional(),
  node: name('which of the nodes this one is', 'the host name').optional(),
  nodes: note(z.array(node).min(1).max(NODES_MAX), {
    expected: `a list of 1 to ${NODES_MAX} nodes`,
    text: 'all nodes of the cluster; their order does not matter',
    derived: 'this node alone',
  }).optional(),
  interface: device(
    'the interface on which the packets arrive; `run` needs it, `replay` does not',
  ).optional(),
  interfaces: note(z.array(network).min(1).max(NETWORKS_MAX), {
    expected: `a list of 1 to ${NETWORKS_MAX} networks`,
    text: 'with role gateway, instead of `interface`, `addresses` and `linkAddress`: the networks between which it stands',
    derived: 'the one of `interface`',
  }).optional(),
  topology: oneOf(
    ['filter', 'dispatcher'],
    'filter: every node decides for itself which packets are its own; dispatcher: separate elements receive everything and forward it to the nodes',
  ).default('filter'),
  dispatcher: dispatcherSchema.optional(),
  health: health.prefault({}),
  role: oneOf(
    ['server', 'gateway'],
    'server: the nodes are the servers that hold the cluster addresses; gateway: they forward what is sent to ' +
      "the cluster's MAC address, in both directions",
  ).default('server'),
  link: oneOf(
    ['multicast', 'unicast', 'none'],
    'how every node gets every packet: a multicast MAC address, a shared unicast one, or by other means (routed or mirrored)',
    'multicast; with topology dispatcher unicast',
  ).optional(),
  linkAddress: linkAddress(
    "the cluster's MAC address",
    'multicast: 01:00:5e and the low 23 bits of the first IPv4 cluster address, or of a digest when there is ' +
      'none; unicast: 02 and five bytes of SHA-256 of the cluster name and the first address; none: none',
  ).optional(),
  deliver: z
    .strictObject({
      device: device('the TUN device that is made for delivery').default('flowsieve0'),
      source: oneOf(
        ['node', 'any'],
        'what the kernel may choose as the source of connections that the node opens by itself: node: never a cluster address, ' +
          'unless the program binds to one; any: a cluster address like any other',
      ).default('node'),
    })
    .prefault({}),
  distribution: distribution.prefault({}),
  rules: note(z.array(rule).max(RULES_MAX), {
    expected: `a list of at most ${RULES_MAX} rules`,
    text:
      'exceptions for ports, protocols and addresses, in order: the first rule that matches an opening packet decides what becomes of it; ' +
      'all nodes must have the same',
  }).default([]),
  quic: quic.optional(),
  tracking: oneOf(
    ['observe', 'own', 'os'],
    "observe: own and others tables; own: the own table alone, so that memory does not grow with the cluster; os: the same, compared with the operating system's open connections",
  ).default('observe'),
  os: os.prefault({}),
  monitoring: flag(
    'status is followed; without it only one timeout per protocol applies, the one of `established`',
  ).default(true),
  tables: tables.prefault({}),
  timeouts: z
    .strictObject({
      tcp: timeouts('TCP connection', 30, 7440, 20, true),
      udp: timeouts('UDP flow', 30, 120, 20, false),
      icmp: timeouts('ICMP query', 30, 30, 20, false),
      sctp: timeouts('SCTP association', 30, 7440, 20, true),
      other: timeouts('connection of another protocol', 30, 600, 20, false),
    })
    .prefault({}),
  fragments: fragments.prefault({}),
  workers: integer(1, 64, 'worker threads, each with its own ring and tables').default(1),
  gatherMicroseconds: integer(
    0,
    1000,
    'the most that a packet may wait, where many connections send at once, so that one wake-up of a worker serves several; 0: none waits',
  ).default(500),
  bypass: flag(
    'programs in the kernel (BPF) discard packets of busy connections of other nodes (TCP, UDP) and deliver those of own ones, which then wake no worker; takes root, or CAP_BPF and CAP_NET_ADMIN, and Linux 6.6 (5.11: discards alone)',
  ).default(false),
  secret: z
    .strictObject({
      file: path(
        "with `secret`: a file with the cluster's secret, at least 16 bytes, relative to the configuration's folder; spaces and line " +
          'ends at its end do not count',
      ),
      also: path(
        'a file with a second secret that is accepted from other nodes while the secret is changed; this node signs with the first',
        'none',
      ).optional(),
    })
    .optional(),
  sync: sync.prefault({}),
  quorum: oneOf(
    ['majority', 'paths'],
    'who may change the allocation: more than half of the nodes; or, for two nodes, whoever hears the other on no path',
  ).default('majority'),
  drain: drain.prefault({}),
  rebalance: rebalance.prefault({}),
  helpers: helpers.prefault({}),
  admin: admin.prefault({}),
});

/** What the schema makes of a valid configuration. */
export type ParsedConfiguration = z.output<typeof configurationSchema>;
/** What a configuration may look like when it is written in TypeScript. */
export type ConfigurationInput = z.input<typeof configurationSchema>;
