// The figures in the docs and in the README are those that the benches have written last.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { readResults, reportFiles } from '../../bench/report/files.js';
import { reportText } from '../../bench/report/markdown.js';
import { draw } from '../../bench/report/plots.js';
import { standings } from '../../bench/report/targets.js';
import { type Line, type Machine, median } from '../../bench/results.js';
import { ROOT } from '../../bench/rooms.js';

const MACHINE: Machine = {
  processor: 'P',
  processors: 2,
  memoryBytes: 1,
  kernel: 'Linux 6',
  node: 'v20',
  compiler: 'g++',
  commit: 'abc',
  date: '2026-01-02T03:04:05.000Z',
  full: false,
};
const HIT = 'peers/hit/1000000';
const LINES: readonly Line[] = [
  { name: HIT, of: 'DPDK rte_hash bulk', unit: 'ns', values: [80, 100, 90] },
  { name: HIT, of: 'flowsieve', unit: 'ns', values: [27, 90, 9], note: 'in bursts' },
  { name: HIT, of: 'absl', missing: 'libabsl-dev is not installed' },
];

describe('the report of the benches', () => {
  it('is what the newest results say, in the docs and in the README', () => {
    const results = readResults();
    assert.ok(results, 'there are results');
    for (const [path, content] of reportFiles(results)) {
      const message = `${relative(ROOT, path)}: npm run bench -- --write makes it`;
      assert.ok(readFileSync(path, 'utf8') === content, message);
    }
  });

  it('says of each target whether it is reached, by medians, and what is missing', () => {
    const all = standings({ rooms: { peers: { machine: MACHINE, lines: LINES } } });
    const hit = all.find(({ target }) => target.text.startsWith('table hit + update, 1 M, of rte'));
    assert.deepEqual([hit?.value, hit?.reached], [0.3, true]);
    const others = all.filter((each) => each !== hit);
    assert.ok(others.every(({ value, reached }) => value === undefined && reached === undefined));
    const slow = LINES.map((line) => (line.of === 'flowsieve' ? { ...line, values: [45] } : line));
    const slower = standings({ rooms: { peers: { machine: MACHINE, lines: slow } } });
    assert.deepEqual(slower.find(({ value }) => value !== undefined)?.reached, false);
  });

  it('has us first, the spread beside the median, and names who is not there', () => {
    const text = reportText({ rooms: { peers: { machine: MACHINE, lines: LINES } } });
    assert.match(text, /\| +\| +\| flowsieve \| DPDK rte_hash bulk \| absl \|/);
    assert.match(text, /\| 27 \(9–90\) \| 90 \(80–100\) \| \*libabsl-dev is not installed\* \|/);
    assert.match(text, /- flowsieve: in bursts \(`peers\/hit\/1000000`\)/);
  });

  it('draws what was measured, and nothing of what was not', () => {
    const plot = { file: 'x.svg', title: 'A < B', cases: /^peers/ };
    const drawn = draw(plot, LINES) ?? '';
    assert.equal(drawn.match(/<rect x/g)?.length, 2);
    assert.match(drawn, /A &lt; B/);
    assert.equal(draw({ ...plot, cases: /^live/ }, LINES), undefined);
  });

  it('takes the middle of an even number of rounds', () => {
    assert.equal(median([4, 1, 3, 2]), 2.5);
  });
});
