import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from '../lib/browser.mjs';
import { rejoin } from '../lib/rejoin.mjs';
import { setUp } from '../lib/setup.mjs';
import { median } from '../lib/until.mjs';

const JOINS = 12;
const SMALL = { camera: { width: 160, height: 90, fps: 30 }, viewport: { width: 480, height: 360 } };

const world = setUp();

/** A measurement rather than a gate: what is asserted is only that a picture comes at all. */
test('join to first frame', { timeout: 180_000 }, async (t) => {
  const bo = await join(world.browser, world.server, 'join', 'Bo', SMALL);
  const ada = await join(world.browser, world.server, 'join', 'Ada', SMALL);
  await ada.seesAll(['Bo'], 60_000);
  const times = [];
  for (let i = 0; i < JOINS; i++) {
    await ada.press('Leave');
    times.push(await rejoin(ada, 'Bo'));
    await ada.seesAll(['Bo']);
  }
  assert.equal(times.length, JOINS);
  t.diagnostic(`join to first frame: median ${Math.round(median(times))} ms of ${times.map(Math.round).sort((a, b) => a - b).join(', ')}`);
  for (const person of [ada, bo]) {
    person.assertNoFaults();
    await person.close();
  }
});
