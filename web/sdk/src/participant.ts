import type { Participant as ParticipantInfo, Source } from './protocol.gen.ts';
import type { Publisher } from './publisher.ts';
import type { LocalTrack, RemoteTrack, TrackPublication } from './track.ts';

/** Somebody in the room. */
export class Participant<T extends RemoteTrack | LocalTrack = RemoteTrack | LocalTrack> {
  /** The number by which everything in the room names them. */
  number = 0;
  /** Unique in the room. */
  identity = '';
  /** Display name; may repeat. */
  name = '';
  /** Free text of the application. */
  metadata = '';
  /** The place in the queue of raised hands, from 1; undefined: hand is down. */
  hand: number | undefined;
  /** Loudness from 0 to 1; 0 while silent. */
  audioLevel = 0;
  /** By the track's number. */
  readonly publications = new Map<number, TrackPublication<T>>();

  get isSpeaking(): boolean {
    return this.audioLevel > 0;
  }

  /** The publication of a source, if there is one. */
  publication(source: Source): TrackPublication<T> | undefined {
    for (const publication of this.publications.values()) if (publication.source === source) return publication;
    return undefined;
  }

  /** Takes name, identity and the like from the roster; for the room. */
  describe(info: Omit<ParticipantInfo, 'tracks'>): void {
    this.number = info.participant;
    this.identity = info.identity;
    this.name = info.name;
    this.metadata = info.metadata;
    this.hand = info.hand;
  }
}

/** Somebody else. */
export class RemoteParticipant extends Participant<RemoteTrack> {}

/** Oneself. */
export class LocalParticipant extends Participant<LocalTrack> {
  private readonly publisher: Publisher;

  constructor(publisher: Publisher) {
    super();
    this.publisher = publisher;
  }

  get isCameraEnabled(): boolean {
    return this.isEnabled('camera');
  }

  get isMicrophoneEnabled(): boolean {
    return this.isEnabled('microphone');
  }

  get isScreenShareEnabled(): boolean {
    return this.isEnabled('screen');
  }

  /** Starts or stops the camera. Needs no new negotiation. Rejects with the browser's error if there is no camera to be had. */
  setCameraEnabled(enabled: boolean): Promise<void> {
    return this.publisher.setCamera(enabled);
  }

  /** Unmutes or mutes the microphone, asking for it first if need be. */
  setMicrophoneEnabled(enabled: boolean): Promise<void> {
    return this.publisher.setMicrophone(enabled);
  }

  /** Asks for a screen, window or tab and shares it, with its sound where the browser gives it; or stops. */
  setScreenShareEnabled(enabled: boolean): Promise<void> {
    return this.publisher.setScreenShare(enabled);
  }

  /** Publishes a track of one's own making as the given source. */
  publishTrack(track: MediaStreamTrack, source: Source): Promise<void> {
    return this.publisher.publish(track, source);
  }

  /** Takes back what `publishTrack` or a `set…Enabled` published. */
  unpublishTrack(source: Source): Promise<void> {
    return this.publisher.unpublish(source);
  }

  /** Sends at most 16 KiB to everybody, or to one participant. Reliable messages arrive in order; the others may be lost but never wait. */
  publishData(bytes: Uint8Array, options: { reliable?: boolean; to?: number } = {}): void {
    this.publisher.sendData(bytes, options.reliable ?? true, options.to ?? 0);
  }

  /** Writes to everybody, or to one participant. Comes back as `ChatMessage`. */
  async sendChat(text: string, to?: number): Promise<void> {
    await this.publisher.request({ type: 'chat', text, ...(to === undefined ? {} : { to }) });
  }

  async setHandRaised(raised: boolean): Promise<void> {
    await this.publisher.request({ type: 'hand', raised });
  }

  /** Changes name or metadata; what is absent stays. */
  async update(change: { name?: string; metadata?: string }): Promise<void> {
    await this.publisher.request({ type: 'update', ...change });
  }

  private isEnabled(source: Source): boolean {
    const publication = this.publication(source);
    return publication !== undefined && !publication.muted;
  }
}
