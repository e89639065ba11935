import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Wish } from '../src/protocol.gen.ts';
import { SignalError } from '../src/signal.ts';
import { pictureSize, pixelDensity, TrackWish, WishSender, type Wanted } from '../src/wishes.ts';

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, 'warn').mockImplementation(() => {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test.each([
  ['cover', 16 / 9, 300, 600, 1067, 600],
  ['cover', 16 / 9, 640, 240, 640, 360],
  ['contain', 16 / 9, 300, 600, 300, 169],
  ['contain', 9 / 16, 1600, 900, 506, 900],
  ['fill', 16 / 9, 300, 600, 300, 600],
  ['cover', 0, 300, 600, 300, 600],
  ['cover', 16 / 9, 0, 0, 0, 0],
])('a picture that has to %s, of shape %f, in %i x %i: %i x %i', (fit, ratio, width, height, ...expected) => {
  const size = pictureSize({ width, height }, ratio, fit);
  expect([size.width, size.height].map(Math.round)).toEqual(expected);
});

test('the density of a screen counts only where it is high, and then not in full', () => {
  expect([0.5, 1, 1.5, 2, 2.5, 3, 4].map(pixelDensity)).toEqual([1, 1, 1, 1, 2, 2, 2]);
});

describe('the wish of a track', () => {
  const changed = vi.fn();
  let wish: TrackWish;

  beforeEach(() => {
    changed.mockClear();
    wish = new TrackWish(changed);
  });

  const sight = (width: number, height: number, visible = true) => ({ width, height, visible });
  const nothing: Wanted = { visible: true, priority: 0, paused: false };
  const hidden: Wanted = { ...nothing, visible: false };

  test('is nothing where there is no element, and while it is not looked at yet', () => {
    expect(wish.wanted).toEqual(nothing);
    wish.see('a', undefined);
    vi.advanceTimersByTime(1000);
    expect(wish.wanted).toEqual(nothing);
    expect(changed).not.toHaveBeenCalled();
  });

  test('is what the largest visible element needs', () => {
    wish.see('a', sight(320, 180));
    wish.see('b', sight(640, 359.2));
    wish.see('c', sight(1280, 720, false));
    expect(wish.wanted).toEqual({ ...nothing, width: 640, height: 360 });
    wish.lose('b');
    expect(wish.wanted).toEqual({ ...nothing, width: 320, height: 180 });
  });

  test('what is hidden is so after a moment, what comes into sight is so at once', () => {
    wish.see('a', sight(320, 180));
    wish.see('a', sight(320, 180, false));
    vi.advanceTimersByTime(99);
    expect(wish.wanted).toEqual({ ...nothing, width: 320, height: 180 });
    vi.advanceTimersByTime(1);
    expect(wish.wanted).toEqual(hidden);
    wish.see('a', sight(160, 90));
    expect(wish.wanted).toEqual({ ...nothing, width: 160, height: 90 });
    wish.lose('a');
    vi.advanceTimersByTime(50);
    wish.see('b', sight(160, 90));
    vi.advanceTimersByTime(1000);
    expect(wish.wanted.visible).toBe(true);
  });

  test('a track that moves to a new element is not hidden meanwhile', () => {
    wish.see('a', sight(320, 180));
    wish.lose('a');
    wish.see('b', undefined);
    vi.advanceTimersByTime(1000);
    expect(wish.wanted).toEqual({ ...nothing, width: 320, height: 180 });
    wish.lose('b');
    vi.advanceTimersByTime(100);
    expect(wish.wanted).toEqual(hidden);
  });

  test('holds what the application says', () => {
    wish.see('a', sight(320, 180));
    wish.setPriority(7);
    wish.setPaused(true);
    wish.setSize({ width: 99.5, height: 50 });
    expect(wish.wanted).toEqual({ width: 100, height: 50, visible: true, priority: 7, paused: true });
    wish.setSize(undefined);
    wish.setPaused(false);
    expect(wish.wanted).toEqual({ width: 320, height: 180, visible: true, priority: 7, paused: false });
    expect(changed).toHaveBeenCalledTimes(6);
  });

  test('takes no nonsense', () => {
    for (const priority of [-1, 256, 0.5, Number.NaN]) expect(() => wish.setPriority(priority)).toThrow(RangeError);
    for (const width of [0, -1, Infinity, Number.NaN]) expect(() => wish.setSize({ width, height: 90 })).toThrow(RangeError);
    expect(wish.wanted).toEqual(nothing);
  });
});

describe('the server is told', () => {
  let wishes: Map<number, Wanted>;
  let sent: Wish[][];
  let refusal: SignalError | undefined;
  let sender: WishSender;

  beforeEach(() => {
    wishes = new Map();
    sent = [];
    refusal = undefined;
    sender = new WishSender({
      wanted: (track) => wishes.get(track),
      send: (slots) => {
        sent.push(slots);
        return refusal ? Promise.reject(refusal) : Promise.resolve();
      },
    });
  });

  const seen = (width: number): Wanted => ({ width, height: width / 2, visible: true, priority: 0, paused: false });
  const any: Wanted = { visible: true, priority: 0, paused: false };
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  test('at once, of all slots together, and nothing of what is as it is taken to be', async () => {
    wishes.set(3, seen(640)).set(4, seen(160)).set(5, any);
    sender.apply([{ mid: '1', track: 3 }, { mid: '2', track: 4 }, { mid: '3', track: 5 }, { mid: '4', track: 6 }, { mid: '5' }]);
    expect(sent).toEqual([]);
    await pass(0);
    expect(sent).toEqual([[{ mid: '1', track: 3, ...seen(640) }, { mid: '2', track: 4, ...seen(160) }]]);
  });

  test('ten times a second at most, and only what changed', async () => {
    wishes.set(3, seen(640)).set(4, seen(160));
    sender.apply([{ mid: '1', track: 3 }, { mid: '2', track: 4 }]);
    for (let width = 640; width > 340; width -= 10) {
      await pass(10);
      wishes.set(3, seen(width));
      sender.update();
    }
    await pass(1000);
    expect(sent.map((slots) => slots.map(({ mid, width }) => `${mid}: ${width}`))).toEqual([['1: 640', '2: 160'], ['1: 560'], ['1: 460'], ['1: 360'], ['1: 350']]);
    sender.update();
    await pass(1000);
    expect(sent).toHaveLength(5);
  });

  test('that a track is wanted as any, if it was told otherwise before', async () => {
    wishes.set(3, { ...any, paused: true });
    sender.apply([{ mid: '1', track: 3 }]);
    await pass(0);
    wishes.set(3, any);
    sender.update();
    await pass(100);
    expect(sent[1]).toEqual([{ mid: '1', track: 3, ...any }]);
  });

  test('anew for each track that comes into a slot, also when it was there before', async () => {
    wishes.set(3, seen(640)).set(4, seen(640));
    for (const track of [3, 4, 3]) {
      sender.apply([{ mid: '1', track }]);
      await pass(100);
    }
    sender.apply([{ mid: '1', track: 4 }]);
    sender.apply([{ mid: '1', track: 3 }]);
    await pass(100);
    expect(sent.map(([wish]) => wish?.track)).toEqual([3, 4, 3, 3]);
    sender.apply([{ mid: '1', track: 3, first_timestamp: 9 }]);
    await pass(100);
    expect(sent).toHaveLength(4);
  });

  test('again after it may not have heard, even of what is back to nothing', async () => {
    wishes.set(3, seen(640)).set(4, { ...any, priority: 2 });
    sender.apply([{ mid: '1', track: 3 }, { mid: '2', track: 4 }]);
    await pass(100);
    wishes.set(4, any);
    sender.repeat();
    await pass(100);
    expect(sent[1]).toEqual([{ mid: '1', track: 3, ...seen(640) }, { mid: '2', track: 4, ...any }]);
  });

  test('nothing of the old connection on a new one', async () => {
    wishes.set(3, seen(640));
    sender.apply([{ mid: '1', track: 3 }]);
    sender.reset();
    await pass(1000);
    expect(sent).toEqual([]);
    sender.apply([{ mid: '9', track: 3 }]);
    await pass(0);
    expect(sent).toEqual([[{ mid: '9', track: 3, ...seen(640) }]]);
  });

  test.each([
    ['too_many_requests', 2],
    ['bad_view', 1],
    ['disconnected', 1],
  ])('again by itself after %s: %i times in all', async (code, times) => {
    refusal = new SignalError({ code, message: code });
    wishes.set(3, seen(640));
    sender.apply([{ mid: '1', track: 3 }]);
    await pass(0);
    refusal = undefined;
    await pass(5000);
    expect(sent).toHaveLength(times);
    sender.update();
    await pass(100);
    expect(sent, 'and not once more than needed').toHaveLength(2);
  });
});
