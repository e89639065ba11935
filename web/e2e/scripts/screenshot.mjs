/** Writes `deploy/room.png` for the README: a real room of the real binary, with drawn people in front of the cameras. */
import { fileURLToPath } from 'node:url';
import { launchChromium, Person } from '../lib/browser.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/until.mjs';
import { installBrush, installHair, installPerson, installPortrait, installWall } from './portrait.mjs';

const TARGET = fileURLToPath(new URL('../../../deploy/room.png', import.meta.url));
const ROOM = 'studio';

const PEOPLE = {
  'Ada Holm': { wall: ['#e8d3bd', '#b98f73'], decor: 'window', sky: '#bfe0f2', leaf: '#4f8a5b', skin: '#f2c9a8', shade: '#d9a582', hair: 'long', hairColour: '#6b3f24', part: 600, shirt: '#2f6f8f' },
  'Kofi Mensah': { wall: ['#6d8fa3', '#3a5566'], decor: 'shelf', skin: '#8d5a3b', shade: '#744529', hair: 'short', hairColour: '#1d1613', part: 640, shirt: '#e2a03f', glasses: true },
  李雪: { wall: ['#cfd9c4', '#86a083'], decor: 'plants', leaf: '#3f7350', skin: '#f5d6b8', shade: '#dfb492', hair: 'bun', hairColour: '#20191a', part: 690, shirt: '#a8485c' },
  'Sofía Reyes': { wall: ['#5b4a6e', '#2f2742'], decor: 'lamp', skin: '#d9a077', shade: '#b97f58', hair: 'curly', hairColour: '#3a2219', part: 620, shirt: '#3f8f77' },
};

const server = await Server.start();
const browser = await launchChromium();
try {
  const [host, ...guests] = await gather();
  await talk(host, guests);
  await host.page.screenshot({ path: TARGET });
  console.log(TARGET);
} finally {
  await browser.close();
  await server.stop();
}

async function gather() {
  const people = [];
  for (const [name, look] of Object.entries(PEOPLE)) {
    const isHost = people.length === 0;
    const viewport = isHost ? { width: 1280, height: 800 } : { width: 800, height: 600 };
    const person = await Person.open(browser, name, { viewport, origin: server.url });
    for (const install of [installBrush, installWall, installHair, installPerson, installPortrait]) await person.page.evaluateOnNewDocument(install, look);
    await person.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    // The guests look at nobody: all of the machine is for the host's picture.
    await person.enter(server.url, ROOM, isHost ? {} : { tiles: '1' });
    people.push(person);
  }
  return people;
}

async function talk(host, guests) {
  const [kofi, xue, sofia] = guests;
  const say = (person, text) => person.page.evaluate((text) => window.ninefold.room.localParticipant.sendChat(text), text);
  await host.press('Chat');
  await say(kofi, 'Morning! The new build is on the test machine.');
  await say(sofia, 'Joining from the train, so no camera tricks today');
  await say(xue, '大家好！I have one question about the layout.');
  await say(host, 'Go ahead, the floor is yours.');
  await xue.press('Raise hand');
  for (const person of [host, kofi, xue]) await person.press('Mute');
  await until('sharp pictures, and Sofía speaks', () => host.page.evaluate(isReady), 120_000);
}

/** In the page. */
function isReady() {
  const videos = [...document.querySelectorAll('[role=group] video')];
  const sharp = videos.length === 4 && videos.every((video) => video.dataset.shown === 'true' && video.videoWidth >= 640);
  // The ring goes slowly: it has to be gone from the others' tiles.
  const ringed = [...document.querySelectorAll('.ring')].filter((ring) => !/rgba\(0, 0, 0, 0\)/.test(getComputedStyle(ring).boxShadow));
  const speakers = ringed.map((ring) => ring.closest('[role=group]').getAttribute('aria-label'));
  return sharp && speakers.length === 1 && speakers[0].startsWith('Sof') && document.querySelectorAll('[role=log] .text').length === 4;
}
