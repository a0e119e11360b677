import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  AdminClient,
  AdminServer,
  metricWord,
  parseEndpoint,
  renderMetrics,
} from '../../lib/admin/index.js';
import { formatConnectionsQuery, parseConnectionsQuery } from '../../lib/admin/query.js';
import { FlowsieveError } from '../../lib/errors/index.js';
import { FakeNode, STATUS, VOCABULARY } from './admin.support.js';

interface Answer {
  status: number;
  type: string;
  text: string;
  allow: string | undefined;
}

function coded(code: string, sentence: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof FlowsieveError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, sentence);
    return true;
  };
}

describe('administration', () => {
  let folder: string;
  let socket: string;
  let node: FakeNode;
  let client: AdminClient;
  const running: AdminServer[] = [];

  async function start(http: { host: string; port: number } | null = null): Promise<AdminServer> {
    const server = await AdminServer.start({ socket, http }, node);
    running.push(server);
    return server;
  }

  /** One bare request, by socket or by port. */
  function ask(
    path: string,
    where: object = { socketPath: socket },
    method = 'GET',
    body?: string,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = httpRequest({ ...where, path, method, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          text += part;
        });
        answer.on('end', () => {
          const { statusCode: status = 0, headers } = answer;
          resolve({ status, text, type: headers['content-type'] ?? '', allow: headers.allow });
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flowsieve-admin-'));
    socket = join(folder, 'run', 'web.sock');
    node = new FakeNode();
    client = new AdminClient({ cluster: 'web', socket });
  });

  afterEach(async () => {
    for (const server of running.splice(0)) await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  describe('over the socket', () => {
    it('answers status and allocation as the node gives them', async () => {
      await start();
      assert.deepEqual(await client.status(), STATUS);
      assert.deepEqual(await client.allocation(), node.allocation());
    });

    it('hands the filters of connections to the node, read and in canonical spelling', async () => {
      await start();
      await client.connections();
      await client.connections({
        limit: 10,
        cursor: '20',
        protocol: 'tcp',
        owner: 'node-1',
        status: 'CLOSING',
        client: { address: '2001:DB8:0::1', port: 4000 },
        server: { port: 80 },
      });
      await ask('/connections?protocol=47&status=opening&client=10.0.0.1');
      assert.deepEqual(node.queries, [
        { limit: 100 },
        {
          limit: 10,
          cursor: '20',
          protocol: 'tcp',
          owner: 'node-1',
          status: 'CLOSING',
          client: { address: '2001:db8::1', port: 4000 },
          server: { port: 80 },
        },
        { limit: 100, protocol: 47, status: 'OPENING', client: { address: '10.0.0.1' } },
      ]);
    });

    it('walks all connections page by page, each exactly once', async () => {
      await start();
      const ports: number[] = [];
      for await (const each of client.everyConnection()) ports.push(each.client.port);
      assert.deepEqual(
        ports,
        Array.from({ length: 2500 }, (_, i) => i),
      );
      assert.deepEqual(
        node.queries.map((query) => [query.limit, query.cursor]),
        [
          [1000, undefined],
          [1000, '1000'],
          [1000, '2000'],
        ],
      );
    });

    it('gives the metrics to the client too', async () => {
      await start();
      assert.match(await client.metrics(), /^flowsieve_packets_total 1000$/m);
    });

    for (const [path, expected, received] of [
      ['limit=0', 'an integer from 1 to 1000', 'limit but received "0"'],
      ['limit=1001', 'an integer from 1 to 1000', 'limit but received "1001"'],
      ['limit=1e2', 'an integer from 1 to 1000', 'limit but received "1e2"'],
      ['limit=1&limit=2', 'an integer from 1 to 1000', 'limit but received the list'],
      ['protocol=ftp', 'one of tcp, udp, sctp, icmp, icmp6, other or a number', '"ftp"'],
      ['protocol=256', 'or a number from 0 to 255', '"256"'],
      ['status=open', 'one of OPENING, ESTABLISHED, CLOSING', '"open"'],
      ['client=example.org', 'an address, a port', 'client but received "example.org"'],
      ['server=192.0.2.1:70000', 'an address, a port', 'server but received'],
      ['cursor=..%2F', 'the cursor of the page before', 'cursor but received'],
      ['owner=', "a node's name", 'owner but received'],
      ['colour=red', 'one of limit, cursor, protocol', 'received "colour"'],
      ['cursor=abc', 'a cursor of this node', ''],
    ] as const) {
      it(`refuses connections?${path} with what was expected`, async () => {
        await start();
        const { status, text } = await ask(`/connections?${path}`);
        const body = JSON.parse(text) as { code: string; message: string };
        assert.equal(status, 400);
        assert.equal(body.code, 'FLOWSIEVE_ARGUMENT');
        assert.ok(body.message.includes(expected), body.message);
        assert.ok(body.message.includes(received), body.message);
      });
    }

    it('refuses parameters where there are none, unknown paths, and other methods', async () => {
      await start();
      const answers = [
        await ask('/status?limit=1'),
        await ask('/nothing?x=1'),
        await ask('/status', { socketPath: socket }, 'POST', '{}'),
        await ask('/connections', { socketPath: socket }, 'DELETE'),
      ];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [400, 404, 405, 405],
      );
      assert.equal(answers[2]?.allow, 'GET, HEAD');
      const messages = answers.map(({ text }) => (JSON.parse(text) as { message: string }).message);
      assert.match(
        messages[0] ?? '',
        /^Expected no parameters for \/status but received "limit"\.$/,
      );
      assert.match(messages[1] ?? '', /^Expected GET \/status, .* but received GET \/nothing\.$/);
      assert.match(messages[2] ?? '', /^Expected GET \/status but received POST \/status\.$/);
    });

    it('refuses a request line and headers beyond their bounds, and goes on answering', async () => {
      await start();
      assert.equal((await ask(`/connections?cursor=${'1'.repeat(20_000)}`)).status, 431);
      assert.equal((await ask(`/connections?cursor=${'1'.repeat(101)}`)).status, 400);
      const refused = await ask(
        '/status',
        { socketPath: socket },
        'POST',
        'x'.repeat(1_000_000),
      ).catch((error: NodeJS.ErrnoException) => error.code);
      assert.ok(typeof refused === 'string' || (refused !== undefined && refused.status >= 400));
      assert.equal((await ask('/status')).status, 200);
    });

    it('answers garbage with 400 and goes on answering', async () => {
      await start();
      const raw = connect(socket);
      raw.end('\x16\x03\x01 this is not HTTP\r\n\r\n');
      let text = '';
      raw.on('data', (part) => {
        text += part.toString();
      });
      await once(raw, 'close');
      assert.match(text, /^HTTP\/1\.1 400 /);
      assert.equal((await ask('/status')).status, 200);
      assert.equal((await ask('/%zz')).status, 400);
    });

    it('tells a failure of the node by its code, and an unexpected one as internal, without a stack', async () => {
      await start();
      node.failure = new FlowsieveError('FLOWSIEVE_STATE', 'Expected a running engine.');
      await assert.rejects(
        client.status(),
        coded('FLOWSIEVE_STATE', /^Expected a running engine\.$/),
      );
      assert.equal((await ask('/status')).status, 409);
      node.failure = new TypeError('x is not a function');
      const { status, text } = await ask('/status');
      assert.equal(status, 500);
      assert.deepEqual(JSON.parse(text), {
        code: 'FLOWSIEVE_INTERNAL',
        message: 'x is not a function',
      });
    });
  });

  describe('the socket itself', () => {
    it('is made with its folder, is for this user alone, and is gone after close', async () => {
      const mask = process.umask(0);
      try {
        const server = await start();
        assert.equal((await stat(socket)).mode & 0o777, 0o600);
        assert.equal(process.umask(), 0, 'the mask is as it was');
        await server.close();
        assert.deepEqual(await readdir(join(folder, 'run')), []);
        await server.close();
      } finally {
        process.umask(mask);
      }
    });

    it('replaces the socket that a killed process left', async () => {
      await (await start()).close();
      const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => console.log('listening'))`;
      const child = spawn(process.execPath, ['-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      child.kill('SIGKILL');
      await once(child, 'exit');
      assert.ok((await stat(socket)).isSocket());
      await start();
      assert.equal((await client.status()).node, 'node-1');
    });

    it('leaves a socket that is answered to whoever answers', async () => {
      await start();
      await assert.rejects(
        AdminServer.start({ socket, http: null }, node),
        coded(
          'FLOWSIEVE_STATE',
          /^Expected no running flowsieve at .*web\.sock but found one that answers\.$/,
        ),
      );
      assert.equal((await client.status()).node, 'node-1');
    });

    it('leaves a file that is not a socket alone', async () => {
      socket = join(folder, 'precious');
      await writeFile(socket, 'data');
      await assert.rejects(start(), coded('FLOWSIEVE_STATE', /something else; it is left alone/));
    });

    it('refuses a path that the kernel would cut off', async () => {
      socket = join(folder, 'x'.repeat(100));
      await assert.rejects(
        start(),
        coded('FLOWSIEVE_ARGUMENT', /at most 107 bytes for admin\.socket/),
      );
    });

    it('says so when the folder cannot be made', async () => {
      await writeFile(join(folder, 'file'), '');
      socket = join(folder, 'file', 'web.sock');
      await assert.rejects(
        start(),
        coded('FLOWSIEVE_SYSTEM', /place for the admin socket at .* received E(EXIST|NOTDIR)/),
      );
    });

    it('closes at once although a client keeps its connection open', async () => {
      const server = await start();
      const idle = connect(socket);
      await once(idle, 'connect');
      const begin = performance.now();
      await Promise.all([server.close(), once(idle, 'close')]);
      assert.ok(performance.now() - begin < 2000);
    });
  });

  describe('over HTTP', () => {
    it('answers metrics and status, and nothing that names clients', async () => {
      const server = await start({ host: '127.0.0.1', port: 0 });
      const where = { host: '127.0.0.1', port: server.httpPort };
      const metrics = await ask('/metrics', where);
      assert.equal(metrics.status, 200);
      assert.match(metrics.type, /^text\/plain; version=0\.0\.4/);
      assert.deepEqual(JSON.parse((await ask('/status', where)).text), STATUS);
      assert.equal((await ask('/connections', where)).status, 404);
      assert.equal((await ask('/allocation', where)).status, 404);
      assert.equal((await ask('/status', where, 'POST')).status, 405);
    });

    it('names address and port when they are taken, and takes the socket back', async () => {
      const other: Server = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      const { port } = other.address() as AddressInfo;
      await assert.rejects(
        start({ host: '127.0.0.1', port }),
        coded(
          'FLOWSIEVE_STATE',
          new RegExp(`admin\\.http .*EADDRINUSE for 127\\.0\\.0\\.1, port ${port}`),
        ),
      );
      assert.deepEqual(await readdir(join(folder, 'run')), []);
      other.close();
    });
  });

  describe('metrics', () => {
    it('have the names and texts of the vocabulary, every sample a legal line', async () => {
      const lines = (await renderMetrics(STATUS, VOCABULARY))
        .trim()
        .split('\n')
        .filter((line) => line !== '');
      for (const line of lines) {
        assert.match(line, /^(# (HELP|TYPE) )?flowsieve_[a-z0-9_]+(\{[^}]*\})? .+$/);
      }
      for (const expected of [
        '# HELP flowsieve_delivered_bytes_total IP bytes delivered',
        '# TYPE flowsieve_delivered_bytes_total counter',
        'flowsieve_delivered_bytes_total 9007199254740991',
        'flowsieve_class_packets_total{class="6"} 60',
        'flowsieve_drops_total{reason="ringFull"} 2',
        'flowsieve_drops_total{reason="frameShort"} 0',
        'flowsieve_connections{table="others"} 4',
        'flowsieve_connections_status{status="ESTABLISHED"} 5',
        'flowsieve_member_buckets{member="node \\"2\\"\\\\"} 128',
        'flowsieve_member_state{member="node-1",state="member"} 1',
        'flowsieve_info{cluster="web",node="node-1",version="0.1.0"} 1',
        'flowsieve_guard_dropped_total{rule="ipv4"} 5',
        'flowsieve_alarms{alarm="tableFull"} 1',
        'flowsieve_uptime_seconds 12.25',
      ]) {
        assert.ok(lines.includes(expected), `${expected}\n${lines.join('\n')}`);
      }
      assert.ok(!lines.some((line) => /class1|reason="none"/.test(line)));
    });

    it('can be rendered without members, alarms or guard', async () => {
      const status = { ...STATUS, members: [], alarms: [], host: { changes: [], guard: null } };
      assert.match(await renderMetrics(status, VOCABULARY), /^flowsieve_epoch 7$/m);
    });

    it('write words with underscores', () => {
      assert.deepEqual(['ringFull', 'packets', 'nonIp'].map(metricWord), [
        'ring_full',
        'packets',
        'non_ip',
      ]);
    });
  });

  describe('the client', () => {
    it('says in one sentence that no daemon is there', async () => {
      const none = `Expected a running flowsieve for cluster web at ${socket} but found none.`;
      await assert.rejects(client.status(), (error: FlowsieveError) => {
        assert.equal(error.code, 'FLOWSIEVE_UNREACHABLE');
        assert.equal(error.exitCode, 1);
        assert.equal(error.message, none);
        return true;
      });
    });

    it('gives up on a daemon that does not answer', async () => {
      socket = join(folder, 'mute.sock');
      const mute = createServer((held) => held.resume()).listen(socket);
      await once(mute, 'listening');
      client = new AdminClient({ cluster: 'web', socket, deadlineMs: 100 });
      await assert.rejects(
        client.status(),
        coded('FLOWSIEVE_TIMEOUT', /within 0\.1 s but received none/),
      );
      mute.close();
    });

    for (const [what, reply, code] of [
      ['hangs up', '', 'FLOWSIEVE_UNREACHABLE'],
      ['sends no JSON', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno', 'FLOWSIEVE_FORMAT'],
      [
        'refuses without a reason',
        'HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\n{}',
        'FLOWSIEVE_FORMAT',
      ],
      [
        'refuses with a code of a later version',
        'HTTP/1.1 409 X\r\nconnection: close\r\n\r\n{"code":"FLOWSIEVE_NEW","message":"No."}',
        'FLOWSIEVE_REFUSED',
      ],
    ] as const) {
      it(`turns it into a coded error when the other end ${what}`, async () => {
        socket = join(folder, 'odd.sock');
        const odd = createServer((held) => held.once('data', () => held.end(reply))).listen(socket);
        await once(odd, 'listening');
        client = new AdminClient({ cluster: 'web', socket });
        await assert.rejects(client.status(), coded(code, /./));
        odd.close();
      });
    }

    it("names the permission when the socket is another user's", async () => {
      // Root passes every permission, so the question is asked by a process that is not root.
      await start();
      await chmod(folder, 0o755);
      await chmod(join(folder, 'run'), 0o755);
      const asks = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
      if (asks === undefined) await chmod(socket, 0);
      const module = new URL('../../lib/admin/index.js', import.meta.url).href;
      const script = `
        const { AdminClient } = await import(${JSON.stringify(module)});
        if (${asks !== undefined}) { process.setgid(65534); process.setuid(65534); }
        await new AdminClient({ cluster: 'web', socket: ${JSON.stringify(socket)} }).status().catch((error) => console.log(error.code, error.message));`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      assert.match(said.toString(), /^FLOWSIEVE_PRIVILEGE Expected permission to connect to /);
    });
  });

  describe('queries', () => {
    it('read ends in every spelling and refuse everything else', () => {
      assert.deepEqual(parseEndpoint('192.0.2.1'), { address: '192.0.2.1' });
      assert.deepEqual(parseEndpoint('192.0.2.1:80'), { address: '192.0.2.1', port: 80 });
      assert.deepEqual(parseEndpoint('2001:DB8::0:1'), { address: '2001:db8::1' });
      assert.deepEqual(parseEndpoint('[2001:db8::1]:80'), { address: '2001:db8::1', port: 80 });
      assert.deepEqual(parseEndpoint(':80'), { port: 80 });
      for (const wrong of [
        '',
        ':',
        '80',
        '192.0.2.1:',
        '[192.0.2.1]:80',
        '1.2.3:80',
        ':65536',
        'fe80::1%eth0',
      ]) {
        assert.equal(parseEndpoint(wrong), undefined, wrong);
      }
    });

    it('come back from the query string as they went in', () => {
      const plain = { noNullPrototype: true };
      const port = fc.integer({ min: 0, max: 65_535 });
      const end = fc.oneof(
        fc.record({ address: fc.ipV4() }, plain),
        fc.record({ address: fc.ipV4(), port }, plain),
        fc.record({ port }, plain),
        fc.record(
          { address: fc.constantFrom('2001:db8::1', '::', '::ffff:192.0.2.1'), port },
          plain,
        ),
      );
      const query = fc.record(
        {
          limit: fc.integer({ min: 1, max: 1000 }),
          cursor: fc.stringMatching(/^[\w:.-]{1,100}$/),
          protocol: fc.oneof(
            fc.constantFrom('tcp', 'icmp6', 'other'),
            fc.integer({ min: 0, max: 255 }),
          ),
          owner: fc.string({ minLength: 1, maxLength: 63 }),
          status: fc.constantFrom('OPENING' as const, 'ESTABLISHED' as const, 'CLOSING' as const),
          client: end,
          server: end,
        },
        { requiredKeys: ['limit'], ...plain },
      );
      fc.assert(
        fc.property(query, (wanted) => {
          const read = Object.fromEntries(new URLSearchParams(formatConnectionsQuery(wanted)));
          assert.deepEqual(parseConnectionsQuery(read), wanted);
        }),
      );
    });
  });
});
