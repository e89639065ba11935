import { test } from 'node:test';
import { join } from '../lib/browser.mjs';
import { coloursMatchNames, leaverGoes, noWrongFace, pagesTurn, screenIsShared, soundsFlow, videosFlow } from '../lib/core.mjs';
import { setUp } from '../lib/setup.mjs';

const TIMEOUT = { timeout: 240_000 };
const world = setUp();

test('three people see and hear each other', TIMEOUT, async (t) => {
  const people = [];
  for (const name of ['Ada', 'Bo', 'Cy']) people.push(await join(world.browser, world.server, 'three', name));
  const [ada, bo, cy] = people;
  await t.test('each tile shows the colour of its name', (t) => coloursMatchNames(t, people));
  await t.test('videos flow', (t) => videosFlow(t, people));
  await t.test('sounds flow', (t) => soundsFlow(t, people));
  await t.test('a screen is shared', (t) => screenIsShared(t, bo, [ada, cy]));
  await t.test('somebody leaves', (t) => leaverGoes(t, cy, [ada, bo]));
  await t.test('no wrong face', (t) => noWrongFace(t, [ada, bo]));
  await t.test('nothing to complain about', () => people.forEach((person) => person.assertNoFaults()));
  for (const person of people) await person.close();
});

test('the right face stays under the right name through twenty changes of source', TIMEOUT, async (t) => {
  const pager = await join(world.browser, world.server, 'pages', 'Ada', { query: { tiles: '1' } });
  const others = [];
  for (const name of ['Bo', 'Cy']) others.push(await join(world.browser, world.server, 'pages', name));
  await t.test('pages turn', (t) => pagesTurn(t, pager, ['Bo', 'Cy']));
  await t.test('no wrong face', (t) => noWrongFace(t, [pager, ...others]));
  await t.test('nothing to complain about', () => [pager, ...others].forEach((person) => person.assertNoFaults()));
  for (const person of [pager, ...others]) await person.close();
});
