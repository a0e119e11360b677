import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createLogger, LOG_LEVELS } from '../../lib/log/index.js';

function collect(
  level: string | undefined,
  write: (logger: ReturnType<typeof createLogger>) => void,
) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  write(createLogger({ level, bindings: { node: 'node-1' }, destination }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('log', () => {
  it('a line is an object with the level by name, the time and the bindings', () => {
    const [line] = collect('info', (logger) => logger.info({ bucket: 17 }, 'gained'));
    assert.equal(line?.['level'], 'info');
    assert.equal(line['node'], 'node-1');
    assert.equal(line['bucket'], 17);
    assert.equal(line['msg'], 'gained');
    assert.ok(!Number.isNaN(Date.parse(String(line['time']))));
  });

  it('the level decides what is written', () => {
    for (const [index, level] of LOG_LEVELS.entries()) {
      const lines = collect(level, (logger) => {
        for (const each of LOG_LEVELS) if (each !== 'silent') logger[each]('said');
      });
      assert.equal(lines.length, LOG_LEVELS.length - 1 - index, level);
    }
  });

  it('a level that does not exist means info and is told', () => {
    const lines = collect('loud', (logger) => logger.debug('unsaid'));
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.['level'], 'warn');
    assert.equal(lines[0]['received'], 'loud');
  });

  it('a child adds its own bindings', () => {
    const [line] = collect('info', (logger) => logger.child({ worker: 2 }).info('x'));
    assert.equal(line?.['worker'], 2);
    assert.equal(line['node'], 'node-1');
  });

  it('standard output stays free', () => {
    const program = `
      import { createLogger } from ${JSON.stringify(new URL('../../lib/log/index.js', import.meta.url).href)};
      createLogger().info('to stderr');
    `;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, FLOWSIEVE_LOG: 'info' },
    });
    assert.equal(run.status, 0, run.stderr);
    assert.equal(run.stdout, '');
    assert.match(run.stderr, /"msg":"to stderr"/);
  });
});
