import { expect, test } from 'vitest';
import { hueOf, initialsOf } from '../src/lib/avatar.ts';
import { en } from '../src/lib/i18n/en.ts';
import { chooseLanguage, fill } from '../src/lib/i18n/language.ts';
import { zhCN } from '../src/lib/i18n/zh-CN.ts';
import { isRoomName, parseQuery, parseRoute, roomPath, toRoomName } from '../src/lib/route.ts';

test('both languages have the same keys with the same places to fill in, and no empty text', () => {
  expect(Object.keys(zhCN).sort()).toEqual(Object.keys(en).sort());
  const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of Object.entries(en)) {
    const other = zhCN[key as keyof typeof en];
    expect(places(other), key).toEqual(places(text));
    expect(text && other, key).not.toBe('');
  }
});

test('the words that others rely on', () => {
  const names = ['form.name', 'form.room', 'form.join', 'room.mute', 'room.unmute', 'room.stopVideo', 'room.startVideo', 'room.share', 'room.chat', 'room.people', 'room.leave', 'tile.you'] as const;
  expect(names.map((key) => en[key])).toEqual(['Your name', 'Room', 'Join', 'Mute', 'Unmute', 'Stop video', 'Start video', 'Share screen', 'Chat', 'People', 'Leave', 'You']);
});

test.each([
  [undefined, ['de', 'zh-TW', 'en'], 'zh-CN'],
  ['en', ['zh-CN'], 'en'],
  ['fr', ['de'], 'en'],
  [undefined, [], 'en'],
])('language for the wish %s in a browser of %o: %s', (wish, browser, language) => {
  expect(chooseLanguage(wish, browser)).toBe(language);
});

test('places are filled in, unknown ones stay', () => {
  expect(fill('{a} of {b} {c}', { a: 0, b: 'x' })).toBe('0 of x {c}');
});

test.each([
  ['/', { page: 'home' }],
  ['/r/lobby', { page: 'room', room: 'lobby' }],
  ['/r/%E4%BA%A7%E5%93%81', { page: 'room', room: '产品' }],
  ['/watch/lobby/', { page: 'watch', room: 'lobby' }],
  ['/r/', { page: 'missing' }],
  ['/r/%ff', { page: 'missing' }],
  ['/r/a%20b', { page: 'missing' }],
])('address %s', (path, route) => {
  expect(parseRoute(path)).toEqual(route);
});

test('rooms', () => {
  expect(roomPath('产品')).toBe('/r/%E4%BA%A7%E5%93%81');
  expect(toRoomName('  team  meeting ')).toBe('team-meeting');
  expect(['lobby', 'a_b-9', '产品周会', 'x'.repeat(64)].every(isRoomName)).toBe(true);
  expect(['', 'a/b', 'a b', 'x'.repeat(65)].some(isRoomName)).toBe(false);
});

test('queries', () => {
  expect(parseQuery('?name=Ada&autojoin=1&lang=en&tiles=4')).toEqual({ name: 'Ada', autojoin: true, lang: 'en', tiles: 4, publish: {} });
  expect(parseQuery('?tiles=0&name=')).toEqual({ name: undefined, autojoin: false, lang: undefined, tiles: undefined, publish: {} });
  expect(parseQuery('?codec=vp9&layers=L3T3').publish).toEqual({ videoCodec: 'vp9', scalabilityMode: 'L3T3' });
  expect(parseQuery('?codec=h263').publish).toEqual({});
});

test.each([
  ['Ada', 'A'],
  ['ada lovelace', 'AL'],
  ['王芳', '王'],
  ['Émile', 'É'],
  ['', ''],
])('initials of %s: %s', (name, initials) => {
  expect(initialsOf(name)).toBe(initials);
});

test('a hue is steady and differs', () => {
  expect(hueOf('guest-1')).toBe(hueOf('guest-1'));
  const hues = Array.from({ length: 36 }, (_, index) => Math.floor(hueOf(`guest-${index}`) / 30));
  expect(new Set(hues).size).toBeGreaterThan(9);
});
