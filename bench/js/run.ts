// The room of what JavaScript costs: crossings into the addon, lists, configurations, plans, and
// the Map that one would write without flowsieve.
//
//   node dist/bench/js/run.js [--full] [--filter REGEX]
import { configuration } from './configuration.js';
import { crossing, snapshot } from './crossing.js';
import { deciding } from './decide.js';
import { exporting, importing } from './lists.js';
import { planning } from './plan.js';
import { type Part, runRoom } from './room.js';

const parts: Part[] = [
  { name: 'js/crossing', run: crossing },
  { name: 'js/snapshot', run: snapshot },
  { name: 'js/export', run: exporting },
  { name: 'js/import', run: importing },
  { name: 'js/configuration', run: configuration },
  ...[3, 64].map((nodes) => {
    const name = `js/plan/${nodes}`;
    return { name, run: (asked) => planning(asked, name, nodes) } satisfies Part;
  }),
  ...[65_536, 1_000_000].map(
    (connections): Part => ({
      name: `js/decide/${connections}`,
      run: (asked) => deciding(asked, 'js/decide', connections),
    }),
  ),
];

await runRoom(parts);
