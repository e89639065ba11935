/**
 * Lips and voices: three senders whose sound and picture carry the same marks, received through changes of source and of layer. In Chromium only: on a
 * machine without a sound device Firefox lets no sound through a page's graph, and with its imitation of one not even the reference stays together.
 */
import { after, before, test } from 'node:test';
import { launchChromium, part } from '../lib/browser.mjs';
import { Server } from '../lib/server.mjs';
import { CAMERA, SYNC_FLAGS, SyncCall } from '../lib/sync.mjs';

const LARGE = { width: 800, height: 600 };
const SMALL = { width: 300, height: 300 };

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launchChromium({ flags: SYNC_FLAGS });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('lips and voices stay together', { timeout: 400_000 }, async (t) => {
  const call = new SyncCall(t, server);
  const senders = [];
  for (const name of ['Bo', 'Cy', 'Dee']) senders.push(await call.enter(browser, name));
  const ada = await call.enter(browser, 'Ada', { viewport: LARGE, query: { tiles: '3' } });
  await ada.seesAll(['You', 'Bo', 'Cy'], 60_000);
  await call.watch(ada, senders);
  await call.measure(ada, ['Bo', 'Cy'], 'three senders');
  await ada.press('Next page');
  await ada.seesAll(['Dee']);
  await call.measure(ada, ['Dee'], 'after a turn');
  await ada.page.setViewport(SMALL);
  await call.lines(ada, 'Dee', (lines) => lines < CAMERA.height);
  await call.measure(ada, ['Dee'], 'in the lower layer');
  await ada.page.setViewport(LARGE);
  await call.lines(ada, 'Dee', (lines) => lines === CAMERA.height);
  await call.measure(ada, ['Dee'], 'in the upper layer again');
  await ada.press('Previous page');
  await ada.seesAll(['Bo', 'Cy']);
  await call.measure(ada, ['Bo', 'Cy'], 'after another turn');
  call.assertTogether();
  await part(ada, ...senders);
});
