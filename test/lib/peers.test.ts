import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import type { FlowsieveError } from '../../lib/errors/index.js';
import type { Message } from '../../lib/protocol/index.js';
import {
  Cluster,
  connected,
  echo,
  heartbeat,
  later,
  OTHER_SECRET,
  PORT,
  SECRET,
  type TestNode,
  until,
} from './peers.support.js';

const ASK: Message = { type: 'ask', term: 5 };

describe('peers', () => {
  let cluster: Cluster;
  beforeEach(() => {
    cluster = new Cluster(3);
  });
  afterEach(() => cluster.close());

  async function pair(): Promise<[TestNode, TestNode]> {
    const one = await cluster.start('node-1');
    const two = await cluster.start('node-2');
    await until(
      'a connection both ways',
      () => connected(one, 'node-2') && connected(two, 'node-1'),
    );
    return [one, two];
  }

  describe('send heartbeats', () => {
    it('to each peer with its own echo on the sync path, and with all on the wire', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const three = await cluster.start('node-3', { wire: hub.path('c') });
      const echoes = [echo('node-2', { echo: 1.5, grant: 2 }), echo('node-3', { dead: true })];
      const sent = heartbeat('node-1', { echoes, elected: true, urgent: true });
      one.peers.sendHeartbeat(sent, null);
      for (const [node, own] of [
        [two, echoes[0]],
        [three, echoes[1]],
      ] as const) {
        await until('both paths', () => node.heartbeats.length === 2);
        const on = (path: string) => node.heartbeats.find((each) => each.path === path)?.heartbeat;
        assert.deepEqual(on('sync'), { ...sent, echoes: [own] });
        assert.deepEqual(on('wire'), sent);
      }
      assert.equal(hub.sent.length, 1);
      const [seen] = two.peers.status().peers;
      assert.equal(seen?.name, 'node-1');
      assert.ok(seen?.paths.sync && seen.paths.wire);
      assert.deepEqual(one.peers.status().peers[0]?.paths, { sync: null, wire: null });
    });

    it('only to those who are named', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const three = await cluster.start('node-3');
      const echoes = [echo('node-2'), echo('node-3')];
      one.peers.sendHeartbeat(heartbeat('node-1', { echoes }), ['node-2']);
      await until('both paths', () => two.heartbeats.length === 2);
      for (const each of two.heartbeats) assert.deepEqual(each.heartbeat.echoes, [echoes[0]]);
      assert.equal(three.heartbeats.length, 0);
    });

    it('of many echoes in several frames, none of them longer than 1400 bytes', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      const echoes = Array.from({ length: 200 }, (_, i) =>
        echo(`node-${i}`, { grant: i % 2 ? i : null }),
      );
      one.peers.sendHeartbeat(heartbeat('node-1', { echoes }), null);
      assert.ok(hub.sent.length > 1);
      for (const frame of hub.sent) assert.ok(frame.length <= 1400, `${frame.length} bytes`);
      const came = two.heartbeats.filter(({ path }) => path === 'wire');
      assert.deepEqual(
        came.flatMap(({ heartbeat }) => heartbeat.echoes),
        echoes,
      );
    });

    it('that fit the link', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a'), linkMtu: 600 });
      const echoes = Array.from({ length: 50 }, (_, i) => echo(`node-${i}`));
      one.peers.sendHeartbeat(heartbeat('node-1', { echoes }), null);
      for (const frame of hub.sent) assert.ok(frame.length <= 600, `${frame.length} bytes`);
    });

    it('and refuse to send one of another name or life', async () => {
      const one = await cluster.start('node-1');
      for (const wrong of [heartbeat('node-2'), heartbeat('node-1', { incarnation: 999 })]) {
        assert.throws(() => one.peers.sendHeartbeat(wrong, null), { code: 'FLOWSIEVE_ARGUMENT' });
      }
    });
  });

  describe('send messages', () => {
    it('in order, whole, from the one who sent them, when they are long', async () => {
      const [one, two] = await pair();
      const from = Array.from({ length: 200 }, (_, i) => `node-${i}`);
      const sent = Array.from({ length: 500 }, (_, term): Message => {
        return { type: 'settle', term, epoch: 9, from };
      });
      for (const message of sent) one.peers.send('node-2', message);
      await until('all messages', () => two.messages.length === sent.length);
      assert.deepEqual(
        two.messages,
        sent.map((message) => ({ from: 'node-1', message })),
      );
    });

    it('each once, in any order, when they are short', async () => {
      const [one, two] = await pair();
      const sent = Array.from({ length: 500 }, (_, term): Message => ({ type: 'ask', term }));
      for (const message of sent) one.peers.send('node-2', message);
      await until('all messages', () => two.messages.length >= sent.length);
      await later(100);
      const came = two.messages.map(({ message }) => ('term' in message ? message.term : -1));
      assert.deepEqual(
        came.sort((a, b) => a - b),
        sent.map((_, term) => term),
      );
    });

    it('with allocations, and the owners are the same', async () => {
      const [one, two] = await pair();
      const owners = Uint16Array.from({ length: 65_536 }, (_, bucket) => bucket % 3);
      const names = cluster.nodes.map(({ name }) => name);
      const message: Message = {
        type: 'commit',
        term: 3,
        condemned: [{ name: 'node-3', incarnation: 7 }],
        view: {
          epoch: 9,
          term: 3,
          criteria: { digest: 'abc', buckets: owners.length, settings: { hash: 'siphash' } },
          members: [
            {
              name: 'node-1',
              incarnation: 4,
              state: 'member',
              weight: 1.5,
              share: null,
              wants: 'abc',
            },
          ],
          allocation: { epoch: 9, names, owners },
        },
      };
      one.peers.send('node-2', message);
      await until('the message', () => two.messages.length === 1);
      assert.deepEqual(two.messages[0]?.message, message);
    });

    it('to a peer that comes a moment later', async () => {
      const one = await cluster.start('node-1');
      one.peers.send('node-2', ASK);
      const two = await cluster.start('node-2');
      await until('the message', () => two.messages.length === 1);
    });

    it('and drop them when nobody comes for long, or there are too many', async () => {
      const limits = { waitMs: 300, waitingMax: 10 };
      const one = await cluster.start('node-1', { limits });
      for (let term = 0; term < 15; term += 1) one.peers.send('node-2', { type: 'ask', term });
      assert.equal(one.peers.status().counters.messagesDropped, 5);
      one.peers.send('nobody', ASK);
      assert.equal(one.peers.status().counters.messagesDropped, 6);
      await until('that all are dropped', () => {
        return one.peers.status().counters.messagesDropped === 16;
      });
      const two = await cluster.start('node-2');
      await until('a connection', () => connected(one, 'node-2'));
      one.peers.send('node-2', ASK);
      await until('a message', () => two.messages.length > 0);
      assert.deepEqual(two.messages, [{ from: 'node-1', message: ASK }]);
    });

    it('and refuse one that no peer would take', async () => {
      const [one] = await pair();
      const wrong: Message = { type: 'ask', term: -1 };
      assert.throws(() => one.peers.send('node-2', wrong), { code: 'FLOWSIEVE_ARGUMENT' });
    });
  });

  describe('reconnect', () => {
    it('when a peer comes back in a later life', async () => {
      const [one, two] = await pair();
      await two.peers.close();
      await until('the loss', () => !connected(one, 'node-2'));
      const again = await cluster.start('node-2', { self: { name: 'node-2', incarnation: 2000 } });
      await until('a connection', () => connected(one, 'node-2'));
      one.peers.send('node-2', ASK);
      await until('the message', () => again.messages.length === 1);
    });

    it('at once when a heartbeat comes, though the last dials have failed', async () => {
      const one = await cluster.start('node-1', { limits: { redialMs: [50, 60_000] } });
      // After so many failures the next dial of its own accord is seconds away.
      await until('failures', () => one.peers.status().counters.dialsFailed >= 8, 15_000);
      const two = await cluster.start('node-2');
      assert.equal(connected(one, 'node-2'), false);
      const since = performance.now();
      two.peers.sendHeartbeat(heartbeat('node-2'), null);
      await until('a connection', () => connected(one, 'node-2'), 1000);
      assert.ok(performance.now() - since < 1000);
    }).timeout(20_000);

    it('when the connection is silent though the other end is open', async () => {
      // A kernel that answers with nobody behind it: a stopped process, or a cut network.
      const limits = { handshakeMs: 200, redialMs: [20, 50] as const };
      const held = new Set<Socket>();
      const silent = createServer((socket) => void held.add(socket));
      await new Promise<void>((resolve) => {
        silent.listen(PORT, cluster.address('node-2'), resolve);
      });
      const one = await cluster.start('node-1', { limits });
      await until('two dials that failed', () => one.peers.status().counters.dialsFailed >= 2);
      assert.equal(connected(one, 'node-2'), false);
      for (const socket of held) socket.destroy();
      await new Promise<void>((resolve) => silent.close(() => resolve()));
      await cluster.start('node-2');
      await until('a connection', () => connected(one, 'node-2'));
    });
  });

  describe('begin another life', () => {
    it('without a restart: messages are taken, heartbeats of the old one are not', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      await until('a connection', () => connected(one, 'node-2'));
      hub.up = false;
      one.peers.sendHeartbeat(heartbeat('node-1'), ['node-3']);
      const old = hub.sent[0] as Buffer;
      hub.up = true;
      one.peers.setIdentity({ name: 'node-1', incarnation: 1001 });
      one.peers.send('node-2', ASK);
      await until('the message', () => two.messages.length === 1);
      one.peers.sendHeartbeat(heartbeat('node-1', { incarnation: 1001 }), null);
      await until('heartbeats', () => two.heartbeats.length === 2);
      hub.inject(old, 'a');
      assert.equal(two.heartbeats.length, 2);
      assert.equal(two.peers.status().refused.incarnation, 1);
    });

    it('only under their name, and only a later one', async () => {
      const one = await cluster.start('node-1');
      for (const self of [
        { name: 'node-1', incarnation: 1000 },
        { name: 'node-1', incarnation: 5 },
        { name: 'node-2', incarnation: 1001 },
      ]) {
        assert.throws(() => one.peers.setIdentity(self), { code: 'FLOWSIEVE_ARGUMENT' });
      }
    });

    it('and who is still in the old one is told so', async () => {
      const one = await cluster.start('node-1');
      const new2 = await cluster.start('node-2', { self: { name: 'node-2', incarnation: 2000 } });
      new2.peers.sendHeartbeat(heartbeat('node-2', { incarnation: 2000 }), null);
      await until('the heartbeat', () => one.heartbeats.length === 1);
      await new2.peers.close();
      const old = await cluster.start('node-2');
      await until('the refusal', () => one.peers.status().refused.incarnation > 0);
      assert.equal(connected(old, 'node-1'), false);
      await until('a line', () => {
        return old.lines.some(({ msg }) => msg.includes('a later life of this node'));
      });
    });
  });

  describe('change secrets', () => {
    it('without a gap: the second one is taken before anybody signs with it', async () => {
      const { hub } = cluster;
      const one = await cluster.start('node-1', { wire: hub.path('a') });
      const two = await cluster.start('node-2', { wire: hub.path('b') });
      await until('a connection', () => connected(one, 'node-2') && connected(two, 'node-1'));
      const rotations: [TestNode, Buffer[]][] = [
        [one, [SECRET, OTHER_SECRET]],
        [two, [SECRET, OTHER_SECRET]],
        [two, [OTHER_SECRET, SECRET]],
        [one, [OTHER_SECRET, SECRET]],
        [one, [OTHER_SECRET]],
        [two, [OTHER_SECRET]],
      ];
      let rounds = 0;
      for (const [node, secrets] of rotations) {
        node.peers.configure({ nodes: cluster.nodes, secrets });
        rounds += 1;
        for (const [from, to] of [
          [one, two],
          [two, one],
        ] as const) {
          from.peers.sendHeartbeat(heartbeat(from.name), null);
          from.peers.send(to.name, ASK);
          await until(`everything in round ${rounds}`, () => {
            return to.heartbeats.length === 2 * rounds && to.messages.length === rounds;
          });
        }
      }
      for (const node of [one, two]) {
        const refused = Object.entries(node.peers.status().refused).filter(([, n]) => n > 0);
        assert.deepEqual(refused, []);
      }
      // The first secret opens nothing any more.
      const late = await cluster.start('node-3');
      late.peers.sendHeartbeat(heartbeat('node-3'), null);
      await until('refusals', () => one.peers.status().refused.secret >= 2);
      assert.equal(
        one.heartbeats.some(({ heartbeat }) => heartbeat.name === 'node-3'),
        false,
      );
    });
  });

  describe('take other nodes', () => {
    it('and have nothing to do any more with who is gone', async () => {
      const [one, two] = await pair();
      const left = cluster.nodes.filter(({ name }) => name !== 'node-2');
      one.peers.configure({ nodes: left, secrets: [SECRET] });
      assert.deepEqual(
        one.peers.status().peers.map(({ name }) => name),
        ['node-3'],
      );
      await until('the end', () => !connected(two, 'node-1'));
      two.peers.sendHeartbeat(heartbeat('node-2'), ['node-1']);
      await until('a refusal', () => one.peers.status().refused.name > 0);
      assert.equal(one.heartbeats.length, 0);
      one.peers.configure({ nodes: cluster.nodes, secrets: [SECRET] });
      await until('both ways again', () => connected(one, 'node-2') && connected(two, 'node-1'));
      two.peers.sendHeartbeat(heartbeat('node-2'), ['node-1']);
      await until('a heartbeat', () => one.heartbeats.length === 1);
    });

    it('and go to another address of their own', async () => {
      const [one, two] = await pair();
      const moved = `${cluster.address('node-1')}7`;
      const nodes = cluster.nodes.map((node) =>
        node.name === 'node-1' ? { ...node, address: moved } : node,
      );
      one.peers.configure({ nodes, secrets: [SECRET] });
      two.peers.configure({ nodes, secrets: [SECRET] });
      await until('both ways again', () => connected(one, 'node-2') && connected(two, 'node-1'));
      one.peers.sendHeartbeat(heartbeat('node-1'), ['node-2']);
      two.peers.sendHeartbeat(heartbeat('node-2'), ['node-1']);
      await until('heartbeats', () => one.heartbeats.length === 1 && two.heartbeats.length === 1);
    });

    it('and change nothing when what they are given cannot be', async () => {
      const [one, two] = await pair();
      const wrong = [
        { nodes: cluster.nodes, secrets: [] },
        { nodes: cluster.nodes.slice(1), secrets: [SECRET] },
        { nodes: [...cluster.nodes, { name: 'x', address: 'nowhere' }], secrets: [SECRET] },
        { nodes: [...cluster.nodes, { name: 'a b', address: '127.0.0.1' }], secrets: [SECRET] },
      ];
      for (const configuration of wrong) {
        assert.throws(() => one.peers.configure(configuration), { code: 'FLOWSIEVE_ARGUMENT' });
      }
      one.peers.send('node-2', ASK);
      await until('the message', () => two.messages.length === 1);
    });
  });

  describe('start', () => {
    it('not where somebody else has the port', async () => {
      await cluster.start('node-1');
      await assert.rejects(cluster.start('node-1'), (error: FlowsieveError) => {
        assert.equal(error.code, 'FLOWSIEVE_SYSTEM');
        assert.match(error.message, /somebody who has it already/);
        return true;
      });
    });

    it('not where another program has only the UDP port, and leave nothing behind', async () => {
      const holder = createSocket('udp4');
      await new Promise<void>((resolve) => {
        holder.bind({ address: cluster.address('node-1'), port: PORT, exclusive: true }, resolve);
      });
      await assert.rejects(cluster.start('node-1'), { code: 'FLOWSIEVE_SYSTEM' });
      await new Promise<void>((resolve) => holder.close(() => resolve()));
      await cluster.start('node-1');
    });

    it('before their address is there, and say so once', async () => {
      const nodes = [{ name: 'node-1', address: '192.0.2.1' }, ...cluster.nodes.slice(1)];
      const one = await cluster.start('node-1', { nodes });
      assert.equal(one.peers.status().bound, false);
      await later(1300);
      const about = one.lines.filter(({ msg }) => msg.includes('the sync address 192.0.2.1'));
      assert.equal(about.length, 1);
      // It has come, under another name.
      one.peers.configure({ nodes: cluster.nodes, secrets: [SECRET] });
      await until('its address', () => one.peers.status().bound);
      await later(1200);
      const two = await cluster.start('node-2');
      two.peers.sendHeartbeat(heartbeat('node-2'), ['node-1']);
      await until('a heartbeat', () => one.heartbeats.length === 1);
      assert.equal(one.peers.status().bound, true);
    });
  });

  it('leave nothing behind after close()', async () => {
    const [one, two] = await pair();
    await one.peers.close();
    await one.peers.close();
    one.peers.send('node-2', ASK);
    await assert.rejects(
      one.peers.pull('node-2', { kind: 'own', epoch: 1 }, async () => undefined),
      { code: 'FLOWSIEVE_STATE' },
    );
    await until('the end', () => !connected(two, 'node-1'));
    await cluster.start('node-1', { self: { name: 'node-1', incarnation: 1001 } });
  });
});
