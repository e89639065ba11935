/** What most test files begin with: a server and a browser, there for all tests of the file. */
import { after, before } from 'node:test';
import { launchChromium } from './browser.mjs';
import { Server } from './server.mjs';

/** Gives an object that has `server` and `browser` once the tests run. Options are those of `Server.start`. */
export function setUp(options = {}) {
  const world = { server: undefined, browser: undefined };
  before(async () => {
    world.server = await Server.start(options);
    world.browser = await launchChromium();
  });
  after(async () => {
    await world.browser?.close();
    await world.server?.stop();
  });
  return world;
}
