import { beforeEach, describe, expect, test } from 'vitest';
import { layerScales, TrackSender } from '../src/sender.ts';
import { FakeSender, FakeTrack } from './fake-browser.ts';

const CAMERA = [{ rid: 'q' }, { rid: 'h' }, { rid: 'f' }];

function picture(width: number, height: number): MediaStreamTrack {
  return Object.assign(new FakeTrack('video'), { getSettings: () => ({ width, height }) }).media;
}

test('a small picture has fewer layers, and its best one is the whole of it', () => {
  expect([1280, 960, 640, 480, 320].map((side) => layerScales(side, 3))).toEqual([[4, 2, 1], [4, 2, 1], [2, 1, 0], [2, 1, 0], [1, 0, 0]]);
  expect([1920, 480, 320].map((side) => layerScales(side, 2))).toEqual([[2, 1], [2, 1], [1, 0]]);
  expect(layerScales(1920, 1)).toEqual([1]);
});

describe('what is sent', () => {
  let sender: FakeSender;
  let tracks: TrackSender;

  beforeEach(() => {
    sender = new FakeSender(CAMERA);
    tracks = new TrackSender(sender as unknown as RTCRtpSender, 'video');
  });

  const scales = () => sender.getParameters().encodings.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy);

  test('what is watched', async () => {
    await tracks.watch([true, true, false]);
    expect(sender.active).toEqual([true, true, false]);
    await tracks.watch([false, false, false]);
    expect(sender.active).toEqual([false, false, false]);
    await tracks.watch([]);
    expect(sender.active).toEqual([true, true, true]);
  });

  test('what is watched and fits, in whichever order the two are told', async () => {
    await tracks.replaceTrack(picture(640, 360));
    await tracks.watch([true, false, true]);
    expect(sender.active).toEqual([true, false, false]);
    expect(scales()).toEqual([2, 1, 1]);
    await tracks.replaceTrack(picture(720, 1280));
    expect(sender.active, 'another camera').toEqual([true, false, true]);
    expect(scales()).toEqual([4, 2, 1]);
    await tracks.watch([true, true, true]);
    expect(sender.active).toEqual([true, true, true]);
  });

  test('sound that nobody hears gives the sender no track, until somebody does', async () => {
    sender = new FakeSender();
    tracks = new TrackSender(sender as unknown as RTCRtpSender, 'audio');
    const [first, second] = [new FakeTrack('audio').media, new FakeTrack('audio').media];
    await tracks.replaceTrack(first);
    expect(sender.track).toBe(first);
    await tracks.watch([false]);
    expect([sender.track, tracks.track]).toEqual([null, first]);
    await tracks.replaceTrack(second);
    expect(sender.track).toBeNull();
    await tracks.watch([true]);
    expect(sender.track).toBe(second);
    await tracks.replaceTrack(null);
    expect([sender.track, tracks.track]).toEqual([null, null]);
    expect(sender.changes, 'its encoding is left alone').toBe(0);
  });

  test('changes do not overlap, and only what differs is set', async () => {
    await Promise.all([tracks.watch([true, false, false]), tracks.replaceTrack(picture(1280, 720)), tracks.watch([true, true, false])]);
    expect(sender.overlapped).toBe(false);
    expect(sender.active).toEqual([true, true, false]);
    expect(sender.changes, 'the first change knew of all three').toBe(1);
    await tracks.watch([true, true, false]);
    expect(sender.changes).toBe(1);
  });

  test('a change that a negotiation has overtaken is made again, but not for ever', async () => {
    sender.failures = 2;
    await tracks.watch([false]);
    expect(sender.active).toEqual([false, true, true]);
    sender.failures = 3;
    await expect(tracks.watch([true])).rejects.toThrow(DOMException);
    expect(sender.changes).toBe(6);
    await tracks.watch([true, false]);
    expect(sender.active).toEqual([true, false, true]);
  });
});
