import type { Participant as ParticipantInfo, Publishable, Rights, Source } from './protocol.gen.ts';
import type { Publisher } from './publisher.ts';
import type { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './track.ts';

const EVERYTHING: readonly Publishable[] = ['camera', 'microphone', 'screen'];

/** Somebody in the room. */
export class Participant<T extends TrackPublication = TrackPublication> {
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
  /** Their signalling is lost, and they may come back; what they send may still arrive. */
  isAway = false;
  /** May mute, remove, lock and admit. */
  isModerator = false;
  /** What they may publish, apart from what the room's settings say. */
  publish: readonly Publishable[] = [];
  /** Loudness from 0 to 1; 0 while silent. */
  audioLevel = 0;
  /** By the track's number. */
  readonly publications = new Map<number, T>();

  get isSpeaking(): boolean {
    return this.audioLevel > 0;
  }

  /** The publication of a source, if there is one. */
  publication(source: Source): T | undefined {
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
    this.isAway = info.away;
    this.isModerator = info.moderator;
    this.publish = info.publish;
  }
}

/** Somebody else. */
export class RemoteParticipant extends Participant<RemoteTrackPublication> {}

/** Oneself. */
export class LocalParticipant extends Participant<LocalTrackPublication> {
  /** What one may receive and moderate, as the server said; for what one may publish ask `canPublish`. */
  rights: Readonly<Rights> = { publish: [], subscribe: true, moderate: false };
  /** What the room's settings let everybody publish; kept by the room. */
  allowedToAll: readonly Publishable[] = EVERYTHING;
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

  /** Whether one may publish a source: by one's own rights and, unless one moderates, by the room's settings. */
  canPublish(source: Source): boolean {
    const what = source === 'screen_audio' ? 'screen' : source;
    return this.rights.publish.includes(what) && (this.rights.moderate || this.allowedToAll.includes(what));
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
