import { afterEach, expect, test, vi } from 'vitest';
import { acquireDevices } from '../src/lib/devices.ts';

afterEach(() => vi.unstubAllGlobals());

/** A browser whose devices fail with the named errors. */
function browserWith(errors: { audio?: string; video?: string }) {
  const getUserMedia = vi.fn((wanted: MediaStreamConstraints) => {
    for (const kind of ['audio', 'video'] as const) {
      if (wanted[kind] && errors[kind]) return Promise.reject(new DOMException('', errors[kind]));
    }
    const kinds = (['audio', 'video'] as const).filter((kind) => wanted[kind]);
    return Promise.resolve({ getTracks: () => kinds.map((kind) => ({ kind })) });
  });
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia } });
  return getUserMedia;
}

async function acquired() {
  const { tracks, problem } = await acquireDevices();
  return { kinds: tracks.map(({ kind }) => kind), problem };
}

test('both in one question', async () => {
  const getUserMedia = browserWith({});
  expect(await acquired()).toEqual({ kinds: ['audio', 'video'], problem: undefined });
  expect(getUserMedia).toHaveBeenCalledTimes(1);
});

test('a camera that is missing or busy does not cost the microphone', async () => {
  browserWith({ video: 'NotFoundError' });
  expect(await acquired()).toEqual({ kinds: ['audio'], problem: 'missing' });
  browserWith({ video: 'NotReadableError' });
  expect(await acquired()).toEqual({ kinds: ['audio'], problem: 'busy' });
});

test('who said no is not asked again', async () => {
  const getUserMedia = browserWith({ audio: 'NotAllowedError', video: 'NotAllowedError' });
  expect(await acquired()).toEqual({ kinds: [], problem: 'denied' });
  expect(getUserMedia).toHaveBeenCalledTimes(1);
});

test('an insecure page has no devices', async () => {
  vi.stubGlobal('navigator', {});
  expect(await acquired()).toEqual({ kinds: [], problem: 'insecure' });
});
