import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, Person } from '../lib/browser.mjs';
import { setUp } from '../lib/setup.mjs';
import { until } from '../lib/until.mjs';

const TIMEOUT = { timeout: 180_000 };
const world = setUp();

test('two people use what the page offers', TIMEOUT, async (t) => {
  const ada = await Person.open(world.browser, 'Ada', { origin: world.server.url });
  await t.test('the form leads into the room', () => enterByForm(ada));
  const bo = await join(world.browser, world.server, 'ui', 'Bo');
  await ada.seesAll(['You', 'Bo']);
  await bo.seesAll(['You', 'Ada']);
  await t.test('tiles are whole', () => tilesAreWhole(ada));
  await t.test('mute and unmute', (t) => muteAndUnmute(t, ada, bo));
  await t.test('stop and start video', () => stopAndStartVideo(ada, bo));
  await t.test('a message', () => chat(ada, bo));
  await t.test('a raised hand', () => raiseHand(ada, bo));
  await t.test('data', () => sendData(ada, bo));
  await t.test('a real screen', () => shareRealScreen(bo, ada));
  await t.test('leaving', () => leave(ada, bo));
  await t.test('nothing to complain about', () => [ada, bo].forEach((person) => person.assertNoFaults()));
  for (const person of [ada, bo]) await person.close();
});

async function enterByForm(ada) {
  await ada.page.goto(`${world.server.url}/?lang=en`);
  await ada.find('textbox', 'Your name').fill('Ada');
  await ada.find('textbox', 'Room').fill('not/a room?');
  await ada.press('Join');
  await until('the form explains what a room name is', () => ada.page.evaluate(() => document.querySelector('#room').getAttribute('aria-invalid') === 'true'));
  assert.equal(new URL(ada.page.url()).pathname, '/', 'a garbage name leads nowhere');
  await ada.find('textbox', 'Room').fill('ui');
  await ada.press('Join');
  await ada.find('toolbar', 'Controls').wait();
  assert.equal(new URL(ada.page.url()).pathname, '/r/ui');
}

/** Nothing is cut off at the edge of the space that tiles have. */
async function tilesAreWhole(ada) {
  const overhang = () =>
    ada.page.evaluate(() => {
      const tiles = [...document.querySelectorAll('[role=group]')];
      const space = tiles[0].closest('section').firstElementChild.getBoundingClientRect();
      const edges = tiles.map((tile) => tile.getBoundingClientRect());
      return Math.max(...edges.flatMap(({ top, left, bottom, right }) => [space.top - top, space.left - left, bottom - space.bottom, right - space.right]));
    });
  const { page } = ada;
  const before = page.viewport();
  // A window in which tiles are as high as their space.
  await page.setViewport({ width: 1280, height: 500 });
  await until('the tiles follow the window', () => page.evaluate(() => document.querySelector('[role=group]').clientHeight > 300));
  // They glide to their places.
  await until(async () => `no tile hangs over; ${await overhang()} px do`, async () => (await overhang()) <= 0.5, 10_000);
  await page.setViewport(before);
}

/** The sound energy that came in over a second or so. */
async function energy(person) {
  const sum = async () => {
    const rows = (await person.inbound()).filter(({ kind }) => kind === 'audio');
    const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
    return { energy: total('totalAudioEnergy'), seconds: total('totalSamplesDuration') };
  };
  const before = await sum();
  return until('a second of sound', async () => {
    const now = await sum();
    // The idle slots of the room count too, as silence.
    return now.seconds - before.seconds >= 1 && { energy: now.energy - before.energy };
  });
}

async function muteAndUnmute(t, ada, bo) {
  const glyph = () => bo.page.evaluate(() => document.querySelector('[role=group][aria-label="Ada"] [aria-label="Muted"]') !== null);
  const loud = await until('Bo hears Ada', async () => (await energy(bo)).energy > 1e-5 && (await energy(bo)));
  assert.equal(await glyph(), false);
  await ada.press('Mute');
  await until('Bo sees that Ada is muted', glyph);
  await until('Bo hears nothing', async () => (await energy(bo)).energy < 1e-7);
  await ada.press('Unmute');
  await until('Bo sees that Ada is not muted', async () => !(await glyph()));
  await until('Bo hears Ada again', async () => (await energy(bo)).energy > 1e-5);
  t.diagnostic(`energy of a second of sound: ${loud.energy.toExponential(1)}, muted less than 1e-7`);
}

async function stopAndStartVideo(ada, bo) {
  await ada.press('Stop video');
  await until("Ada's avatar", async () => (await bo.tile('Ada'))?.visible === false);
  const initials = await bo.page.evaluate(() => document.querySelector('[role=group][aria-label="Ada"] .avatar').textContent);
  assert.equal(initials, 'A');
  await ada.press('Start video');
  await bo.seesAll(['Ada']);
}

async function chat(ada, bo) {
  const text = 'Hello 你好 <b>& all</b>';
  const read = (person) => person.page.evaluate(() => [...document.querySelectorAll('[role=log] .text')].map(({ textContent }) => textContent));
  await ada.press('Chat');
  await ada.find('textbox', 'Message to everybody').fill(text);
  await ada.press('Send');
  await until('Ada reads what she wrote', async () => (await read(ada)).includes(text));
  await until('Bo has an unread message', () => bo.page.evaluate(() => document.querySelector('[role=toolbar] .badge')?.textContent === '1'));
  await bo.press('Chat');
  await until('Bo reads it', async () => (await read(bo)).includes(text));
  const from = await bo.page.evaluate(() => document.querySelector('[role=log] .from').textContent);
  assert.match(from, /^Ada/);
  await ada.press('Close chat');
  await bo.press('Close chat');
}

async function raiseHand(ada, bo) {
  const hand = () => bo.page.evaluate(() => document.querySelector('[role=group][aria-label="Ada"] .hand')?.textContent.trim());
  await ada.press('Raise hand');
  await until("Ada's hand is up", async () => (await hand()) === 'Hand 1');
  await ada.press('Lower hand');
  await until("Ada's hand is down", async () => (await hand()) === undefined);
}

async function sendData(ada, bo) {
  const listen = () => {
    window.received = [];
    window.ninefold.room.on('DataReceived', (payload, from) => window.received.push([new TextDecoder().decode(payload), from?.name]));
  };
  await bo.page.evaluate(listen);
  await ada.page.evaluate(listen);
  await ada.page.evaluate(() => {
    const { localParticipant, remoteParticipants } = window.ninefold.room;
    localParticipant.publishData(new TextEncoder().encode('to everybody'));
    localParticipant.publishData(new TextEncoder().encode('to Bo'), { to: [...remoteParticipants.keys()][0] });
  });
  const received = await until('two messages', () => bo.page.evaluate(() => window.received.length >= 2 && window.received));
  assert.deepEqual(received, [['to everybody', 'Ada'], ['to Bo', 'Ada']]);
  assert.deepEqual(await ada.page.evaluate(() => window.received), [], 'nothing comes back');
}

/** The browser's own capture rather than a made one. */
async function shareRealScreen(sharer, other) {
  await sharer.page.evaluate(() => delete navigator.mediaDevices.getDisplayMedia);
  await sharer.press('Share screen');
  await until('the screen is in sight', async () => (await other.tile("Bo's screen"))?.visible);
  assert.equal(await sharer.page.evaluate(() => window.ninefold.room.localParticipant.publication('screen').track.mediaStreamTrack.contentHint), 'detail');
  await sharer.press('Stop sharing');
  await until('the screen is gone', async () => !(await other.tile("Bo's screen")));
}

async function leave(ada, bo) {
  await ada.press('Leave');
  await until('Ada is told', () => ada.page.evaluate(() => document.querySelector('[role=alert] h1')?.textContent === 'You left'));
  await until('Ada is gone', async () => !(await bo.tile('Ada')));
  assert.equal(await ada.page.evaluate(() => window.ninefold.room.state), 'disconnected');
}

test('a page in Chinese', TIMEOUT, async () => {
  const cy = await Person.open(world.browser, 'Cy', { origin: world.server.url });
  await cy.page.goto(`${world.server.url}/r/${encodeURIComponent('会议室')}?name=Cy&autojoin=1&lang=zh-CN`);
  await cy.page.waitForSelector('[role=toolbar]');
  const page = await cy.page.evaluate(() => ({
    lang: document.documentElement.lang,
    room: document.querySelector('h1').textContent,
    buttons: [...document.querySelectorAll('[role=toolbar] button')].map(({ textContent }) => textContent.trim()),
  }));
  assert.equal(page.lang, 'zh-CN');
  assert.equal(page.room, '会议室');
  assert.equal(page.buttons.length, 7);
  for (const label of page.buttons) assert.match(label, /^\p{Script=Han}+$/u);
  cy.assertNoFaults();
  await cy.close();
});

test('somebody watches', TIMEOUT, async () => {
  const ada = await join(world.browser, world.server, 'stage', 'Ada');
  const viewer = await Person.open(world.browser, 'Dee', { origin: world.server.url });
  await viewer.page.goto(`${world.server.url}/watch/stage?lang=en`);
  await viewer.seesAll(['Ada']);
  await until('Ada knows of a viewer', () => ada.page.evaluate(() => window.ninefold.room.viewerCount === 1));
  assert.equal(await ada.page.evaluate(() => window.ninefold.room.remoteParticipants.size), 0, 'a viewer is in no roster');
  assert.equal((await ada.tiles()).length, 1, 'a viewer has no tile');
  assert.equal((await viewer.tiles()).length, 1);
  await viewer.press('Unmute');
  await until('the viewer hears Ada', async () => (await energy(viewer)).energy > 1e-5);
  await viewer.close();
  await until('the viewer is gone', () => ada.page.evaluate(() => window.ninefold.room.viewerCount === 0));
  ada.assertNoFaults();
  viewer.assertNoFaults();
  await ada.close();
});

test('garbage for a room name', TIMEOUT, async () => {
  const ada = await Person.open(world.browser, 'Ada', { origin: world.server.url });
  // Rooms stay for a while after the last has left: those of the other tests are still there.
  const rooms = await world.server.metric('ninefold_rooms');
  for (const name of ['a b', '<script>', '...', 'x'.repeat(65), '🙂']) {
    for (const page of ['r', 'watch']) {
      await ada.page.goto(`${world.server.url}/${page}/${encodeURIComponent(name)}?name=Ada&autojoin=1&lang=en`);
      const title = await until('a title', () => ada.page.evaluate(() => document.querySelector('h1')?.textContent));
      assert.equal(title, 'There is no such page', name);
    }
    ada.assertNoFaults();
    assert.equal(await ada.page.evaluate(openSocket, name), 'refused', `the server lets nobody into “${name}”`);
    // The browser complains of the refusal, as it should.
    ada.faults.length = 0;
  }
  assert.equal(await world.server.metric('ninefold_rooms'), rooms, 'no room was made');
  await ada.close();
});

/** In the page, without the page's own checks. */
function openSocket(room) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/api/v1/rooms/${encodeURIComponent(room)}/socket`);
    socket.addEventListener('open', () => resolve('open'));
    socket.addEventListener('error', () => resolve('refused'));
  });
}
