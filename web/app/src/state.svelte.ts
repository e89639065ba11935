/**
 * What the pages show of a room: the SDK's events, turned into values that Svelte follows. Events come in bursts; the picture of the people is made
 * anew once for each burst.
 */
import { Room, SignalError, type LeaveReason, type LocalTrack, type Participant, type RemoteTrack, type Role } from '@ninefold/client';
import { acquireDevices, isDismissed, problemOf, stopTracks, type DeviceProblem, type Devices } from './lib/devices.ts';
import { hueOf, initialsOf } from './lib/avatar.ts';
import type { Key } from './lib/i18n/en.ts';

/** One video of a person. */
export interface Video {
  number: number;
  track: RemoteTrack | LocalTrack;
  muted: boolean;
  /** The browser cannot decode it. */
  unplayable: boolean;
}

export interface Person {
  number: number;
  name: string;
  own: boolean;
  hue: number;
  initials: string;
  micOn: boolean;
  speaking: boolean;
  hand: number | undefined;
  camera: Video | undefined;
  screen: Video | undefined;
  hasScreen: boolean;
}

export interface Message {
  id: number;
  /** Undefined: somebody who has left. */
  name: string | undefined;
  own: boolean;
  text: string;
  time: Date;
}

/** Why the room is over, or why it never began. */
export interface End {
  kind: LeaveReason | 'unreachable' | 'room_full' | 'refused';
  /** The server's own words, for errors that this page does not know. */
  message: string | undefined;
}

export interface Notice {
  key: Key;
  message?: string;
}

/** How long joining waits for somebody to answer the browser's question about devices. */
const DEVICES_WAIT_MS = 3_000;
/** Older messages are forgotten. */
const MESSAGES_MAX = 500;

export class Session {
  readonly room = new Room();
  phase = $state<'before' | 'joining' | 'in' | 'over'>('before');
  self = $state.raw<Person>();
  others = $state.raw<Person[]>([]);
  viewers = $state(0);
  messages = $state.raw<Message[]>([]);
  unread = $state(0);
  panel = $state<'chat' | 'people'>();
  end = $state.raw<End>();
  problem = $state<DeviceProblem>();
  notice = $state.raw<Notice>();
  soundBlocked = $state(false);
  private refreshing = false;
  private nextMessage = 1;

  constructor() {
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

  toggleHand(): Promise<void> {
    return this.attempt(() => this.room.localParticipant.setHandRaised(this.self?.hand === undefined));
  }

  async send(text: string): Promise<void> {
    await this.attempt(() => this.room.localParticipant.sendChat(text));
  }

  togglePanel(panel: 'chat' | 'people'): void {
    this.panel = this.panel === panel ? undefined : panel;
    if (this.panel === 'chat') this.unread = 0;
  }

  startAudio(): void {
    void this.room.startAudio();
  }

  private async connect(options: { room: string; name: string; role: Role; tracks: MediaStreamTrack[] }): Promise<boolean> {
    this.reset();
    try {
      await this.room.connect(location.origin, { ...options, mode: options.role === 'viewer' ? 'broadcast' : 'conference' });
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
  }

  private async addLate(asked: Promise<Devices>): Promise<void> {
    const { tracks, problem } = await asked;
    if (this.phase !== 'in') return stopTracks(tracks);
    this.problem = problem;
    for (const track of tracks) {
      const source = track.kind === 'audio' ? 'microphone' : 'camera';
      await this.attempt(() => this.room.localParticipant.publishTrack(track, source));
    }
  }

  private async useDevice(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.problem = undefined;
    } catch (error) {
      if (error instanceof SignalError) this.notice = { key: 'room.actionFailed', message: error.message };
      else this.problem = problemOf(error);
    }
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.notice = { key: 'room.actionFailed', message: error instanceof Error ? error.message : String(error) };
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
    room.on('TrackMuted', refresh);
    room.on('TrackUnmuted', refresh);
    room.on('TrackSubscribed', refresh);
    room.on('TrackUnsubscribed', refresh);
    room.on('ActiveSpeakersChanged', refresh);
    room.on('HandRaised', refresh);
    room.on('ViewerCountChanged', refresh);
    room.on('Connected', refresh);
    room.on('AudioPlaybackStatusChanged', () => (this.soundBlocked = !room.canPlaybackAudio));
    room.on('ChatMessage', ({ from, text, time }) => this.addMessage(from, text, time));
    room.on('Disconnected', (reason) => {
      this.end = { kind: reason, message: undefined };
      this.phase = 'over';
    });
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
      this.self = personOf(this.room.localParticipant, true);
      this.others = [...this.room.remoteParticipants.values()].map((participant) => personOf(participant, false));
      this.viewers = this.room.viewerCount;
    });
  }
}

function personOf(participant: Participant, own: boolean): Person {
  const microphone = participant.publication('microphone');
  const screen = videoOf(participant, 'screen');
  return {
    number: participant.number,
    name: participant.name,
    own,
    hue: hueOf(participant.identity),
    initials: initialsOf(participant.name),
    micOn: microphone !== undefined && !microphone.muted,
    speaking: participant.isSpeaking,
    hand: participant.hand,
    camera: videoOf(participant, 'camera'),
    screen,
    hasScreen: screen !== undefined,
  };
}

function videoOf(participant: Participant, source: 'camera' | 'screen'): Video | undefined {
  const publication = participant.publication(source);
  if (!publication) return undefined;
  const { number, track, muted } = publication;
  return { number, track, muted, unplayable: 'reason' in track && track.reason === 'codec' };
}

function endOf(error: unknown): End {
  if (!(error instanceof SignalError)) return { kind: 'refused', message: error instanceof Error ? error.message : String(error) };
  switch (error.code) {
    case 'unreachable':
    case 'disconnected':
    case 'room_full':
    case 'server_error':
      return { kind: error.code, message: undefined };
    case 'stopping':
      return { kind: 'server_stopping', message: undefined };
    default:
      return { kind: 'refused', message: error.message };
  }
}
