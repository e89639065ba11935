import assert from 'node:assert/strict';
import { Namespace } from './namespace.mjs';

/** Runs the tests of a file inside a network namespace of their own, or skips with the reason where there can be none. */
export async function testInside(t, file) {
  const { namespace, reason } = Namespace.create();
  if (!namespace) return t.skip(reason);
  try {
    const env = { ...process.env };
    // A runner of its own: with this variable it would take itself for a part of ours.
    delete env.NODE_TEST_CONTEXT;
    const code = await namespace.run(process.execPath, ['--test', '--test-reporter=spec', file], env);
    assert.equal(code, 0, 'the tests inside the namespace');
  } finally {
    namespace.delete();
  }
}
