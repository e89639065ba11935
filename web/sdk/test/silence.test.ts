import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { IceWatch } from '../src/ice.ts';
import { received, SilenceWatch } from '../src/silence.ts';

type Row = { type: string; bytesReceived?: number; responsesReceived?: number };
const reportOf = (...rows: Row[]) => new Map(rows.map((row, id) => [String(id), row])) as unknown as RTCStatsReport;

test('what came is counted on all paths, where the browser counts answers', () => {
  const pair = { type: 'candidate-pair', bytesReceived: 10, responsesReceived: 1 };
  expect(received(reportOf(pair, { ...pair, bytesReceived: 5 }, { type: 'transport', bytesReceived: 99 }))).toBe(17);
  expect(received(reportOf({ type: 'candidate-pair', bytesReceived: 10 }))).toBeUndefined();
  expect(received(reportOf())).toBeUndefined();
});

describe('silence', () => {
  let pair: Row;
  let said: boolean[];
  let watch: SilenceWatch;

  beforeEach(() => {
    vi.useFakeTimers();
    pair = { type: 'candidate-pair', bytesReceived: 0, responsesReceived: 0 };
    said = [];
    watch = new SilenceWatch(() => Promise.resolve(reportOf(pair)), () => said.push(watch.isSilent));
    watch.start();
  });

  afterEach(() => {
    watch.stop();
    vi.useRealTimers();
  });

  test('is noticed within five seconds, and so is its end', async () => {
    for (let i = 0; i < 20; i++) {
      pair.bytesReceived = i;
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(said).toEqual([]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(said).toEqual([true]);
    pair.responsesReceived = 1;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(said).toEqual([true, false]);
  });

  test('is none while checks are answered, and none where nobody can tell', async () => {
    for (let i = 0; i < 10; i++) {
      pair.responsesReceived = i;
      await vi.advanceTimersByTimeAsync(2_500);
    }
    delete pair.responsesReceived;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said).toEqual([]);
  });

  test('ends with the watch', async () => {
    watch.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said).toEqual([]);
  });
});

test('ICE is restarted when nothing comes, once, and it is well when something does', async () => {
  let isSilent = false;
  const log: string[] = [];
  const ice = new IceWatch({
    state: () => 'connected',
    isSilent: () => isSilent,
    canRestart: () => true,
    restart: () => (log.push('restart'), Promise.resolve()),
    troubled: () => log.push('troubled'),
    recovered: () => log.push('recovered'),
    lost: () => log.push('lost'),
  });
  ice.update();
  isSilent = true;
  ice.update();
  ice.update();
  await Promise.resolve();
  expect(log).toEqual(['troubled', 'restart']);
  isSilent = false;
  ice.update();
  expect(log).toEqual(['troubled', 'restart', 'recovered']);
  ice.stop();
});
