/**
 * A second way for what somebody sends: straight from page to page, without a server. What the same page sees and hears of it, by the same marks, is
 * the reference for lips and voices: the browser's own delays are in both ways and fall out of the difference. Needs `installMarks`,
 * `installConnections` and `watchBeeps`.
 *
 *     const direct = await Direct.connect(bo, ada);      Bo's page shows and plays Ada once more, under the label `direct Ada`
 *     await direct.close();
 */

export class Direct {
  /** What its marks are noted under. */
  label;
  #name;
  #pages;

  /** What `from` publishes goes to the page of `to` too, from now on. */
  static async connect(to, from) {
    const direct = new Direct();
    const name = `${from.name} to ${to.name}`;
    direct.label = `direct ${from.name}`;
    direct.#name = name;
    direct.#pages = [from.page, to.page];
    const offer = await from.page.evaluate(offerDirect, name);
    const answer = await to.page.evaluate(answerDirect, { name, who: from.name, label: direct.label, offer });
    await from.page.evaluate(acceptDirect, { name, answer });
    return direct;
  }

  async close() {
    for (const page of this.#pages) await page.evaluate(closeDirect, this.#name);
  }
}

/** In the page of the sender. The picture is small: two encoders beside those of the call are much for two cores. */
async function offerDirect(name) {
  const { localParticipant } = window.ninefold.room;
  const [sound, picture] = ['microphone', 'camera'].map((source) => localParticipant.publication(source).track.mediaStreamTrack);
  const pc = new window.e2e.PlainConnection();
  const streams = [new MediaStream([sound, picture])];
  pc.addTransceiver(sound, { direction: 'sendonly', streams });
  pc.addTransceiver(picture, { direction: 'sendonly', streams, sendEncodings: [{ scaleResolutionDownBy: 2 }] });
  (window.e2e.directs ??= new Map()).set(name, { pc });
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete') {
    await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve()));
  }
  return pc.localDescription.sdp;
}

/** In the page of the receiver: the picture in a tile of its own, the sound in an element of its own, as the page itself does it. */
async function answerDirect({ name, who, label, offer }) {
  const pc = new window.e2e.PlainConnection();
  const tile = document.createElement('div');
  tile.style = 'position: fixed; top: 0; left: 0; z-index: 9';
  tile.setAttribute('role', 'group');
  tile.setAttribute('aria-label', label);
  for (const kind of ['audio', 'video']) {
    const element = Object.assign(document.createElement(kind), { autoplay: true, muted: kind === 'video', width: 64 });
    pc.addEventListener('track', ({ track }) => {
      if (track.kind === kind) element.srcObject = new MediaStream([track]);
    });
    tile.append(element);
  }
  (window.e2e.directs ??= new Map()).set(name, { pc, tile });
  await pc.setRemoteDescription({ type: 'offer', sdp: offer });
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete') {
    await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve()));
  }
  document.body.append(tile);
  window.e2e.listen(pc, { [who]: label });
  return pc.localDescription.sdp;
}

async function acceptDirect({ name, answer }) {
  await window.e2e.directs.get(name).pc.setRemoteDescription({ type: 'answer', sdp: answer });
}

function closeDirect(name) {
  const { pc, tile } = window.e2e.directs.get(name);
  pc.close();
  tile?.remove();
}
