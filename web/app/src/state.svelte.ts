/**
 * What the pages show of a room: the SDK's events, turned into values that Svelte follows. Events come in bursts; the picture of the people is made
 * anew once for each burst.
 */
import {
  Room,
  SignalError,
  type Participant,
  type Publishable,
  type PublishOptions,
  type RemoteParticipant,
  type Role,
  type Settings,
  type Source,
  type Waiting,
} from '@ninefold/client';
import { tokenOf } from './lib/access.ts';
import { acquireDevices, isDismissed, problemOf, stopTracks, type DeviceProblem, type Devices } from './lib/devices.ts';
import { endOf, type End } from './lib/end.ts';
import type { Key } from './lib/i18n/en.ts';
import { kept } from './lib/kept.ts';
import { peopleOf, personOf, type Person } from './lib/people.ts';
import { leadOf } from './lib/tiles.ts';

/** A video of somebody else in one of the page's tiles. */
export interface Sighting {
  participant: number;
  track: number;
  /** The higher, the more it matters when the network does not carry all. */
  priority: number;
}

export interface Message {
  id: number;
  /** Undefined: somebody who has left. */
  name: string | undefined;
  own: boolean;
  text: string;
  time: Date;
}

export interface Notice {
  key: Key;
  values?: Record<string, string>;
}

/** What the server lets one publish oneself. */
export type Allowed = Record<Publishable, boolean>;

/** A shorter loss of the connection is not worth a word. */
const BLIP_MS = 500;
/** How long the page says that one is back. */
const BACK_MS = 4_000;
/** How long joining waits for somebody to answer the browser's question about devices. */
const DEVICES_WAIT_MS = 3_000;
/** Older messages are forgotten. */
const MESSAGES_MAX = 500;

export class Session {
  readonly room: Room;
  phase = $state<'before' | 'joining' | 'waiting' | 'in' | 'over'>('before');
  connection = $state<'well' | 'lost' | 'back'>('well');
  self = $state.raw<Person>();
  others = $state.raw<Person[]>([]);
  /** The number of whoever leads the talk. */
  lead = $state<number>();
  viewers = $state(0);
  settings = $state.raw<Readonly<Settings>>({ locked: false, lobby: false, publish: [] });
  lobby = $state.raw<readonly Waiting[]>([]);
  allowed = $state.raw<Allowed>({ camera: true, microphone: true, screen: true });
  messages = $state.raw<Message[]>([]);
  unread = $state(0);
  panel = $state<'chat' | 'people'>();
  end = $state.raw<End>();
  problem = $state<DeviceProblem>();
  notice = $state.raw<Notice>();
  soundBlocked = $state(false);
  private refreshing = false;
  private nextMessage = 1;
  private connectionTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(publishDefaults: PublishOptions = {}) {
    this.room = new Room({ publishDefaults });
    this.follow();
    // A handle for debugging in the console, and for tests.
    Object.assign(window, { ninefold: { room: this.room } });
  }

  /** Joins with devices that are there already, or asks for them, but not for long: late ones are added. */
  async join(room: string, name: string, devices: Promise<Devices> | undefined): Promise<void> {
    this.phase = 'joining';
    const asked = devices ?? acquireDevices();
    const ready = await Promise.race([asked, new Promise<undefined>((resolve) => setTimeout(resolve, DEVICES_WAIT_MS))]);
    this.problem = ready?.problem;
    const tracks = ready?.tracks ?? [];
    const joined = await this.connect({ room, name, role: 'participant', tracks });
    if (!joined) stopTracks(tracks);
    if (!ready) void this.addLate(asked);
  }

  watch(room: string): Promise<boolean> {
    this.phase = 'joining';
    this.room.setAudioMuted(true);
    return this.connect({ room, name: '', role: 'viewer', tracks: [] });
  }

  leave(): void {
    this.room.disconnect();
  }

  toggleMicrophone(): Promise<void> {
    const { localParticipant } = this.room;
    return this.useDevice(() => localParticipant.setMicrophoneEnabled(!localParticipant.isMicrophoneEnabled));
  }

  toggleCamera(): Promise<void> {
    const { localParticipant } = this.room;
    return this.useDevice(() => localParticipant.setCameraEnabled(!localParticipant.isCameraEnabled));
  }

  async toggleScreen(): Promise<void> {
    const { localParticipant } = this.room;
    try {
      await localParticipant.setScreenShareEnabled(!localParticipant.isScreenShareEnabled);
    } catch (error) {
      if (!isDismissed(error)) this.notice = { key: 'room.shareFailed' };
    }
  }

  async toggleHand(): Promise<void> {
    await this.attempt(() => this.room.localParticipant.setHandRaised(this.self?.hand === undefined));
  }

  async send(text: string): Promise<void> {
    await this.attempt(() => this.room.localParticipant.sendChat(text));
  }

  /** Says which videos the page shows, the most important first. */
  look(sightings: Sighting[]): void {
    const { room } = this;
    room.setVisibleTracks(sightings.map(({ track }) => track));
    for (const { participant, track, priority } of sightings) room.remoteParticipants.get(participant)?.publications.get(track)?.setPriority(priority);
  }

  togglePanel(panel: 'chat' | 'people'): void {
    this.panel = this.panel === panel ? undefined : panel;
    if (this.panel === 'chat') this.unread = 0;
  }

  /** Mutes what somebody sends; they may send it again. */
  muteSource(person: Person, source: Source): Promise<void> {
    return this.moderate(person, (participant) => {
      const publication = participant.publication(source);
      return publication ? this.room.muteTrack(publication) : Promise.resolve();
    });
  }

  permit(person: Person, what: Publishable, allowed: boolean): Promise<void> {
    const publish = person.publish.filter((each) => each !== what);
    return this.moderate(person, (participant) => this.room.setPermissions(participant, allowed ? [...publish, what] : publish));
  }

  remove(person: Person, ban: boolean): Promise<void> {
    return this.moderate(person, (participant) => this.room.removeParticipant(participant, { ban }));
  }

  /** Whether it was done. */
  changeRoom(change: Partial<Settings>): Promise<boolean> {
    return this.attempt(() => this.room.updateSettings(change));
  }

  async decide(waiting: Waiting, admit: boolean): Promise<void> {
    await this.attempt(() => (admit ? this.room.admit(waiting.participant) : this.room.refuse(waiting.participant)));
  }

  startAudio(): void {
    void this.room.startAudio();
  }

  private async connect(options: { room: string; name: string; role: Role; tracks: MediaStreamTrack[] }): Promise<boolean> {
    this.reset();
    try {
      const mode = options.role === 'viewer' ? 'broadcast' : 'conference';
      const token = tokenOf(options.room);
      await this.room.connect(location.origin, { ...options, mode, ...(token === undefined ? {} : { token }) });
      this.phase = 'in';
      return true;
    } catch (error) {
      this.end = endOf(error);
      this.phase = 'over';
      return false;
    }
  }

  private reset(): void {
    this.messages = [];
    this.unread = 0;
    this.panel = this.notice = this.end = undefined;
    this.setConnection('well');
  }

  private async addLate(asked: Promise<Devices>): Promise<void> {
    const { tracks, problem } = await asked;
    if (this.phase !== 'in') return stopTracks(tracks);
    this.problem = problem;
    for (const track of tracks) {
      const source = track.kind === 'audio' ? 'microphone' : 'camera';
      if (!this.room.localParticipant.canPublish(source)) track.stop();
      else await this.attempt(() => this.room.localParticipant.publishTrack(track, source));
    }
  }

  private async useDevice(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.problem = undefined;
    } catch (error) {
      if (error instanceof SignalError) this.notice = { key: 'room.actionFailed', values: { message: error.message } };
      else this.problem = problemOf(error);
    }
  }

  private async moderate(person: Person, work: (participant: RemoteParticipant) => Promise<void>): Promise<void> {
    const participant = this.room.remoteParticipants.get(person.number);
    if (participant) await this.attempt(() => work(participant));
  }

  private async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.notice = { key: 'room.actionFailed', values: { message: error instanceof Error ? error.message : String(error) } };
      return false;
    }
  }

  private follow(): void {
    const { room } = this;
    const refresh = () => this.refreshSoon();
    room.on('ParticipantConnected', refresh);
    room.on('ParticipantDisconnected', refresh);
    room.on('ParticipantUpdated', refresh);
    room.on('TrackPublished', refresh);
    room.on('TrackUnpublished', refresh);
    room.on('LocalTrackPublished', refresh);
    room.on('LocalTrackUnpublished', refresh);
    room.on('TrackMuted', (_, participant, by) => {
      refresh();
      if (participant === room.localParticipant && by) this.notice = { key: 'room.mutedBy', values: { name: by.name } };
    });
    room.on('ParticipantAwayChanged', refresh);
    room.on('ParticipantPermissionsChanged', (participant) => {
      refresh();
      if (participant === room.localParticipant) this.notice = { key: 'room.permissionsChanged' };
    });
    room.on('RoomSettingsChanged', refresh);
    room.on('LobbyChanged', refresh);
    room.on('Reconnecting', () => this.setConnection('lost'));
    room.on('Reconnected', () => {
      refresh();
      this.setConnection(this.connection === 'lost' ? 'back' : 'well');
    });
    room.on('Waiting', () => {
      if (this.phase === 'joining') this.phase = 'waiting';
    });
    room.on('TrackUnmuted', refresh);
    room.on('TrackSubscribed', refresh);
    room.on('TrackUnsubscribed', refresh);
    room.on('TrackStreamStateChanged', refresh);
    room.on('ActiveSpeakersChanged', refresh);
    room.on('HandRaised', refresh);
    room.on('ViewerCountChanged', refresh);
    room.on('Connected', refresh);
    room.on('AudioPlaybackStatusChanged', () => (this.soundBlocked = !room.canPlaybackAudio));
    room.on('ChatMessage', ({ from, text, time }) => this.addMessage(from, text, time));
    room.on('Disconnected', (reason, error) => {
      this.end = error ? endOf(error) : { kind: reason, message: undefined };
      this.phase = 'over';
    });
  }

  private setConnection(to: 'well' | 'lost' | 'back'): void {
    clearTimeout(this.connectionTimer);
    if (to !== 'lost') this.connection = to;
    if (to === 'lost') this.connectionTimer = setTimeout(() => (this.connection = 'lost'), BLIP_MS);
    if (to === 'back') this.connectionTimer = setTimeout(() => (this.connection = 'well'), BACK_MS);
  }

  private addMessage(from: Participant | undefined, text: string, time: Date): void {
    const own = from === this.room.localParticipant;
    const message = { id: this.nextMessage++, name: from?.name, own, text, time };
    this.messages = [...this.messages, message].slice(-MESSAGES_MAX);
    if (!own && this.panel !== 'chat') this.unread++;
  }

  private refreshSoon(): void {
    if (this.refreshing) return;
    this.refreshing = true;
    queueMicrotask(() => {
      this.refreshing = false;
      this.self = personOf(this.room.localParticipant, true, this.self);
      this.others = peopleOf(this.room.remoteParticipants.values(), this.others);
      this.lead = leadOf(this.lead, this.room.activeSpeakers.filter((speaker) => speaker !== this.room.localParticipant).map(({ number }) => number));
      this.viewers = this.room.viewerCount;
      this.settings = this.room.settings;
      this.lobby = this.room.lobby;
      const can = (source: Publishable) => this.room.localParticipant.canPublish(source);
      this.allowed = kept(this.allowed, { camera: can('camera'), microphone: can('microphone'), screen: can('screen') });
    });
  }
}
