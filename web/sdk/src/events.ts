import type { LocalParticipant, Participant, RemoteParticipant } from './participant.ts';
import type { LeaveReason, Settings, Waiting } from './protocol.gen.ts';
import type { SignalError } from './signal.ts';
import type { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './track.ts';

/** `reconnecting`: something was lost, the room is still there, and nothing has to be done but to tell the person. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting';

/** What is being repaired: signalling (media flows on), the way of media, or everything, from a new join on. */
export type Trouble = 'signal' | 'media' | 'room';

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
  /** One waits in the lobby; `connect` resolves when a moderator lets one in. */
  Waiting: [];
  /** Something was lost, and is being repaired. More of it is told too; `Reconnected` comes when all is well. */
  Reconnecting: [what: Trouble];
  Reconnected: [];
  /** Also after one's own `disconnect`: then the reason is `left`. With an error: one may not come back, and this is why. */
  Disconnected: [reason: LeaveReason, error?: SignalError];
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
  /** Signalling of somebody was lost or found again: `participant.isAway`. */
  ParticipantAwayChanged: [participant: Participant];
  /** What somebody may publish changed: `participant.publish`. */
  ParticipantPermissionsChanged: [participant: Participant];
  RoomSettingsChanged: [settings: Settings];
  /** Who waits in the lobby; moderators are told. */
  LobbyChanged: [waiting: Waiting[]];
  /** `by`: the moderator who did it, if it was not the participant. One's own track is really off then, and one may turn it on again. */
  TrackMuted: [publication: TrackPublication, participant: Participant, by?: Participant];
  TrackUnmuted: [publication: TrackPublication, participant: Participant];
  /** A slot carries the track now. Its picture shows a moment later: `TrackShownChanged`. */
  TrackSubscribed: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  TrackUnsubscribed: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  /** Why nothing is sent of a track that is in a slot, or that it is sent again: `publication.track.reason`. */
  TrackStreamStateChanged: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  /** An attached element began or ceased to show a live picture of the track: `publication.track.shown`. */
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
