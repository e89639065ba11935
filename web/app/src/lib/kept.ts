/** `before` if each of its values is the one that `now` has too, else `now`. For objects of one shape, and for lists; looks one level deep. */
export function kept<T extends object>(before: T | undefined, now: T): T {
  if (!before) return now;
  const entries = Object.entries(now);
  return entries.length === Object.keys(before).length && entries.every(([key, value]) => Object.is(Reflect.get(before, key), value)) ? before : now;
}
