import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from '../lib/browser.mjs';
import { noWrongFace } from '../lib/core.mjs';
import { NAMES } from '../lib/palette.mjs';
import { setUp } from '../lib/setup.mjs';
import { until } from '../lib/until.mjs';

/** Ten pages share the machine: their pictures are small, only one page shows more than its own, and most are silent, for a browser's echo canceller takes more than its pictures. */
const SMALL = { camera: { width: 160, height: 90, fps: 10 }, viewport: { width: 480, height: 360 } };
const [WATCHER, ...OTHERS] = NAMES;
const TALKERS = 2;
/** Ten pages on two cores that others use too: how fast a page turns is told here and judged by whoever reads it; this only ends what hangs. */
const TURN_LIMIT_MS = 20_000;

const world = setUp();

test('ten people, a page of four tiles', { timeout: 300_000 }, async (t) => {
  const watcher = await join(world.browser, world.server, 'ten', WATCHER, { ...SMALL, viewport: { width: 800, height: 600 }, query: { tiles: '4' } });
  const others = [];
  for (const name of OTHERS.slice(0, -1)) others.push(await enter(name, others.length < TALKERS));
  const nine = [watcher, ...others];
  await t.test('nobody negotiates anew when the tenth joins', (t) => tenthJoins(t, nine, others));
  await t.test('each page shows the right people', (t) => turnPages(t, watcher));
  await t.test('nobody negotiated anew because pages turned', (t) => assertOneOffer(t, [watcher, ...others]));
  await t.test('no wrong face', (t) => noWrongFace(t, [watcher]));
  await t.test('nothing to complain about', () => [watcher, ...others].forEach((person) => person.assertNoFaults()));
  for (const person of [watcher, ...others]) await person.close();
});

async function enter(name, talks) {
  const person = await join(world.browser, world.server, 'ten', name, { ...SMALL, query: { tiles: '1' } });
  if (!talks) await person.press('Mute');
  return person;
}

async function tenthJoins(t, nine, others) {
  const name = OTHERS.at(-1);
  others.push(await enter(name, false));
  for (const person of nine) await until(`${person.name} knows ten people`, () => person.page.evaluate(() => window.ninefold.room.remoteParticipants.size === 9));
  await assertOneOffer(t, [...nine, others.at(-1)]);
}

/** One offer and its answer: what every join needs. */
async function assertOneOffer(t, people) {
  for (const person of people) assert.equal(await person.descriptions(), 2, `descriptions set by ${person.name}`);
  t.diagnostic(`${people.length} pages, one offer and one answer each`);
}

/** Forward to the last page and back, twice: nobody is missing, and all are there soon. */
async function turnPages(t, watcher) {
  await until('three pages', () => watcher.page.evaluate(() => document.querySelector('nav [role=status]')?.textContent === '1 / 3'));
  const times = [];
  const met = new Set();
  for (const button of ['Next page', 'Next page', 'Previous page', 'Previous page', 'Next page', 'Next page']) {
    const labels = await turnPage(watcher, button);
    for (const label of labels) met.add(label);
    const revealed = await until(`the pictures of ${labels.join(', ')}`, async () => {
      const revealed = await watcher.revealed();
      return labels.every((label) => label in revealed) && revealed;
    });
    times.push(Math.max(...labels.map((label) => revealed[label])));
    await watcher.seesAll(labels);
  }
  met.delete('You');
  assert.deepEqual([...met].sort(), [...OTHERS].sort(), 'who was on some page');
  const list = times.map(Math.round);
  t.diagnostic(`from the click to the last right picture of the page: ${list.join(', ')} ms`);
  assert.ok(Math.max(...list) <= TURN_LIMIT_MS, `no page took longer than ${TURN_LIMIT_MS} ms`);
}

/** Presses, and gives the labels of the tiles that the new page has. */
async function turnPage(watcher, button) {
  const status = () => watcher.page.evaluate(() => document.querySelector('nav [role=status]')?.textContent);
  const before = await status();
  await watcher.press(button);
  await until('another page', async () => (await status()) !== before);
  return (await watcher.tiles()).map(({ label }) => label);
}
