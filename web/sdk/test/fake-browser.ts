/** As much of a browser as a `Room` needs, without media: what is set can be looked at, what happens is made to happen. */
import { vi } from 'vitest';
import { FakeSocket } from './fake-socket.ts';

let nextMid = 0;

export class FakeTrack extends EventTarget {
  readonly kind: 'audio' | 'video';
  enabled = true;
  readyState: 'live' | 'ended' = 'live';

  constructor(kind: 'audio' | 'video') {
    super();
    this.kind = kind;
  }

  stop(): void {
    this.readyState = 'ended';
  }

  getSettings(): MediaTrackSettings {
    return { width: 1280, height: 720 };
  }

  get media(): MediaStreamTrack {
    return this as unknown as MediaStreamTrack;
  }
}

export class FakeSender {
  track: MediaStreamTrack | null = null;
  /** Each of them was set at once, as browsers want it. */
  overlapped = false;
  /** How many of the next changes fail, as in a negotiation. */
  failures = 0;
  changes = 0;
  private encodings: RTCRtpEncodingParameters[];
  private busy = false;

  constructor(encodings: RTCRtpEncodingParameters[] = [{}]) {
    this.encodings = encodings;
  }

  replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }

  getParameters(): { encodings: RTCRtpEncodingParameters[] } {
    return { encodings: this.encodings.map((encoding) => ({ active: true, ...encoding })) };
  }

  async setParameters({ encodings }: { encodings: RTCRtpEncodingParameters[] }): Promise<void> {
    this.overlapped ||= this.busy;
    this.busy = true;
    this.changes++;
    await Promise.resolve();
    this.busy = false;
    if (this.failures-- > 0) throw new DOMException('Something else changed them.', 'InvalidStateError');
    this.encodings = encodings;
  }

  get active(): boolean[] {
    return this.getParameters().encodings.map(({ active = true }) => active);
  }
}

class FakeTransceiver {
  mid: string | null = null;
  direction: RTCRtpTransceiverDirection;
  sender: FakeSender;
  receiver: { track: FakeTrack };
  stopped = false;

  constructor(kind: 'audio' | 'video', direction: RTCRtpTransceiverDirection, encodings: RTCRtpEncodingParameters[] | undefined) {
    this.direction = direction;
    this.sender = new FakeSender(encodings);
    this.receiver = { track: new FakeTrack(kind) };
  }

  setCodecPreferences(): void {}

  stop(): void {
    this.stopped = true;
  }
}

export class FakePeerConnection extends EventTarget {
  static all: FakePeerConnection[] = [];
  /** Whether it takes the wish for layers in one encoding. */
  static knowsLayers = true;
  transceivers: FakeTransceiver[] = [];
  connectionState = 'new';
  iceConnectionState = 'new';
  signalingState = 'stable';
  localDescription: { sdp: string } | undefined;
  log: string[] = [];
  closed = false;

  constructor() {
    super();
    FakePeerConnection.all.push(this);
  }

  getStats(): Promise<Map<string, RTCStats>> {
    return Promise.resolve(new Map());
  }

  addTransceiver(kind: 'audio' | 'video', { direction = 'sendrecv', sendEncodings }: RTCRtpTransceiverInit): FakeTransceiver {
    const known = FakePeerConnection.knowsLayers ? sendEncodings : sendEncodings?.map(({ rid = '' }) => ({ rid }));
    const transceiver = new FakeTransceiver(kind, direction, known);
    this.transceivers.push(transceiver);
    return transceiver;
  }

  createDataChannel(): EventTarget {
    return new EventTarget();
  }

  createOffer(): Promise<{ type: string; sdp: string }> {
    return Promise.resolve({ type: 'offer', sdp: `offer ${this.log.length}` });
  }

  setLocalDescription({ type, sdp }: { type: string; sdp?: string }): Promise<void> {
    this.log.push(type);
    this.signalingState = type === 'offer' ? 'have-local-offer' : 'stable';
    this.localDescription = { sdp: sdp ?? '' };
    for (const transceiver of this.transceivers) transceiver.mid ??= String(nextMid++);
    return Promise.resolve();
  }

  setRemoteDescription({ type }: { type: string }): Promise<void> {
    this.log.push(type);
    this.signalingState = 'stable';
    return Promise.resolve();
  }

  restartIce(): void {
    this.log.push('restart');
  }

  close(): void {
    this.closed = true;
    this.signalingState = 'closed';
    for (const transceiver of this.transceivers) transceiver.direction = 'stopped';
  }

  ice(state: RTCIceConnectionState): void {
    this.iceConnectionState = state;
    this.dispatchEvent(new Event('iceconnectionstatechange'));
    this.connectionState = state === 'completed' ? 'connected' : state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  /** What the sender of a track does, wherever it is. */
  senderOf(track: FakeTrack): FakeSender {
    const found = this.transceivers.find(({ sender }) => sender.track === track.media);
    if (!found) throw new Error('Nobody sends it.');
    return found.sender;
  }

  /** What is sent now. */
  get sending(): (MediaStreamTrack | null)[] {
    return this.transceivers.filter(({ direction }) => direction === 'sendonly').map(({ sender }) => sender.track);
  }
}

/** Either observer of elements: what it tells is said by hand. */
class FakeObserver {
  static all: FakeObserver[] = [];
  private readonly callback: (entries: { isIntersecting: boolean }[]) => void;
  private target: unknown;

  constructor(callback: (entries: { isIntersecting: boolean }[]) => void) {
    this.callback = callback;
    FakeObserver.all.push(this);
  }

  observe(target: unknown): void {
    this.target = target;
  }

  disconnect(): void {
    this.target = undefined;
  }

  static tell(target: unknown, isIntersecting: boolean): void {
    for (const observer of FakeObserver.all) if (observer.target === target) observer.callback([{ isIntersecting }]);
  }
}

/** A video element, laid out by hand. */
export class FakeVideo extends EventTarget {
  dataset: Record<string, string> = {};
  srcObject: unknown = null;
  muted = false;
  clientWidth = 0;
  clientHeight = 0;
  videoWidth = 0;
  videoHeight = 0;
  objectFit = 'fill';
  ownerDocument: unknown = globalThis.document;
  play = () => Promise.resolve();
  requestVideoFrameCallback = () => 1;
  cancelVideoFrameCallback = () => {};

  get media(): HTMLVideoElement {
    return this as unknown as HTMLVideoElement;
  }

  /** Gives it a size, in sight or out of it. */
  layOut(width: number, height: number, isIntersecting = true): void {
    [this.clientWidth, this.clientHeight] = [width, height];
    FakeObserver.tell(this, isIntersecting);
  }
}

export interface FakeBrowser {
  sockets: FakeSocket[];
  peers: FakePeerConnection[];
  window: EventTarget & { devicePixelRatio: number };
  document: EventTarget & { hidden: boolean };
  /** The newest. */
  socket(): FakeSocket;
  peer(): FakePeerConnection;
}

export function installBrowser(): FakeBrowser {
  const sockets: FakeSocket[] = [];
  FakePeerConnection.all = [];
  const window = Object.assign(new EventTarget(), { devicePixelRatio: 1 });
  const element = () => ({ play: () => Promise.resolve(), remove: () => {}, hidden: false, muted: false, srcObject: null });
  const document = Object.assign(new EventTarget(), { hidden: false, createElement: element, body: { append: () => {} } });
  class Socket extends FakeSocket {
    constructor(url: string) {
      super(url);
      sockets.push(this);
    }
  }
  vi.stubGlobal('WebSocket', Socket);
  vi.stubGlobal('RTCPeerConnection', FakePeerConnection);
  vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs: [{ mimeType: 'video/VP8' }, { mimeType: 'video/VP9', sdpFmtpLine: 'profile-id=0' }] }) });
  vi.stubGlobal('RTCRtpReceiver', { getCapabilities: () => ({ codecs: [] }) });
  vi.stubGlobal('MediaStream', EventTarget);
  FakeObserver.all = [];
  vi.stubGlobal('ResizeObserver', class extends FakeObserver {});
  vi.stubGlobal('IntersectionObserver', FakeObserver);
  vi.stubGlobal('getComputedStyle', ({ objectFit }: FakeVideo) => ({ objectFit }));
  vi.stubGlobal('navigator', {});
  vi.stubGlobal('window', window);
  vi.stubGlobal('document', document);
  const newest = <T>(list: T[]): T => {
    const found = list.at(-1);
    if (!found) throw new Error('There is none.');
    return found;
  };
  return { sockets, peers: FakePeerConnection.all, window, document, socket: () => newest(sockets), peer: () => newest(FakePeerConnection.all) };
}
