/**
 * Sound and picture that carry the same marks, and how far apart the marks are where they are received. All but `skews` runs inside the page, is
 * sent there as text, and uses nothing from outside.
 *
 *     publisher   on each full second the left of the picture turns white, and a tone of one's own pitch begins
 *     receiver    notes when the left of a tile turned white, and when each pitch began in any of the sounds
 *
 * On a busy machine a page may miss its moment. A flash that would be painted late is left out, and one that was seen after missed frames is not noted.
 */

/** Multiples of the bandwidth of a block of 128 samples at 48 kHz, so that a block tells them apart. */
export const PITCHES = { Ada: 750, Bo: 1500, Cy: 2250, Dee: 3000 };

/** The camera and the microphone are replaced; `rgb` is the picture's colour. */
export function installMarks({ rgb, width, height, pitch }) {
  const FPS = 20;
  const MARK_MS = 200;
  const LATE_MS_MAX = 10;

  function picture() {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    const stream = canvas.captureStream(0);
    const track = stream.getVideoTracks()[0];
    let [step, whiteUntil] = [0, 0];
    const paint = () => {
      if (track.readyState === 'ended') return;
      const wall = performance.timeOrigin + performance.now();
      context.fillStyle = `rgb(${rgb.join(' ')})`;
      context.fillRect(0, 0, width, height);
      context.fillStyle = 'rgb(255 255 255)';
      if ((wall + 2) % 1000 < LATE_MS_MAX) whiteUntil = wall + MARK_MS;
      if (wall < whiteUntil) context.fillRect(0, 0, width / 4, height);
      // Something always moves.
      context.fillRect(((++step * 3) % width) - 8, height - 8, 16, 8);
      track.requestFrame();
      // The next frame lies on the grid of the wall clock, so that one begins with each second.
      const frame = 1000 / FPS;
      setTimeout(paint, (Math.floor((wall + 2) / frame) + 1) * frame - wall);
    };
    paint();
    return track;
  }

  function sound() {
    const audio = new AudioContext({ latencyHint: 'interactive', sampleRate: 48_000 });
    const destination = audio.createMediaStreamDestination();
    const tone = new OscillatorNode(audio, { frequency: pitch });
    const mark = new GainNode(audio, { gain: 0 });
    // Never quite silent: otherwise the codec would stop sending in between.
    const hum = new OscillatorNode(audio, { frequency: 187.5 });
    const soft = new GainNode(audio, { gain: 0.02 });
    tone.connect(mark).connect(destination);
    hum.connect(soft).connect(destination);
    tone.start();
    hum.start();
    let planned = 0;
    setInterval(() => {
      const wall = performance.timeOrigin + performance.now();
      const second = Math.ceil((wall + 100) / 1000) * 1000;
      if (second <= planned) return;
      planned = second;
      const at = audio.currentTime + (second - wall) / 1000;
      mark.gain.setValueAtTime(0.5, at);
      mark.gain.setValueAtTime(0, at + MARK_MS / 1000);
    }, 200);
    return destination.stream.getAudioTracks()[0];
  }

  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => new MediaStream([...(audio ? [sound()] : []), ...(video ? [picture()] : [])]);
}

/** Keeps the peer connections of the page; `PlainConnection` makes one that is not kept. */
export function installConnections() {
  const connections = [];
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  };
  Object.assign(window.e2e, { connections, PlainConnection: Real });
}

/** Says of each picture whether its left is white. */
function eye() {
  const canvas = new OffscreenCanvas(8, 4);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return (picture, width, height) => {
    context.drawImage(picture, width * 0.05, height * 0.2, width * 0.15, height * 0.6, 0, 0, 8, 4);
    const { data } = context.getImageData(0, 0, 8, 4);
    return data.reduce((least, value, i) => (i % 4 === 3 ? least : Math.min(least, value)), 255) > 180;
  };
}

/** In a worker: tells the time whenever a flash begins. */
async function readFlashes(frames) {
  const HOLE_US = 80_000;
  const isWhite = eye();
  const reader = frames.getReader();
  for (let last; ; ) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const now = performance.timeOrigin + performance.now();
    const white = isWhite(frame, frame.displayWidth, frame.displayHeight);
    // After a hole it is not known when it began.
    const next = last && frame.timestamp - last.timestamp < HOLE_US;
    if (white && next && !last.white) self.postMessage(now);
    last = { white, timestamp: frame.timestamp };
    frame.close();
  }
}

/** For `watchFlashes`: what its worker does. */
export const FLASH_WORKER = `${eye} ${readFlashes} self.onmessage = ({ data }) => readFlashes(data);`;

/**
 * Notes who flashes from now on: a list of `{ who, at }`, in milliseconds of the page's clock. Each frame is looked at when it leaves the decoder, since
 * that is when it is due; what is then shown differs by up to half a frame, as the screen's beat falls. It happens in a thread of its own, since the
 * page's may be busy.
 */
export function watchFlashes(code) {
  const flashes = [];
  const videos = () => [...document.querySelectorAll('[role=group] video')];
  const trackOf = (video) => video.srcObject?.getVideoTracks()[0];
  const labelOf = (video) => video?.closest('[role=group]').getAttribute('aria-label') ?? '';

  function watch(track) {
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
    worker.onmessage = ({ data }) => {
      const who = labelOf(videos().find((video) => trackOf(video) === track));
      flashes.push({ who, at: data - performance.timeOrigin });
    };
    const { readable } = new window.MediaStreamTrackProcessor({ track });
    worker.postMessage(readable, [readable]);
  }

  const known = new WeakSet();
  // A tile may be given another stream, of which nobody tells.
  setInterval(() => {
    for (const video of videos()) {
      const track = trackOf(video);
      if (!track || known.has(track) || labelOf(video) === 'You') continue;
      known.add(track);
      watch(track);
    }
  }, 200);
  Object.assign(window.e2e, { flashes });
}

/** Notes whose tone begins, likewise. */
export async function watchBeeps(pitches) {
  const beeps = [];
  // Goertzel's algorithm for each pitch, block by block.
  const worklet = `registerProcessor('beeps', class extends AudioWorkletProcessor {
    constructor({ processorOptions }) { super(); this.quiet = {}; this.pitches = processorOptions; }
    process([[samples]]) {
      if (!samples) return true;
      for (const [who, pitch] of Object.entries(this.pitches)) {
        const turn = 2 * Math.cos(2 * Math.PI * pitch / sampleRate);
        let [one, two] = [0, 0];
        for (const sample of samples) [two, one] = [one, sample + turn * one - two];
        const power = (one * one + two * two - turn * one * two) / (samples.length * samples.length / 4);
        if (power < 0.01) { this.quiet[who] = (this.quiet[who] ?? 0) + 1; continue; }
        if (this.quiet[who] > 100) this.port.postMessage({ who, time: currentTime });
        this.quiet[who] = 0;
      }
      return true;
    }
  });`;
  const audio = new AudioContext({ sampleRate: 48_000 });
  await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: 'text/javascript' })));
  /** Listens to all sounds of a connection; `labels` says what somebody's marks are noted under there, if not under the name. */
  function listen(connection, labels = {}) {
    for (const { track } of connection.getReceivers()) {
      if (track.kind !== 'audio') continue;
      const node = new AudioWorkletNode(audio, 'beeps', { processorOptions: pitches });
      audio.createMediaStreamSource(new MediaStream([track])).connect(node);
      node.port.onmessage = ({ data: { who, time } }) => {
        const { contextTime, performanceTime } = audio.getOutputTimestamp();
        beeps.push({ who: labels[who] ?? who, at: performanceTime + (time - contextTime) * 1000 });
      };
    }
  }
  for (const connection of window.e2e.connections) listen(connection);
  Object.assign(window.e2e, { beeps, listen });
}

/** What the browser itself says: by number of the pair, how many milliseconds the picture is behind the sound. */
export async function estimates() {
  const reports = await Promise.all(window.e2e.connections.map((connection) => connection.getStats()));
  const rows = reports.flatMap((report) => [...report.values()]);
  const receiving = (kind) => {
    const all = window.e2e.connections.flatMap((connection) => connection.getTransceivers());
    const slots = all.filter(({ receiver, direction }) => receiver.track.kind === kind && direction === 'recvonly');
    return slots.map(({ mid }) => rows.find((row) => row.type === 'inbound-rtp' && row.mid === mid)?.estimatedPlayoutTimestamp);
  };
  const [sound, sight] = [receiving('audio'), receiving('video')];
  return sound.flatMap((heard, pair) => (heard && sight[pair] ? [{ pair, ms: heard - sight[pair] }] : []));
}

/** How long after each beep of `who` its flash was seen, in ms, for marks from `from` of the page's clock on: a list of `{ at, ms }`. */
export function skews({ flashes, beeps }, who, from) {
  const heard = beeps.filter((beep) => beep.who === who);
  const seen = flashes.filter((flash) => flash.who === who && flash.at >= from);
  return seen.flatMap(({ at }) => {
    const beep = nearest(heard, at);
    return beep ? [{ at, ms: at - beep.at }] : [];
  });
}

/** The same as differences to a reference, for the marks that were seen and heard in both. */
export function differences(list, reference) {
  return list.flatMap(({ at, ms }) => {
    const same = nearest(reference, at);
    return same ? [{ at, ms: ms - same.ms }] : [];
  });
}

/** Marks come once a second. */
function nearest(list, at) {
  return list.filter((other) => Math.abs(other.at - at) < 500).sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0];
}
