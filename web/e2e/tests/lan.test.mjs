import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { after, before, test } from 'node:test';
import { join, launchChromium, part, Person } from '../lib/browser.mjs';
import { coloursMatchNames, remoteHosts, soundsFlow, videosFlow } from '../lib/core.mjs';
import { act, confirm } from '../lib/moderate.mjs';
import { Namespace } from '../lib/namespace.mjs';
import { Server } from '../lib/server.mjs';
import { Tokens } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const TIMEOUT = { timeout: 180_000 };
const HOST = '192.0.2.1';
/** What a person does once, in the warning of the browser. */
const TRUST = ['--ignore-certificate-errors', `--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE ${HOST}`];

const { pair, reason } = Namespace.createPair();
const [here, there] = pair ?? [];
const options = { ...TIMEOUT, skip: reason ?? false };
/** A browser on the server's machine, and one on a phone. */
let desk;
let phone;

before(async () => {
  if (pair) [desk, phone] = await Promise.all([here, there].map((namespace) => launchChromium({ flags: TRUST, namespace })));
});

after(async () => {
  await phone?.close();
  await desk?.close();
  for (const namespace of pair ?? []) namespace.delete();
});

test('a phone joins by the address that the server prints', options, async (t) => {
  const server = await Server.start({ namespace: here, listen: '[::]:0', args: ['--lan'] });
  server.url = await until('an invitation', () => /open\s+(https:\S+?)\/\s/.exec(server.log)?.[1]);
  assert.equal(new URL(server.url).hostname, HOST);
  const people = [await join(desk, server, 'lan', 'Ada'), await join(phone, server, 'lan', 'Bo')];
  await coloursMatchNames(t, people);
  await videosFlow(t, people);
  await soundsFlow(t, people);
  for (const person of people) {
    const hosts = await person.page.evaluate(remoteHosts);
    assert.deepEqual(hosts, [HOST], `${person.name}'s media comes from the address of the network`);
  }
  await part(...people);
  await server.stop();
});

/** A server with a certificate, and keys for its tokens. */
function startWithKeys(tokens, env = {}) {
  const folder = mkdtempSync(joinPath(tmpdir(), 'ninefold-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => joinPath(folder, name));
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', '/CN=ninefold', '-addext', `subjectAltName=IP:${HOST}`];
  execFileSync('openssl', ['req', '-x509', ...curve, ...names, '-days', '2', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const tls = { NINEFOLD_HTTP__TLS_CERT: cert, NINEFOLD_HTTP__TLS_KEY: key };
  return Server.start({ namespace: here, listen: `${HOST}:0`, config: tokens.config, env: { ...tls, ...env } });
}

test('a server with keys only lets links with a token in', options, async () => {
  const tokens = new Tokens();
  const server = await startWithKeys(tokens);
  assert.match(server.url, /^https:\/\/192\.0\.2\.1:/);
  const ada = await join(desk, server, 'keys', 'Ada', { token: tokens.mint('keys', 'Ada') });
  const stranger = await Person.open(phone, 'Bo', { origin: server.url });
  await stranger.knock(server.url, 'keys');
  await stranger.reads('You need an invitation');
  const bo = await join(phone, server, 'keys', 'Bo', { token: tokens.mint('keys', 'Bo') });
  await ada.seesAll(['You', 'Bo'], 60_000);
  await bo.seesAll(['You', 'Ada'], 60_000);
  assert.equal((await ada.tiles()).length, 2, 'the stranger is not there');
  await part(ada, bo, stranger);
  await server.stop();
});

test('a guest is banned by address', options, async () => {
  const tokens = new Tokens();
  const server = await startWithKeys(tokens, { NINEFOLD_AUTH__GUESTS: 'join' });
  const ada = await join(desk, server, 'ban', 'Ada', { token: tokens.mint('ban', 'Ada', { moderate: true }) });
  const bo = await join(phone, server, 'ban', 'Bo');
  await ada.seesAll(['You', 'Bo'], 60_000);
  await ada.press('People');
  await act(ada, 'Bo', 'Ban');
  await confirm(ada, 'Ban');
  await bo.reads('You were banned');
  await bo.page.reload();
  await bo.reads('You were banned');
  // Others of the network may come in still.
  const cy = await join(desk, server, 'ban', 'Cy');
  await ada.seesAll(['Cy'], 60_000);
  await part(ada, bo, cy);
  await server.stop();
});
