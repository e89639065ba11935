/** What a room is told when it is made and when it is entered, and what it tells of its layers. */
import type { SlotCounts } from './media.ts';
import type { Role, RoomMode, SlotLayers, VideoCodec } from './protocol.gen.ts';
import type { ReconnectPolicy } from './reconnect.ts';

export interface RoomOptions {
  /** Whether the server is told how each video is shown, so that it sends what fits and nothing that is out of sight; true if absent. */
  adaptiveStream?: boolean;
  /** How one's own pictures are sent. */
  publishDefaults?: PublishOptions;
}

/** How a picture is sent. A browser that does not know a codec, or a mode in it, does as if nothing were said. */
export interface PublishOptions {
  /** Absent: the room's, which is VP8 unless it was made otherwise. Whoever cannot decode it does not see the picture. */
  videoCodec?: VideoCodec;
  /** As in WebRTC SVC: `L3T3_KEY`, `L1T3`… Absent: VP9 and AV1 that are asked for have `L3T3_KEY`; others come in several sizes at once. */
  scalabilityMode?: string;
}

/** What is sent to this page. */
export interface RoomLayers {
  /** What the network is estimated to carry to here, in kbit/s; undefined: not known yet. */
  estimateKbps: number | undefined;
  /** Of each track that is in a slot. */
  slots: SlotLayers[];
}

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
  /** An access token, or what gets one: it is asked again when a lost room has to be joined anew. */
  token?: string | (() => string | Promise<string>);
  /** What is captured already, a camera, a microphone or both; the room stops them when it ends. */
  tracks?: MediaStreamTrack[];
  slots?: SlotCounts;
  /** When to try again after the connection was lost. */
  reconnectPolicy?: ReconnectPolicy;
}
