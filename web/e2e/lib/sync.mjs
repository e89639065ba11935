/** A call whose lips and voices are measured: people with marks (`marks.mjs`), each received both through the server and directly (`direct.mjs`). */
import assert from 'node:assert/strict';
import { Person } from './browser.mjs';
import { Direct } from './direct.mjs';
import { differences, estimates, FLASH_WORKER, installConnections, installMarks, PITCHES, skews, watchBeeps, watchFlashes } from './marks.mjs';
import { PALETTE } from './palette.mjs';
import { median, until } from './until.mjs';

/** Sound without a click first; and addresses that another page can use. */
export const SYNC_FLAGS = ['--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns'];

/** What is seen and heard through the server may be so much farther apart, or nearer, than what came directly. */
const SKEW_MS_MAX = 60;
/** One measurement in a call may be beyond that: on calm machines 4 to 55 were seen. */
const ONE_SKEW_MS_MAX = 120;
/**
 * A machine is a clock as long as the marks of the direct way lie so near to each other. If they ever did not, browsers come back from that slowly, and
 * only what is plainly apart is a fault.
 */
const STEADY_MS = 40;
const UNSTEADY_SKEW_MS_MAX = 400;
/** The browser's own estimate of its pairs jumps by tens, and has no reference. On a machine that is no clock it says anything. */
const SAID_MS_MAX = 200;
/** Browsers look at the reports once a second and move each stream by at most 80 ms at a time. */
const SETTLE_MS = 8_000;
const MARKS = 8;
/** As small as a picture with two layers is, and its marks take few frames: two cores do all of this at once. */
export const CAMERA = { width: 480, height: 270 };

export class SyncCall {
  #t;
  #server;
  #results = [];
  #isSteady = true;

  constructor(t, server) {
    this.#t = t;
    this.#server = server;
  }

  /** Somebody with marks. Whoever only sends has a small window and receives no pictures: two cores have enough to do. */
  async enter(browser, name, { viewport = { width: 240, height: 240 }, query = {} } = {}) {
    const { url } = this.#server;
    const person = await Person.open(browser, name, { origin: url, viewport });
    await person.page.setBypassCSP(true);
    await person.page.evaluateOnNewDocument(installMarks, { rgb: PALETTE[name], ...CAMERA, pitch: PITCHES[name] });
    await person.page.evaluateOnNewDocument(installConnections);
    await person.enter(url, 'sync', query);
    return person;
  }

  /** From now on the marks are noted that come to `person`, and those of `senders` come directly too. */
  async watch(person, senders) {
    for (const { page } of senders) await page.evaluate(() => window.ninefold.room.setVisibleTracks([]));
    await person.page.evaluate(watchFlashes, FLASH_WORKER);
    await person.page.evaluate(watchBeeps, PITCHES);
    for (const sender of senders) await Direct.connect(person, sender);
  }

  /** Waits until the received picture has the right number of lines. */
  lines(person, label, isRight) {
    const height = () => person.page.evaluate((label) => document.querySelector(`[role=group][aria-label="${label}"] video`)?.videoHeight ?? 0, label);
    return until(async () => `${label} in other lines than ${await height()}`, async () => isRight(await height()));
  }

  /** Waits for marks of all these once the browser has settled; notes how far apart they are. */
  async measure(person, names, what) {
    const from = SETTLE_MS + (await person.page.evaluate(() => performance.now()));
    const read = () => person.page.evaluate(() => ({ flashes: window.e2e.flashes, beeps: window.e2e.beeps }));
    const pairs = (marks, who) => [skews(marks, who, from), skews(marks, `direct ${who}`, from)];
    const tell = (marks) => `${MARKS} marks through the server and directly: ${names.map((who) => `${who} ${pairs(marks, who).map(({ length }) => length)}`)}`;
    const marks = await until(async () => tell(await read()), async () => {
      const marks = await read();
      return names.every((who) => differences(...pairs(marks, who)).length >= MARKS) && marks;
    }, 60_000);
    const said = await this.#said(person);
    for (const who of names) {
      const [through, direct] = pairs(marks, who);
      const list = differences(through, direct).map(({ ms }) => ms);
      const middle = (skews) => Math.round(median(skews.map(({ ms }) => ms)));
      const [ms, unrest] = [Math.round(median(list)), Math.round(spread(direct))];
      this.#isSteady &&= unrest <= STEADY_MS;
      this.#results.push({ what, who, ms, said, isSteady: this.#isSteady });
      this.#t.diagnostic(
        `${what}: ${who}'s picture is ${ms} ms behind the sound (${list.map(Math.round).join(' ')}), by the page's clock ${middle(through)}, directly ${middle(direct)} in a range of ${unrest}; ${said.told}`,
      );
    }
  }

  /** What the browser says of its pairs, where it does. */
  async #said(person) {
    const pairs = await person.page.evaluate(estimates);
    const told = `the browser says ${pairs.map(({ pair, ms }) => `pair ${pair}: ${Math.round(ms)}`).join(', ')}`;
    return { told, isTogether: pairs.every(({ ms }) => Math.abs(ms) <= SAID_MS_MAX) };
  }

  assertTogether() {
    for (const { what, who, ms, said, isSteady } of this.#results) {
      assert.ok(Math.abs(ms) <= (isSteady ? ONE_SKEW_MS_MAX : UNSTEADY_SKEW_MS_MAX), `${what}, ${who}: ${ms} ms`);
      assert.ok(!isSteady || said.isTogether, `${what}: ${said.told}`);
    }
    const typical = median(this.#results.map(({ ms }) => Math.abs(ms)));
    this.#t.diagnostic(`the median of all is ${typical} ms apart (bar ${SKEW_MS_MAX})`);
    assert.ok(!this.#isSteady || typical <= SKEW_MS_MAX, `${typical} ms`);
  }
}

/** Between the second lowest and the second highest: one mark may have missed its moment. */
function spread(skews) {
  const sorted = skews.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted.at(-2) - sorted[1];
}
