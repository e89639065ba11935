import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launchChromium, part } from '../lib/browser.mjs';
import { until } from '../lib/until.mjs';
import { serveBehindWire } from '../lib/wire.mjs';

/** Three layers of a picture that takes all the bits an encoder may use, but not all of a busy machine. */
const CAMERA = { width: 960, height: 540, fps: 10, busy: true };
const SMALL = { camera: { width: 160, height: 90, fps: 5 } };
/** What the network lets through to the receiver, in kbit/s, and for how long. */
const STEPS = [
  { rate: 3_000, seconds: 15 },
  { rate: 500, seconds: 15 },
  { rate: 3_000, seconds: 20 },
];
/** A step has shown what it does after so long. */
const SETTLED_S = 5;
/** Frames after which a picture is not one that stands. */
const MOVING = 5;

const world = {};
before(async () => {
  Object.assign(world, await serveBehindWire({ delay: '20ms', 'down.queue': '200ms' }));
  world.browser = await launchChromium();
});
after(async () => {
  await world.browser?.close();
  await world.server?.stop();
  await world.wire?.stop();
});

test('a receiver whose network gets worse and better', { timeout: 300_000 }, async (t) => {
  const { browser, server, wire } = world;
  const ada = await join(browser, server, 'network', 'Ada', { camera: CAMERA });
  const bo = await join(browser, server, 'network', 'Bo', SMALL);
  await bo.seesAll(['Ada'], 60_000);
  await until(async () => `thirty frames, but: ${JSON.stringify(await pictureOf(bo))}`, async () => (await pictureOf(bo)).framesDecoded > 30, 60_000);
  const receiver = await mostServed(wire);
  const rows = [];
  for (const [step, { rate, seconds }] of STEPS.entries()) {
    await wire.change({ [`client.${receiver}.down.rate`]: `${rate}kbit` });
    for (const row of await watch(bo, wire, receiver, seconds)) rows.push({ step, rate, ...row });
  }
  t.diagnostic(table(rows));
  expectToFollow(rows);
  await part(ada, bo);
});

/** What the bars of adaptive forwarding are asserted on: the rows of all steps, one for each second. */
function expectToFollow(rows) {
  for (const { rate, kbits } of settled(rows)) assert.ok(kbits <= rate * 1.02, `${kbits} kbit/s came through ${rate} kbit/s`);
  const [first, , last] = STEPS.map((_, step) => settled(rows.filter((row) => row.step === step)));
  for (const seconds of [first, last]) {
    const frames = seconds.reduce((sum, { frames }) => sum + frames, 0);
    assert.ok(frames >= MOVING, `the picture moves at 3 Mbit/s: ${frames} frames in ${seconds.length} s`);
  }
}

/** Without the first seconds of each step. */
function settled(rows) {
  return rows.filter(({ second }) => second > SETTLED_S);
}

/** The client of the wire that got the most: who receives the large picture. */
async function mostServed(wire) {
  const { clients } = await wire.counters();
  return clients.sort((a, b) => b.down.bytes_out - a.down.bytes_out)[0].client;
}

/** What the browser says of the picture that it receives. */
async function pictureOf(person) {
  const rows = (await person.inbound()).filter(({ kind, framesDecoded }) => kind === 'video' && framesDecoded > 0);
  return rows.sort((a, b) => b.bytesReceived - a.bytesReceived)[0] ?? { framesDecoded: 0 };
}

/** A row for each second: what came in it, by the browser and by the wire. */
async function watch(person, wire, client, seconds) {
  const look = async () => {
    const [picture, { clients, elapsed_ms }] = [await pictureOf(person), await wire.counters()];
    // The wire's own time: this process may be late.
    return { at: elapsed_ms, picture, link: clients.find((known) => known.client === client).down };
  };
  const rows = [];
  let last = await look();
  for (let second = 1; second <= seconds; second++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = await look();
    rows.push({ second, ...difference(last, now) });
    last = now;
  }
  return rows;
}

function difference(before, after) {
  const passed = (after.at - before.at) / 1_000;
  const of = (key) => (after.picture[key] ?? 0) - (before.picture[key] ?? 0);
  const emitted = of('jitterBufferEmittedCount');
  return {
    kbits: Math.round(((after.link.bytes_out - before.link.bytes_out) * 8) / 1_000 / passed),
    queued: Math.round(after.link.queued_ms),
    dropped: after.link.dropped - before.link.dropped,
    frames: of('framesDecoded'),
    height: after.picture.frameHeight,
    freezes: of('freezeCount'),
    frozen: Math.round(of('totalFreezesDuration') * 1_000),
    buffered: emitted > 0 ? Math.round((of('jitterBufferDelay') / emitted) * 1_000) : 0,
    asked: of('pliCount'),
  };
}

function table(rows) {
  const columns = ['rate', 'second', 'kbits', 'queued', 'dropped', 'frames', 'height', 'freezes', 'frozen', 'buffered', 'asked'];
  const line = (values) => values.map((value) => String(value).padStart(9)).join('');
  return [line(columns), ...rows.map((row) => line(columns.map((column) => row[column])))].join('\n');
}
