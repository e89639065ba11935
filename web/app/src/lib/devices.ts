import { captureCamera, captureMicrophone } from '@ninefold/client';

/** Why a device is not to be had, as far as a person can do something about it. */
export type DeviceProblem = 'denied' | 'busy' | 'missing' | 'insecure';

export interface Devices {
  tracks: MediaStreamTrack[];
  /** The worst of what went wrong. */
  problem: DeviceProblem | undefined;
}

/**
 * Camera and microphone, as far as they are to be had. Both in one question; if that fails, each alone, so that a missing camera does not cost
 * the microphone.
 */
export async function acquireDevices(): Promise<Devices> {
  if (!('mediaDevices' in navigator)) return { tracks: [], problem: 'insecure' };
  const results = await Promise.allSettled([captureMicrophone(), captureCamera()]);
  const tracks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const problems = results.flatMap((result) => (result.status === 'rejected' ? [problemOf(result.reason)] : []));
  return { tracks, problem: problems[0] };
}

export function problemOf(error: unknown): DeviceProblem {
  const name = error instanceof Error ? error.name : '';
  switch (name) {
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'denied';
  }
}

/** Whether a person merely closed the browser's question for a screen. */
export function isDismissed(error: unknown): boolean {
  return error instanceof Error && error.name === 'NotAllowedError';
}

export function stopTracks(tracks: MediaStreamTrack[]): void {
  for (const track of tracks) track.stop();
}
