/** Browsers, and the people in front of them. */
import assert from 'node:assert/strict';
import puppeteer from 'puppeteer-core';
import { installCounter, installEyes, installFront, installSockets, installSources, installWatch } from './inject.mjs';
import { PALETTE } from './palette.mjs';
import { until } from './until.mjs';

const CHROMIUM = process.env.NINEFOLD_CHROMIUM ?? '/usr/bin/chromium';
const FIREFOX = process.env.NINEFOLD_FIREFOX ?? '/usr/bin/firefox-esr';

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream=device-count=2',
  '--use-fake-ui-for-media-stream',
  '--auto-select-desktop-capture-source=Entire screen',
  '--allow-loopback-in-peer-connection',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
  // Nothing but the server under test can be reached.
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

/** Only these: the browser's own housekeeping would be seen as requests of the page. */
const FIREFOX_PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.autoplay.default': 0,
};

const LAUNCH_LIMIT_MS = 120_000;

/** `namespace` is where it runs. It is spoken to through pipes, which lead there too. */
export function launchChromium({ flags = [], namespace } = {}) {
  const args = [...CHROMIUM_FLAGS, ...flags];
  const where = namespace ? { executablePath: namespace.executable(CHROMIUM), pipe: true } : { executablePath: CHROMIUM };
  return puppeteer.launch({ ...where, headless: true, args, timeout: LAUNCH_LIMIT_MS, protocolTimeout: LAUNCH_LIMIT_MS });
}

export function launchFirefox() {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: FIREFOX_PREFERENCES,
    timeout: LAUNCH_LIMIT_MS,
    protocolTimeout: LAUNCH_LIMIT_MS,
  });
}

const CAMERA = { width: 320, height: 180, fps: 30 };
const SCREEN = { width: 640, height: 360, fps: 15 };
const VIEWPORT = { width: 800, height: 600 };

/** Somebody with a context, and so with storage, of their own. */
export class Person {
  name;
  page;
  /** Errors in the console, errors of the page, and requests to anywhere but the server. */
  faults = [];
  #context;

  /** `camera` and `screen` may change `width`, `height`, `fps` and `busy`; `screen: null` keeps the browser's own capture. */
  static async open(browser, name, { camera = {}, screen = {}, viewport = VIEWPORT, origin }) {
    const person = new Person();
    person.name = name;
    person.#context = await browser.createBrowserContext();
    const page = (person.page = await person.#context.newPage());
    person.#listen(origin);
    await page.setViewport(viewport);
    await page.evaluateOnNewDocument(installSources, {
      camera: { ...CAMERA, rgb: PALETTE[name] ?? [0, 0, 0], ...camera },
      screen: screen && { ...SCREEN, rgb: PALETTE[`${name}'s screen`] ?? [0, 0, 0], ...screen },
    });
    await page.evaluateOnNewDocument(installFront);
    await page.evaluateOnNewDocument(installCounter);
    await page.evaluateOnNewDocument(installSockets);
    await page.evaluateOnNewDocument(installEyes, { palette: PALETTE, self: name });
    await page.evaluateOnNewDocument(installWatch);
    return person;
  }

  #listen(origin) {
    this.page.on('console', (message) => {
      if (message.type() === 'error') this.faults.push(`console: ${message.text()} ${message.location().url ?? ''}`);
    });
    this.page.on('pageerror', (error) => this.faults.push(`error: ${error.message}`));
    this.page.on('request', (request) => {
      const url = new URL(request.url());
      if (/^(https?|wss?):$/.test(url.protocol) && url.host !== new URL(origin).host) this.faults.push(`foreign request: ${url}`);
    });
  }

  /** Goes into a room without a form in between. */
  async enter(url, room, query = {}, token) {
    await this.knock(url, room, query, token);
    await this.find('toolbar', 'Controls').wait();
  }

  /** Like `enter`, where it is not sure that one is let in. */
  async knock(url, room, query = {}, token) {
    const search = new URLSearchParams({ name: this.name, autojoin: '1', lang: 'en', ...query });
    const fragment = token === undefined ? '' : `#token=${token}`;
    await this.page.goto(`${url}/r/${encodeURIComponent(room)}?${search}${fragment}`, { timeout: 60_000 });
  }

  /** Waits until the page has this heading. */
  reads(heading) {
    const title = () => this.page.evaluate(() => document.querySelector('h1')?.textContent);
    return until(async () => `${this.name} reads “${heading}”, but reads “${await title()}”`, async () => (await title()) === heading);
  }

  /** Waits until a banner says this. */
  isTold(text) {
    const banners = () => this.page.evaluate(() => [...document.querySelectorAll('[role=status]')].map(({ textContent }) => textContent.trim()));
    return until(async () => `${this.name} is told “${text}”, but: ${JSON.stringify(await banners())}`, async () => (await banners()).some((banner) => banner.includes(text)));
  }

  /** The button, textbox… with this accessible name; waits for it. */
  find(role, name) {
    return this.page.locator(`::-p-aria([name="${name}"][role="${role}"])`).setTimeout(30_000);
  }

  press(name) {
    return this.find('button', name).click();
  }

  tiles() {
    return this.page.evaluate(() => window.e2e.tiles());
  }

  async tile(label) {
    return (await this.tiles()).find((tile) => tile.label === label);
  }

  edge(label) {
    return this.page.evaluate((label) => window.e2e.edge(label), label);
  }

  inbound() {
    return this.page.evaluate(() => window.e2e.inbound());
  }

  outbound() {
    return this.page.evaluate(() => window.e2e.outbound());
  }

  /** What was seen under each label so far: `{ right, black, wrong }`. */
  sight() {
    return this.page.evaluate(() => window.e2e.sight);
  }

  /** By label: milliseconds from the last click on the page to the first right picture in sight. */
  revealed() {
    return this.page.evaluate(() => window.e2e.revealed());
  }

  /** How often a description was set, ours or the server's. */
  descriptions() {
    return this.page.evaluate(() => window.e2e.descriptions.length);
  }

  /** Waits until all of these labels show the pictures of their people. */
  seesAll(labels, limitMs) {
    const what = async () => `${this.name} sees ${labels.join(', ')} in their colours, but: ${JSON.stringify(await this.tiles())}`;
    return until(what, async () => {
      const tiles = await this.tiles();
      return labels.every((label) => tiles.some((tile) => tile.label === label && tile.right));
    }, limitMs);
  }

  /** Forgets what the browser had to say of connections that a test has cut. */
  forgiveLostConnections() {
    this.faults = this.faults.filter((fault) => !/WebSocket connection to|ERR_CONNECTION/.test(fault));
  }

  assertNoFaults() {
    assert.deepEqual(this.faults, [], `${this.name}'s page is quiet`);
  }

  /** Goes away as a closed tab does. */
  close() {
    return this.#context.close();
  }
}

/** Opens the page and joins at once. */
export async function join(browser, server, room, name, options = {}) {
  const person = await Person.open(browser, name, { ...options, origin: server.url });
  await person.enter(server.url, room, options.query, options.token);
  return person;
}

/** The end of a test: nobody's page has complained, but of the connections that the test has cut. */
export async function part(...people) {
  for (const person of people) {
    person.forgiveLostConnections();
    person.assertNoFaults();
    await person.close();
  }
}
