// The wire types of the signalling, generated from the server's `api/protocol.rs`. Do not edit.

export type Source = "camera" | "microphone" | "screen" | "screen_audio";

export type Role = "participant" | "viewer";

export type RoomMode = "conference" | "broadcast";

export type PublishedSection = { mid: string, source: Source, muted: boolean, };

export type View = { "mode": "auto", offset: number, limit?: number, pinned: Array<number>, } | { "mode": "tracks", tracks: Array<number>, };

export type ClientMessage = { "type": "join", id: number, name: string, role: Role, metadata: string, mode: RoomMode, offer: string, tracks: Array<PublishedSection>, } | { "type": "offer", id: number, offer: string, tracks: Array<PublishedSection>, } | { "type": "mute", id: number, track: number, muted: boolean, } | { "type": "view", id: number, view: View, } | { "type": "chat", id: number, text: string, to?: number, } | { "type": "hand", id: number, raised: boolean, } | { "type": "update", id: number, name?: string, metadata?: string, } | { "type": "leave" };

export type Track = { track: number, source: Source, muted: boolean, };

export type Participant = { participant: number, identity: string, name: string, metadata: string, hand?: number, tracks: Array<Track>, };

export type SectionTrack = { mid: string, track: number, };

export type SlotReason = "codec" | "muted";

export type Slot = { mid: string, track?: number, participant?: number, first_timestamp?: number, reason?: SlotReason, };

export type Speaker = { participant: number, level: number, };

export type LeaveReason = "left" | "disconnected" | "media_lost" | "removed" | "replaced" | "too_slow" | "room_closed" | "server_stopping" | "server_error";

export type RoomEvent = { "kind": "participant_joined", participant: Participant, } | { "kind": "participant_left", participant: number, reason: LeaveReason, } | { "kind": "participant_updated", participant: number, name: string, metadata: string, } | { "kind": "track_published", participant: number, track: Track, } | { "kind": "track_unpublished", participant: number, track: number, } | { "kind": "track_muted", participant: number, track: number, muted: boolean, } | { "kind": "chat", from: number, to?: number, text: string, time_ms: number, } | { "kind": "hands", raised: Array<number>, } | { "kind": "viewers", count: number, };

export type ErrorBody = { code: string, message: string, };

export type ServerMessage = { "type": "joined", id: number, participant: number, identity: string, mode: RoomMode, answer: string, tracks: Array<SectionTrack>, participants: Array<Participant>, raised: Array<number>, viewers: number, seq: number, } | { "type": "answered", id: number, answer: string, tracks: Array<SectionTrack>, } | { "type": "done", id: number, } | { "type": "error", id?: number, error: ErrorBody, } | { "type": "event", seq: number, event: RoomEvent, } | { "type": "slots", slots: Array<Slot>, } | { "type": "speakers", speakers: Array<Speaker>, } | { "type": "closed", reason: LeaveReason, };

export type Room = { name: string, mode: RoomMode, participants: number, viewers: number, tracks: number, permanent: boolean, };

export type NewRoom = { name: string, mode: RoomMode, };
