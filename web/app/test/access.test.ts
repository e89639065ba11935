import { SignalError } from '@ninefold/client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { keepToken, splitFragment, tokenOf } from '../src/lib/access.ts';
import { END_KINDS, endOf, wayBack } from '../src/lib/end.ts';
import { en } from '../src/lib/i18n/en.ts';

test.each([
  ['', undefined, ''],
  ['#token=a.b.c', 'a.b.c', ''],
  ['#x=1&token=a.b.c&y', 'a.b.c', '#x=1&y'],
  ['#key=abc', undefined, '#key=abc'],
  ['#token=', undefined, ''],
])('the fragment %s', (hash, token, rest) => {
  expect(splitFragment(hash)).toEqual({ token, rest });
});

describe('a token', () => {
  const replaceState = vi.fn();

  beforeEach(() => {
    replaceState.mockClear();
    vi.stubGlobal('history', { state: null, replaceState });
  });

  afterEach(() => vi.unstubAllGlobals());

  function open(hash: string): void {
    vi.stubGlobal('location', { pathname: '/r/lobby', search: '?lang=en', hash });
  }

  test('leaves the address, is kept for its room, and outlives a reload', () => {
    const stored = new Map<string, string>();
    const storage = { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => stored.set(key, value) };
    vi.stubGlobal('sessionStorage', storage);
    open('#token=secret&k=1');
    keepToken('lobby');
    expect(replaceState).toHaveBeenCalledWith(null, '', '/r/lobby?lang=en#k=1');
    open('#k=1');
    keepToken('lobby');
    expect(replaceState).toHaveBeenCalledTimes(1);
    expect(tokenOf('lobby')).toBe('secret');
    expect(tokenOf('other')).toBeUndefined();
  });

  test('is kept for this page at least where storage is forbidden', () => {
    const forbid = () => {
      throw new DOMException('No.', 'SecurityError');
    };
    vi.stubGlobal('sessionStorage', { getItem: forbid, setItem: forbid });
    open('#token=secret');
    keepToken('private');
    expect(tokenOf('private')).toBe('secret');
  });
});

describe('why it ended', () => {
  test('each reason has its words and a way', () => {
    for (const kind of END_KINDS) {
      expect(en, kind).toHaveProperty([`end.${kind}.title`]);
      if (kind !== 'refused') expect(en, kind).toHaveProperty([`end.${kind}.text`]);
      const way = wayBack(kind);
      if (way !== 'none') expect(en).toHaveProperty([`end.${way}`]);
    }
  });

  test.each([
    ['room_locked', 'room_locked'],
    ['banned', 'banned'],
    ['stopping', 'server_stopping'],
    ['timeout', 'unreachable'],
    ['left', 'left'],
    ['something_new', 'refused'],
  ])('the code %s', (code, kind) => {
    expect(endOf(new SignalError({ code, message: 'words' }))).toEqual({ kind, message: kind === 'refused' ? 'words' : undefined });
  });
});
