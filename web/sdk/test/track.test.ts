import { beforeEach, expect, test, vi } from 'vitest';
import { RemoteTrack } from '../src/track.ts';

/** A video element that presents frames by hand. */
class FakeVideo {
  dataset: Record<string, string> = {};
  srcObject: unknown = null;
  muted = false;
  playsInline = false;
  play = () => Promise.resolve();
  private callback: ((now: number, frame: { rtpTimestamp: number }) => void) | undefined;

  requestVideoFrameCallback(callback: (now: number, frame: { rtpTimestamp: number }) => void): number {
    this.callback = callback;
    return 1;
  }

  cancelVideoFrameCallback(): void {
    this.callback = undefined;
  }

  present(rtpTimestamp: number): void {
    const { callback } = this;
    this.callback = undefined;
    callback?.(0, { rtpTimestamp });
  }
}

const stream = { id: 'slot 5' } as MediaStream;
let video: FakeVideo;
let track: RemoteTrack;
const changed = vi.fn();

beforeEach(() => {
  changed.mockClear();
  video = new FakeVideo();
  track = new RemoteTrack('video', { adaptive: false, shown: changed, wished: () => {} });
  track.attach(video as unknown as HTMLVideoElement);
});

test('an element shows nothing while the track is in no slot', () => {
  expect(video.srcObject).toBeNull();
  expect(video.dataset.shown).toBe('false');
  expect(track.subscribed).toBe(false);
});

test('the element plays at once and is shown from the first own frame on', () => {
  track.update(stream, { mid: '5', track: 1 });
  expect(video.srcObject).toBe(stream);
  video.present(100);
  expect(video.dataset.shown).toBe('false');
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(150);
  expect(video.dataset.shown).toBe('false');
  video.present(210);
  expect(video.dataset.shown).toBe('true');
  expect(track.shown).toBe(true);
  expect(changed).toHaveBeenCalled();
});

test('a lost slot empties the element at once', () => {
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(200);
  track.update(undefined, undefined);
  expect(video.dataset.shown).toBe('false');
  expect(video.srcObject).toBeNull();
});

test('what is muted is hidden, and shown again from its next first frame on', () => {
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(200);
  track.update(stream, { mid: '5', track: 1, reason: 'muted' });
  expect(video.dataset.shown).toBe('false');
  expect(track.subscribed).toBe(false);
  track.update(stream, { mid: '5', track: 1, first_timestamp: 900 });
  expect(video.dataset.shown).toBe('false');
  video.present(900);
  expect(video.dataset.shown).toBe('true');
});

test.each(['bandwidth', 'paused'] as const)('what is not sent for now (%s) leaves its last picture, which is no live one, until the next', (reason) => {
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(200);
  track.update(stream, { mid: '5', track: 1, reason });
  expect(video.dataset.shown).toBe('held');
  expect(track.shown).toBe(false);
  expect(track.subscribed).toBe(false);
  // What was on its way already.
  video.present(210);
  track.update(stream, { mid: '5', track: 1 });
  expect(video.dataset.shown).toBe('held');
  track.update(stream, { mid: '5', track: 1, first_timestamp: 900 });
  expect(video.dataset.shown).toBe('held');
  video.present(900);
  expect(video.dataset.shown).toBe('true');
});

test('what is muted while its picture is held is hidden', () => {
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(200);
  track.update(stream, { mid: '5', track: 1, reason: 'bandwidth' });
  track.update(stream, { mid: '5', track: 1, reason: 'muted' });
  expect(video.dataset.shown).toBe('false');
});

test('what was never shown is not held', () => {
  track.update(stream, { mid: '5', track: 1, reason: 'paused' });
  expect(video.dataset.shown).toBe('false');
});

test('another element waits for its own first frame', () => {
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  video.present(200);
  const second = new FakeVideo();
  track.attach(second as unknown as HTMLVideoElement);
  expect(second.dataset.shown).toBe('false');
  second.present(300);
  expect(second.dataset.shown).toBe('true');
});

test('a detached element is left alone', () => {
  track.detach(video as unknown as HTMLVideoElement);
  track.update(stream, { mid: '5', track: 1, first_timestamp: 200 });
  expect(video.srcObject).toBeNull();
});
