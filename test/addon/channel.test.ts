import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

// The wire beside the packets' path, in processes of their own: each gets a network namespace in
// which v0 and v1 are the two ends of a wire.

const ADDON = new URL('../../lib/native/index.js', import.meta.url).href;

const PRELUDE = `
import { addon, awaitNative, callNative } from '${ADDON}';
const linkAddress = '01:00:5e:00:00:64';
const open = (name, onFrame = () => {}) =>
  callNative(() => new addon.WireChannel({ interface: name, linkAddress, onFrame }));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (enough) => { for (let i = 0; i < 500 && !enough(); i += 1) await wait(10); };
`;

const WIRE = [
  'ip link set lo up',
  'ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 address 02:00:00:00:00:02',
  'ip link set v0 up',
  'ip link set v1 up',
  // The kernel opens the ends some time after they came up, and until then drops what is sent.
  'until [ "$(ip link | grep -c "v[01]@.*state UP")" = 2 ]; do sleep 0.02; done',
].join(' && ');

/** Runs `script` behind such a wire; what it printed, line by line as JSON. */
function run(script: string): unknown[] {
  const shell = `${WIRE} && exec "$0" --input-type=module -e "$1"`;
  const done = spawnSync(
    'unshare',
    ['--net', 'sh', '-c', shell, process.execPath, PRELUDE + script],
    { encoding: 'utf8', timeout: 15_000 },
  );
  assert.equal(done.stderr, '');
  assert.equal(done.signal, null, 'it ends by itself');
  assert.equal(done.status, 0);
  return done.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

describe('a channel on the wire', () => {
  before(function () {
    if (spawnSync('unshare', ['--net', 'true']).status === 0) return;
    if (process.env['CI'] === 'true') assert.fail('Expected to make a network namespace.');
    console.log('LEFT OUT, for want of CAP_SYS_ADMIN to make a network namespace: channels');
    this.skip();
  });

  it('brings frames whole, with their sender, and keeps no process alive', () => {
    const printed = run(`
      const came = [];
      open('v1', (payload, source) => came.push([payload.toString('hex'), source]));
      const here = open('v0');
      console.log(JSON.stringify([here.send(Buffer.from([1, 2, 3])), here.send(Buffer.alloc(1481))]));
      here.send(Buffer.from([0]));
      await until(() => came.length === 2);
      console.log(JSON.stringify(came));
    `);
    assert.deepEqual(printed, [
      [true, false],
      [
        ['010203', '02:00:00:00:00:01'],
        ['00', '02:00:00:00:00:01'],
      ],
    ]);
  });

  it('calls nobody after close(), which may be said twice', () => {
    const printed = run(`
      let calls = 0;
      const there = open('v1', () => { calls += 1; });
      const here = open('v0');
      for (let i = 0; i < 100; i += 1) here.send(Buffer.from([1]));
      there.close();
      there.close();
      const before = calls;
      await wait(100);
      console.log(JSON.stringify([calls - before, there.send(Buffer.from([1]))]));
    `);
    assert.deepEqual(printed, [[0, false]]);
  });

  it('loses and counts what JavaScript does not take in', () => {
    const [counted] = run(`
      let calls = 0;
      const there = open('v1', () => { calls += 1; });
      const here = open('v0');
      for (let i = 0; i < 20000; i += 1) here.send(Buffer.from([1]));
      await wait(100);
      await until(() => calls > 0 && calls + there.counts().overflow === there.counts().received);
      console.log(JSON.stringify({ calls, ...there.counts() }));
    `) as [{ calls: number; received: number; overflow: number; foreign: number }];
    assert.equal(counted.calls + counted.overflow, counted.received);
    assert.ok(counted.overflow > 0);
    assert.ok(counted.calls >= 1024);
    assert.equal(counted.foreign, 0);
  });

  it('ends with the thread that has opened it, while frames pour in', () => {
    const printed = run(`
      import { Worker } from 'node:worker_threads';
      const inside = \`
        import { parentPort } from 'node:worker_threads';
        import { addon } from '${ADDON}';
        new addon.WireChannel({ interface: 'v1', linkAddress: '\${linkAddress}', onFrame() {} });
        parentPort.postMessage('open');
        setInterval(() => {}, 1000);
      \`;
      const here = open('v0');
      for (let round = 0; round < 3; round += 1) {
        const worker = new Worker(inside, { eval: true });
        await new Promise((done) => worker.once('message', done));
        for (let i = 0; i < 2000; i += 1) here.send(Buffer.from([1]));
        await worker.terminate();
      }
      console.log('"ended"');
    `);
    assert.deepEqual(printed, ['ended']);
  });

  it('says which interface is missing', () => {
    const printed = run(`
      try { open('nowhere0'); } catch (error) { console.log(JSON.stringify([error.code, error.message])); }
    `);
    const [code, message] = printed[0] as [string, string];
    assert.equal(code, 'FLOWSIEVE_MISSING');
    assert.match(message, /nowhere0/);
  });

  it('resets connections by their local address, and only those', () => {
    const printed = run(`
      import { once } from 'node:events';
      import { connect, createServer } from 'node:net';
      const server = createServer((socket) => { socket.on('error', () => {}); socket.resume(); });
      server.listen(8001, '0.0.0.0');
      await once(server, 'listening');
      const dial = async (host) => {
        const socket = connect({ host, port: 8001, localAddress: '127.0.0.9' });
        await once(socket, 'connect');
        return socket;
      };
      const [reset, kept] = [await dial('127.0.0.1'), await dial('127.0.0.2')];
      let failed = 0;
      kept.on('error', () => { failed += 1; });
      const local = Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255, 127, 0, 0, 1])]);
      const gone = new Promise((done) => reset.once('error', ({ code }) => done(code)));
      const counted = await awaitNative(addon.resetSockets(local));
      console.log(JSON.stringify([counted, await gone]));
      await wait(50);
      console.log(JSON.stringify([failed, kept.readyState]));
      process.exit(0);
    `);
    assert.deepEqual(printed, [
      [{ reset: 1, failed: 0 }, 'ECONNRESET'],
      [0, 'open'],
    ]);
  });
});
