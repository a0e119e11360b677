// A process that has set the host up dies, at any step; the next start cleans up.
// host.support.ts draws the wire.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  children,
  everyTestOnItsOwnWire,
  killed,
  notices,
  prepare,
  preparedChild,
  refused,
  runDirectory,
  setting,
  sh,
  startedChild,
  state,
} from './host.support.js';

describe('host, after a crash', function () {
  this.timeout(30_000);
  everyTestOnItsOwnWire();

  it('cleans up after a process that was killed, and sets everything again', async () => {
    const before = await state();
    const child = await preparedChild();
    await killed(child);
    assert.equal(await setting('ipv4/conf/cap0/arp_ignore'), '1');
    const host = await prepare();
    assert.match(notices.join(), /Cleaned up after a process/);
    assert.doesNotMatch(await sh('ip addr show dev tun0'), /192\.0\.2\.100/);
    await host.addTun();
    assert.equal(host.list().find((each) => each.target.endsWith('arp_ignore'))?.previous, '0');
    assert.deepEqual(await host.undo(), []);
    assert.deepEqual(await state(), before);
  });

  it('keeps the guard up from the crash until the next start has replaced it', async () => {
    const child = await preparedChild();
    await killed(child);
    const monitor = spawn('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(monitor);
    const lines: string[] = [];
    createInterface({ input: monitor.stdout }).on('line', (line) => lines.push(line));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await prepare();
    await new Promise((resolve) => setTimeout(resolve, 300));
    // One generation: the old table goes and the new one comes in the same transaction.
    const deleted = lines.findIndex((line) => line.startsWith('delete table netdev flowsieve_web'));
    const added = lines.findLastIndex((line) => line.startsWith('add table netdev flowsieve_web'));
    const ends = lines.flatMap((line, at) => (line.startsWith('# new generation') ? [at] : []));
    assert.ok(deleted >= 0 && added > deleted, lines.join('\n'));
    assert.ok(!ends.some((at) => at > deleted && at < added), lines.join('\n'));
  });

  it('refuses to start beside a live process, and leaves its settings alone', async () => {
    const child = await preparedChild();
    const before = await state();
    await assert.rejects(
      prepare(),
      refused(
        'FLOWSIEVE_STATE',
        1,
        new RegExp(`no running flowsieve .* found process ${child.pid}`),
      ),
    );
    assert.deepEqual(await state(), before);
  });

  it('does not take a process that was given the same id for the one that died', async () => {
    const journal = join(runDirectory, 'web.journal.json');
    await (await prepare()).undo();
    const child = await preparedChild();
    await killed(child);
    const text = await readFile(journal, 'utf8');
    await writeFile(journal, text.replace(`"pid": ${child.pid}`, `"pid": ${process.pid}`));
    await prepare();
    assert.match(notices.join(), /Cleaned up/);
  });

  it('reports a damaged journal, keeps it, and replaces the guard all the same', async () => {
    const child = await preparedChild();
    await killed(child);
    const journal = join(runDirectory, 'web.journal.json');
    await writeFile(journal, (await readFile(journal, 'utf8')).slice(0, 200));
    const host = await prepare();
    assert.match(
      notices.join(),
      /Expected a readable journal .* not JSON; it is kept as .*\.damaged/,
    );
    assert.ok((await readdir(runDirectory)).includes('web.journal.json.damaged'));
    assert.equal((await sh('nft list tables')).trim(), 'table netdev flowsieve_web');
    await host.undo();
    assert.equal(await sh('nft list ruleset'), '');
  });

  it('does not follow a journal to files outside the settings of interfaces', async () => {
    const child = await preparedChild();
    await killed(child);
    const journal = join(runDirectory, 'web.journal.json');
    const text = await readFile(journal, 'utf8');
    await writeFile(
      journal,
      text.replace('net/ipv4/conf/cap0/arp_ignore', 'net/ipv4/conf/../ip_forward'),
    );
    await prepare();
    assert.match(notices.join(), /something unknown at changes\.1\.target/);
  });

  it('leaves the settings of another network namespace alone, and says so', async () => {
    const child = await preparedChild();
    await killed(child);
    const journal = join(runDirectory, 'web.journal.json');
    const text = await readFile(journal, 'utf8');
    await writeFile(journal, text.replace(/net:\[\d+\]/, 'net:[1]'));
    await prepare();
    assert.match(notices.join(), /of a dead process in net:\[1\]; nothing of it is undone here/);
  });

  it('lets one of two win that start at once, with and without a crash before', async () => {
    for (const crash of [false, true, true, true]) {
      if (crash) await killed(await preparedChild());
      const said = await Promise.all([startedChild(), startedChild()]);
      assert.deepEqual(said.map((each) => each.line).sort(), ['FLOWSIEVE_STATE', 'prepared']);
      assert.match(await sh('nft list tables'), /flowsieve_web/);
      for (const { child } of said) if (child.exitCode === null) await killed(child);
    }
    assert.deepEqual(await (await prepare()).undo(), []);
  });

  it('can be killed at every step, and at every step of cleaning up after that', async function () {
    this.timeout(180_000);
    const before = await state();
    for (let step = 1; ; step += 1) {
      const { child, line } = await startedChild(step);
      if (line === 'prepared') {
        assert.ok(step > 15, `there are ${step} steps`);
        await killed(child);
        break;
      }
      assert.deepEqual(await (await prepare()).undo(), [], `step ${step}`);
      assert.deepEqual(await state(), before, `step ${step}`);
    }
    // That last one left everything behind. Each of the following takes over from the one before
    // and comes one step further.
    for (let step = 1; ; step += 1) {
      const { child, line } = await startedChild(step);
      if (line !== 'prepared') continue;
      await killed(child);
      break;
    }
    assert.deepEqual(await (await prepare()).undo(), []);
    assert.deepEqual(await state(), before);
  });

  it('forgets a journal of an earlier boot without undoing it', async () => {
    const child = await preparedChild();
    await killed(child);
    await sh('ip addr flush dev tun0');
    const journal = join(runDirectory, 'web.journal.json');
    const text = await readFile(journal, 'utf8');
    await writeFile(journal, text.replace(/"boot": "[^"]*"/, '"boot": "another"'));
    const host = await prepare();
    assert.deepEqual(notices, []);
    assert.deepEqual(
      host.list().map((each) => each.kind),
      ['nftTable'],
    );
  });
});
