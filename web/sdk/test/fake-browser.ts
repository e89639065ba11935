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

class FakeSender {
  track: MediaStreamTrack | null = null;

  replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }

  getParameters(): { encodings: object[] } {
    return { encodings: [{}, {}, {}] };
  }

  setParameters(): Promise<void> {
    return Promise.resolve();
  }
}

class FakeTransceiver {
  mid: string | null = null;
  direction: RTCRtpTransceiverDirection;
  sender = new FakeSender();
  receiver: { track: FakeTrack };

  constructor(kind: 'audio' | 'video', direction: RTCRtpTransceiverDirection) {
    this.direction = direction;
    this.receiver = { track: new FakeTrack(kind) };
  }

  setCodecPreferences(): void {}
}

export class FakePeerConnection extends EventTarget {
  static all: FakePeerConnection[] = [];
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

  addTransceiver(kind: 'audio' | 'video', { direction = 'sendrecv' }: RTCRtpTransceiverInit): FakeTransceiver {
    const transceiver = new FakeTransceiver(kind, direction);
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

  /** What is sent now. */
  get sending(): (MediaStreamTrack | null)[] {
    return this.transceivers.filter(({ direction }) => direction === 'sendonly').map(({ sender }) => sender.track);
  }
}

export interface FakeBrowser {
  sockets: FakeSocket[];
  peers: FakePeerConnection[];
  window: EventTarget;
  document: EventTarget & { hidden: boolean };
  /** The newest. */
  socket(): FakeSocket;
  peer(): FakePeerConnection;
}

export function installBrowser(): FakeBrowser {
  const sockets: FakeSocket[] = [];
  FakePeerConnection.all = [];
  const window = new EventTarget();
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
  vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs: [] }) });
  vi.stubGlobal('RTCRtpReceiver', { getCapabilities: () => ({ codecs: [] }) });
  vi.stubGlobal('MediaStream', EventTarget);
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
