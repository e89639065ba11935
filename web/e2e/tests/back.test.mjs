import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, part } from '../lib/browser.mjs';
import { freePort, Relay } from '../lib/relay.mjs';
import { Server } from '../lib/server.mjs';
import { setUp } from '../lib/setup.mjs';
import { until } from '../lib/until.mjs';

const shared = setUp();
const TIMEOUT = { timeout: 240_000 };
/** Two pages at twenty frames a second and more: none of these may pass without a new frame. */
const WINDOW_MS = 500;
/** Longer than the server waits before it says that somebody is away. */
const AWAY_MS = 5_000;
const BACK_AFTER_RESTART_MS = 5_000;
const BACK_AFTER_MOVE_MS = 4_000;

const framesOf = async (person) => {
  const rows = (await person.inbound()).filter(({ kind }) => kind === 'video');
  return rows.reduce((sum, { framesDecoded }) => sum + framesDecoded, 0);
};

const stateOf = (person) => person.page.evaluate(() => window.ninefold.room.state);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Both see each other, in motion. */
async function meet(browser, server, room) {
  const [ada, bo] = [await join(browser, server, room, 'Ada'), await join(browser, server, room, 'Bo')];
  await ada.seesAll(['You', 'Bo'], 60_000);
  await bo.seesAll(['You', 'Ada'], 60_000);
  await until('frames for both', async () => (await framesOf(ada)) > 30 && (await framesOf(bo)) > 30);
  return [ada, bo];
}

/** Until the promise is settled no window passes without a new frame for each. */
async function neverStands(people, during) {
  let done = false;
  const ended = during.finally(() => (done = true));
  const least = people.map(() => Infinity);
  let before = await Promise.all(people.map(framesOf));
  while (!done) {
    await wait(WINDOW_MS);
    const now = await Promise.all(people.map(framesOf));
    now.forEach((frames, i) => (least[i] = Math.min(least[i], frames - before[i])));
    before = now;
  }
  await ended;
  people.forEach(({ name }, i) => assert.ok(least[i] > 0, `${name} always saw new frames; the fewest in ${WINDOW_MS} ms were ${least[i]}`));
  return least;
}

test('signalling is lost and found', TIMEOUT, async (t) => {
  const [ada, bo] = await meet(shared.browser, shared.server, 'signal');
  const descriptions = await ada.descriptions();

  async function loseAndFind() {
    await ada.page.evaluate(() => {
      window.e2e.keepCut(true);
      window.e2e.cut();
    });
    await ada.isTold('Connection lost. Reconnecting…');
    await ada.find('button', 'Leave').wait();
    await until('Bo sees that Ada is away', () => bo.page.evaluate(() => document.querySelector('[role=group][aria-label=Ada] .away') !== null));
    await bo.page.evaluate(() => window.ninefold.room.localParticipant.sendChat('missed'));
    await wait(AWAY_MS);
    await ada.page.evaluate(() => window.e2e.keepCut(false));
    await ada.isTold('You are back.');
  }

  const least = await neverStands([ada, bo], loseAndFind());
  t.diagnostic(`fewest frames in ${WINDOW_MS} ms while signalling was lost: ${least.join(' and ')}`);
  await ada.press('Chat');
  const texts = () => ada.page.evaluate(() => [...document.querySelectorAll('[role=log] .text')].map(({ textContent }) => textContent));
  await until('the missed message', async () => (await texts()).includes('missed'));
  assert.deepEqual(await texts(), ['missed'], 'once');
  await until('Ada is not away', () => bo.page.evaluate(() => document.querySelector('[role=group][aria-label=Ada] .away') === null));
  assert.equal(await ada.descriptions(), descriptions, 'no negotiation');
  assert.equal(await stateOf(ada), 'connected');
  await part(ada, bo);
});

test('a screen that was shared just before a loss is shared', TIMEOUT, async () => {
  const [ada, bo] = await meet(shared.browser, shared.server, 'offer');
  // After the offer is sent, before its answer can be read.
  await ada.page.evaluate(() => window.e2e.cutAfter('offer'));
  await ada.press('Share screen');
  await bo.seesAll(["Ada's screen"], 60_000);
  await part(ada, bo);
});

for (const [how, end] of [['stops', (server) => server.stop()], ['loses its power', (server) => server.kill()]]) {
  test(`the server ${how} and is started again`, TIMEOUT, async (t) => {
    const server = await Server.start();
    const [ada, bo] = await meet(shared.browser, server, 'restart');
    await ada.press('Mute');
    await end(server);
    await ada.isTold('Connection lost. Reconnecting…');
    await server.startAgain();
    const start = performance.now();
    for (const [person, other] of [[ada, 'Bo'], [bo, 'Ada']]) {
      const isBack = async () => (await stateOf(person)) === 'connected' && (await person.tile(other))?.right && (await framesOf(person)) > 0;
      await until(`${person.name} is back`, isBack, 30_000);
    }
    const took = Math.round(performance.now() - start);
    t.diagnostic(`from the server's return to pictures for both: ${took} ms`);
    assert.ok(took <= BACK_AFTER_RESTART_MS, `within ${BACK_AFTER_RESTART_MS} ms, but ${took}`);
    assert.equal(await ada.page.evaluate(() => window.ninefold.room.localParticipant.isMicrophoneEnabled), false, 'Ada is still muted');
    await part(ada, bo);
    await server.stop();
  });
}

test('ICE is restarted, and a room is joined anew', TIMEOUT, async () => {
  const [ada, bo] = await meet(shared.browser, shared.server, 'simulate');
  await neverStands([bo], ada.page.evaluate(() => {
    const { room } = window.ninefold;
    const back = new Promise((resolve) => room.once('Reconnected', resolve));
    room.simulate('ice-fail');
    return back;
  }));
  await ada.page.evaluate(() => window.ninefold.room.simulate('node-failure'));
  await until('Ada is back', async () => (await stateOf(ada)) === 'connected' && (await framesOf(ada)) > 0);
  await ada.seesAll(['You', 'Bo']);
  await bo.seesAll(['You', 'Ada']);
  assert.equal((await bo.tiles()).length, 2, 'one Ada');
  await part(ada, bo);
});

test('a client comes from another address', TIMEOUT, async (t) => {
  const relay = await Relay.start();
  const port = await freePort();
  relay.target = port;
  const env = { NINEFOLD_MEDIA__PORT: String(port), NINEFOLD_MEDIA__SHARDS: '1', NINEFOLD_MEDIA__ADVERTISE: `127.0.0.1:${relay.port}` };
  const server = await Server.start({ env });
  const [ada, bo] = await meet(shared.browser, server, 'move');
  const moved = relay.move();
  assert.ok(moved >= 2, 'media went through the relay');
  const start = performance.now();
  // What was on its way is decoded still.
  await wait(WINDOW_MS);
  for (const person of [ada, bo]) {
    const before = await framesOf(person);
    await until(`${person.name} sees new frames`, async () => (await framesOf(person)) > before + 10);
  }
  const took = Math.round(performance.now() - start);
  t.diagnostic(`from the change of address to pictures for both: ${took} ms`);
  assert.ok(took <= BACK_AFTER_MOVE_MS, `within ${BACK_AFTER_MOVE_MS} ms, but ${took}`);
  await part(ada, bo);
  await server.stop();
  relay.stop();
});
