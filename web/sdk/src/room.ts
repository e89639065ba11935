import { AudioPlayback } from './audio.ts';
import { Emitter } from './emitter.ts';
import type { ConnectionState, RoomEvents } from './events.ts';
import { DEFAULT_SLOTS, Media, type SlotCounts } from './media.ts';
import { LocalParticipant, type Participant, type RemoteParticipant } from './participant.ts';
import type { LeaveReason, Role, RoomMode, ServerMessage, Slot } from './protocol.gen.ts';
import { Publisher } from './publisher.ts';
import { Roster } from './roster.ts';
import { Signal } from './signal.ts';
import { SlotTable } from './slots.ts';
import { ViewSender } from './view.ts';

export interface ConnectOptions {
  /** The room's name. */
  room: string;
  /** One's own display name; viewers may leave it out. */
  name?: string;
  role?: Role;
  /** Free text for the application, shown to everybody. */
  metadata?: string;
  /** The room's mode, if this join begins it. */
  mode?: RoomMode;
  /** What is captured already, a camera, a microphone or both; the room stops them when it ends. */
  tracks?: MediaStreamTrack[];
  slots?: SlotCounts;
}

type Joined = Extract<ServerMessage, { type: 'joined' }>;

/**
 * One room, for one participant at a time.
 *
 *     const room = new Room();
 *     room.on('TrackPublished', (publication) => publication.track.attach(video));
 *     await room.connect('https://example.org', { room: 'lobby', name: 'Ada' });
 *     await room.localParticipant.setCameraEnabled(true);
 */
export class Room extends Emitter<RoomEvents> {
  private connectionState: ConnectionState = 'disconnected';
  private roomName = '';
  private roomMode: RoomMode = 'conference';
  private signal: Signal | undefined;
  private media: Media | undefined;
  private readonly publisher = new Publisher();
  private readonly roster: Roster;
  private readonly slots = new SlotTable();
  private readonly audio = new AudioPlayback(() => this.emit('AudioPlaybackStatusChanged'));
  private readonly view = new ViewSender((view) => void this.signal?.request({ type: 'view', view }).catch(warn));
  private readonly handlePageHide = () => this.signal?.leave();

  constructor() {
    super();
    this.roster = new Roster(new LocalParticipant(this.publisher), this);
    this.publisher.on('published', (publication) => this.roster.addLocal(publication));
    this.publisher.on('unpublished', (publication) => this.roster.removeLocal(publication));
    this.publisher.on('muted', (publication) => {
      this.emit(publication.muted ? 'TrackMuted' : 'TrackUnmuted', publication, this.localParticipant);
    });
    this.roster.onPublished = (number) => this.bind(number, this.slots.of(number));
  }

  get name(): string {
    return this.roomName;
  }

  get mode(): RoomMode {
    return this.roomMode;
  }

  get state(): ConnectionState {
    return this.connectionState;
  }

  get localParticipant(): LocalParticipant {
    return this.roster.local;
  }

  /** The others by number, in the order in which they joined. */
  get remoteParticipants(): ReadonlyMap<number, RemoteParticipant> {
    return this.roster.remotes;
  }

  /** Who is speaking, loudest first. */
  get activeSpeakers(): Participant[] {
    return this.roster.speakers;
  }

  /** Who has a hand up, the first to raise it first. */
  get raisedHands(): Participant[] {
    return this.roster.hands;
  }

  get viewerCount(): number {
    return this.roster.viewers;
  }

  /** False: the browser wants a gesture before it plays sound; call `startAudio` in a click. */
  get canPlaybackAudio(): boolean {
    return this.audio.canPlay;
  }

  /** Plays the others' sound; needed only after `canPlaybackAudio` was false. */
  startAudio(): Promise<void> {
    return this.audio.start();
  }

  /** Silences everybody else, only here. */
  setAudioMuted(muted: boolean): void {
    this.audio.muted = muted;
  }

  /**
   * Enters a room of the server at `url`. Resolves when the server has let us in; media follows a moment later. Rejects with a `SignalError`
   * that says why not; then `tracks` are still the caller's.
   */
  async connect(url: string, options: ConnectOptions): Promise<void> {
    if (this.connectionState !== 'disconnected') throw new Error('The room is already connected or connecting.');
    this.setState('connecting');
    const opening = Signal.connect(socketUrl(url, options.room));
    try {
      const media = (this.media = this.openMedia(options));
      await this.publisher.prepare(media, options.tracks ?? []);
      const [signal, offer] = await Promise.all([opening, media.offer()]);
      this.listen(signal);
      const joined = await signal.request({
        type: 'join',
        name: options.name ?? '',
        role: options.role ?? 'participant',
        metadata: options.metadata ?? '',
        mode: options.mode ?? 'conference',
        ...offer,
      });
      this.enter(options.room, signal, media, joined);
      await media.accept(joined.answer);
      signal.assertOpen();
    } catch (error) {
      opening.then((signal) => signal.leave()).catch(() => {});
      this.end(undefined);
      throw error;
    }
    this.setState('connected');
    this.emit('Connected');
  }

  /** Leaves at once. Stops the devices. */
  disconnect(): void {
    if (this.connectionState === 'disconnected') return;
    this.signal?.leave();
    this.end('left');
  }

  /** Tells the server which video tracks are in sight, the most important first; others are not sent. */
  setVisibleTracks(tracks: number[]): void {
    if (this.signal) this.view.set(tracks);
  }

  /** The peer connection's statistics. */
  async getStats(): Promise<RTCStatsReport | undefined> {
    return this.media?.pc.getStats();
  }

  private openMedia(options: ConnectOptions): Media {
    const media = new Media({ publish: options.role !== 'viewer', slots: options.slots ?? DEFAULT_SLOTS });
    media.on('connected', () => this.emit('MediaConnected'));
    media.on('failed', () => {
      this.signal?.close();
      this.end('media_lost');
    });
    media.on('data', (from, payload) => this.emit('DataReceived', payload, this.remoteParticipants.get(from)));
    return media;
  }

  private listen(signal: Signal): void {
    this.signal = signal;
    signal.on('event', (seq, event) => this.roster.apply(seq, event));
    signal.on('slots', (news) => this.applySlots(news));
    signal.on('speakers', (speakers) => this.roster.applySpeakers(speakers));
    // While connecting, the failed request is what tells of the loss.
    signal.on('closed', (reason) => {
      if (this.connectionState === 'connected') this.end(reason);
    });
    window.addEventListener('pagehide', this.handlePageHide);
  }

  /** Takes over the room as it is now. Nothing may be awaited here: news that follows the answer builds on it. */
  private enter(name: string, signal: Signal, media: Media, joined: Joined): void {
    this.roomName = name;
    this.roomMode = joined.mode;
    this.roster.enter(joined);
    this.publisher.start(signal, media, joined.tracks);
    for (const { kind, stream } of media.receives) if (kind === 'audio') this.audio.add(stream);
  }

  private applySlots(news: Slot[]): void {
    for (const { track, slot } of this.slots.apply(news)) this.bind(track, slot);
  }

  /** Tells a track of its slot. A slot may name a track before the roster does: it is bound when the roster has it. */
  private bind(number: number, slot: Slot | undefined): void {
    const found = this.roster.find(number);
    if (!found) return;
    const { publication, participant } = found;
    const before = publication.track.subscribed;
    publication.track.update(slot && this.media?.receive(slot.mid)?.stream, slot);
    const after = publication.track.subscribed;
    if (before !== after) this.emit(after ? 'TrackSubscribed' : 'TrackUnsubscribed', publication, participant);
  }

  /** Back to nothing. With a reason the page hears of it; without, `connect` has thrown. */
  private end(reason: LeaveReason | undefined): void {
    if (this.connectionState === 'disconnected') return;
    if (typeof window !== 'undefined') window.removeEventListener('pagehide', this.handlePageHide);
    this.signal?.close();
    this.publisher.stop();
    this.media?.close();
    this.audio.clear();
    this.view.reset();
    this.slots.clear();
    this.roster.clear();
    this.signal = this.media = undefined;
    this.setState('disconnected');
    if (reason) this.emit('Disconnected', reason);
  }

  private setState(state: ConnectionState): void {
    this.connectionState = state;
    this.emit('ConnectionStateChanged', state);
  }
}

/** The address of a room's signalling at a server. */
export function socketUrl(server: string, room: string): string {
  const base = server.replace(/^http/, 'ws').replace(/\/+$/, '');
  return `${base}/api/v1/rooms/${encodeURIComponent(room)}/socket`;
}

function warn(error: unknown): void {
  console.warn('ninefold:', error instanceof Error ? error.message : error);
}
