// Prints the table of docs/decisions/planning.md: how many buckets move when a cluster plans from
// scratch, beside the fewest that could. It reads the compiled program: build first.
//
//   node test/check/plan-moves.mjs
const dist = new URL(process.env.FLOWSIEVE_DIST ?? 'dist/', new URL('../../', import.meta.url));
const { movedBuckets, plan } = await import(new URL('lib/allocation/index.js', dist));

const SAMPLES = 50;
const changes = {
  'a node joins': (nodes, fresh) => [nodes, [...nodes, fresh]],
  'a node leaves': (nodes, fresh) => [[...nodes, fresh], nodes],
  'a weight doubles': (nodes) => [nodes, [{ ...nodes[0], weight: 2 }, ...nodes.slice(1)]],
};

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

console.log('| change | nodes before | buckets | fewest | from scratch | more, % of all buckets |');
console.log('|---|---|---|---|---|---|');
for (const [change, make] of Object.entries(changes)) {
  for (const buckets of [256, 4096]) {
    for (const count of [2, 3, 4, 8, 16]) {
      const fewest = [];
      const anew = [];
      for (let sample = 0; sample < SAMPLES; sample += 1) {
        const named = (index) => ({ name: `s${sample}-node-${index}`, weight: 1 });
        const nodes = Array.from(
          { length: change === 'a node leaves' ? count - 1 : count },
          (_, i) => named(i),
        );
        const [before, after] = make(nodes, named(count));
        const previous = plan({ members: before, buckets });
        fewest.push(movedBuckets(previous, plan({ members: after, buckets, previous })).length);
        anew.push(movedBuckets(previous, plan({ members: after, buckets })).length);
      }
      const more = (100 * (mean(anew) - mean(fewest))) / buckets;
      const cells = [mean(fewest).toFixed(1), mean(anew).toFixed(1), more.toFixed(1)];
      console.log(`| ${change} | ${count} | ${buckets} | ${cells.join(' | ')} |`);
    }
  }
}
