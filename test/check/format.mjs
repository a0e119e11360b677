// The form of every file: clang-format for C++, biome for TypeScript, scripts and JSON.
//
//   node test/check/format.mjs           says what is not in form
//   node test/check/format.mjs --write   brings it into form
import { repositoryFiles, run } from './tools.mjs';

const write = process.argv.includes('--write');
const sources = await repositoryFiles(/^(native|test|bench)\/.*\.(h|cc)$/);
const steps = [];
if (sources.length > 0) {
  steps.push(['clang-format-19', [...(write ? ['-i'] : ['--dry-run', '-Werror']), ...sources]]);
}
const biome = ['node_modules/@biomejs/biome/bin/biome', ...(write ? ['check', '--write'] : ['ci'])];
biome.push('--colors=off', '--max-diagnostics=20');
steps.push([process.execPath, biome]);

for (const [program, args] of steps) {
  const done = await run(program, args);
  if (done.status !== 0) {
    process.exitCode = 1;
    console.error(done.output);
  }
}
