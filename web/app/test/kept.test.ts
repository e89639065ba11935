import { describe, expect, test } from 'vitest';
import { kept } from '../src/lib/kept.ts';

describe('what is kept', () => {
  const inner = { a: 1 };
  const cases: [string, object | undefined, object, boolean][] = [
    ['nothing before', undefined, { a: 1 }, false],
    ['the same values', { a: 1, b: inner, c: undefined }, { a: 1, b: inner, c: undefined }, true],
    ['another value', { a: 1 }, { a: 2 }, false],
    ['an equal object, but another one', { b: inner }, { b: { a: 1 } }, false],
    ['a value that is gone', { a: 1, b: 2 }, { a: 1 }, false],
    ['the same list', [inner, 2], [inner, 2], true],
    ['a longer list', [inner], [inner, 2], false],
    ['another order', [1, 2], [2, 1], false],
  ];
  test.each(cases)('%s', (_, before, now, same) => {
    expect(kept(before, now)).toBe(same ? before : now);
  });
});
