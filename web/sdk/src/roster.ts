import type { Emitter } from './emitter.ts';
import type { RoomEvents } from './events.ts';
import { RemoteParticipant, type LocalParticipant, type Participant } from './participant.ts';
import type { LeaveReason, Participant as ParticipantInfo, RoomEvent, ServerMessage, Speaker, Track } from './protocol.gen.ts';
import { kindOf, RemoteTrack, TrackPublication, type LocalTrackPublication, type RemoteTrackPublication } from './track.ts';

/** Who is in the room and what they publish: the picture at the join, kept up to date by the numbered events. */
export class Roster {
  readonly local: LocalParticipant;
  readonly remotes = new Map<number, RemoteParticipant>();
  speakers: Participant[] = [];
  hands: Participant[] = [];
  viewers = 0;
  /** Called for each new remote track, before anybody else hears of it. */
  onPublished: (track: number) => void = () => {};
  private readonly room: Emitter<RoomEvents>;
  private seq = 0;

  constructor(local: LocalParticipant, room: Emitter<RoomEvents>) {
    this.local = local;
    this.room = room;
  }

  enter(joined: Extract<ServerMessage, { type: 'joined' }>): void {
    this.seq = joined.seq;
    this.viewers = joined.viewers;
    this.local.number = joined.participant;
    this.local.identity = joined.identity;
    for (const info of joined.participants) {
      if (info.participant === joined.participant) this.local.describe(info);
      else this.addRemote(info);
    }
    this.setHands(joined.raised);
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
        return this.handleMuted(event.participant, event.track, event.muted);
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
    const participant = this.remotes.get(number);
    const publication = participant?.publications.get(track);
    if (participant && publication) this.removeTrack(participant, publication);
  }

  /** One's own mute state is decided here, not there. */
  private handleMuted(number: number, track: number, muted: boolean): void {
    const participant = this.remotes.get(number);
    const publication = participant?.publications.get(track);
    if (!participant || !publication || publication.muted === muted) return;
    publication.muted = muted;
    this.room.emit(muted ? 'TrackMuted' : 'TrackUnmuted', publication, participant);
  }

  private handleChat({ from, to, text, time_ms }: Extract<RoomEvent, { kind: 'chat' }>): void {
    this.room.emit('ChatMessage', { from: this.participant(from), to, text, time: new Date(time_ms) });
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
    const track = new RemoteTrack(kindOf(source), () => this.room.emit('TrackShownChanged', publication, participant));
    const publication = new TrackPublication(number, source, muted, track);
    participant.publications.set(number, publication);
    this.onPublished(number);
    return publication;
  }

  private removeTrack(participant: RemoteParticipant, publication: RemoteTrackPublication): void {
    publication.track.update(undefined, undefined);
    participant.publications.delete(publication.number);
    this.room.emit('TrackUnpublished', publication, participant);
  }
}
