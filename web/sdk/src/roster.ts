import type { Emitter } from './emitter.ts';
import type { RoomEvents } from './events.ts';
import { RemoteParticipant, type LocalParticipant, type Participant } from './participant.ts';
import type { LeaveReason, Participant as ParticipantInfo, Publishable, RoomEvent, Settings, SlotLayers, Speaker, Track, Waiting } from './protocol.gen.ts';
import type { Joined } from './signal.ts';
import { kindOf, RemoteTrack, RemoteTrackPublication, type LocalTrackPublication } from './track.ts';

/** What is done to one's own tracks from elsewhere. */
export interface OwnTracks {
  handleMuted(track: number, muted: boolean, by: number | undefined): void;
  handleUnpublished(track: number): void;
}

/** What the tracks of others need of the room. */
export interface RemoteTracks {
  /** Whether elements say how they are wanted. */
  adaptive: boolean;
  /** There is one more; called before anybody else hears of it. */
  handlePublished(track: number): void;
  /** One is wanted in another way. */
  handleWished(): void;
  layersOf(track: number): Promise<SlotLayers | undefined>;
}

const OPEN: Settings = { locked: false, lobby: false, publish: ['camera', 'microphone', 'screen'] };

/** Who is in the room and what they publish: the picture at the join, kept up to date by the numbered events. */
export class Roster {
  readonly local: LocalParticipant;
  readonly remotes = new Map<number, RemoteParticipant>();
  speakers: Participant[] = [];
  hands: Participant[] = [];
  viewers = 0;
  settings: Settings = OPEN;
  lobby: Waiting[] = [];
  private readonly room: Emitter<RoomEvents>;
  private readonly own: OwnTracks;
  private readonly theirs: RemoteTracks;
  private seq = 0;

  constructor(local: LocalParticipant, room: Emitter<RoomEvents>, own: OwnTracks, theirs: RemoteTracks) {
    this.local = local;
    this.room = room;
    this.own = own;
    this.theirs = theirs;
  }

  /** The picture at the first join. */
  enter(joined: Joined): void {
    this.takeOver(joined);
    for (const info of joined.participants) {
      if (info.participant !== joined.participant) this.addRemote(info);
    }
    this.setHands(joined.raised);
  }

  /** The picture at a later join: who is still here stays the same object, and only what differs is told. */
  reenter(joined: Joined): void {
    this.takeOver(joined);
    const infos = new Map(joined.participants.filter(({ participant }) => participant !== joined.participant).map((info) => [info.participant, info]));
    for (const remote of [...this.remotes.values()]) {
      // After a restart of the server a number may be somebody else's.
      if (infos.get(remote.number)?.identity !== remote.identity) this.handleLeft(remote.number, 'disconnected');
    }
    for (const info of infos.values()) {
      const remote = this.remotes.get(info.participant);
      if (remote) this.compare(remote, info);
      else this.handleJoined(info);
    }
    this.setHands(joined.raised);
    this.room.emit('HandRaised', this.hands);
    this.room.emit('ViewerCountChanged', this.viewers);
    this.room.emit('RoomSettingsChanged', this.settings);
    this.room.emit('LobbyChanged', this.lobby);
    this.applySpeakers([]);
  }

  clear(): void {
    for (const remote of this.remotes.values()) {
      for (const { track } of remote.publications.values()) track.update(undefined, undefined);
    }
    this.remotes.clear();
    this.local.publications.clear();
    this.local.hand = undefined;
    this.local.audioLevel = 0;
    this.speakers = [];
    this.hands = [];
    this.viewers = 0;
    this.lobby = [];
    this.setSettings(OPEN);
  }

  participant(number: number): Participant | undefined {
    return number === this.local.number ? this.local : this.remotes.get(number);
  }

  /** A remote track and whose it is. */
  find(track: number): { publication: RemoteTrackPublication; participant: RemoteParticipant } | undefined {
    for (const participant of this.remotes.values()) {
      const publication = participant.publications.get(track);
      if (publication) return { publication, participant };
    }
    return undefined;
  }

  /** An event that the picture already includes says nothing new. */
  apply(seq: number, event: RoomEvent): void {
    if (seq <= this.seq) return;
    this.seq = seq;
    switch (event.kind) {
      case 'participant_joined':
        return this.handleJoined(event.participant);
      case 'participant_left':
        return this.handleLeft(event.participant, event.reason);
      case 'participant_updated':
        return this.handleUpdated(event.participant, event.name, event.metadata);
      case 'track_published':
        return this.handlePublished(event.participant, event.track);
      case 'track_unpublished':
        return this.handleUnpublished(event.participant, event.track);
      case 'track_muted':
        return this.handleMuted(event.participant, event.track, event.muted, event.by);
      case 'participants_away':
        for (const participant of event.participants) this.handleAway(participant, event.away);
        return;
      case 'tracks_ended':
        for (const { participant, track } of event.tracks) this.handleUnpublished(participant, track);
        return;
      case 'publish_changed':
        return this.handlePublish(event.participant, event.publish);
      case 'settings_changed':
        this.setSettings(event.settings);
        return this.room.emit('RoomSettingsChanged', this.settings);
      case 'lobby':
        this.lobby = event.waiting;
        return this.room.emit('LobbyChanged', this.lobby);
      case 'chat':
        return this.handleChat(event);
      case 'hands':
        this.setHands(event.raised);
        return this.room.emit('HandRaised', this.hands);
      case 'viewers':
        this.viewers = event.count;
        return this.room.emit('ViewerCountChanged', event.count);
    }
  }

  applySpeakers(speakers: Speaker[]): void {
    for (const speaker of this.speakers) speaker.audioLevel = 0;
    this.speakers = speakers.flatMap(({ participant, level }) => {
      const speaker = this.participant(participant);
      if (speaker) speaker.audioLevel = level;
      return speaker ? [speaker] : [];
    });
    this.room.emit('ActiveSpeakersChanged', this.speakers);
  }

  addLocal(publication: LocalTrackPublication): void {
    this.local.publications.set(publication.number, publication);
    this.room.emit('LocalTrackPublished', publication, this.local);
  }

  removeLocal(publication: LocalTrackPublication): void {
    this.local.publications.delete(publication.number);
    this.room.emit('LocalTrackUnpublished', publication, this.local);
  }

  private handleJoined(info: ParticipantInfo): void {
    if (info.participant === this.local.number) return;
    const participant = this.addRemote(info);
    this.room.emit('ParticipantConnected', participant);
    for (const publication of participant.publications.values()) this.room.emit('TrackPublished', publication, participant);
  }

  private handleLeft(number: number, reason: LeaveReason): void {
    const participant = this.remotes.get(number);
    if (!participant) return;
    for (const publication of [...participant.publications.values()]) this.removeTrack(participant, publication);
    this.remotes.delete(number);
    this.speakers = this.speakers.filter((speaker) => speaker !== participant);
    this.room.emit('ParticipantDisconnected', participant, reason);
  }

  private handleUpdated(number: number, name: string, metadata: string): void {
    const participant = this.participant(number);
    if (!participant) return;
    participant.name = name;
    participant.metadata = metadata;
    this.room.emit('ParticipantUpdated', participant);
  }

  /** One's own tracks are known from the answers to one's offers. */
  private handlePublished(number: number, track: Track): void {
    const participant = this.remotes.get(number);
    if (!participant || participant.publications.has(track.track)) return;
    const publication = this.addTrack(participant, track);
    this.room.emit('TrackPublished', publication, participant);
  }

  private handleUnpublished(number: number, track: number): void {
    if (number === this.local.number) return this.own.handleUnpublished(track);
    const participant = this.remotes.get(number);
    const publication = participant?.publications.get(track);
    if (participant && publication) this.removeTrack(participant, publication);
  }

  private handleMuted(number: number, track: number, muted: boolean, by: number | undefined): void {
    if (number === this.local.number) return this.own.handleMuted(track, muted, by);
    const participant = this.remotes.get(number);
    const publication = participant?.publications.get(track);
    if (participant && publication) this.setMuted(participant, publication, muted, by);
  }

  private handleAway(number: number, away: boolean): void {
    const participant = this.participant(number);
    if (!participant || participant.isAway === away) return;
    participant.isAway = away;
    this.room.emit('ParticipantAwayChanged', participant);
  }

  private handlePublish(number: number, publish: Publishable[]): void {
    const participant = this.participant(number);
    if (!participant) return;
    participant.publish = publish;
    if (participant === this.local) this.local.rights = { ...this.local.rights, publish };
    this.room.emit('ParticipantPermissionsChanged', participant);
  }

  private handleChat({ from, to, text, time_ms }: Extract<RoomEvent, { kind: 'chat' }>): void {
    this.room.emit('ChatMessage', { from: this.participant(from), to, text, time: new Date(time_ms) });
  }

  private takeOver(joined: Joined): void {
    this.seq = joined.seq;
    this.viewers = joined.viewers;
    this.lobby = joined.lobby;
    this.setSettings(joined.settings);
    const { local } = this;
    local.number = joined.participant;
    local.identity = joined.identity;
    local.rights = joined.rights;
    // A viewer is not in the list.
    local.publish = joined.rights.publish;
    local.isModerator = joined.rights.moderate;
    const own = joined.participants.find(({ participant }) => participant === local.number);
    if (own) local.describe(own);
  }

  private setSettings(settings: Settings): void {
    this.settings = settings;
    this.local.allowedToAll = settings.publish;
  }

  private compare(remote: RemoteParticipant, info: ParticipantInfo): void {
    this.handleAway(info.participant, info.away);
    if (remote.name !== info.name || remote.metadata !== info.metadata) this.handleUpdated(info.participant, info.name, info.metadata);
    if (String(remote.publish) !== String(info.publish)) this.handlePublish(info.participant, info.publish);
    remote.describe(info);
    for (const publication of [...remote.publications.values()]) {
      const track = info.tracks.find(({ track, source }) => track === publication.number && source === publication.source);
      if (track) this.setMuted(remote, publication, track.muted, undefined);
      else this.removeTrack(remote, publication);
    }
    for (const track of info.tracks) this.handlePublished(info.participant, track);
  }

  private setMuted(participant: RemoteParticipant, publication: RemoteTrackPublication, muted: boolean, by: number | undefined): void {
    if (publication.muted === muted) return;
    publication.muted = muted;
    if (muted) this.room.emit('TrackMuted', publication, participant, by === undefined ? undefined : this.participant(by));
    else this.room.emit('TrackUnmuted', publication, participant);
  }

  private setHands(raised: number[]): void {
    for (const participant of [this.local, ...this.remotes.values()]) participant.hand = undefined;
    this.hands = raised.flatMap((number, index) => {
      const participant = this.participant(number);
      if (participant) participant.hand = index + 1;
      return participant ? [participant] : [];
    });
  }

  private addRemote(info: ParticipantInfo): RemoteParticipant {
    const participant = new RemoteParticipant();
    participant.describe(info);
    this.remotes.set(info.participant, participant);
    for (const track of info.tracks) this.addTrack(participant, track);
    return participant;
  }

  private addTrack(participant: RemoteParticipant, { track: number, source, muted }: Track): RemoteTrackPublication {
    const { theirs, room } = this;
    const track = new RemoteTrack(kindOf(source), {
      adaptive: theirs.adaptive,
      shown: () => room.emit('TrackShownChanged', publication, participant),
      wished: () => theirs.handleWished(),
    });
    const publication = new RemoteTrackPublication(number, source, muted, track, () => theirs.layersOf(number));
    participant.publications.set(number, publication);
    theirs.handlePublished(number);
    return publication;
  }

  private removeTrack(participant: RemoteParticipant, publication: RemoteTrackPublication): void {
    publication.track.update(undefined, undefined);
    participant.publications.delete(publication.number);
    this.room.emit('TrackUnpublished', publication, participant);
  }
}
