import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, part, Person } from '../lib/browser.mjs';
import { act, confirm } from '../lib/moderate.mjs';
import { Server } from '../lib/server.mjs';
import { setUp } from '../lib/setup.mjs';
import { Tokens } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const TIMEOUT = { timeout: 240_000 };
const tokens = new Tokens();
/** One that wants a token of everybody, and one that lets guests in too. */
const strict = setUp({ config: tokens.config });
const open = setUp({ config: tokens.config, env: { NINEFOLD_AUTH__GUESTS: 'join' } });

const newcomer = (world, name) => Person.open(world.browser, name, { origin: world.server.url });
const moderator = (world, room) => join(world.browser, world.server, room, 'Ada', { token: tokens.mint(room, 'Ada', { moderate: true }) });

test('a link with a token', TIMEOUT, async () => {
  const token = tokens.mint('team', 'Ada Holm', { moderate: true });
  const ada = await newcomer(strict, 'Ada');
  await ada.knock(strict.server.url, 'team', {}, token);
  await ada.find('toolbar', 'Controls').wait();
  assert.equal(new URL(ada.page.url()).hash, '', 'the token is not in the address bar');
  assert.equal(await ada.page.evaluate(() => window.ninefold.room.localParticipant.name), 'Ada Holm', 'the token says the name');
  await ada.page.reload();
  await ada.find('toolbar', 'Controls').wait();
  assert.equal(await ada.page.evaluate(() => window.ninefold.room.localParticipant.rights.moderate), true, 'a reload needs no new link');
  await part(ada);
});

test('who is not let in reads why', TIMEOUT, async (t) => {
  const good = tokens.mint('team', 'Bo');
  const past = Math.floor(Date.now() / 1000) - 3600;
  const future = past + 7200;
  const cases = [
    ['no token', 'team', undefined, 'You need an invitation'],
    ['garbage', 'team', 'garbage', 'This link does not work'],
    ['a foreign signature', 'team', `${good.slice(0, -6)}AAAAAA`, 'This link does not work'],
    ['another room', 'other', good, 'This link is for another room'],
    ['too old', 'team', tokens.change(good, { exp: past }), 'This link is too old'],
    ['too early', 'team', tokens.change(good, { nbf: future, exp: future + 3600 }), 'You are early'],
  ];
  for (const [what, room, token, heading] of cases) {
    await t.test(what, async () => {
      const bo = await newcomer(strict, 'Bo');
      await bo.knock(strict.server.url, room, {}, token);
      await bo.reads(heading);
      await bo.find('button', 'Back to the start').wait();
      await part(bo);
    });
  }
});

test('who may only speak is seen to be so', TIMEOUT, async () => {
  const ada = await moderator(strict, 'rights');
  const bo = await join(strict.browser, strict.server, 'rights', 'Bo', { token: tokens.mint('rights', 'Bo', { publish: ['microphone'] }) });
  await until('Bo can be heard', () => ada.page.evaluate(() => [...window.ninefold.room.remoteParticipants.values()][0]?.publication('microphone') !== undefined));
  assert.equal(await ada.page.evaluate(() => [...window.ninefold.room.remoteParticipants.values()][0].publication('camera')), undefined);
  const button = (label) => bo.page.evaluate((label) => document.querySelector(`[role=toolbar] [title="${label}"]`)?.getAttribute('aria-disabled'), label);
  assert.equal(await button('You may not use your camera in this room.'), 'true');
  assert.equal(await button('You may not share a screen in this room.'), 'true');
  await part(ada, bo);
});

test('a moderator looks after a room of guests', TIMEOUT, async (t) => {
  const { server } = open;
  const ada = await moderator(open, 'moderated');
  const bo = await join(open.browser, server, 'moderated', 'Bo');
  await ada.seesAll(['You', 'Bo'], 60_000);
  await ada.press('People');
  await t.test('guests have no such tools', () => guestsHaveNoTools(bo));
  await t.test('mute', () => mute(ada, bo));
  await t.test('sharing', () => sharing(ada, bo));
  await t.test('lock', () => lock(ada, open));
  await t.test('lobby', () => lobby(ada, open));
  await t.test('remove', () => remove(ada, bo));
  await t.test('ban', () => ban(ada, open));
  await part(ada, bo);
});

async function guestsHaveNoTools(bo) {
  await bo.press('People');
  await until('the list', () => bo.page.evaluate(() => document.querySelector('aside li') !== null));
  assert.equal(await bo.page.evaluate(() => document.querySelectorAll('aside .more, aside fieldset').length), 0);
  await bo.press('Close list');
}

async function mute(ada, bo) {
  const isOn = () => bo.page.evaluate(() => window.ninefold.room.localParticipant.publication('microphone').track.mediaStreamTrack.enabled);
  await act(ada, 'Bo', 'Mute');
  await bo.isTold('You were muted by Ada.');
  assert.equal(await isOn(), false, 'the microphone itself is off');
  await bo.press('Unmute');
  await until('Ada sees that Bo is not muted', () => ada.page.evaluate(() => document.querySelector('[role=group][aria-label=Bo] [aria-label=Muted]') === null));
  assert.equal(await isOn(), true);
}

async function sharing(ada, bo) {
  await bo.press('Share screen');
  await ada.seesAll(["Bo's screen"], 60_000);
  await act(ada, 'Bo', 'Forbid sharing');
  await until('the screen is gone', async () => !(await ada.tile("Bo's screen")));
  const reason = '[role=toolbar] [title="You may not share a screen in this room."]';
  await bo.page.waitForSelector(reason);
  assert.equal(await bo.page.evaluate(() => window.ninefold.room.localParticipant.isScreenShareEnabled), false);
  await act(ada, 'Bo', 'Allow sharing');
  await until('Bo may share', () => bo.page.evaluate((reason) => document.querySelector(reason) === null, reason));
  await bo.press('Share screen');
  await ada.seesAll(["Bo's screen"], 60_000);
  const rule = (value) => ada.page.locator('aside fieldset select').fill(value);
  await rule('moderators');
  await until('the screen is gone', async () => !(await ada.tile("Bo's screen")));
  await bo.page.waitForSelector(reason);
  await ada.press('Share screen');
  await bo.seesAll(["Ada's screen"], 60_000);
  await ada.press('Stop sharing');
  await rule('all');
  await until('Bo may share', () => bo.page.evaluate((reason) => document.querySelector(reason) === null, reason));
}

async function lock(ada, world) {
  await ada.find('checkbox', 'Lock the room: nobody else comes in').click();
  await until('the room is locked', () => ada.page.evaluate(() => document.querySelector('header .lock')?.textContent === 'Locked'));
  const cy = await newcomer(world, 'Cy');
  await cy.knock(world.server.url, 'moderated');
  await cy.reads('The room is locked');
  await ada.find('checkbox', 'Lock the room: nobody else comes in').click();
  await until('the room is open', () => ada.page.evaluate(() => document.querySelector('header .lock') === null));
  await cy.press('Try again');
  await cy.find('toolbar', 'Controls').wait();
  await part(cy);
}

async function lobby(ada, world) {
  await ada.find('checkbox', 'Lobby: newcomers wait to be let in').click();
  await until('the lobby', () => ada.page.evaluate(() => window.ninefold.room.settings.lobby));
  const dee = await newcomer(world, 'Dee');
  await dee.knock(world.server.url, 'moderated');
  await dee.reads('Waiting to be let in…');
  await ada.press('Refuse Dee');
  await dee.reads('You were not let in');
  await dee.press('Try again');
  await dee.reads('Waiting to be let in…');
  await ada.press('Admit Dee');
  await dee.find('toolbar', 'Controls').wait();
  await dee.seesAll(['You', 'Ada'], 60_000);
  const eli = await newcomer(world, 'Eli');
  await eli.knock(world.server.url, 'moderated');
  await eli.reads('Waiting to be let in…');
  await eli.press('Leave');
  await until('nobody waits', () => ada.page.evaluate(() => window.ninefold.room.lobby.length === 0));
  await ada.find('checkbox', 'Lobby: newcomers wait to be let in').click();
  await until('no lobby', () => ada.page.evaluate(() => !window.ninefold.room.settings.lobby));
  await part(dee, eli);
}

async function remove(ada, bo) {
  await act(ada, 'Bo', 'Remove');
  await confirm(ada, 'Remove');
  await bo.reads('You were removed');
  await until('Bo is gone', async () => !(await ada.tile('Bo')));
  await bo.press('Rejoin');
  await bo.find('toolbar', 'Controls').wait();
  await ada.seesAll(['Bo'], 60_000);
}

/** By identity: all guests here have the address of this machine, which is never banned. */
async function ban(ada, world) {
  const fay = await join(world.browser, world.server, 'moderated', 'Fay', { token: tokens.mint('moderated', 'Fay') });
  await ada.seesAll(['Fay'], 60_000);
  await act(ada, 'Fay', 'Ban');
  await confirm(ada, 'Ban');
  await fay.reads('You were banned');
  await until('Fay is gone', async () => !(await ada.tile('Fay')));
  await fay.page.reload();
  await fay.reads('You were banned');
  await part(fay);
}

test('a room may be full', TIMEOUT, async () => {
  const server = await Server.start({ env: { NINEFOLD_LIMITS__PARTICIPANTS: '1' } });
  const ada = await join(strict.browser, server, 'full', 'Ada');
  const bo = await Person.open(strict.browser, 'Bo', { origin: server.url });
  await bo.knock(server.url, 'full');
  await bo.reads('The room is full');
  await ada.press('Leave');
  await ada.reads('You left');
  await bo.press('Try again');
  await bo.find('toolbar', 'Controls').wait();
  await part(ada, bo);
  await server.stop();
});
