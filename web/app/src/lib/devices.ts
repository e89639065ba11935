import { captureCamera, captureCameraAndMicrophone, captureMicrophone } from '@ninefold/client';

/** Why a device is not to be had, as far as a person can do something about it. */
export type DeviceProblem = 'denied' | 'busy' | 'missing' | 'insecure';

export interface Devices {
  tracks: MediaStreamTrack[];
  /** Why not both of them. */
  problem: DeviceProblem | undefined;
}

/**
 * Camera and microphone, as far as they are to be had: both in one question; if that fails, each alone, so that a missing camera does not cost
 * the microphone. A person who said no is not asked again.
 */
export async function acquireDevices(): Promise<Devices> {
  if (!('mediaDevices' in navigator)) return { tracks: [], problem: 'insecure' };
  try {
    return { tracks: await captureCameraAndMicrophone(), problem: undefined };
  } catch (error) {
    const problem = problemOf(error);
    if (problem === 'denied') return { tracks: [], problem };
    const each = await Promise.allSettled([captureMicrophone(), captureCamera()]);
    return { tracks: each.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])), problem };
  }
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
