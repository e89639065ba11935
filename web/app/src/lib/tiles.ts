/** Which tiles there are, in which order, and which of them a page shows. Pure. */

export interface TileOf<P> {
  /** Stays the same for as long as the tile exists. */
  key: string;
  kind: 'camera' | 'screen';
  own: boolean;
  person: P;
}

export interface Pages<T> {
  /** Shown large on each page: somebody's screen. */
  stage: T | undefined;
  /** The rest of the page. */
  tiles: T[];
  /** From 0; within the pages that there are. */
  page: number;
  count: number;
}

/** Screens first, then the others in the order in which they joined, oneself last on the first page. Oneself is undefined for viewers. */
export function orderTiles<P extends { number: number; hasScreen: boolean }>(self: P | undefined, others: P[]): TileOf<P>[] {
  const screens = [...others, ...(self ? [self] : [])].filter(({ hasScreen }) => hasScreen);
  return [
    ...screens.map((person) => tile('screen', person, person === self)),
    ...others.map((person) => tile('camera', person, false)),
    ...(self ? [tile('camera', self, true)] : []),
  ];
}

/**
 * Cuts the tiles into pages of at most `size`. The first shared screen is on the stage of every page and takes one place; one's own screen never
 * is: who shares sees it anyway. One's own camera stands on the first page, whatever the number of others.
 */
export function paginate<P>(tiles: TileOf<P>[], page: number, size: number): Pages<TileOf<P>> {
  const stage = tiles.find(({ kind, own }) => kind === 'screen' && !own);
  const self = tiles.find(({ kind, own }) => kind === 'camera' && own);
  const rest = tiles.filter((tile) => tile !== stage && tile !== self);
  const places = Math.max(1, stage ? size - 1 : size);
  const first = Math.max(self ? places - 1 : places, 0);
  const pages = [[...rest.slice(0, first), ...(self ? [self] : [])]];
  for (let at = first; at < rest.length; at += places) pages.push(rest.slice(at, at + places));
  const current = Math.min(Math.max(page, 0), pages.length - 1);
  return { stage, tiles: pages[current] ?? [], page: current, count: pages.length };
}

/** Whom to show best of those who talk: whoever did last, and goes on leading when others join in or nobody speaks. `speakers` has the loudest first. */
export function leadOf(lead: number | undefined, speakers: number[]): number | undefined {
  return lead !== undefined && speakers.includes(lead) ? lead : (speakers[0] ?? lead);
}

/** How much a tile matters: the one on the stage most, then the camera of whoever leads the talk. */
export function priorityOf(tile: TileOf<{ number: number }>, stage: TileOf<unknown> | undefined, lead: number | undefined): number {
  if (tile === stage) return 2;
  return tile.kind === 'camera' && tile.person.number === lead ? 1 : 0;
}

function tile<P extends { number: number }>(kind: 'camera' | 'screen', person: P, own: boolean): TileOf<P> {
  return { key: `${kind}-${person.number}`, kind, own, person };
}
