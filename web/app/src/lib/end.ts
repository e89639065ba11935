import { SignalError, type LeaveReason } from '@ninefold/client';

/** What the server says instead of letting somebody in, and what a person can do about it. */
const REFUSALS = {
  room_full: 'retry',
  room_locked: 'retry',
  not_admitted: 'retry',
  lobby_full: 'retry',
  too_many_rooms: 'retry',
  too_many_requests: 'retry',
  token_needed: 'none',
  bad_token: 'none',
  token_expired: 'none',
  token_early: 'retry',
  wrong_room: 'none',
  not_allowed: 'none',
} as const;

const LEFT = {
  left: 'rejoin',
  disconnected: 'rejoin',
  media_lost: 'rejoin',
  removed: 'rejoin',
  banned: 'none',
  replaced: 'rejoin',
  too_slow: 'rejoin',
  room_closed: 'rejoin',
  server_stopping: 'rejoin',
  server_error: 'rejoin',
} as const satisfies Record<LeaveReason, Way>;

const ENDS = { ...LEFT, ...REFUSALS, unreachable: 'retry', refused: 'retry' } as const;

/** How somebody may come back in: as after leaving, as after a closed door, or not. */
export type Way = 'rejoin' | 'retry' | 'none';
export type EndKind = keyof typeof ENDS;

/** Why the room is over, or why it never began. */
export interface End {
  kind: EndKind;
  /** The server's own words, for errors that this page does not know. */
  message: string | undefined;
}

/** Each has a title and, but for `refused`, a text. */
export const END_KINDS = Object.keys(ENDS) as EndKind[];

export function wayBack(kind: EndKind): Way {
  return ENDS[kind];
}

/** Codes that mean the same to a person as one that has words. */
const ALIASES: Partial<Record<string, EndKind>> = { timeout: 'unreachable', join_timeout: 'unreachable', stopping: 'server_stopping', too_many_sockets: 'room_full' };

export function endOf(error: unknown): End {
  if (!(error instanceof SignalError)) return { kind: 'refused', message: error instanceof Error ? error.message : String(error) };
  const kind = ALIASES[error.code] ?? error.code;
  return kind in ENDS ? { kind: kind as EndKind, message: undefined } : { kind: 'refused', message: error.message };
}
