// docs/reference/counters.md is made from the one list of counters and drop reasons,
// native/count/counters.h.
//
//   node test/check/counters-docs.mjs           fails when the page is not what the list says
//   node test/check/counters-docs.mjs --write   makes the page
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './tools.mjs';

const LIST = join(root, 'native/count/counters.h');
const PAGE = join(root, 'docs/reference/counters.md');

/** The lines X(Enumerator, name, …, "text") of one list. */
function entries(source, macro) {
  const begin = source.indexOf(`#define ${macro}(X)`);
  const list = source.slice(begin, source.indexOf('// clang-format on', begin));
  return [...list.matchAll(/X\(\w+,\s*(\w+),\s*(?:(true|false),\s*)?"([^"]*)"\)/g)].map(
    ([, name, malformed, text]) => ({ name, malformed: malformed === 'true', text }),
  );
}

function page() {
  const source = readFileSync(LIST, 'utf8');
  const counters = entries(source, 'FLOWSIEVE_COUNTERS');
  const drops = entries(source, 'FLOWSIEVE_DROPS');
  return [
    '# Counters and drop reasons',
    '',
    'Made from `native/count/counters.h`; `status --json` has them under `counters` and `drops`, the metrics as',
    '`flowsieve_*`. All of them only grow while a node runs.',
    '',
    '| counter | what it counts |',
    '|---|---|',
    ...counters.map(({ name, text }) => `| \`${name}\` | ${text} |`),
    '',
    'A packet is dropped, not decided, for one of these reasons. Malformed packets never enter a connection.',
    '',
    '| reason | malformed | what happened |',
    '|---|---|---|',
    ...drops.map(
      ({ name, malformed, text }) => `| \`${name}\` | ${malformed ? 'yes' : 'no'} | ${text} |`,
    ),
    '',
  ].join('\n');
}

if (process.argv.includes('--write')) {
  writeFileSync(PAGE, page());
} else if (readFileSync(PAGE, 'utf8') !== page()) {
  process.stderr.write(
    'Expected docs/reference/counters.md to be what native/count/counters.h says but it differs: run node test/check/counters-docs.mjs --write.\n',
  );
  process.exitCode = 1;
}
