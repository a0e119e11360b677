// The check of the rooms is itself checked: each violation is put into a small tree of its own, and
// it has to name it.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { checkRooms } from './rooms.mjs';

function problemsOf(files) {
  const root = mkdtempSync(join(tmpdir(), 'flowsieve-rooms-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return checkRooms(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const sound = {
  'native/base/bytes.h': '#pragma once\n#include <cstdint>\n',
  'native/base/more.h': '#include "base/bytes.h"\n',
  'native/hash/hash.h': '#include "base/bytes.h"\n',
  'native/wheel/wheel.h': '#include "base/bytes.h"\n',
  'native/table/table.h': '#include "hash/hash.h"\n#include "wheel/wheel.h"\n',
  'native/addon/addon.cc': '#include <napi.h>\n\n#include "table/table.h"\n',
  'lib/errors/index.ts': "import { inspect } from 'node:util';\n",
  'lib/config/index.ts': "import { a } from '../errors/index.js';\nimport b from './b.js';\n",
  'lib/native/index.ts': "import bindings from 'bindings';\n",
  'lib/index.ts': "export { a } from './config/index.js';\n",
  'lib/cli/main.ts': "import { a } from '../index.js';\nimport p from '../../package.json';\n",
};

const violations = [
  [
    'a room that uses one behind it',
    { 'native/hash/bad.h': '\n#include "table/table.h"\n' },
    'native/hash/bad.h:2: uses table, which stands behind hash',
  ],
  [
    'a room that uses its sibling',
    { 'native/wheel/bad.cc': '#include "hash/hash.h"\n' },
    'native/wheel/bad.cc:1: uses hash, which stands beside wheel',
  ],
  [
    'N-API outside of addon',
    { 'native/table/bad.cc': '#include <napi.h>\n' },
    'native/table/bad.cc:1: uses <napi.h>, which only addon may',
  ],
  [
    'an include without its room',
    { 'native/hash/bad.cc': '#include "hash.h"\n' },
    'native/hash/bad.cc:1: includes "hash.h" without its room',
  ],
  [
    'an include that climbs',
    { 'native/hash/bad.cc': '#  include "../table/table.h"\n' },
    'native/hash/bad.cc:1: includes "../table/table.h" without its room',
  ],
  [
    'an include of what is not there',
    { 'native/hash/bad.cc': '#include "base/none.h"\n' },
    'native/hash/bad.cc:1: includes "base/none.h", which is not in native/',
  ],
  [
    'an unknown room in native',
    { 'native/misc/bad.h': '' },
    'native/misc/bad.h: misc is no room of the list',
  ],
  ['a file of native in no room', { 'native/bad.h': '' }, 'native/bad.h: lies in no room'],
  [
    'a lib room that uses one behind it',
    { 'lib/errors/bad.ts': "\n\nimport { c } from '../config/index.js';\n" },
    'lib/errors/bad.ts:3: uses config, which stands behind errors',
  ],
  [
    'a lib room that uses its sibling',
    { 'lib/log/bad.ts': "export * from '../errors/index.js';\n" },
    'lib/log/bad.ts:1: uses errors, which stands beside log',
  ],
  [
    'a type that comes from behind',
    { 'lib/config/bad.ts': "type N = import('../node/node.js').Node;\n" },
    'lib/config/bad.ts:1: uses node, which stands behind config',
  ],
  [
    'a room that uses the entry of the package',
    { 'lib/node/bad.ts': "import '../index.js';\n" },
    'lib/node/bad.ts:1: uses ., which stands behind node',
  ],
  [
    'the addon loaded elsewhere',
    { 'lib/node/bad.ts': "import bindings from 'bindings';\n" },
    'lib/node/bad.ts:1: uses bindings, which only native may',
  ],
  [
    'an import from outside',
    { 'lib/node/bad.ts': "import { x } from '../../test/x.js';\n" },
    'lib/node/bad.ts:1: imports ../../test/x.js, outside lib/',
  ],
  [
    'an unknown room in lib',
    { 'lib/utils/bad.ts': '' },
    'lib/utils/bad.ts: utils is no room of the list',
  ],
];

describe('the check of the rooms', () => {
  it('finds nothing in a sound tree', () => {
    assert.deepEqual(problemsOf(sound), []);
  });

  for (const [name, files, problem] of violations) {
    it(`names ${name}`, () => {
      assert.deepEqual(problemsOf({ ...sound, ...files }), [problem]);
    });
  }
});
