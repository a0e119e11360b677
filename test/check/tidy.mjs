// clang-tidy over native/ with the checks of .clang-tidy.
//
//   node test/check/tidy.mjs [FILE...]
//
// It needs a build's list of commands, which it makes for itself. The addon's room is left out:
// it is the only one that does not compile without Node's headers, and the compiler's own
// warnings are on for it.
import { jobs, repositoryFiles, run } from './tools.mjs';

const BUILD = 'build-test/tidy';

const configured = await run('cmake', [
  ...['-S', '.', '-B', BUILD, '-G', 'Ninja', '-DCMAKE_EXPORT_COMPILE_COMMANDS=ON'],
  ...['-DFLOWSIEVE_ADDON=OFF', '-DCMAKE_CXX_COMPILER=clang++-19'],
]);
if (configured.status !== 0) {
  console.error(configured.output);
  process.exit(1);
}

const named = process.argv.slice(2);
const all = await repositoryFiles(/^native\/(?!addon\/).*\.cc$/);
const queue = named.length > 0 ? named : all;

async function work() {
  for (let file = queue.shift(); file; file = queue.shift()) {
    const done = await run('clang-tidy-19', ['--quiet', '-p', BUILD, file], { seconds: 600 });
    if (done.status === 0) continue;
    process.exitCode = 1;
    console.error(done.output);
  }
}
await Promise.all(Array.from({ length: jobs }, work));
