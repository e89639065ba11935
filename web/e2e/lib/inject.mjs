/**
 * What runs inside the page, before the page's own code. Each function is sent to the browser as text, so none may use anything from outside.
 *
 *     installFront     the page counts as seen
 *     installSources   the camera and the screen become pictures of one's own colour; the microphone stays the browser's fake one
 *     installCounter   counts changes of SDP
 *     installSockets   lets a test cut the WebSocket, and keep it cut
 *     installEyes      sees whose colour a tile shows, under which name
 *     installWatch     looks at each frame that was ever in sight, and how long after the last click the first right one came
 *
 * The last four meet in `window.e2e`, and are installed in this order.
 */

/** People are tabs of one browser here, of which only one is in front, and a page that nobody sees is sent no video. */
export function installFront() {
  Object.defineProperty(document, 'visibilityState', { get: () => 'visible' });
  Object.defineProperty(document, 'hidden', { get: () => false });
}

/** `sources` gives `{ rgb, width, height, fps, busy }` for `camera` and `screen`. What is `busy` takes an encoder all the bits that it has; a share of it (`busy: 0.4`) that of them. */
export function installSources(sources) {
  const devices = navigator.mediaDevices;
  if (!devices) return;

  /** Grains all over, new ones each time. */
  function scatter(context, width, height) {
    const grains = new ImageData(Math.ceil(width / 8), Math.ceil(height / 8));
    for (let i = 0; i < grains.data.length; i++) grains.data[i] = i % 4 === 3 ? 255 : Math.random() * 256;
    const small = new OffscreenCanvas(grains.width, grains.height);
    small.getContext('2d').putImageData(grains, 0, 0);
    context.drawImage(small, 0, 0, width, height);
  }

  function paint(context, { rgb, width, height, busy }, step) {
    context.fillStyle = `rgb(${rgb.join(' ')})`;
    context.fillRect(0, 0, width, height);
    if (busy) {
      scatter(context, width, height * busy);
      context.fillRect(width * 0.3, height * 0.25, width * 0.4, height * 0.5);
    }
    // A bar that wanders along the edge: the picture changes, its middle keeps the colour.
    context.fillStyle = 'rgb(255 255 255)';
    context.fillRect(((step * 3) % width) - 8, height - 8, 16, 8);
  }

  function picture(source) {
    const canvas = Object.assign(document.createElement('canvas'), { width: source.width, height: source.height });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    paint(context, source, 0);
    const track = canvas.captureStream(source.fps).getVideoTracks()[0];
    let step = 0;
    const timer = setInterval(() => {
      if (track.readyState === 'ended') clearInterval(timer);
      else paint(context, source, ++step);
    }, 1000 / source.fps);
    return track;
  }

  const askReally = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async ({ audio, video }) => {
    const sound = audio ? (await askReally({ audio })).getTracks() : [];
    return new MediaStream([...sound, ...(video ? [picture(sources.camera)] : [])]);
  };
  if (sources.screen) devices.getDisplayMedia = async () => new MediaStream([picture(sources.screen)]);
}

/** Counts each description that is set, ours or the server's. */
export function installCounter() {
  const descriptions = [];
  for (const method of ['setLocalDescription', 'setRemoteDescription']) {
    const original = RTCPeerConnection.prototype[method];
    RTCPeerConnection.prototype[method] = function (...args) {
      descriptions.push(method);
      return original.apply(this, args);
    };
  }
  window.e2e = { descriptions };
}

/** `cut` loses the connection of signalling as a network does, `keepCut` lets no other come about. */
export function installSockets() {
  const Real = window.WebSocket;
  const sockets = [];
  let isCut = false;

  /** One that never stands. */
  function dead() {
    const socket = Object.assign(new EventTarget(), { send() {}, close() {} });
    setTimeout(() => socket.dispatchEvent(new Event('close')), 10);
    return socket;
  }

  window.WebSocket = function (url) {
    if (isCut) return dead();
    const socket = new Real(url);
    sockets.push(socket);
    return socket;
  };
  Object.assign(window.e2e, {
    cut: () => sockets.at(-1).close(4001),
    keepCut: (yes) => (isCut = yes),
    /** Cuts right after a message of this type has been sent, before its answer can be read. */
    cutAfter(type) {
      const socket = sockets.at(-1);
      socket.send = (text) => {
        Real.prototype.send.call(socket, text);
        if (JSON.parse(text).type === type) socket.close(4001);
      };
    },
  });
}

/** `palette` gives the colour for each label of a tile; one's own tiles have the colours of `self`. */
export function installEyes({ palette, self }) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 9 });
  const context = canvas.getContext('2d', { willReadFrequently: true });

  /** The label whose colour the middle of the picture has, or if nobody's, its numbers; undefined while there is no picture. Browsers end a source with a black one. */
  function colourIn(video) {
    if (video.readyState < 2 || video.videoWidth === 0) return undefined;
    context.drawImage(video, 0, 0, 16, 9);
    const { data } = context.getImageData(6, 3, 4, 3);
    const mean = [0, 1, 2].map((channel) => data.reduce((sum, value, i) => (i % 4 === channel ? sum + value : sum), 0) / (data.length / 4));
    if (Math.max(...mean) < 24) return 'black';
    const distances = Object.entries(palette).map(([label, rgb]) => [Math.hypot(...rgb.map((value, i) => value - mean[i])), label]);
    const [distance, label] = distances.sort(([a], [b]) => a - b)[0];
    // An encoder that has just begun may be wrong in brightness by some tens, all channels alike; no two colours here are nearer than 75.
    return distance < 60 ? label : `rgb(${mean.map(Math.round).join(' ')})`;
  }

  /** Whose tile this is, and whether its picture is in sight. */
  function describe(video) {
    const label = video.closest('[role=group]')?.getAttribute('aria-label') ?? '';
    const visible = video.dataset.shown === 'true' && getComputedStyle(video).opacity === '1';
    const own = { You: self, 'Your screen': `${self}'s screen` };
    return { label, person: own[label] ?? label, visible };
  }

  function tiles() {
    return [...document.querySelectorAll('[role=group] video')].map((video) => {
      const { label, person, visible } = describe(video);
      const colour = visible ? colourIn(video) : undefined;
      return { label, visible, colour, right: visible && colour === person };
    });
  }

  /** The lower edge of a tile's picture, where a bar wanders, as text to compare. */
  function edge(label) {
    const tile = [...document.querySelectorAll('[role=group]')].find((tile) => tile.getAttribute('aria-label') === label);
    const video = tile?.querySelector('video');
    if (!video?.videoHeight) return undefined;
    const { videoWidth: width, videoHeight: height } = video;
    context.drawImage(video, 0, height * 0.96, width, height * 0.04, 0, 0, 16, 1);
    return context.getImageData(0, 0, 16, 1).data.join();
  }

  async function statistics(wanted) {
    const report = await window.ninefold?.room.getStats();
    return [...(report?.values() ?? [])].filter(({ type }) => type === wanted);
  }

  const inbound = () => statistics('inbound-rtp');
  const outbound = () => statistics('outbound-rtp');

  Object.assign(window.e2e, { colourIn, describe, tiles, edge, inbound, outbound });
}

/** Looks at each frame of each tile; `sight` is what came into sight under each label, `revealed` when it did after the last click. */
export function installWatch() {
  const { colourIn, describe } = window.e2e;
  const sight = {};
  let clicked = { at: 0, revealed: {} };
  window.addEventListener('click', () => (clicked = { at: performance.now(), revealed: {} }), true);

  /** Notes what is on the screen once every callback of this frame has had its turn: those of animation come after those of video. */
  function note(video, colour) {
    if (colour === undefined) return;
    requestAnimationFrame(() => {
      const { label, person, visible } = describe(video);
      if (!visible || label === '') return;
      const of = (sight[label] ??= { right: 0, black: 0, wrong: [] });
      if (colour === person) {
        of.right++;
        clicked.revealed[label] ??= performance.now() - clicked.at;
      } else if (colour === 'black') {
        of.black++;
      } else {
        of.wrong.push(colour);
      }
    });
  }

  function look(video) {
    video.requestVideoFrameCallback(() => {
      note(video, colourIn(video));
      look(video);
    });
  }

  const known = new WeakSet();
  new MutationObserver((records) => {
    for (const video of document.querySelectorAll('[role=group] video')) {
      if (known.has(video)) continue;
      known.add(video);
      look(video);
    }
    // A picture may also come into sight without a new frame.
    for (const { type, target } of records) if (type === 'attributes' && target instanceof HTMLVideoElement) note(target, colourIn(target));
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-shown'] });

  Object.assign(window.e2e, { sight, revealed: () => clicked.revealed });
}
