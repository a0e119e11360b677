import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdminClient, AdminServer, renderMetrics } from '../../lib/admin/index.js';
import { FlowsieveError } from '../../lib/errors/index.js';
import type { Administered } from '../../lib/node/types.js';
import { FakeMember, FakeNode, VOCABULARY } from './admin.support.js';

interface Answer {
  status: number;
  allow: string | undefined;
  message: string;
  code: string;
}

describe('administration of a node that speaks with others', () => {
  let folder: string;
  let socket: string;
  let node: FakeMember;
  let client: AdminClient;
  let server: AdminServer;

  async function start(administered: Administered, http = false): Promise<void> {
    const open = http ? { host: '127.0.0.1', port: 0 } : null;
    server = await AdminServer.start({ socket, http: open }, administered);
  }

  function ask(
    method: string,
    path: string,
    body?: string,
    where: object = { socketPath: socket },
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const asked = httpRequest({ ...where, path, method, headers, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          text += part;
        });
        answer.on('end', () => {
          const { message = '', code = '' } = JSON.parse(text || '{}') as Partial<Answer>;
          resolve({
            status: answer.statusCode ?? 0,
            allow: answer.headers.allow,
            message,
            code,
          });
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flowsieve-admin-'));
    socket = join(folder, 'web.sock');
    node = new FakeMember();
    client = new AdminClient({ cluster: 'web', socket });
  });

  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  function refused(code: string, sentence: RegExp) {
    return (error: unknown) => {
      assert.ok(error instanceof FlowsieveError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, sentence);
      return true;
    };
  }

  it('lets it drain, at once or by a deadline of its own, and does not wait for the end', async () => {
    await start(node);
    await client.drain({ deadline: 60 });
    node.draining = null;
    await client.drain();
    assert.deepEqual(node.drains, [{ deadline: 60, wait: false }, { wait: false }]);
  });

  it('shows in the status how far a drain is', async () => {
    await start(node);
    node.remaining = [5];
    await client.drain();
    const { state, drain, coordinator } = await client.status();
    assert.deepEqual([state, coordinator, drain?.connections], ['draining', 'node-2', 5]);
    assert.deepEqual(drain?.buckets[0], { bucket: 3, connections: 4 });
    assert.equal((await client.status()).state, 'left');
  });

  it('refuses a second drain, and to resume what does not drain', async () => {
    await start(node);
    await assert.rejects(client.resume(), refused('FLOWSIEVE_STATE', /a node that drains/));
    await client.drain();
    await assert.rejects(client.drain(), refused('FLOWSIEVE_STATE', /no drain yet/));
    await client.resume();
    assert.equal(node.draining, null);
  });

  it('changes weights of members, and of nobody else', async () => {
    await start(node);
    await client.weight('node-2', 3);
    await client.weight('node-1', 0);
    assert.deepEqual([...node.weights.values()], [0, 3]);
    await assert.rejects(
      client.weight('node-9', 1),
      refused('FLOWSIEVE_STATE', /^Expected a member of the cluster but received node-9\.$/),
    );
  });

  it('expects connections, shows what is expected, and ends it', async () => {
    await start(node);
    const request = {
      protocol: 'tcp',
      client: { address: '198.51.100.0/24' },
      server: { address: '192.0.2.100', port: 50_000 },
      lifetime: 5,
      once: true,
    };
    const made = await client.expect(request);
    assert.deepEqual([made.client, made.once], [{ address: '198.51.100.0/24', port: null }, true]);
    assert.deepEqual(await client.expectations(), [made]);
    await assert.rejects(client.expect(request), refused('FLOWSIEVE_FULL', /at most one/));
    await client.unexpect(made.id);
    assert.deepEqual(await client.expectations(), []);
    await assert.rejects(client.unexpect(made.id), refused('FLOWSIEVE_STATE', /an expectation/));
    const metrics = await client.metrics();
    assert.match(metrics, /^flowsieve_expectations\{owner="others"\} 2$/m);
    assert.match(metrics, /^flowsieve_expectations_ended_total\{why="expired"\} 2$/m);
  });

  it('gives the audit and what happened lately', async () => {
    await start(node);
    assert.deepEqual(await client.audit(), node.audit());
    assert.deepEqual(await client.events(), node.events());
  });

  const wrong: [path: string, body: string, sentence: RegExp][] = [
    [
      '/weight',
      '{"node":"node-2","weight":-1}',
      /^Expected 0 or a number from 0\.001 to 65535 for weight but received -1\.$/,
    ],
    ['/expect', '{"protocol":"tcp","client":{"host":"a"}}', /for client but received/],
    ['/expect', '{"client":{}}', /^Expected a protocol for protocol but received/],
    ['/unexpect', '{"id":-1}', /^Expected the id of an expectation for id but received -1\.$/],
    ['/weight', '{"node":"node-2","weight":0.0001}', /for weight but received 0\.0001\.$/],
    ['/weight', '{"node":"node-2","weight":65536}', /for weight but received 65536\.$/],
    ['/weight', '{"node":"node-2","weight":"2"}', /for weight but received "2"\.$/],
    ['/weight', '{"node":"node-2"}', /for weight but received nothing\.$/],
    ['/weight', '{"weight":2}', /^Expected a node's name for node but received nothing\.$/],
    [
      '/weight',
      '[]',
      /^Expected a map of node, weight for the request but received an empty list\.$/,
    ],
    ['/drain', '{"deadline":-1}', /^Expected a number of seconds from 0 to 2592000 for deadline/],
    ['/drain', '{"deadline":null}', /for deadline but received nothing\.$/],
    [
      '/drain',
      '{"then":"leave"}',
      /^Expected a map of deadline, node for the request but received "then"\.$/,
    ],
    ['/resume', '{"now":true}', /^Expected a map of node for the request but received "now"\.$/],
  ];
  for (const [path, body, sentence] of wrong) {
    it(`refuses ${path} with ${body}`, async () => {
      await start(node);
      const { status, code, message } = await ask('POST', path, body);
      assert.deepEqual([status, code], [400, 'FLOWSIEVE_ARGUMENT']);
      assert.match(message, sentence);
      assert.deepEqual([node.drains, [...node.weights.values()]], [[], [1, 0.5]]);
    });
  }

  it('compares when it is told to, and says what came of it', async () => {
    await start(node);
    const view = await client.reconcile({ dryRun: true, limit: 1 });
    assert.deepEqual(node.reconciled, [{ dryRun: true, limit: 1 }]);
    assert.equal(view.dryRun, true);
    assert.deepEqual(
      view.connections.map(({ outcome }) => outcome),
      ['dropped'],
    );
    assert.equal((await ask('POST', '/reconcile')).status, 200);
    for (const [body, sentence] of [
      ['{"dryRun":"yes"}', /^Expected true or false for dryRun but received "yes"\.$/],
      ['{"limit":10001}', /^Expected an integer from 0 to 10000 for limit but received 10001\.$/],
      ['{"every":5}', /^Expected a map of dryRun, limit for the request but received "every"\.$/],
    ] as const) {
      const { status, message } = await ask('POST', '/reconcile', body);
      assert.equal(status, 400);
      assert.match(message, sentence);
    }
    assert.equal(node.reconciled.length, 2);
  });

  it('does nothing at a GET, and refuses bodies that are no JSON', async () => {
    await start(node);
    for (const path of ['/drain', '/resume', '/weight', '/reconcile']) {
      const { status, allow, message } = await ask('GET', path);
      assert.deepEqual([status, allow], [405, 'POST']);
      assert.equal(message, `Expected POST ${path} but received GET ${path}.`);
    }
    assert.equal((await ask('POST', '/drain', '{')).status, 400);
    assert.equal((await ask('POST', '/drain?deadline=1', '{}')).status, 400);
    assert.equal((await ask('POST', '/audit', '{}')).status, 405);
    assert.deepEqual(node.drains, []);
  });

  it('takes a POST without a body as one that says nothing more', async () => {
    await start(node);
    assert.equal((await ask('POST', '/drain')).status, 200);
    assert.deepEqual(node.drains, [{ wait: false }]);
  });

  it('is not open to whoever reaches the port', async () => {
    await start(node, true);
    const where = { host: '127.0.0.1', port: server.httpPort };
    for (const path of ['/drain', '/resume', '/weight', '/reconcile']) {
      assert.equal((await ask('POST', path, '{}', where)).status, 404);
    }
    for (const path of ['/audit', '/events']) {
      assert.equal((await ask('GET', path, undefined, where)).status, 404);
    }
    assert.equal((await ask('POST', '/status', '{}', where)).status, 405);
    assert.deepEqual(node.drains, []);
  });

  it('is not there for a node that speaks with nobody', async () => {
    await start(new FakeNode());
    assert.equal((await ask('POST', '/drain', '{}')).status, 404);
    assert.equal((await ask('GET', '/audit')).status, 404);
    assert.equal((await client.status()).drain, undefined);
  });

  it('has metrics of peers, drain and audit', async () => {
    await start(node);
    node.remaining = [7, 7];
    await client.drain();
    const status = await node.status();
    const lines = (await renderMetrics(status, VOCABULARY)).split('\n');
    for (const line of [
      'flowsieve_drain_connections 7',
      'flowsieve_peer_connected{peer="node-2"} 1',
      'flowsieve_peer_connected{peer="node-3"} 0',
      `flowsieve_peer_heard_timestamp_seconds{peer="node-2",path="sync"} ${status.peers[0]?.paths.sync}`,
      'flowsieve_peer_heard_timestamp_seconds{peer="node-3",path="wire"} 0',
      'flowsieve_audit_epochs{verdict="exact"} 4',
      'flowsieve_audit_epochs{verdict="differs"} 0',
    ]) {
      assert.ok(lines.includes(line), `${line}\n${lines.join('\n')}`);
    }
    assert.match(await client.metrics(), /^flowsieve_drain_connections 7$/m);
  });
});
