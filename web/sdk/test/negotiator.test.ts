import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Negotiator } from '../src/negotiator.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('wishes of one moment share an offer', async () => {
  const run = vi.fn(() => Promise.resolve());
  const negotiator = new Negotiator(run);
  const both = Promise.all([negotiator.negotiate(), negotiator.negotiate()]);
  await vi.runAllTimersAsync();
  await both;
  expect(run).toHaveBeenCalledTimes(1);
});

test('an offer waits for the one before it, even if that fails', async () => {
  let fail: (error: Error) => void = () => {};
  const run = vi
    .fn<() => Promise<void>>()
    .mockImplementationOnce(() => new Promise((_, reject) => (fail = reject)))
    .mockResolvedValue();
  const negotiator = new Negotiator(run);
  const first = negotiator.negotiate();
  await vi.advanceTimersByTimeAsync(20);
  const second = negotiator.negotiate();
  await vi.advanceTimersByTimeAsync(100);
  expect(run).toHaveBeenCalledTimes(1);
  fail(new Error('refused'));
  await expect(first).rejects.toThrow('refused');
  await second;
  expect(run).toHaveBeenCalledTimes(2);
});
