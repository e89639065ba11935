/**
 * What one sender sends of what it could. Two things decide: which layers fit the picture of a camera, and which encodings anybody watches, as the
 * server says. Both hold on their own, whichever changes.
 */
import { CAMERA_WIDTH } from './capture.ts';

/** What a browser that changes its sender by itself, in a negotiation, may need. */
const ATTEMPTS_MAX = 3;

/**
 * What each of so many encodings divides the picture by, if its longer side has so many pixels; 0: not sent. Browsers drop layers of small pictures,
 * the largest first, whatever they are asked for; so a small picture has fewer, and its best one is the whole picture.
 */
export function layerScales(longerSide: number, encodings: number): number[] {
  const most = longerSide >= 960 ? 3 : longerSide >= 480 ? 2 : 1;
  const layers = Math.min(most, encodings);
  return Array.from({ length: encodings }, (_, index) => (index < layers ? 2 ** (layers - 1 - index) : 0));
}

export class SenderEncodings {
  private readonly sender: RTCRtpSender;
  /** Of the picture, in pixels; undefined: whatever it is, all encodings fit. */
  private longerSide: number | undefined;
  private watched: readonly boolean[] = [];
  /** Changes of one sender must not overlap. */
  private work: Promise<void> = Promise.resolve();

  constructor(sender: RTCRtpSender) {
    this.sender = sender;
  }

  /** Sends the layers that fit the picture of this track. */
  fit(track: MediaStreamTrack): Promise<void> {
    const { width = 0, height = 0 } = track.getSettings();
    this.longerSide = Math.max(width, height) || CAMERA_WIDTH;
    return this.apply();
  }

  /** Which encodings anybody watches, in the order of the offer's rids; those that are not named are. */
  watch(active: readonly boolean[]): Promise<void> {
    this.watched = active;
    return this.apply();
  }

  private apply(): Promise<void> {
    this.work = this.work.catch(() => {}).then(() => this.set());
    return this.work;
  }

  private async set(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const parameters = this.sender.getParameters();
      if (!this.change(parameters.encodings)) return;
      try {
        return await this.sender.setParameters(parameters);
      } catch (error) {
        const isOutdated = error instanceof DOMException && error.name === 'InvalidStateError';
        if (!isOutdated || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** Whether anything is another way now. */
  private change(encodings: RTCRtpEncodingParameters[]): boolean {
    const scales = this.longerSide === undefined ? [] : layerScales(this.longerSide, encodings.length);
    const before = JSON.stringify(encodings);
    encodings.forEach((encoding, index) => {
      const scale = scales[index];
      encoding.active = scale !== 0 && this.watched[index] !== false;
      if (scale !== undefined) encoding.scaleResolutionDownBy = scale || 1;
    });
    return JSON.stringify(encodings) !== before;
  }
}
