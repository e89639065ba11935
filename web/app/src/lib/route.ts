import type { PublishOptions, VideoCodec } from '@ninefold/client';

/** Which page an address asks for. */
export type Route =
  | { page: 'home' }
  | { page: 'room'; room: string }
  | { page: 'watch'; room: string }
  | { page: 'missing' };

export function parseRoute(pathname: string): Route {
  if (pathname === '/' || pathname === '/index.html') return { page: 'home' };
  const [, page, name] = /^\/(r|watch)\/([^/]+)\/?$/.exec(pathname) ?? [];
  const room = name === undefined ? undefined : decode(name);
  // The server would refuse the name in the handshake, where a page cannot tell it from a server that is away.
  if (room === undefined || !isRoomName(room)) return { page: 'missing' };
  return { page: page === 'r' ? 'room' : 'watch', room };
}

export function roomPath(room: string): string {
  return `/r/${encodeURIComponent(room)}`;
}

/** The names that the server takes: 1 to 64 letters of any script, digits, `-` and `_`. */
export function isRoomName(name: string): boolean {
  return /^[\p{L}\p{M}\p{N}_-]{1,64}$/u.test(name);
}

/** What people type becomes a name: spaces turn into hyphens. */
export function toRoomName(typed: string): string {
  return typed.trim().normalize('NFC').replace(/\s+/g, '-');
}

/** What the page's address says besides the room. */
export interface Query {
  name: string | undefined;
  autojoin: boolean;
  lang: string | undefined;
  /** At most so many tiles a page. */
  tiles: number | undefined;
  /** How one's own pictures are sent: `codec` and `layers`, as `vp9` and `L3T3_KEY`. */
  publish: PublishOptions;
}

const CODECS: VideoCodec[] = ['vp8', 'vp9', 'h264', 'av1'];

export function parseQuery(search: string): Query {
  const query = new URLSearchParams(search);
  const tiles = Number(query.get('tiles'));
  return {
    name: query.get('name')?.trim() || undefined,
    autojoin: query.get('autojoin') === '1',
    lang: query.get('lang') ?? undefined,
    tiles: Number.isInteger(tiles) && tiles >= 1 ? tiles : undefined,
    publish: parsePublish(query.get('codec'), query.get('layers')),
  };
}

function parsePublish(codec: string | null, layers: string | null): PublishOptions {
  const videoCodec = CODECS.find((known) => known === codec);
  return { ...(videoCodec && { videoCodec }), ...(layers && { scalabilityMode: layers }) };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
