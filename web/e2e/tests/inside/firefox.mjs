/** Run by `firefox.test.mjs` in a network namespace: two Chromium pages and one Firefox in one room. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launchChromium, launchFirefox } from '../../lib/browser.mjs';
import { coloursMatchNames, leaverGoes, noWrongFace, pagesTurn, screenIsShared, soundsFlow, videosFlow } from '../../lib/core.mjs';
import { Server } from '../../lib/server.mjs';

const TIMEOUT = { timeout: 180_000 };
let server;
let chromium;
let firefox;

before(async () => {
  server = await Server.start();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
});

after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.stop();
});

test('two Chromium pages and a Firefox see and hear each other', TIMEOUT, async (t) => {
  const ada = await join(chromium, server, 'mixed', 'Ada');
  const bo = await join(chromium, server, 'mixed', 'Bo');
  const cy = await join(firefox, server, 'mixed', 'Cy');
  const people = [ada, bo, cy];
  await t.test('it is Firefox', async () => assert.match(await cy.page.evaluate(() => navigator.userAgent), /Firefox/));
  await t.test('each tile shows the colour of its name', (t) => coloursMatchNames(t, people));
  await t.test('videos flow', (t) => videosFlow(t, people));
  await t.test('sounds flow', (t) => soundsFlow(t, people));
  await t.test('Chromium shares a screen', (t) => screenIsShared(t, bo, [ada, cy]));
  await t.test('Firefox shares a screen', (t) => screenIsShared(t, cy, [ada, bo]));
  await t.test('Chromium leaves', (t) => leaverGoes(t, bo, [ada, cy]));
  await t.test('no wrong face', (t) => noWrongFace(t, [ada, cy]));
  await t.test('nothing to complain about', () => people.forEach((person) => person.assertNoFaults()));
  for (const person of people) await person.close();
});

test('the right face stays under the right name while Firefox turns pages', TIMEOUT, async (t) => {
  const pager = await join(firefox, server, 'pages', 'Ada', { query: { tiles: '1' } });
  const others = [];
  for (const name of ['Bo', 'Cy']) others.push(await join(chromium, server, 'pages', name));
  await t.test('pages turn', (t) => pagesTurn(t, pager, ['Bo', 'Cy']));
  await t.test('no wrong face', (t) => noWrongFace(t, [pager, ...others]));
  await t.test('nothing to complain about', () => [pager, ...others].forEach((person) => person.assertNoFaults()));
  for (const person of [pager, ...others]) await person.close();
});
