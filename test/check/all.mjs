// Everything that can be said about the sources without running them: `npm run lint`.
//
//   node test/check/all.mjs [--tidy]   with clang-tidy too, which takes minutes
import { root, run } from './tools.mjs';

const checks = ['format', 'rooms', 'sizes', 'counters-docs'];
if (process.argv.includes('--tidy')) checks.push('tidy');

for (const check of checks) {
  const done = await run(process.execPath, [`test/check/${check}.mjs`], { cwd: root });
  console.log(`${done.status === 0 ? 'ok  ' : 'FAIL'} ${check}`);
  if (done.status !== 0) {
    console.error(done.output);
    process.exitCode = 1;
  }
}
