/** Silence that is not sent (DTX): few packets come, none is missed, and the voice is whole when it goes on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launchChromium, part, Person } from '../lib/browser.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/until.mjs';

/** Packets have 20 ms; silence has one every 400 ms, and a few when it begins. */
const SPOKEN_PER_SECOND = 40;
const SILENT_PER_SECOND = 8;
const WINDOW_MS = 4_000;
/** Ends what hangs. */
const HANG_MS = 20_000;

let server, browser;
before(async () => {
  server = await Server.start();
  // The voice is made in the page, which nobody has clicked.
  browser = await launchChromium({ flags: ['--autoplay-policy=no-user-gesture-required'] });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** In the page: a microphone that speaks or is silent, and a connection that is told to leave silence out. */
function installVoice() {
  const audio = new AudioContext({ sampleRate: 48_000 });
  const destination = audio.createMediaStreamDestination();
  const voice = new GainNode(audio, { gain: 0.5 });
  const tone = new OscillatorNode(audio, { frequency: 440 });
  tone.connect(voice).connect(destination);
  tone.start();
  window.e2e.speak = (yes) => (voice.gain.value = yes ? 0.5 : 0);
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async ({ video }) => {
    const pictures = video ? (await ask({ video })).getTracks() : [];
    return new MediaStream([...destination.stream.getTracks(), ...pictures]);
  };
  const accept = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return accept.call(this, { type, sdp: sdp.replace(/(a=fmtp:\d+ [^\r\n]*useinbandfec=1)/g, '$1;usedtx=1') });
  };
}

/** What has come of the sound so far. */
async function heard(person) {
  const rows = (await person.inbound()).filter(({ kind, packetsReceived }) => kind === 'audio' && packetsReceived > 0);
  return rows.sort((a, b) => b.packetsReceived - a.packetsReceived)[0] ?? { packetsReceived: 0 };
}

/** What comes in some seconds. */
async function listen(person) {
  const before = await heard(person);
  await wait(WINDOW_MS);
  const after = await heard(person);
  const of = (key) => after[key] - before[key];
  const passed = after.timestamp - before.timestamp;
  return {
    perSecond: Math.round((of('packetsReceived') * 10_000) / passed) / 10,
    lost: of('packetsLost'),
    concealed: of('concealedSamples') - of('silentConcealedSamples'),
    silent: of('silentConcealedSamples'),
    energy: of('totalAudioEnergy'),
  };
}

test('silence is not sent, and is no loss', { timeout: 120_000 }, async (t) => {
  const ada = await Person.open(browser, 'Ada', { origin: server.url });
  await ada.page.evaluateOnNewDocument(installVoice);
  await ada.enter(server.url, 'dtx');
  const bo = await join(browser, server, 'dtx', 'Bo');
  const speak = (yes) => ada.page.evaluate((yes) => window.e2e.speak(yes), yes);
  const rate = async () => (await listen(bo)).perSecond;
  await bo.seesAll(['Ada'], 60_000);
  await until('the voice comes', async () => (await heard(bo)).totalAudioEnergy > 0, HANG_MS);
  const spoken = await listen(bo);
  await speak(false);
  await until('silence is not sent', async () => (await rate()) < SILENT_PER_SECOND, HANG_MS);
  const silence = await listen(bo);
  const before = (await heard(bo)).totalAudioEnergy;
  const from = performance.now();
  await speak(true);
  await until('the voice is heard again', async () => (await heard(bo)).totalAudioEnergy > before + 0.005, HANG_MS);
  const ms = Math.round(performance.now() - from);
  const again = await listen(bo);
  t.diagnostic(`in ${WINDOW_MS} ms, spoken: ${JSON.stringify(spoken)}; silence: ${JSON.stringify(silence)}; heard ${ms} ms after it goes on: ${JSON.stringify(again)}`);
  assert.ok(spoken.perSecond >= SPOKEN_PER_SECOND && again.perSecond >= SPOKEN_PER_SECOND, 'a voice has all of its packets');
  assert.equal(silence.lost, 0, 'nothing is taken for lost');
  const asked = (await ada.outbound()).filter(({ kind }) => kind === 'audio').map(({ nackCount = 0 }) => nackCount);
  assert.ok(asked.every((count) => count === 0), `the server asks for nothing that was not sent: ${asked}`);
  await part(ada, bo);
});
