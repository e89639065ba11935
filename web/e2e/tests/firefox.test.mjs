import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { testInside } from '../lib/inside.mjs';

const INSIDE = fileURLToPath(new URL('inside/firefox.mjs', import.meta.url));

test('Firefox and Chromium in one room', { timeout: 400_000 }, async (t) => {
  await testInside(t, INSIDE);
});
