/** Media by TCP where UDP is blocked, and where there is IPv6 only. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { join, launchChromium, part } from '../lib/browser.mjs';
import { coloursMatchNames, soundsFlow, videosFlow } from '../lib/core.mjs';
import { blockUdp } from '../lib/firewall.mjs';
import { protocol, remoteAddress } from '../lib/flow.mjs';
import { testInside } from '../lib/inside.mjs';
import { Namespace } from '../lib/namespace.mjs';
import { Server } from '../lib/server.mjs';

const INSIDE = fileURLToPath(new URL('inside/tcp.mjs', import.meta.url));
const HOST = '[2001:db8::1]';

test('Chromium and Firefox without UDP', { timeout: 600_000 }, async (t) => {
  await testInside(t, INSIDE);
});

test('a network with IPv6 only, by UDP and by TCP', { timeout: 300_000 }, async (t) => {
  const { pair, reason } = Namespace.createPair({ v6: true });
  if (!pair) return t.skip(reason);
  const [here, there] = pair;
  const flags = ['--ignore-certificate-errors', `--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE ${HOST} , EXCLUDE ${HOST.slice(1, -1)}`];
  const phone = await launchChromium({ namespace: there, flags });
  try {
    const server = await Server.start({ namespace: here, listen: `${HOST}:0`, args: ['--lan'] });
    for (const expected of ['udp', 'tcp']) {
      if (expected === 'tcp') await blockUdp(here);
      const people = [await join(phone, server, expected, 'Ada'), await join(phone, server, expected, 'Bo')];
      await coloursMatchNames(t, people);
      await videosFlow(t, people);
      await soundsFlow(t, people);
      for (const person of people) {
        assert.equal(await protocol(person), expected);
        assert.equal((await remoteAddress(person)).replace(/[[\]]/g, ''), '2001:db8::1');
      }
      await part(...people);
    }
    await server.stop();
  } finally {
    await phone.close();
    for (const namespace of pair) namespace.delete();
  }
});
