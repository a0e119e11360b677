import assert from 'node:assert/strict';
import { joinWires } from '../../lib/node/wires.js';
import type { WirePath } from '../../lib/peers/index.js';

class FakeWire implements WirePath {
  readonly sent: string[] = [];
  works = true;
  closed = false;
  take: (payload: Buffer, source: string) => void = () => {};

  send(payload: Uint8Array): boolean {
    if (this.works) this.sent.push(Buffer.from(payload).toString());
    return this.works;
  }
  onFrame(take: (payload: Buffer, source: string) => void): void {
    this.take = take;
  }
  close(): void {
    this.closed = true;
  }
}

/** Two wires joined, and what came out. */
function join() {
  const wires = [new FakeWire(), new FakeWire()] as const;
  const taken: string[] = [];
  const joined = joinWires(wires);
  joined.onFrame((payload) => taken.push(payload.toString()));
  return { wires, joined, taken };
}

const HEARTBEAT = Buffer.from('a heartbeat, and its tag of sixteen bytes');

describe('the networks of a gateway as one path', () => {
  it('leave a single path as it is', () => {
    const wire = new FakeWire();
    assert.equal(joinWires([wire]), wire);
  });

  it('carry what is sent on every network, and say when one did not', () => {
    const { wires, joined } = join();
    assert.equal(joined.send(HEARTBEAT), true);
    wires[1].works = false;
    assert.equal(joined.send(HEARTBEAT), false);
    assert.deepEqual([wires[0].sent.length, wires[1].sent.length], [2, 1]);
    joined.close();
    assert.ok(wires.every(({ closed }) => closed));
  });

  it('hand on what came by all of them, once', () => {
    const { wires, taken } = join();
    wires[1].take(HEARTBEAT, 'mac');
    assert.deepEqual(taken, []);
    wires[0].take(HEARTBEAT, 'mac');
    assert.deepEqual(taken, [HEARTBEAT.toString()]);
  });

  it('hand on nothing of a node that is seen on one side only, though it repeats itself', () => {
    const { wires, taken } = join();
    for (let i = 0; i < 3; i += 1) wires[0].take(HEARTBEAT, 'mac');
    assert.deepEqual(taken, []);
  });

  it('hand a repetition on, to be refused and counted', () => {
    const { wires, taken } = join();
    for (const wire of [...wires, wires[0]]) wire.take(HEARTBEAT, 'mac');
    assert.equal(taken.length, 2);
  });

  it('remember a bounded number of frames that wait', () => {
    const { wires, taken } = join();
    wires[0].take(HEARTBEAT, 'mac');
    for (let i = 0; i < 1024; i += 1) wires[0].take(Buffer.from(`tag of frame ${i}`), 'mac');
    wires[1].take(HEARTBEAT, 'mac');
    assert.deepEqual(taken, []);
    wires[1].take(Buffer.from('tag of frame 1023'), 'mac');
    assert.equal(taken.length, 1);
  });
});
