// The wire types of the signalling, generated from src/api/protocol.rs. Do not edit.
// Made anew by: UPDATE=1 cargo nextest run --release --lib protocol

/** Where a published track comes from. */
export type Source = "camera" | "microphone" | "screen" | "screen_audio";

/** What somebody is in a room. */
export type Role = "participant" | "viewer";

/** Who fills the slots of a room when nobody says otherwise. */
export type RoomMode = "conference" | "broadcast";

/** What participants are asked to publish; who cannot publishes something else. */
export type VideoCodec = "vp8" | "vp9" | "h264" | "av1";

/** What one may be allowed to publish. */
export type Publishable = "camera" | "microphone" | "screen";

/** Says which section of the offer (by its `mid`) publishes what. */
export type PublishedSection = {
  /** The section's `a=mid`. */
  mid: string,
  /** What it carries. */
  source: Source,
  /** Whether it starts muted. */
  muted: boolean, };

/** Which tracks a receiver wants to see. */
export type View = { "mode": "auto",
  /** How many of that order are skipped: a page's first place. */
  offset: number,
  /** How many video slots are filled; absent: all. */
  limit?: number,
  /** Tracks that come first. */
  pinned: Array<number>, } | { "mode": "tracks",
  /** Numbers of tracks. */
  tracks: Array<number>, };

/** What a client wants to see in one of its video slots, as the page shows it. */
export type Wish = {
  /** The slot's `a=mid`. */
  mid: string,
  /** The track that is meant. If the slot shows another one by now, the wish is void. */
  track: number,
  /** Width of the picture on the screen in device pixels; absent: any. */
  width?: number,
  /** Its height; absent: any. */
  height?: number,
  /** Whether it is in sight. What is not is not sent. */
  visible: boolean,
  /** Which slots come first when not everything fits: the higher. Shared screens and pinned tracks come before all others. */
  priority: number,
  /** Not wanted for now, though in sight. */
  paused: boolean, };

/** What a client says. `id` is chosen by the client and comes back in the answer. */
export type ClientMessage = { "type": "join",
  /** Comes back in the answer. */
  id: number,
  /** Display name, 1 to 64 characters. Viewers may leave it out. */
  name: string,
  /** Participant or viewer. */
  role: Role,
  /** Free text for the application, up to 4,096 bytes, shown to everybody. */
  metadata: string,
  /** The mode of the room if this join begins it; ignored otherwise. */
  mode: RoomMode,
  /** SDP. */
  offer: string,
  /** What the send sections carry. */
  tracks: Array<PublishedSection>,
  /** An access token, where the server wants one. */
  token?: string,
  /** The `resume` of an earlier participation that could not be resumed: its identity and its place are taken over. */
  rejoin?: string, } | { "type": "resume",
  /** Comes back in the answer. */
  id: number,
  /** What `joined` gave. */
  resume: string,
  /** The number of the last event that was received. */
  seq: number, } | { "type": "offer",
  /** Comes back in the answer. */
  id: number,
  /** SDP. */
  offer: string,
  /** What the send sections carry, all of them. */
  tracks: Array<PublishedSection>, } | { "type": "mute",
  /** Comes back in the answer. */
  id: number,
  /** The track. */
  track: number,
  /** The new state. */
  muted: boolean, } | { "type": "view",
  /** Comes back in the answer. */
  id: number,
  /** The choice. */
  view: View, } | { "type": "wishes",
  /** Comes back in the answer. */
  id: number,
  /** Those that changed. */
  slots: Array<Wish>, } | { "type": "layers",
  /** Comes back in the answer. */
  id: number, } | { "type": "chat",
  /** Comes back in the answer. */
  id: number,
  /** 1 to 2,000 characters. */
  text: string,
  /** One participant, or absent for all. */
  to?: number, } | { "type": "hand",
  /** Comes back in the answer. */
  id: number,
  /** The new state. */
  raised: boolean, } | { "type": "update",
  /** Comes back in the answer. */
  id: number,
  /** New display name. */
  name?: string,
  /** New metadata. */
  metadata?: string, } | { "type": "remove",
  /** Comes back in the answer. */
  id: number,
  /** Whom. */
  participant: number,
  /** Not to be let in again while the room lives. */
  ban: boolean, } | { "type": "permit",
  /** Comes back in the answer. */
  id: number,
  /** Whom. */
  participant: number,
  /** All of it. */
  publish: Array<Publishable>, } | { "type": "settings",
  /** Comes back in the answer. */
  id: number,
  /** Nobody but moderators may enter. */
  locked?: boolean,
  /** Who enters waits to be admitted. */
  lobby?: boolean,
  /** What those who are no moderators may publish. */
  publish?: Array<Publishable>, } | { "type": "admit",
  /** Comes back in the answer. */
  id: number,
  /** Whom, by the number in the lobby. */
  participant: number,
  /** False: send them away. */
  admit: boolean, } | { "type": "leave", };

/** One published track, as the roster shows it. */
export type Track = {
  /** Its number in the room; also the CSRC of its packets. */
  track: number,
  /** Where it comes from. */
  source: Source,
  /** Whether it is muted. */
  muted: boolean, };

/** Somebody in a room. */
export type Participant = {
  /** The number by which everything else names them. */
  participant: number,
  /** Unique in the room; made by the server for guests. */
  identity: string,
  /** Display name; may repeat. */
  name: string,
  /** Free text of the application. */
  metadata: string,
  /** The place in the queue of raised hands, from 1; absent: hand is down. */
  hand?: number,
  /** Signalling is lost; they may come back. */
  away: boolean,
  /** May mute, remove, lock and admit. */
  moderator: boolean,
  /** What they may publish, apart from what the room's settings say. */
  publish: Array<Publishable>,
  /** What they publish. */
  tracks: Array<Track>, };

/** What moderators may change about a room. */
export type Settings = {
  /** Nobody but moderators may enter. */
  locked: boolean,
  /** Who enters waits to be admitted. */
  lobby: boolean,
  /** What those who are no moderators may publish. */
  publish: Array<Publishable>, };

/** What one may do oneself. */
export type Rights = {
  /** What may be published, apart from what the room's settings say. */
  publish: Array<Publishable>,
  /** Whether media is received. */
  subscribe: boolean,
  /** May mute, remove, lock and admit; the room's settings do not bind them. */
  moderate: boolean, };

/** Somebody in the lobby. */
export type Waiting = {
  /** The number by which they are admitted; it stays theirs in the room. */
  participant: number,
  /** Unique. */
  identity: string,
  /** Display name. */
  name: string, };

/** A track that may not be published any more. */
export type EndedTrack = {
  /** Whose it was. */
  participant: number,
  /** Its number. */
  track: number, };

/** The number that the server gave to a send section. */
export type SectionTrack = {
  /** The section's `a=mid`. */
  mid: string,
  /** The track's number. */
  track: number, };

/** Why a slot shows nothing. */
export type SlotReason = "codec" | "muted" | "bandwidth" | "paused";

/** What one receive section of the client shows. */
export type Slot = {
  /** The section's `a=mid`. */
  mid: string,
  /** The track, or absent: nothing. */
  track?: number,
  /** Whose it is. */
  participant?: number,
  /** RTP timestamp of the first packet of this track in this slot. Absent until that packet is on its way: frames shown before it belong to the previous source. */
  first_timestamp?: number,
  /** Why nothing is sent although there is a track. */
  reason?: SlotReason, };

/** One layer of a track. */
export type Layer = {
  /** Simulcast encoding or spatial layer, 0 the smallest. */
  spatial: number,
  /** Temporal layer, 0 the slowest. */
  temporal: number,
  /** Width of its picture, once it is known. */
  width?: number,
  /** Its height. */
  height?: number,
  /** What it takes, in kbit/s. */
  kbps: number, };

/** Why no better layer is sent. */
export type LayerLimit = "bandwidth" | "not_published" | "size" | "paused" | "codec" | "muted";

/** What is sent in one slot. */
export type SlotLayers = {
  /** The slot's `a=mid`. */
  mid: string,
  /** The track. */
  track: number,
  /** Its codec, once it is known. */
  codec?: string,
  /** What is sent; absent: nothing. */
  sent?: Layer,
  /** What would be sent if the network carried everything; absent: nothing is wanted or known. */
  wished?: Layer,
  /** Why it is not the publisher's best; absent: it is. */
  limit?: LayerLimit, };

/** What is sent to one participant, in REST. */
export type ReceivedLayers = {
  /** What the way to them is estimated to carry, in kbit/s; absent: not known yet. */
  estimate_kbps?: number,
  /** Every slot with a source. */
  slots: Array<SlotLayers>, };

/** Which encodings of an own track anybody watches. */
export type TrackEncodings = {
  /** The track. */
  track: number,
  /** For each encoding in the order of the offer's rids (one where there are none): whether it is to be sent. */
  active: Array<boolean>, };

/** Somebody who is speaking. */
export type Speaker = {
  /** Who. */
  participant: number,
  /** Loudness from 0 to 1. */
  level: number, };

/** Why somebody left, or why one's own connection ends. */
export type LeaveReason = "left" | "disconnected" | "media_lost" | "removed" | "banned" | "replaced" | "too_slow" | "room_closed" | "server_stopping" | "server_error";

/** What happened in the room; numbered, the same for everybody. */
export type RoomEvent = { "kind": "participant_joined",
  /** Who. */
  participant: Participant, } | { "kind": "participant_left",
  /** Who. */
  participant: number,
  /** Why. */
  reason: LeaveReason, } | { "kind": "participant_updated",
  /** Who. */
  participant: number,
  /** Name now. */
  name: string,
  /** Metadata now. */
  metadata: string, } | { "kind": "track_published",
  /** Who. */
  participant: number,
  /** What. */
  track: Track, } | { "kind": "track_unpublished",
  /** Whose it was. */
  participant: number,
  /** Its number. */
  track: number, } | { "kind": "track_muted",
  /** Whose it is. */
  participant: number,
  /** Its number. */
  track: number,
  /** The state now. */
  muted: boolean,
  /** The moderator who did it, if it was not the owner. Absent also where the API did it. */
  by?: number, } | { "kind": "tracks_ended",
  /** All of them. */
  tracks: Array<EndedTrack>, } | { "kind": "participants_away",
  /** Who. */
  participants: Array<number>,
  /** The state now. */
  away: boolean, } | { "kind": "publish_changed",
  /** Who. */
  participant: number,
  /** All that they may now, apart from what the room's settings say. */
  publish: Array<Publishable>, } | { "kind": "settings_changed",
  /** All of them as they are now. */
  settings: Settings, } | { "kind": "lobby",
  /** All of them. */
  waiting: Array<Waiting>, } | { "kind": "chat",
  /** Who wrote. */
  from: number,
  /** Whom to; absent: everybody. */
  to?: number,
  /** The text. */
  text: string,
  /** Milliseconds since 1970, the server's clock. */
  time_ms: number, } | { "kind": "hands",
  /** Participants, the first to raise it first. */
  raised: Array<number>, } | { "kind": "viewers",
  /** Their number. */
  count: number, };

/** An error, in signalling and in REST. */
export type ErrorBody = {
  /** Stable, for programs. */
  code: string,
  /** For a person. */
  message: string, };

/** What the server says. */
export type ServerMessage = { "type": "joined",
  /** Of the request. */
  id: number,
  /** One's own number. */
  participant: number,
  /** One's own identity. */
  identity: string,
  /** The room's mode. */
  mode: RoomMode,
  /** SDP. */
  answer: string,
  /** Numbers of one's own tracks. */
  tracks: Array<SectionTrack>,
  /** Everybody who is in the room, oneself included unless a viewer. */
  participants: Array<Participant>,
  /** Hands that are up, in order. */
  raised: Array<number>,
  /** How many viewers there are. */
  viewers: number,
  /** The number of the last event that this picture includes. */
  seq: number,
  /** A secret with which a lost connection is resumed. */
  resume: string,
  /** What one may do oneself. */
  rights: Rights,
  /** What moderators have decided about the room. */
  settings: Settings,
  /** Who waits in the lobby; always empty for those who are no moderators. */
  lobby: Array<Waiting>, } | { "type": "waiting",
  /** Of the request. */
  id: number, } | { "type": "resumed",
  /** Of the request. */
  id: number, } | { "type": "answered",
  /** Of the request. */
  id: number,
  /** SDP. */
  answer: string,
  /** Numbers of one's own tracks, all of them. */
  tracks: Array<SectionTrack>, } | { "type": "done",
  /** Of the request. */
  id: number, } | { "type": "error",
  /** Of the request. */
  id?: number,
  /** What is wrong. */
  error: ErrorBody, } | { "type": "event",
  /** Its number. */
  seq: number,
  /** What. */
  event: RoomEvent, } | { "type": "slots",
  /** Only those that changed. */
  slots: Array<Slot>, } | { "type": "layers",
  /** Of the request. */
  id: number,
  /** What the way to this client is estimated to carry, in kbit/s; absent: not known yet. */
  estimate_kbps?: number,
  /** Every slot with a source. */
  slots: Array<SlotLayers>, } | { "type": "encodings",
  /** Only those that changed. */
  tracks: Array<TrackEncodings>, } | { "type": "speakers",
  /** All of them; empty: silence. */
  speakers: Array<Speaker>, } | { "type": "closed",
  /** Why. */
  reason: LeaveReason, };

/** A room in REST. */
export type Room = {
  /** Its name. */
  name: string,
  /** Who fills its slots. */
  mode: RoomMode,
  /** What its participants are asked to publish. */
  video_codec: VideoCodec,
  /** Participants, without viewers. */
  participants: number,
  /** Viewers. */
  viewers: number,
  /** Published tracks. */
  tracks: number,
  /** Whether it stays when it is empty. */
  permanent: boolean,
  /** What moderators have decided about it. */
  settings: Settings,
  /** How many wait in its lobby. */
  waiting: number, };

/** Makes a room in REST. */
export type NewRoom = {
  /** Its name. */
  name: string,
  /** Who fills its slots. */
  mode: RoomMode,
  /** What its participants are asked to publish; VP8 if absent. */
  video_codec: VideoCodec,
  /** How it begins; what is absent is open to everybody. */
  settings: NewSettings, };

/** Changes a room, or says how it begins; what is absent stays. */
export type NewSettings = {
  /** Nobody but moderators may enter. */
  locked?: boolean,
  /** Who enters waits to be admitted. */
  lobby?: boolean,
  /** What those who are no moderators may publish. */
  publish?: Array<Publishable>, };

/** Changes a participant in REST; what is absent stays. */
export type ParticipantChange = {
  /** What they may publish. What they may not any more ends. */
  publish?: Array<Publishable>, };

/** Mutes in REST. */
export type MuteRequest = {
  /** One track; absent: all that the participant publishes. */
  track?: number, };
