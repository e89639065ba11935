import { AudioPlayback } from './audio.ts';
import { Emitter } from './emitter.ts';
import type { ConnectionState, RoomEvents, Trouble } from './events.ts';
import { DEFAULT_SLOTS } from './media.ts';
import type { ConnectOptions, PublishOptions, RoomLayers, RoomOptions } from './options.ts';
import { LocalParticipant, type Participant, type RemoteParticipant } from './participant.ts';
import type { LeaveReason, Publishable, RoomMode, Settings, Slot, Waiting } from './protocol.gen.ts';
import { Publisher } from './publisher.ts';
import { Backoff, DEFAULT_RECONNECT_POLICY } from './reconnect.ts';
import { Roster } from './roster.ts';
import { failure, isDefinite, SignalError, warn, type Joined } from './signal.ts';
import { SlotTable } from './slots.ts';
import type { RemoteTrackPublication } from './track.ts';
import { ViewSender } from './view.ts';
import { PageWatch, Visit } from './visit.ts';
import { WishSender, type Wanted } from './wishes.ts';

/** What `simulate` can break: signalling, the way of media, or both for good. */
export type Scenario = 'signal-drop' | 'ice-fail' | 'node-failure';

/** A rejoin whose media never stands is not a cure. */
const FRUITLESS_REJOINS_MAX = 3;
/** A network that has just changed: whether the server is still there is seen sooner than by a request's ordinary limit. */
const PROBE_MS = 4_000;

/**
 * One room, for one participant at a time.
 *
 *     const room = new Room();
 *     room.on('TrackPublished', (publication) => publication.track.attach(video));
 *     await room.connect('https://example.org', { room: 'lobby', name: 'Ada' });
 *     await room.localParticipant.setCameraEnabled(true);
 *
 * It outlives its connections: lost signalling is resumed, lost media gets a new way, and if neither helps the room is joined anew, with the same
 * devices. Only when that has failed too it is over: `Disconnected`.
 */
export class Room extends Emitter<RoomEvents> {
  private connectionState: ConnectionState = 'disconnected';
  private roomMode: RoomMode = 'conference';
  private options: ConnectOptions = { room: '' };
  private url = '';
  private visit: Visit | undefined;
  /** The one that is being made; and the waiting between attempts. */
  private entering: Visit | undefined;
  private rejoining: Backoff | undefined;
  private fruitless = 0;
  private probing = false;
  /** Another one for each stay in a room, so that work which outlives one is noticed. */
  private stay = Symbol();
  private readonly troubles = new Set<Trouble>();
  private readonly publisher = new Publisher();
  private readonly roster: Roster;
  private readonly slots = new SlotTable();
  private readonly audio = new AudioPlayback(() => this.emit('AudioPlaybackStatusChanged'));
  private readonly view = new ViewSender((view) => void this.visit?.link.request({ type: 'view', view }).catch(warn));
  private readonly wishes = new WishSender({
    wanted: (track) => this.wantedOf(track),
    send: (slots) => this.publisher.request({ type: 'wishes', slots }),
  });
  private readonly publishDefaults: PublishOptions;
  private asking: Promise<RoomLayers> | undefined;
  private readonly page = new PageWatch({
    leave: () => this.disconnect(),
    freeze: () => this.freeze(),
    thaw: () => this.rejoin(),
    networkChanged: () => this.checkNetwork(),
    networkDoubted: () => this.probe(),
  });

  constructor({ adaptiveStream = true, publishDefaults = {} }: RoomOptions = {}) {
    super();
    this.publishDefaults = publishDefaults;
    this.roster = new Roster(new LocalParticipant(this.publisher), this, this.publisher, {
      adaptive: adaptiveStream,
      handlePublished: (track) => {
        this.bind(track, this.slots.of(track));
        this.wishes.update();
      },
      handleWished: () => this.wishes.update(),
      layersOf: async (track) => (await this.layers()).slots.find((slot) => slot.track === track),
    });
    this.publisher.allows = (source) => this.localParticipant.canPublish(source);
    this.publisher.on('published', (publication) => this.roster.addLocal(publication));
    this.publisher.on('unpublished', (publication) => this.roster.removeLocal(publication));
    this.publisher.on('muted', (publication, by) => {
      const moderator = by === undefined ? undefined : this.roster.participant(by);
      if (publication.muted) this.emit('TrackMuted', publication, this.localParticipant, moderator);
      else this.emit('TrackUnmuted', publication, this.localParticipant);
    });
  }

  get name(): string {
    return this.options.room;
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

  /** What moderators have decided about the room. */
  get settings(): Readonly<Settings> {
    return this.roster.settings;
  }

  /** Who waits to be let in; always empty for those who are no moderators. */
  get lobby(): readonly Waiting[] {
    return this.roster.lobby;
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
   * Enters a room of the server at `url`. Resolves when the server has let us in, which may take as long as a moderator does (`Waiting`); media
   * follows a moment later. Rejects with a `SignalError` that says why not; then `tracks` are still the caller's.
   */
  async connect(url: string, options: ConnectOptions): Promise<void> {
    if (this.connectionState !== 'disconnected') throw new Error('The room is already connected or connecting.');
    this.url = url;
    this.options = options;
    this.fruitless = 0;
    this.setState('connecting');
    try {
      await this.enter(options.tracks ?? []);
    } catch (error) {
      this.end(undefined);
      throw error;
    }
    this.setState(this.troubles.size > 0 ? 'reconnecting' : 'connected');
    this.page.start();
    this.emit('Connected');
    if (this.visit?.link.ended) this.rejoin();
  }

  /** Leaves at once. Stops the devices. A `connect` under way rejects with the code `left`. */
  disconnect(): void {
    this.end('left');
  }

  /** Tells the server which video tracks are in sight, the most important first; others are not sent. */
  setVisibleTracks(tracks: number[]): void {
    if (this.visit) this.view.set(tracks);
  }

  /** What is sent in the slots, and why it is not more. Who asks while an answer is on its way shares it; once a second is often enough. */
  layers(): Promise<RoomLayers> {
    this.asking ??= this.askLayers().finally(() => (this.asking = undefined));
    return this.asking;
  }

  /** The peer connection's statistics. */
  async getStats(): Promise<RTCStatsReport | undefined> {
    return this.visit?.media.pc.getStats();
  }

  /** Moderators: mutes somebody's track. They may turn it on again. */
  muteTrack(publication: RemoteTrackPublication): Promise<void> {
    return this.publisher.request({ type: 'mute', track: publication.number, muted: true });
  }

  /** Moderators: sends somebody out, with `ban` for as long as the room lives. */
  removeParticipant(participant: RemoteParticipant, { ban = false } = {}): Promise<void> {
    return this.publisher.request({ type: 'remove', participant: participant.number, ban });
  }

  /** Moderators: says what somebody may publish; all of it. */
  setPermissions(participant: RemoteParticipant, publish: Publishable[]): Promise<void> {
    return this.publisher.request({ type: 'permit', participant: participant.number, publish });
  }

  /** Moderators: changes the room; what is absent stays. */
  updateSettings(change: Partial<Settings>): Promise<void> {
    return this.publisher.request({ type: 'settings', ...change });
  }

  /** Moderators: lets somebody in who waits in the `lobby`, by their number there. */
  admit(waiting: number): Promise<void> {
    return this.publisher.request({ type: 'admit', participant: waiting, admit: true });
  }

  /** Moderators: sends away somebody who waits in the `lobby`. */
  refuse(waiting: number): Promise<void> {
    return this.publisher.request({ type: 'admit', participant: waiting, admit: false });
  }

  /** Breaks something on purpose, to see how a page takes it. */
  simulate(scenario: Scenario): void {
    switch (scenario) {
      case 'signal-drop':
        return this.visit?.link.drop();
      case 'ice-fail':
        return this.visit?.ice.fail();
      case 'node-failure':
        return this.rejoin();
    }
  }

  /** Joins; again, if there was a visit before. */
  private async enter(tracks: MediaStreamTrack[]): Promise<void> {
    try {
      await this.enterWith(this.visit ? this.publisher.sources : this.initialSources(), tracks);
    } catch (error) {
      const isRestricted = error instanceof SignalError && error.code === 'not_allowed' && this.options.role !== 'viewer';
      if (!isRestricted) throw error;
      // One may not publish all that the offer was ready for. What one may, one learns by joining without.
      await this.enterWith([], tracks);
      void this.publisher.openAllowed(tracks).catch(warn);
    }
  }

  private async askLayers(): Promise<RoomLayers> {
    if (!this.visit) throw failure('disconnected');
    const { estimate_kbps: estimateKbps, slots } = await this.visit.link.request({ type: 'layers' });
    return { estimateKbps, slots };
  }

  private initialSources(): ('microphone' | 'camera')[] {
    return this.options.role === 'viewer' ? [] : ['microphone', 'camera'];
  }

  private async enterWith(sources: Publisher['sources'], tracks: MediaStreamTrack[]): Promise<void> {
    const { options, visit: before, roster, stay } = this;
    const token = typeof options.token === 'function' ? await options.token() : options.token;
    if (this.stay !== stay) throw failure('left');
    const visit = (this.entering = new Visit({
      server: this.url,
      ...options,
      token,
      policy: options.reconnectPolicy ?? DEFAULT_RECONNECT_POLICY,
      media: { sources, slots: options.slots ?? DEFAULT_SLOTS, local: this.publisher.local, publish: this.publishDefaults },
    }));
    this.listen(visit);
    try {
      await (before ? this.publisher.carryOver(visit.media) : this.publisher.prepare(visit.media, tracks));
      const { joined, offered } = await visit.join({
        name: before ? roster.local.name : (options.name ?? ''),
        metadata: before ? roster.local.metadata : (options.metadata ?? ''),
        rejoin: before?.link.resumeSecret,
      });
      this.assertWanted(visit);
      // Nothing may be awaited here: news that follows the answer builds on it.
      this.takeOver(visit, joined);
      this.publisher.start(visit.link, visit.media, joined.tracks, offered);
      await visit.media.accept(joined.answer);
      this.assertWanted(visit);
    } catch (error) {
      visit.leave();
      if (this.entering !== visit && this.visit !== visit) throw failure('left');
      throw error;
    } finally {
      if (this.entering === visit) this.entering = undefined;
    }
  }

  /** Throws if the room was left while somebody was entering it. */
  private assertWanted(visit: Visit): void {
    if (this.entering !== visit) throw failure('left');
  }

  private takeOver(visit: Visit, joined: Joined): void {
    const before = this.visit;
    this.visit = visit;
    this.roomMode = joined.mode;
    before?.close();
    for (const track of this.slots.clear()) this.bind(track, undefined);
    this.wishes.reset();
    this.audio.clear();
    if (before) this.roster.reenter(joined);
    else this.roster.enter(joined);
    for (const { kind, stream } of visit.media.receives) if (kind === 'audio') this.audio.add(stream);
  }

  private listen(visit: Visit): void {
    const { link, media } = visit;
    const isCurrent = () => this.visit === visit;
    link.on('event', (seq, event) => this.roster.apply(seq, event));
    link.on('slots', (news) => this.applySlots(news));
    link.on('encodings', (tracks) => isCurrent() && this.publisher.handleEncodings(tracks));
    link.on('speakers', (speakers) => this.roster.applySpeakers(speakers));
    link.on('waiting', () => this.emit('Waiting'));
    link.on('lost', () => isCurrent() && this.handleSignalLost());
    link.on('resumed', () => isCurrent() && this.handleResumed(visit));
    link.on('closed', (reason) => isCurrent() && this.handleClosed(visit, reason));
    media.on('connected', () => {
      this.fruitless = 0;
      this.emit('MediaConnected');
    });
    media.on('data', (from, payload) => this.emit('DataReceived', payload, this.remoteParticipants.get(from)));
    media.on('failed', () => isCurrent() && this.handleMediaLost(visit));
    visit.watchIce({
      restart: async () => {
        media.restartIce();
        await this.publisher.renegotiate();
      },
      troubled: () => {
        if (!isCurrent()) return;
        this.trouble('media');
        // What broke the way of media may have broken that of signalling too, which else shows late.
        this.probe();
      },
      recovered: () => isCurrent() && this.calm('media'),
      lost: () => isCurrent() && this.handleMediaLost(visit),
    });
  }

  private handleSignalLost(): void {
    this.publisher.pause();
    this.trouble('signal');
  }

  private handleResumed(visit: Visit): void {
    this.publisher.resume();
    this.view.repeat();
    this.wishes.repeat();
    this.calm('signal');
    visit.ice.hurry();
  }

  private handleClosed(visit: Visit, reason: LeaveReason | undefined): void {
    // A server that is stopped is often started again; and lost media may find another way.
    if (reason === 'media_lost') return this.handleMediaLost(visit);
    if (reason === undefined || reason === 'server_stopping') return this.rejoin();
    this.end(reason);
  }

  private handleMediaLost(visit: Visit): void {
    if (visit.ice.hasStood || (this.fruitless > 0 && this.fruitless < FRUITLESS_REJOINS_MAX)) this.rejoin();
    else this.end('media_lost');
  }

  /** The last resort: a new connection for everything, and a new join with the same devices. */
  private rejoin(): void {
    if (!this.visit || this.rejoining || this.connectionState === 'connecting') return;
    this.fruitless++;
    this.publisher.pause();
    this.visit.retire();
    this.trouble('room');
    void this.tryToRejoin((this.rejoining = new Backoff(this.options.reconnectPolicy ?? DEFAULT_RECONNECT_POLICY)));
  }

  private async tryToRejoin(backoff: Backoff): Promise<void> {
    const { name, hand } = this.localParticipant;
    let refusal: SignalError | undefined;
    while (!refusal && (await backoff.next())) {
      try {
        await this.enter([]);
        if (this.rejoining === backoff) this.handleRejoined(name, hand !== undefined);
        return;
      } catch (error) {
        if (isDefinite(error)) refusal = error;
        else warn(error);
      }
    }
    if (this.rejoining === backoff) this.end(refusal?.code === 'banned' ? 'banned' : 'disconnected', refusal);
  }

  private handleRejoined(name: string, hadHand: boolean): void {
    this.rejoining = undefined;
    this.publisher.resume();
    this.view.repeat();
    const { localParticipant: self, options } = this;
    if (hadHand && self.hand === undefined) void self.setHandRaised(true).catch(warn);
    if (name !== self.name && options.role !== 'viewer') void self.update({ name }).catch(warn);
    this.calm('signal', 'media', 'room');
    if (this.visit?.link.ended) this.rejoin();
  }

  /** The page is put aside, and may come back: we are gone meanwhile. */
  private freeze(): void {
    this.visit?.leave();
    this.publisher.pause();
  }

  /** Another network, or a page that was asleep: finds out quickly what still stands. */
  private checkNetwork(): void {
    this.rejoining?.hurry();
    this.entering?.link.hurry();
    if (this.rejoining) return;
    this.visit?.link.hurry();
    this.probe();
    this.visit?.ice.hurry();
  }

  /** A cheap request: if the connection is dead, this finds it out. */
  private probe(): void {
    if (this.probing || !this.visit) return;
    this.probing = true;
    const done = () => void (this.probing = false);
    this.visit.link.request({ type: 'view', view: this.view.current }, PROBE_MS).then(done, done);
  }

  private applySlots(news: Slot[]): void {
    for (const { track, slot } of this.slots.apply(news)) this.bind(track, slot);
    this.wishes.apply(news);
  }

  private wantedOf(track: number): Wanted | undefined {
    const publication = this.roster.find(track)?.publication;
    return publication?.kind === 'video' ? publication.track.wish.wanted : undefined;
  }

  /** Tells a track of its slot. A slot may name a track before the roster does: it is bound when the roster has it. */
  private bind(number: number, slot: Slot | undefined): void {
    const found = this.roster.find(number);
    if (!found) return;
    const { publication, participant } = found;
    const { track } = publication;
    const { subscribed, reason } = track;
    track.update(slot && this.visit?.media.receive(slot.mid)?.stream, slot);
    if (subscribed !== track.subscribed) this.emit(track.subscribed ? 'TrackSubscribed' : 'TrackUnsubscribed', publication, participant);
    if (reason !== track.reason) this.emit('TrackStreamStateChanged', publication, participant);
  }

  private trouble(what: Trouble): void {
    this.troubles.add(what);
    if (this.connectionState === 'connected') this.setState('reconnecting');
    this.emit('Reconnecting', what);
  }

  private calm(...what: Trouble[]): void {
    for (const each of what) this.troubles.delete(each);
    if (this.troubles.size > 0 || this.connectionState !== 'reconnecting') return;
    this.setState('connected');
    this.emit('Reconnected');
  }

  /** Back to nothing. With a reason the page hears of it, unless `connect` is still there to throw. */
  private end(reason: LeaveReason | undefined, error?: SignalError): void {
    const state = this.connectionState;
    if (state === 'disconnected') return;
    this.page.stop();
    this.rejoining?.cancel();
    this.entering?.leave();
    this.visit?.leave();
    this.rejoining = this.entering = this.visit = undefined;
    this.stay = Symbol();
    this.publisher.stop();
    this.audio.clear();
    this.view.reset();
    this.wishes.reset();
    this.slots.clear();
    this.roster.clear();
    this.troubles.clear();
    this.setState('disconnected');
    if (reason && state !== 'connecting') this.emit('Disconnected', reason, ...(error ? [error] : []));
  }

  private setState(state: ConnectionState): void {
    this.connectionState = state;
    this.emit('ConnectionStateChanged', state);
  }
}
