import { beforeEach, describe, expect, test } from 'vitest';
import { layerScales, SenderEncodings } from '../src/encodings.ts';
import { FakeSender } from './fake-browser.ts';

const CAMERA = [{ rid: 'q' }, { rid: 'h' }, { rid: 'f' }];

function picture(width: number, height: number): MediaStreamTrack {
  return { getSettings: () => ({ width, height }) } as MediaStreamTrack;
}

test('a small picture has fewer layers, and its best one is the whole of it', () => {
  expect([1280, 960, 640, 480, 320].map((side) => layerScales(side, 3))).toEqual([[4, 2, 1], [4, 2, 1], [2, 1, 0], [2, 1, 0], [1, 0, 0]]);
  expect([1920, 480, 320].map((side) => layerScales(side, 2))).toEqual([[2, 1], [2, 1], [1, 0]]);
  expect(layerScales(1920, 1)).toEqual([1]);
});

describe('what is sent', () => {
  let sender: FakeSender;
  let encodings: SenderEncodings;

  beforeEach(() => {
    sender = new FakeSender(CAMERA);
    encodings = new SenderEncodings(sender as unknown as RTCRtpSender);
  });

  const scales = () => sender.getParameters().encodings.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy);

  test('what is watched', async () => {
    await encodings.watch([true, true, false]);
    expect(sender.active).toEqual([true, true, false]);
    expect(scales(), 'sizes are nobody else’s business').toEqual([undefined, undefined, undefined]);
    await encodings.watch([false, false, false]);
    expect(sender.active).toEqual([false, false, false]);
    await encodings.watch([]);
    expect(sender.active).toEqual([true, true, true]);
  });

  test('what is watched and fits, in whichever order the two are told', async () => {
    await encodings.fit(picture(640, 360));
    await encodings.watch([true, false, true]);
    expect(sender.active).toEqual([true, false, false]);
    expect(scales()).toEqual([2, 1, 1]);
    await encodings.fit(picture(720, 1280));
    expect(sender.active, 'another camera').toEqual([true, false, true]);
    expect(scales()).toEqual([4, 2, 1]);
    await encodings.watch([true, true, true]);
    expect(sender.active).toEqual([true, true, true]);
  });

  test('one encoding is on or off', async () => {
    sender = new FakeSender();
    encodings = new SenderEncodings(sender as unknown as RTCRtpSender);
    await encodings.watch([false]);
    expect(sender.active).toEqual([false]);
    await encodings.watch([true]);
    expect(sender.active).toEqual([true]);
  });

  test('changes do not overlap, and only what differs is set', async () => {
    await Promise.all([encodings.watch([true, false, false]), encodings.fit(picture(1280, 720)), encodings.watch([true, true, false])]);
    expect(sender.overlapped).toBe(false);
    expect(sender.active).toEqual([true, true, false]);
    expect(sender.changes, 'the first change knew of all three').toBe(1);
    await encodings.watch([true, true, false]);
    expect(sender.changes).toBe(1);
  });

  test('a change that a negotiation has overtaken is made again, but not for ever', async () => {
    sender.failures = 2;
    await encodings.watch([false]);
    expect(sender.active).toEqual([false, true, true]);
    sender.failures = 3;
    await expect(encodings.watch([true])).rejects.toThrow(DOMException);
    expect(sender.changes).toBe(6);
    await encodings.watch([true, false]);
    expect(sender.active).toEqual([true, false, true]);
  });
});
