import { launchChromium, Person } from '/work/wt-tcp/web/e2e/lib/browser.mjs';
import { blockUdp } from '/work/wt-tcp/web/e2e/lib/firewall.mjs';
import { Server } from '/work/wt-tcp/web/e2e/lib/server.mjs';
const server = await Server.start();
const b = await launchChromium();
const open = async (name) => {
  const p = await Person.open(b, name, { origin: server.url });
  await p.page.evaluateOnNewDocument(() => {
    window.log = [];
    const N = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends N {
      constructor(...a) { super(...a); window.pc = this;
        const note = (s) => window.log.push([Date.now(), s]);
        this.addEventListener('iceconnectionstatechange', () => note('ice ' + this.iceConnectionState));
        this.addEventListener('connectionstatechange', () => note('conn ' + this.connectionState));
        this.addEventListener('icegatheringstatechange', () => note('gather ' + this.iceGatheringState));
        this.addEventListener('icecandidate', (e) => note('cand ' + e.candidate?.candidate));
        this.addEventListener('signalingstatechange', () => note('sig ' + this.signalingState));
      }
    };
  });
  await p.enter(server.url, 'x');
  return p;
};
const a = await open('Ada'), c = await open('Bo');
await a.seesAll(['Bo'], 30000);
await new Promise(r => setTimeout(r, 5000));
const t0 = Date.now();
await blockUdp();
let last = -1;
for (let i = 0; i < 160; i++) {
  await new Promise(r => setTimeout(r, 100));
  const rows = (await a.inbound()).filter(r => r.kind === 'video' && r.framesDecoded > 0);
  const f = rows.reduce((s, r) => s + r.framesDecoded, 0);
  if (i % 10 === 0 || f !== last && i > 5) console.log(((Date.now() - t0) / 1000).toFixed(1), 'frames', f);
  if (i > 20 && f > last + 1 && last > 0) { }
  last = f;
}
const log = await a.page.evaluate(() => window.log);
for (const [t, s] of log) console.log(((t - t0) / 1000).toFixed(2), s);
await b.close(); await server.stop().catch(e => console.log(e.message));
