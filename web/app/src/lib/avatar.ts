/** A person's colour and letters, for tiles without a picture. */

/** A hue from 0 to 359 that is always the same for an identity. */
export function hueOf(identity: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(identity)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  // Names that differ in the last sign only ("guest-1", "guest-2") would else be neighbours or opposites.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}

/** One or two letters: of the first and the last word, or the first sign of a script that needs no more. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => firstSign(word ?? ''));
  const isLatin = letters.every((letter) => letter === '' || /\p{Script=Latin}|\p{N}/u.test(letter));
  return (isLatin ? letters.join('') : (letters[0] ?? '')).toLocaleUpperCase();
}

function firstSign(word: string): string {
  const [first] = new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(word);
  return first?.segment ?? '';
}
