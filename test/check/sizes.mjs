// No source file is longer than a reader can hold in mind.
//
//   node test/check/sizes.mjs
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryFiles, root } from './tools.mjs';

const LINES_MAX = 600;

for (const file of await repositoryFiles(/^(native|lib|test|bench)\/.*\.(h|cc|ts|mjs|py)$/)) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1;
  if (lines <= LINES_MAX) continue;
  console.error(`${file}: Expected at most ${LINES_MAX} lines but received ${lines}.`);
  process.exitCode = 1;
}
