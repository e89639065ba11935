/** Codecs other than VP8, and layers within one encoding (SVC): what a browser makes, the server takes apart and another browser shows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, part } from '../lib/browser.mjs';
import { setUp } from '../lib/setup.mjs';
import { until } from '../lib/until.mjs';

const world = setUp();
/** Enough for two sizes, within one encoding or beside each other: Chromium makes no layer of less than 135 lines. Grains, so that layers differ in what they take. */
const CAMERA = { width: 640, height: 360, fps: 10, busy: 0.2 };
const SMALL = { width: 160, height: 90 };
/**
 * `low` are the lines of the smallest layer, if there are several; `made` is what the encoder makes of it, one mode for each stream. A single size begins
 * small and grows for ten seconds and more, as the encoder finds its bits.
 */
const CASES = [
  { codec: 'vp9', layers: 'L3T3_KEY', low: 180, made: ['L2T3_KEY'] },
  { codec: 'vp9', layers: 'L3T3', low: 180, made: ['L2T3'] },
  { codec: 'av1', layers: 'L3T3_KEY', low: 180, made: ['L2T3_KEY'] },
  { codec: 'av1', layers: 'L1T3', made: ['L1T3'] },
  { codec: 'h264', layers: 'L1T1', low: 180, made: ['L1T1', 'L1T1'] },
];
/** Ends what hangs. On two cores a change takes 100 to 1,000 ms, and each figure is told. */
const HANG_MS = 20_000;
/** Frames that came and could not be decoded; some may be when a layer begins. Without what it needs a layer has one for each of its frames. */
const DROPPED_MAX = 15;
/** A change may ask for a keyframe, and the next one if that was lost; a storm has one a second. */
const ASKED_MAX = 6;
const STEADY_MS = 2_000;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (const { codec, layers, low, made } of CASES) {
  test(`${codec} in ${layers}`, { timeout: 120_000 }, async (t) => {
    const room = `${codec}-${layers}`;
    const ada = await join(world.browser, world.server, room, 'Ada', { camera: CAMERA, query: { codec, layers } });
    const bo = await join(world.browser, world.server, room, 'Bo', { camera: { ...SMALL, fps: 5 } });
    const figures = [];
    const reach = async (what, wish, isRight) => {
      const from = performance.now();
      await bo.page.evaluate(setSize, wish);
      await until(async () => `${what}: ${JSON.stringify(await pictureOf(bo))}`, async () => isRight((await pictureOf(bo)).frameHeight), HANG_MS);
      figures.push(`${what} ${Math.round(performance.now() - from)} ms`);
      await flows(bo, what);
    };
    const isLarge = (lines) => lines === CAMERA.height || !low;
    const isSmall = (lines) => lines === low || !low;
    await bo.seesAll(['Ada'], 60_000);
    await reach('large', CAMERA, isLarge);
    const sent = await sentBy(ada);
    await reach('small', SMALL, isSmall);
    const told = await layersTo(bo);
    await reach('large again', CAMERA, isLarge);
    figures.push(`hidden ${await hide(bo)} bytes in ${STEADY_MS} ms`);
    await reach('back in sight', CAMERA, isLarge);
    await bo.seesAll(['Ada']);
    const { pliCount, nackCount, freezeCount, framesReceived, framesDecoded, framesDropped } = await pictureOf(bo);
    t.diagnostic(`sent: ${JSON.stringify(sent)}; when small: ${JSON.stringify(told)}`);
    t.diagnostic(`${figures.join(', ')}; ${framesReceived} frames, ${framesDecoded} decoded, ${framesDropped} dropped, ${pliCount} PLI, ${nackCount} NACK, ${freezeCount} freezes`);
    assert.deepEqual([sent.codec, sent.modes], [codec, made], 'what was asked for is sent');
    assert.equal(told.codec, codec);
    assert.ok(framesDropped <= DROPPED_MAX, `${framesDropped} frames were for nothing`);
    assert.ok(pliCount <= ASKED_MAX, `${pliCount} keyframes asked for`);
    await part(ada, bo);
  });
}

/** In the page: how large Ada's picture is wanted. */
function setSize({ width, height }) {
  for (const participant of window.ninefold.room.remoteParticipants.values()) participant.publication('camera')?.setSize(width, height);
}

async function pictureOf(person) {
  const rows = (await person.inbound()).filter(({ kind, framesDecoded }) => kind === 'video' && framesDecoded > 0);
  return rows.sort((a, b) => b.bytesReceived - a.bytesReceived)[0] ?? { framesDecoded: 0 };
}

/** Half of what two seconds have is decoded of each. */
async function flows(person, what) {
  const start = (await pictureOf(person)).framesDecoded;
  const wanted = start + (CAMERA.fps * STEADY_MS) / 2_000;
  await until(async () => `${what}: ${JSON.stringify(await pictureOf(person))}`, async () => (await pictureOf(person)).framesDecoded >= wanted, HANG_MS);
}

/** What the encoders make: the codec, the mode of each active stream and who encodes. */
function sentBy(person) {
  return person.page.evaluate(async () => {
    const rows = [...(await window.ninefold.room.getStats()).values()];
    const active = rows.filter(({ type, kind, framesEncoded }) => type === 'outbound-rtp' && kind === 'video' && framesEncoded > 0);
    const mime = rows.find(({ id }) => id === active[0]?.codecId)?.mimeType ?? '';
    return { codec: mime.replace('video/', '').toLowerCase(), modes: active.map(({ scalabilityMode }) => scalabilityMode), encoder: active[0]?.encoderImplementation };
  });
}

async function layersTo(person) {
  const { slots } = await person.page.evaluate(() => window.ninefold.room.layers());
  const [{ codec, sent, wished, limit }] = slots.filter(({ codec }) => codec !== 'opus');
  return { codec, sent, wished, limit };
}

/** Out of sight for a while: the bytes that still came. */
async function hide(person) {
  const tile = (display) => person.page.evaluate((display) => void (document.querySelector('[role=group][aria-label=Ada]').style.display = display), display);
  await person.page.evaluate(setSize, {});
  await tile('none');
  await until('the picture is not live', async () => !(await person.tile('Ada')).visible);
  const bytes = async () => (await pictureOf(person)).bytesReceived;
  const before = await bytes();
  await wait(STEADY_MS);
  const came = (await bytes()) - before;
  await tile('');
  assert.equal(came, 0, 'nothing comes out of sight');
  return came;
}
