import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminServer } from '../../lib/admin/index.js';
import { FakeMember } from './admin.support.js';

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));

describe('the commands for a running cluster', function () {
  this.timeout(120_000);
  let folder = '';
  let file = '';
  let node: FakeMember;
  let server: AdminServer;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-cli-'));
    file = join(folder, 'web.json');
    const socket = join(folder, 'web.sock');
    writeFileSync(
      file,
      JSON.stringify({
        cluster: 'web',
        addresses: ['192.0.2.100'],
        node: 'node-1',
        admin: { socket },
      }),
    );
    node = new FakeMember();
    server = await AdminServer.start({ socket, http: null }, node);
  });

  afterEach(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  /** Runs a command beside the node, which lives in this process. */
  function flowsieve(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [main, ...args]);
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk) => {
        out += String(chunk);
      });
      child.stderr.on('data', (chunk) => {
        err += String(chunk);
      });
      child.once('error', reject);
      child.once('close', (status) => resolve({ status: status ?? -1, out, err }));
    });
  }

  const json = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  describe('status', () => {
    it('shows members with their state and when they were seen, coordinator, handovers, audit', async () => {
      const { status, out, err } = await flowsieve('status', '-c', file);
      assert.deepEqual([status, err], [0, '']);
      assert.match(out, /^node-1 of web: member for 12 s, epoch 7/);
      assert.match(out, /^member +state +weight +buckets +last seen$/m);
      assert.match(out, /^node-1 +member +1 +128 +this node$/m);
      assert.match(
        out,
        /^node-2 +member +0\.5 +128 +0 s ago +coordinator, not heard on the capture interface$/m,
      );
      assert.match(
        out,
        /^handovers +1 completed, 0 rolled back; 3 packets held, 0 of them dropped$/m,
      );
      assert.match(out, /^audit +epochs: 1 counting, 4 exact$/m);
      assert.match(out, /^ALARM +tableFull: The table is full\.$/m);
      assert.doesNotMatch(out, /draining/);
    });

    it('shows how far a drain is', async () => {
      await node.drain();
      node.remaining = [5];
      const { out } = await flowsieve('status', '-c', file);
      assert.match(
        out,
        /^draining +since .*: 5 open connections in 2 buckets, the oldest for 1 min 30 s, no estimate, leaves in 0 s$/m,
      );
    });

    it('says everything as JSON', async () => {
      const [status] = json((await flowsieve('status', '-c', file, '--json')).out);
      assert.equal(status?.['coordinator'], 'node-2');
      assert.equal(status?.['drain'], null);
      assert.equal((status as { peers?: unknown[] }).peers?.length, 2);
    });
  });

  describe('reconcile', () => {
    it('says what was compared, and names the connections that changed', async () => {
      const { status, out, err } = await flowsieve('reconcile', '-c', file);
      assert.deepEqual([status, err], [0, '']);
      assert.deepEqual(node.reconciled, [{ limit: 100 }]);
      const lines = out.trimEnd().split('\n');
      assert.equal(
        lines[0],
        '40 own connections compared with 44 sockets and 3 translated connections: ' +
          '1 dropped, 0 closed but kept, 1 restored, 0 unmatched',
      );
      assert.match(lines[2] ?? '', /^was +protocol +client +server$/);
      assert.match(lines[3] ?? '', /^dropped +tcp +10\.0\.0\.1:40000 +192\.0\.2\.100:80$/);
      assert.match(lines[4] ?? '', /^restored +tcp +10\.0\.0\.1:40001 +192\.0\.2\.100:80$/);
    });

    it('with --dry-run says what would be', async () => {
      const { out } = await flowsieve('reconcile', '-c', file, '--dry-run', '--limit', '1');
      assert.deepEqual(node.reconciled, [{ dryRun: true, limit: 1 }]);
      assert.match(out, / \(dry run: nothing was changed\)$/m);
      assert.match(out, /^would be +protocol/m);
      assert.doesNotMatch(out, /40001/);
    });

    it('says everything as JSON, and with the status how the last round went', async () => {
      const [view] = json((await flowsieve('reconcile', '-c', file, '--json')).out);
      assert.equal(view?.['checked'], 40);
      assert.equal((view as { connections?: unknown[] }).connections?.length, 2);
      const { out } = await flowsieve('status', '-c', file);
      assert.match(out, /^open +.* ago: 40 own connections compared/m);
    });

    it('refuses a limit that is none', async () => {
      assert.equal((await flowsieve('reconcile', '-c', file, '--limit', '-1')).status, 2);
    });
  });

  describe('drain', () => {
    it('begins and ends at once without --wait', async () => {
      const { status, out } = await flowsieve('drain', '-c', file, '--deadline', '60');
      assert.equal(status, 0);
      assert.match(out, /^The node drains/);
      assert.deepEqual(node.drains, [{ deadline: 60, wait: false }]);
    });

    it('with --wait shows how it goes until the node has left', async () => {
      node.remaining = [5, 2];
      const { status, out } = await flowsieve('drain', '-c', file, '--wait');
      assert.equal(status, 0);
      const lines = out.trimEnd().split('\n');
      assert.equal(lines.length, 3);
      assert.match(lines[0] ?? '', / 5 open connections/);
      assert.match(lines[1] ?? '', / 2 open connections/);
      assert.equal(lines[2], 'The node has left.');
    });

    it('with --wait --json says it a line each', async () => {
      node.remaining = [5];
      const lines = json((await flowsieve('drain', '-c', file, '--wait', '--json')).out);
      assert.deepEqual(
        lines.map(({ state }) => state),
        ['draining', 'left'],
      );
    });

    it('with --wait ends with 1 when somebody resumes the node', async () => {
      node.remaining = [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
      const waiting = flowsieve('drain', '-c', file, '--wait');
      while (node.remaining.length > 19) await new Promise((resolve) => setTimeout(resolve, 20));
      await node.resume();
      const { status, err } = await waiting;
      assert.equal(status, 1);
      assert.match(
        err,
        /^Expected the node to drain until it leaves but received the state member/,
      );
    });

    it('ends with 1 and one sentence when the node drains already', async () => {
      await node.drain();
      const { status, out, err } = await flowsieve('drain', '-c', file);
      assert.deepEqual([status, out, err], [1, '', 'Expected no drain yet.\n']);
    });
  });

  describe('resume', () => {
    it('ends a drain', async () => {
      await node.drain();
      const { status, out } = await flowsieve('resume', '-c', file);
      assert.deepEqual([status, out], [0, 'The node takes part again.\n']);
      assert.equal(node.draining, null);
    });

    it('ends with 1 and one sentence when there is nothing to end', async () => {
      const { status, err } = await flowsieve('resume', '-c', file);
      assert.deepEqual([status, err], [1, 'Expected a node that drains.\n']);
    });
  });

  describe('weight', () => {
    it("changes a member's", async () => {
      const { status } = await flowsieve('weight', 'node-2', '2.5', '-c', file);
      assert.equal(status, 0);
      assert.equal(node.weights.get('node-2'), 2.5);
    });

    it('ends with 1 and one sentence for a node that is none', async () => {
      const { status, err } = await flowsieve('weight', 'node-9', '1', '-c', file);
      assert.equal(status, 1);
      assert.equal(err, 'Expected a member of the cluster but received node-9.\n');
    });

    for (const weight of ['0.0001', '65536', 'heavy', '', 'Infinity']) {
      it(`ends with 2 for the weight "${weight}"`, async () => {
        const { status, err } = await flowsieve('weight', 'node-2', weight, '-c', file);
        assert.equal(status, 2);
        assert.match(err, /Expected 0 or a number from 0\.001 to 65535\./);
        assert.equal(node.weights.get('node-2'), 0.5);
      });
    }
  });

  describe('expect', () => {
    const words = ['expect', '--protocol', 'udp', '--client', '198.51.100.0/24:5004'];

    it('prints the id; connections --expected shows it; unexpect ends it', async () => {
      const server = ['--server', '[2001:db8::100]:80', '--once'];
      const { status, out } = await flowsieve(...words, ...server, '-c', file);
      assert.deepEqual([status, out], [0, '1700000000123001\n']);
      const shown = await flowsieve('connections', '--expected', '--json', '-c', file);
      const [line] = json(shown.out);
      assert.equal(line?.['type'], 'expectation');
      assert.deepEqual(line?.['client'], { address: '198.51.100.0/24', port: 5004 });
      assert.deepEqual(line?.['server'], { address: '2001:db8::100', port: 80 });
      const table = await flowsieve('connections', '--expected', '-c', file);
      assert.match(
        table.out,
        /^1700000000123001 +udp +198\.51\.100\.0\/24 5004 +2001:db8::100 80 /m,
      );
      assert.equal((await flowsieve('unexpect', '1700000000123001', '-c', file)).status, 0);
      assert.deepEqual(node.expected, []);
    });

    it('ends with 1 and one sentence when there is no room, and with 2 for what is no end', async () => {
      await flowsieve(...words, '-c', file);
      const full = await flowsieve(...words, '-c', file);
      assert.deepEqual([full.status, full.err], [1, 'Expected at most one expectation here.\n']);
      const wrong = await flowsieve('expect', '--protocol', 'tcp', '--server', 'x', '-c', file);
      assert.equal(wrong.status, 2);
      assert.match(wrong.err, /^Expected an address, a port \(:80\), or both for --server/);
    });
  });

  describe('audit', () => {
    it('shows each epoch and who took what', async () => {
      const { status, out } = await flowsieve('audit', '-c', file);
      assert.equal(status, 0);
      assert.match(out, /^epoch +verdict +seen +taken +by$/m);
      assert.match(out, /^ *6 +exact +30 +30 +node-1 10, node-2 20$/m);
      assert.match(out, /^nothing heard from node-3$/m);
      assert.deepEqual(json((await flowsieve('audit', '-c', file, '--json')).out), [node.audit()]);
    });

    it('ends with 1 when packets were not taken exactly once', async () => {
      const epoch = { epoch: 8, verdict: 'differs', seen: 9, taken: 8, nodes: [] } as const;
      node.audited = { epochs: [...node.audited.epochs, epoch], silent: [] };
      assert.equal((await flowsieve('audit', '-c', file)).status, 1);
      assert.equal((await flowsieve('audit', '-c', file, '--json')).status, 1);
    });
  });
});

describe('simulate', function () {
  this.timeout(120_000);

  function simulate(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [main, 'simulate', ...args]);
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk) => {
        out += String(chunk);
      });
      child.stderr.on('data', (chunk) => {
        err += String(chunk);
      });
      child.once('close', (status) => resolve({ status: status ?? -1, out, err }));
    });
  }

  it('simulates one seed after the other and says what came of each', async () => {
    const { status, out, err } = await simulate(
      '--seed',
      '7',
      '--seeds',
      '2',
      '--nodes',
      '3',
      '--seconds',
      '2',
      '--json',
    );
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seed: number; ok: boolean; nodes: number });
    assert.deepEqual(
      lines.map(({ seed, nodes }) => [seed, nodes]),
      [
        [7, 3],
        [8, 3],
      ],
    );
    assert.equal(status, lines.every(({ ok }) => ok) ? 0 : 1);
    assert.equal(err, '');
  });

  it('says the same of the same seed, and traces beside its output', async () => {
    const args = ['--seed', '3', '--seconds', '1'];
    const plain = await simulate(...args);
    const traced = await simulate(...args, '--trace');
    assert.match(plain.out, /^seed 3: (ok|WRONG), \d nodes, /);
    assert.equal(traced.out, plain.out);
    assert.equal(plain.err, '');
    assert.ok(traced.err.split('\n').length > 10);
  });

  it('ends with 2 for a seed that is none', async () => {
    assert.equal((await simulate('--seed', 'x')).status, 2);
    assert.equal((await simulate('--nodes', '1')).status, 2);
  });
});
