import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { View } from '../src/protocol.gen.ts';
import { ViewSender } from '../src/view.ts';

let sent: View[];
let view: ViewSender;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  view = new ViewSender((wanted) => sent.push(wanted));
});

afterEach(() => vi.useRealTimers());

test('a burst is one message, the last wish', () => {
  view.set([1]);
  view.set([1, 2]);
  vi.advanceTimersByTime(29);
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual([{ mode: 'tracks', tracks: [1, 2] }]);
});

test('only a change is sent', () => {
  for (const tracks of [[1, 2], [1, 2], [2, 1], [], []]) {
    view.set(tracks);
    vi.runAllTimers();
  }
  expect(sent.map((message) => message.mode === 'tracks' && message.tracks)).toEqual([[1, 2], [2, 1], []]);
});

test('a new connection begins anew', () => {
  view.set([1]);
  vi.runAllTimers();
  view.set([2]);
  view.reset();
  vi.runAllTimers();
  expect(sent).toHaveLength(1);
  view.set([1]);
  vi.runAllTimers();
  expect(sent).toHaveLength(2);
});
