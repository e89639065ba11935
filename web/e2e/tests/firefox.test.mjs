import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Namespace } from '../lib/namespace.mjs';

const INSIDE = fileURLToPath(new URL('inside/firefox.mjs', import.meta.url));

test('Firefox and Chromium in one room', { timeout: 400_000 }, async (t) => {
  const { namespace, reason } = Namespace.create();
  if (!namespace) return t.skip(reason);
  try {
    const env = { ...process.env };
    // A runner of its own: with this variable it would take itself for a part of ours.
    delete env.NODE_TEST_CONTEXT;
    const code = await namespace.run(process.execPath, ['--test', '--test-reporter=spec', INSIDE], env);
    assert.equal(code, 0, 'the tests inside the namespace');
  } finally {
    namespace.delete();
  }
});
