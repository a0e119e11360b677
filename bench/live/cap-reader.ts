// Reads frames with npm's `cap`, a callback for each, and looks at every frame a little. Answers
// each line of standard input with what it has read so far.
//
//   cap-reader.js --module PATH --device eth0 --filter 'udp port 9' --buffer 8388608
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/** What is used of `cap`, which has no types. */
interface Cap {
  open(device: string, filter: string, bufferBytes: number, into: Buffer): string;
  setMinBytes(bytes: number): void;
  on(event: 'packet', listener: (bytes: number, truncated: boolean) => void): void;
}

const { values } = parseArgs({
  options: {
    module: { type: 'string', default: 'cap' },
    device: { type: 'string', default: 'eth0' },
    filter: { type: 'string', default: '' },
    buffer: { type: 'string', default: '8388608' },
  },
});
const load = createRequire(import.meta.url);
const { Cap } = load(values.module) as { Cap: new () => Cap };

const frame = Buffer.alloc(65_536);
const cap = new Cap();
cap.open(values.device, values.filter, Number(values.buffer), frame);
let packets = 0;
let sum = 0;
cap.on('packet', (bytes) => {
  packets += 1;
  sum += bytes + (frame[0] ?? 0);
});
createInterface(process.stdin).on('line', () => {
  console.log(JSON.stringify({ packets, sum }));
});
console.log('listening');
