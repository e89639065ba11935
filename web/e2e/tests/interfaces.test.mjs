/** One server in two networks: each person reaches it by the address in their own, and they see each other. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launchChromium, part } from '../lib/browser.mjs';
import { coloursMatchNames, remoteHosts, soundsFlow, videosFlow } from '../lib/core.mjs';
import { Namespace } from '../lib/namespace.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/until.mjs';

const HOSTS = ['192.0.2.1', '198.51.100.1'];
/** What a person does once, in the warning of the browser. */
const TRUST = ['--ignore-certificate-errors', `--host-resolver-rules=MAP * ~NOTFOUND , ${HOSTS.map((host) => `EXCLUDE ${host}`).join(' , ')}`];

const { star, reason } = Namespace.createStar();
const [middle, ...networks] = star ?? [];
let browsers = [];

before(async () => {
  browsers = await Promise.all(networks.map((namespace) => launchChromium({ flags: TRUST, namespace })));
});

after(async () => {
  for (const browser of browsers) await browser.close();
  for (const namespace of star ?? []) namespace.delete();
});

test('two networks that do not know each other meet in a room', { timeout: 180_000, skip: reason ?? false }, async (t) => {
  const server = await Server.start({ namespace: middle, listen: '[::]:0', args: ['--lan'] });
  const url = new URL(await until('an invitation', () => /open\s+(https:\S+?)\/\s/.exec(server.log)?.[1]));
  const people = [];
  for (const [i, name] of ['Ada', 'Bo'].entries()) {
    server.url = `https://${HOSTS[i]}:${url.port}`;
    people.push(await join(browsers[i], server, 'interfaces', name));
  }
  await coloursMatchNames(t, people);
  await videosFlow(t, people);
  await soundsFlow(t, people);
  for (const [i, person] of people.entries()) {
    assert.deepEqual(await person.page.evaluate(remoteHosts), [HOSTS[i]], `${person.name}'s media comes from their own network`);
  }
  await part(...people);
  await server.stop();
});
