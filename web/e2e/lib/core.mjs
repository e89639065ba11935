/** What three people in one room must see and hear of each other, whichever browsers they use. */
import assert from 'node:assert/strict';
import { until } from './until.mjs';

const WINDOW_MS = 2_000;
const FRAMES = 40;
const TURNS = 20;

const othersOf = (people, person) => people.filter((other) => other !== person).map(({ name }) => name);

/** Every tile has the picture of its name, and the pictures move. */
export async function coloursMatchNames(t, people) {
  for (const person of people) {
    const others = othersOf(people, person);
    await person.seesAll(['You', ...others], 60_000);
    for (const other of others) {
      const before = await person.edge(other);
      await until(`${other}'s picture moves for ${person.name}`, async () => (await person.edge(other)) !== before);
    }
  }
  t.diagnostic('every tile shows the colour of its name, and moves');
}

/** Within some two seconds each remote video of each person gains 40 frames. */
export async function videosFlow(t, people) {
  const best = await Promise.all(people.map((person) => fastestWindow(person, people.length - 1)));
  t.diagnostic(`frames decoded in ${WINDOW_MS} ms, slowest video of each: ${people.map(({ name }, i) => `${name} ${best[i]}`).join(', ')}`);
}

/** Samples until a window is found in which the slowest of `count` videos gained enough; gives what it gained. */
async function fastestWindow(person, count) {
  const samples = [];
  return until(`${person.name} decodes ${count} videos with ${FRAMES} frames in ${WINDOW_MS} ms`, async () => {
    const rows = (await person.inbound()).filter(({ kind }) => kind === 'video');
    samples.push({ at: rows[0]?.timestamp ?? 0, frames: new Map(rows.map(({ id, framesDecoded }) => [id, framesDecoded])) });
    const now = samples.at(-1);
    // The longest window that is not longer than it should be.
    const then = samples.find(({ at }) => at > 0 && now.at - at <= WINDOW_MS);
    if (!then || now.at - then.at < WINDOW_MS * 0.9) return undefined;
    const gains = [...now.frames].map(([id, frames]) => frames - (then.frames.get(id) ?? frames)).sort((a, b) => b - a);
    const slowest = gains[count - 1] ?? 0;
    return slowest >= FRAMES ? slowest : undefined;
  }, 60_000);
}

/** Each person receives the sound of all the others, and it is not silence. */
export async function soundsFlow(t, people) {
  for (const person of people) {
    const before = await audioRows(person);
    await until(`${person.name} hears ${people.length - 1} others`, async () => {
      const now = await audioRows(person);
      const grown = [...now].filter(([id, row]) => {
        const then = before.get(id) ?? { totalSamplesReceived: 0, totalAudioEnergy: 0 };
        return row.totalSamplesReceived > then.totalSamplesReceived && row.totalAudioEnergy > then.totalAudioEnergy;
      });
      return grown.length >= people.length - 1;
    });
  }
  t.diagnostic(`everybody hears ${people.length - 1} others`);
}

async function audioRows(person) {
  return new Map((await person.inbound()).filter(({ kind }) => kind === 'audio').map((row) => [row.id, row]));
}

/** `pager` shows one tile a page: You, then the others. Each turn is a change of the slot's source. */
export async function pagesTurn(t, pager, [first, second]) {
  const before = await pager.descriptions();
  await pager.seesAll(['You']);
  await pager.press('Next page');
  await pager.seesAll([first]);
  const times = [];
  for (let turn = 1; turn <= TURNS; turn++) {
    const forward = turn % 2 === 1;
    const shown = forward ? second : first;
    await pager.press(forward ? 'Next page' : 'Previous page');
    times.push(await until(`${shown} is in sight`, async () => (await pager.revealed())[shown]));
    await pager.seesAll([shown]);
    const tiles = await pager.tiles();
    assert.equal(tiles.length, 1, 'a page of one tile');
  }
  assert.equal(await pager.descriptions(), before, 'turning pages sets no description');
  const list = times.map((ms) => Math.round(ms)).sort((a, b) => a - b);
  t.diagnostic(`${TURNS} turns; from the click to the right picture: median ${list[TURNS / 2]} ms, worst ${list.at(-1)} ms`);
}

/** Looks through every frame that was in sight under a name since the beginning. */
export async function noWrongFace(t, people) {
  for (const person of people) {
    const sight = await person.sight();
    for (const [label, { right, wrong }] of Object.entries(sight)) {
      assert.deepEqual(wrong, [], `colours seen by ${person.name} in the tile "${label}" that are not its own`);
      assert.ok(right > 0, `${person.name} saw the colour of "${label}"`);
    }
    const counts = Object.entries(sight).map(([label, { right, black }]) => `${label} ${right}${black ? ` and ${black} black` : ''}`);
    t.diagnostic(`frames in sight of ${person.name}, none wrong: ${counts.join(', ')}`);
  }
}

/** A shared screen is a tile of its own for the others, with the picture that was shared; and goes when the sharing ends. */
export async function screenIsShared(t, sharer, others) {
  const label = `${sharer.name}'s screen`;
  await sharer.press('Share screen');
  for (const other of others) {
    await other.seesAll([label, sharer.name], 60_000);
    await until(`ten frames of ${label} for ${other.name}`, async () => (await other.sight())[label]?.right >= 10);
  }
  await sharer.press('Stop sharing');
  for (const other of others) await until(`${label} is gone for ${other.name}`, async () => !(await other.tile(label)));
  t.diagnostic(`${label} came to ${others.length} others and went`);
}

/** Who leaves is gone for everybody, and the others still see each other. */
export async function leaverGoes(t, leaver, others) {
  await leaver.press('Leave');
  for (const other of others) await until(`${leaver.name} is gone for ${other.name}`, async () => !(await other.tile(leaver.name)));
  for (const other of others) await other.seesAll(othersOf(others, other));
  t.diagnostic(`${leaver.name} is gone`);
}

/** In the page: where media comes from. */
export async function remoteHosts() {
  const report = [...(await window.ninefold.room.getStats()).values()];
  const pairs = report.filter(({ type, nominated, bytesReceived }) => type === 'candidate-pair' && nominated && bytesReceived > 0);
  return pairs.map(({ remoteCandidateId }) => report.find(({ id }) => id === remoteCandidateId).address);
}
