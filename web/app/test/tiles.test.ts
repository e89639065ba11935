import { expect, test } from 'vitest';
import { leadOf, orderTiles, paginate, priorityOf } from '../src/lib/tiles.ts';

function people(count: number, from = 1) {
  return Array.from({ length: count }, (_, index) => ({ number: from + index, hasScreen: false }));
}

const self = { number: 0, hasScreen: false };

function keys(count: number, page: number, size: number) {
  const pages = paginate(orderTiles(self, people(count)), page, size);
  return { tiles: pages.tiles.map(({ person }) => person.number), page: pages.page, count: pages.count };
}

test('the others in order, oneself last', () => {
  expect(keys(2, 0, 9)).toEqual({ tiles: [1, 2, 0], page: 0, count: 1 });
});

test('ten people in pages of four: oneself stays on the first, nobody is lost or shown twice', () => {
  expect(keys(9, 0, 4)).toEqual({ tiles: [1, 2, 3, 0], page: 0, count: 3 });
  expect(keys(9, 1, 4)).toEqual({ tiles: [4, 5, 6, 7], page: 1, count: 3 });
  expect(keys(9, 2, 4)).toEqual({ tiles: [8, 9], page: 2, count: 3 });
});

test('a page that is gone gives the last one', () => {
  expect(keys(3, 5, 4)).toEqual({ tiles: [1, 2, 3, 0], page: 0, count: 1 });
});

test('alone', () => {
  expect(keys(0, 0, 4)).toEqual({ tiles: [0], page: 0, count: 1 });
});

test('one tile a page: oneself has the first', () => {
  expect(keys(2, 0, 1)).toEqual({ tiles: [0], page: 0, count: 3 });
  expect(keys(2, 2, 1)).toEqual({ tiles: [2], page: 2, count: 3 });
});

test("somebody's screen is on the stage of every page and takes a place", () => {
  const [first, ...others] = people(5);
  const tiles = orderTiles(self, [...(first ? [{ ...first, hasScreen: true }] : []), ...others]);
  for (const [page, shown] of [[1, 2, 0], [3, 4, 5]].entries()) {
    const pages = paginate(tiles, page, 4);
    expect(pages.stage?.key).toBe('screen-1');
    expect(pages.tiles.map(({ person }) => person.number)).toEqual(shown);
  }
});

test("one's own screen is an ordinary tile, the first", () => {
  const pages = paginate(orderTiles({ ...self, hasScreen: true }, people(1)), 0, 9);
  expect(pages.stage).toBeUndefined();
  expect(pages.tiles.map(({ key }) => key)).toEqual(['screen-0', 'camera-1', 'camera-0']);
});

test.each([
  ['nobody has spoken yet', undefined, [], undefined],
  ['the loudest begins', undefined, [3, 4], 3],
  ['others join in', 3, [4, 3], 3],
  ['somebody else goes on', 3, [4, 5], 4],
  ['silence', 3, [], 3],
])('who leads the talk: %s', (_, lead, speakers, expected) => {
  expect(leadOf(lead, speakers)).toBe(expected);
});

test('the stage matters most, then the camera of whoever leads the talk', () => {
  const [first, second] = people(2);
  const tiles = orderTiles(self, [{ ...first, number: 1, hasScreen: true }, { ...second, number: 2, hasScreen: true }]);
  const { stage } = paginate(tiles, 0, 9);
  expect(tiles.map((tile) => [tile.key, priorityOf(tile, stage, 2)])).toEqual([['screen-1', 2], ['screen-2', 0], ['camera-1', 0], ['camera-2', 1], ['camera-0', 0]]);
});

test('viewers have no tile', () => {
  expect(orderTiles(undefined, people(2)).map(({ person }) => person.number)).toEqual([1, 2]);
});
