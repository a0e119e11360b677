import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  ConfigurationError,
  ERROR_CODES,
  exitCodeOf,
  expectedSentence,
  FlowsieveError,
  show,
} from '../../lib/errors/index.js';

describe('errors', () => {
  it('every code has an exit status of the contract and one sentence', () => {
    for (const [code, { exitCode, sentence }] of Object.entries(ERROR_CODES)) {
      assert.match(code, /^FLOWSIEVE_[A-Z]+$/);
      assert.ok([1, 2, 3].includes(exitCode), code);
      assert.match(sentence, /^[A-Z].*[^.]\.$/i, code);
    }
  });

  it('the kinds of the native layer are all in the list', () => {
    // The text of the header is the specification here: a kind that is added there must
    // get a code here.
    const header = readFileSync('native/base/status.h', 'utf8');
    const body = /enum class ErrorCode[^{]*\{([^}]*)\}/.exec(header)?.[1] ?? '';
    const kinds = [...body.matchAll(/\bk([A-Z][A-Za-z]*),/g)].map((match) => match[1] ?? '');
    assert.ok(kinds.length >= 6);
    for (const kind of kinds) assert.ok(`FLOWSIEVE_${kind.toUpperCase()}` in ERROR_CODES, kind);
  });

  it('an error carries its code, path and cause and knows its exit status', () => {
    const cause = new Error('EPERM');
    const error = new FlowsieveError('FLOWSIEVE_PRIVILEGE', 'Expected …', {
      path: 'interface',
      cause,
    });
    assert.equal(error.code, 'FLOWSIEVE_PRIVILEGE');
    assert.equal(error.path, 'interface');
    assert.equal(error.cause, cause);
    assert.equal(exitCodeOf(error), 3);
    assert.equal(exitCodeOf(new TypeError('a bug')), 1);
    assert.equal(exitCodeOf(new ConfigurationError('x', [{ path: '', message: 'm' }])), 2);
  });

  it('a configuration error with one problem is that sentence, with several it counts and lists them', () => {
    const one = { path: 'workers', message: 'Expected a for b but received c.' };
    assert.equal(new ConfigurationError('web.yaml', [one]).message, one.message);
    const two = new ConfigurationError('web.yaml', [one, { path: 'node', message: 'Another.' }]);
    assert.match(
      two.message,
      /web\.yaml but received 2 problems:\n {2}Expected a .*\n {2}Another\.$/,
    );
    assert.equal(two.path, 'workers');
    assert.equal(two.problems.length, 2);
  });

  it('sentences have one shape and received values are shown short', () => {
    assert.equal(
      expectedSentence('an integer', 'workers', show('x')),
      'Expected an integer for workers but received "x".',
    );
    assert.equal(show(undefined), 'nothing');
    assert.equal(show([]), 'an empty list');
    assert.equal(show({ a: 1 }), 'the map {"a":1}');
    assert.ok(show('y'.repeat(10_000)).length < 80);
    const loop: unknown[] = [];
    loop.push(loop);
    assert.match(show(loop), /refers to itself/);
  });
});
