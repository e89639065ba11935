import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from '../lib/browser.mjs';
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
    await ada.find('button', 'Rejoin').wait();
    times.push(await ada.page.evaluate(rejoin));
    await ada.seesAll(['Bo']);
  }
  assert.equal(times.length, JOINS);
  t.diagnostic(`join to first frame: median ${Math.round(median(times))} ms of ${times.map(Math.round).sort((a, b) => a - b).join(', ')}`);
  for (const person of [ada, bo]) {
    person.assertNoFaults();
    await person.close();
  }
});

/** In the page: from the click to the first decoded frame of somebody else. Cameras are ready at once; all else is counted. */
function rejoin() {
  const start = performance.now();
  return new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      const video = document.querySelector('[role=group][aria-label="Bo"] video');
      if (!video) return;
      observer.disconnect();
      video.requestVideoFrameCallback((now) => resolve(now - start));
    }).observe(document, { subtree: true, childList: true });
    [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Rejoin').click();
  });
}
