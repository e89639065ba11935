import type { LocalParticipant, Participant, RemoteParticipant } from './participant.ts';
import type { LeaveReason } from './protocol.gen.ts';
import type { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './track.ts';

export type ConnectionState = 'disconnected' | 'connecting' | 'connected';

export interface ChatMessage {
  /** Who wrote; undefined if they have left since. */
  from: Participant | undefined;
  /** The only reader; undefined: everybody. */
  to: number | undefined;
  text: string;
  /** The server's clock. */
  time: Date;
}

/** What a `Room` tells, with the arguments of each. */
export interface RoomEvents {
  Connected: [];
  /** Also after one's own `disconnect`: then the reason is `left`. */
  Disconnected: [reason: LeaveReason];
  ConnectionStateChanged: [state: ConnectionState];
  /** Media flows. */
  MediaConnected: [];
  ParticipantConnected: [participant: RemoteParticipant];
  ParticipantDisconnected: [participant: RemoteParticipant, reason: LeaveReason];
  /** A name or metadata changed. */
  ParticipantUpdated: [participant: Participant];
  TrackPublished: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  TrackUnpublished: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  LocalTrackPublished: [publication: LocalTrackPublication, participant: LocalParticipant];
  LocalTrackUnpublished: [publication: LocalTrackPublication, participant: LocalParticipant];
  TrackMuted: [publication: TrackPublication, participant: Participant];
  TrackUnmuted: [publication: TrackPublication, participant: Participant];
  /** A slot carries the track now. Its picture shows a moment later: `TrackShownChanged`. */
  TrackSubscribed: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  TrackUnsubscribed: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  /** An attached element began or ceased to show a picture of the track: `publication.track.shown`. */
  TrackShownChanged: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  ActiveSpeakersChanged: [speakers: Participant[]];
  DataReceived: [payload: Uint8Array, from: RemoteParticipant | undefined];
  ChatMessage: [message: ChatMessage];
  /** The queue of raised hands, the first to raise it first. */
  HandRaised: [raised: Participant[]];
  ViewerCountChanged: [count: number];
  /** `canPlaybackAudio` changed. */
  AudioPlaybackStatusChanged: [];
}
