import { FlowsieveError } from '../../lib/errors/index.js';
import type {
  Administered,
  AuditView,
  ClusterAdministered,
  ClusterEvent,
  ClusterStatus,
  ConnectionsQuery,
  ConnectionView,
  CounterVocabulary,
  DrainRequest,
  DrainStatus,
  ExpectationRequest,
  ExpectationView,
  ReconcileRequest,
  ReconcileSummary,
  ReconcileView,
  Status,
} from '../../lib/node/types.js';

const TABLES = { own: 3, others: 4, capacity: 1000, opening: 1, established: 5, closing: 1 };

export const VOCABULARY: CounterVocabulary = {
  counters: [
    { name: 'packets', text: 'frames received' },
    { name: 'deliveredBytes', text: 'IP bytes delivered' },
    { name: 'class1', text: 'opening, bucket is mine: delivered' },
  ],
  drops: [
    { name: 'none', text: 'not dropped' },
    { name: 'ringFull', text: 'the kernel found no room in the ring' },
    { name: 'frameShort', text: 'the frame ends inside its link header' },
  ],
};

export const STATUS: Status = {
  cluster: 'web',
  node: 'node-1',
  state: 'member',
  epoch: 7,
  coordinator: null,
  members: [
    { name: 'node-1', state: 'member', weight: 1, buckets: 128, lastSeen: null },
    { name: 'node "2"\\', state: 'dead', weight: 0.5, buckets: 128, lastSeen: 12.5 },
  ],
  tables: TABLES,
  classes: { '1': 10, '2': 20, '3': 30, '4': 40, '5': 50, '6': 60 },
  drops: { ringFull: 2 },
  handover: { completed: 1, rolledBack: 0, held: 3, heldDropped: 0 },
  uptime: 12.25,
  version: '0.1.0',
  pid: 17,
  interface: 'eth0',
  addresses: ['192.0.2.100'],
  counters: { packets: 1000, deliveredBytes: 9007199254740991, class1: 10 },
  workers: [],
  memory: { residentBytes: 1, heapBytes: 2, nativeBytes: 3 },
  host: {
    changes: [],
    guard: {
      installed: true,
      dropped: {
        ipv4: { packets: 5, bytes: 300 },
        ipv6: { packets: 0, bytes: 0 },
        stacked: { packets: 0, bytes: 0 },
        link: { packets: 0, bytes: 0 },
        resolution4: { packets: 0, bytes: 0 },
        resolution6: { packets: 0, bytes: 0 },
      },
    },
  },
  alarms: [{ name: 'tableFull', message: 'The table is full.', since: 3 }],
  allocation: { epoch: 7, buckets: 256, own: 128 },
  rules: [],
};

function connectionOf(port: number): ConnectionView {
  return {
    protocol: 'tcp',
    protocolNumber: 6,
    client: { address: '10.0.0.1', port },
    server: { address: '192.0.2.100', port: 80 },
    opened: 'opening',
    status: 'ESTABLISHED',
    closedBy: null,
    bucket: 3,
    owner: 'node-1',
    own: true,
    epoch: 7,
    firstSeen: 1.5,
    lastSeen: 2.5,
  };
}

/** A node with 2500 connections; `queries` is what it was asked. */
export class FakeNode implements Administered {
  readonly vocabulary = VOCABULARY;
  readonly queries: ConnectionsQuery[] = [];
  failure: Error | undefined;

  async status(): Promise<Status> {
    if (this.failure !== undefined) throw this.failure;
    return STATUS;
  }

  async connections(query: ConnectionsQuery) {
    this.queries.push(query);
    const begin = Number(query.cursor ?? 0);
    if (!Number.isInteger(begin)) {
      throw new FlowsieveError('FLOWSIEVE_ARGUMENT', 'Expected a cursor of this node.');
    }
    const end = Math.min(begin + query.limit, 2500);
    const connections = Array.from({ length: end - begin }, (_, i) => connectionOf(begin + i));
    return { connections, cursor: end < 2500 ? String(end) : null };
  }

  allocation() {
    const shares = [{ name: 'node-1', weight: 1, buckets: 2 }];
    return { epoch: 7, buckets: 2, names: ['node-1'], owners: [0, 0], shares, rules: [] };
  }
}

const DRAIN: DrainStatus = {
  since: 1000,
  deadline: 1300,
  then: 'leave',
  connections: 5,
  oldest: 90.5,
  estimate: null,
  buckets: [
    { bucket: 3, connections: 4 },
    { bucket: 9, connections: 1 },
  ],
};

export const RECONCILED: ReconcileSummary = {
  at: 1000,
  took: 0.25,
  dryRun: false,
  checked: 40,
  dropped: 1,
  closed: 0,
  restored: 1,
  unmatched: 0,
  noRoom: 0,
  left: 0,
  sockets: 44,
  tracked: 3,
  malformed: 0,
  conntrack: true,
};

/** A node that speaks with others; it drains, resumes and weighs as the contract says. */
export class FakeMember extends FakeNode implements ClusterAdministered {
  draining: DrainStatus | null = null;
  left = false;
  readonly drains: DrainRequest[] = [];
  readonly weights = new Map([
    ['node-1', 1],
    ['node-2', 0.5],
  ]);
  /** What the drain still waits for at each look; then the node has left. */
  remaining: number[] = [];

  override async status(): Promise<ClusterStatus> {
    if (this.draining) {
      const connections = this.remaining.shift();
      this.left = connections === undefined;
      this.draining = this.left ? null : { ...this.draining, connections: connections ?? 0 };
    }
    const idle = this.left ? 'left' : 'member';
    return {
      ...STATUS,
      state: this.draining ? 'draining' : idle,
      coordinator: 'node-2',
      members: [...this.weights].map(([name, weight]) => ({
        name,
        state: 'member' as const,
        weight,
        buckets: 128,
        lastSeen: Date.now() / 1000 - 0.05,
      })),
      drain: this.draining,
      peers: [
        { name: 'node-2', connected: true, paths: { sync: Date.now() / 1000, wire: null } },
        { name: 'node-3', connected: false, paths: { sync: null, wire: null } },
      ],
      audit: { counting: 1, incomplete: 0, unlike: 0, exact: 4, differs: 0 },
      os: RECONCILED,
      expectations: {
        own: this.expected.length,
        others: 2,
        registered: 9,
        refused: 1,
        ended: { withdrawn: 1, expired: 2, matched: 3, failed: 0, life: 0 },
      },
      ftp: null,
    };
  }

  async drain(request: DrainRequest = {}): Promise<void> {
    if (this.draining) throw new FlowsieveError('FLOWSIEVE_STATE', 'Expected no drain yet.');
    this.drains.push(request);
    this.draining = DRAIN;
  }

  async resume(): Promise<void> {
    if (!this.draining && !this.left) {
      throw new FlowsieveError('FLOWSIEVE_STATE', 'Expected a node that drains.');
    }
    this.draining = null;
    this.left = false;
  }

  async weight(node: string, weight: number): Promise<void> {
    if (!this.weights.has(node)) {
      const message = `Expected a member of the cluster but received ${node}.`;
      throw new FlowsieveError('FLOWSIEVE_STATE', message);
    }
    this.weights.set(node, weight);
  }

  readonly reconciled: ReconcileRequest[] = [];

  async reconcile(request: ReconcileRequest = {}): Promise<ReconcileView> {
    this.reconciled.push(request);
    const ends = (port: number) => ({
      protocol: 'tcp',
      protocolNumber: 6,
      client: { address: '10.0.0.1', port },
      server: { address: '192.0.2.100', port: 80 },
    });
    return {
      ...RECONCILED,
      dryRun: request.dryRun === true,
      connections: [
        { outcome: 'dropped' as const, ...ends(40_000) },
        { outcome: 'restored' as const, ...ends(40_001) },
      ].slice(0, request.limit),
    };
  }

  audited: AuditView = {
    epochs: [
      {
        epoch: 6,
        verdict: 'exact',
        seen: 30,
        taken: 30,
        nodes: [
          { name: 'node-1', seen: 30, taken: 10 },
          { name: 'node-2', seen: 30, taken: 20 },
        ],
      },
    ],
    silent: ['node-3'],
  };

  audit(): AuditView {
    return this.audited;
  }

  expected: ExpectationView[] = [];

  async expect(request: ExpectationRequest): Promise<ExpectationView> {
    if (this.expected.length > 0) {
      throw new FlowsieveError('FLOWSIEVE_FULL', 'Expected at most one expectation here.');
    }
    const end = (asked: ExpectationRequest['client']) => ({
      address: asked?.address ?? null,
      port: asked?.port ?? null,
    });
    const made: ExpectationView = {
      type: 'expectation',
      id: 1_700_000_000_123_001,
      owner: 'node-1',
      own: true,
      protocol: String(request.protocol),
      protocolNumber: 6,
      client: end(request.client),
      server: end(request.server),
      once: request.once ?? false,
      state: 'active',
      expires: Date.now() / 1000 + (request.lifetime ?? 60),
      matched: 0,
    };
    this.expected.push(made);
    return made;
  }

  async unexpect(id: number): Promise<void> {
    const known = this.expected.some((each) => each.id === id);
    if (!known) throw new FlowsieveError('FLOWSIEVE_STATE', 'Expected an expectation.');
    this.expected = this.expected.filter((each) => each.id !== id);
  }

  async expectations(): Promise<readonly ExpectationView[]> {
    return this.expected;
  }

  events(): readonly ClusterEvent[] {
    return [{ at: 12.5, event: 'handover', epoch: 7, kind: 'takeover', outcome: 'completed' }];
  }
}
