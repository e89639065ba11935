/**
 * The access token that a link carries in its fragment: `/r/lobby#token=…`. Browsers send fragments to nobody; here it also leaves the address bar
 * and the history at once, and stays in the tab's own storage, by room, so that a reload still works.
 */

/** The token of a fragment, and the fragment without it. */
export function splitFragment(hash: string): { token: string | undefined; rest: string } {
  const parts = hash.replace(/^#/, '').split('&');
  const token = parts.find((part) => part.startsWith('token='))?.slice('token='.length);
  const rest = parts.filter((part) => part !== '' && !part.startsWith('token=')).join('&');
  return { token: token || undefined, rest: rest && `#${rest}` };
}

const keyOf = (room: string) => `ninefold.token.${room}`;
/** For a browser that forbids storage: then a reload needs the link again. */
const kept = new Map<string, string>();

/** Moves the token from the address into the tab's memory. */
export function keepToken(room: string): void {
  const { token, rest } = splitFragment(location.hash);
  if (token === undefined) return;
  history.replaceState(history.state, '', location.pathname + location.search + rest);
  kept.set(room, token);
  try {
    sessionStorage.setItem(keyOf(room), token);
  } catch {
    // The map has to do.
  }
}

export function tokenOf(room: string): string | undefined {
  try {
    return sessionStorage.getItem(keyOf(room)) ?? kept.get(room);
  } catch {
    return kept.get(room);
  }
}
