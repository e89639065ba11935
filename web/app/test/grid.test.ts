import { describe, expect, test } from 'vitest';
import { capacity, layoutGrid, layoutStage, spreadRows, UPRIGHT, WIDE, type Rect, type Size } from '../src/lib/grid.ts';

const WINDOW = { width: 1076, height: 686 };
const PHONE = { width: 366, height: 640 };

function used(rects: Rect[], space: Size): number {
  return Math.round((100 * rects.reduce((sum, { width, height }) => sum + width * height, 0)) / (space.width * space.height));
}

test.each([
  [2, WINDOW, 534, 400, 58],
  [6, WINDOW, 353, 265, 76],
  [9, WINDOW, 353, 223, 96],
  [2, PHONE, 366, 274, 86],
])('%i tiles in %o are %i by %i', (count, space, width, height, percent) => {
  const rects = layoutGrid(count, space, WIDE);
  expect(rects).toHaveLength(count);
  expect(Math.floor(rects[0]?.width ?? 0)).toBe(width);
  expect(Math.floor(rects[0]?.height ?? 0)).toBe(height);
  expect(used(rects, space)).toBe(percent);
});

test('every layout stays in its space, without overlap, in the allowed shapes', () => {
  for (const options of [WIDE, UPRIGHT]) {
    for (const space of [WINDOW, PHONE, { width: 1900, height: 200 }]) {
      for (let count = 1; count <= 25; count++) check(layoutGrid(count, space, options), space, options.aspectMin, options.aspectMax);
    }
  }
});

function check(rects: Rect[], space: Size, aspectMin: number, aspectMax: number): void {
  const slack = 0.001;
  for (const [index, { left, top, width, height }] of rects.entries()) {
    expect(left).toBeGreaterThanOrEqual(-slack);
    expect(top).toBeGreaterThanOrEqual(-slack);
    expect(left + width).toBeLessThanOrEqual(space.width + slack);
    expect(top + height).toBeLessThanOrEqual(space.height + slack);
    expect(width / height).toBeGreaterThanOrEqual(aspectMin - slack);
    expect(width / height).toBeLessThanOrEqual(aspectMax + slack);
    for (const other of rects.slice(index + 1)) {
      const apart = left + width <= other.left + slack || top + height <= other.top + slack || other.left + other.width <= left + slack;
      expect(apart).toBe(true);
    }
  }
}

test('nothing to place, or no space', () => {
  expect(layoutGrid(0, WINDOW)).toEqual([]);
  expect(layoutGrid(3, { width: 0, height: 100 })).toEqual([]);
  expect(layoutStage(3, { width: 0, height: 100 })).toEqual([]);
});

test.each([
  [1, 1, [1]],
  [4, 2, [2, 2]],
  [5, 3, [3, 2]],
  [7, 3, [2, 3, 2]],
  [8, 3, [3, 3, 2]],
  [9, 3, [3, 3, 3]],
])('%i tiles in rows of %i: %o', (count, columns, rows) => {
  expect(spreadRows(count, columns)).toEqual(rows);
});

test('as many as are readable', () => {
  expect(capacity({ width: 1076, height: 686 }, { width: 160, height: 120 }, 8)).toBe(30);
  expect(capacity({ width: 366, height: 640 }, { width: 120, height: 90 }, 8)).toBe(12);
  expect(capacity({ width: 10, height: 10 }, { width: 160, height: 120 }, 8)).toBe(1);
});

describe('a stage', () => {
  test('alone has everything', () => {
    expect(layoutStage(1, WINDOW)).toEqual([{ left: 0, top: 0, ...WINDOW }]);
  });

  test('is by far the largest, and nothing leaves the space', () => {
    for (const space of [WINDOW, PHONE]) {
      const rects = layoutStage(6, space);
      const [stage, ...strip] = rects.map(({ width, height }) => width * height);
      expect(stage).toBeGreaterThan(4 * Math.max(...strip));
      check(rects, space, 0, 100);
    }
  });
});
