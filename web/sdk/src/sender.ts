/**
 * What one section sends: of which track, and how much of it. Two things decide that: which layers fit a picture, and which encodings anybody watches,
 * as the server says. Both hold, whichever changes, and whatever track comes next.
 */
import { CAMERA_WIDTH } from './capture.ts';

/** A negotiation may change a sender between the look at it and the change: then once more, but not for ever. */
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

export class TrackSender {
  private readonly sender: RTCRtpSender;
  private readonly kind: 'audio' | 'video';
  private carried: MediaStreamTrack | null = null;
  /** Of the picture, in pixels. */
  private longerSide = CAMERA_WIDTH;
  private watched: readonly boolean[] = [];
  /** Changes of one sender must not overlap. */
  private work: Promise<void> = Promise.resolve();

  constructor(sender: RTCRtpSender, kind: 'audio' | 'video') {
    this.sender = sender;
    this.kind = kind;
  }

  /** What is sent as long as anybody watches it. */
  get track(): MediaStreamTrack | null {
    return this.carried;
  }

  /** Sends this track from now on, a picture in the layers that fit it; or nothing. */
  replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    return this.inOrder(async () => {
      await this.carry(track);
      this.carried = track;
      if (!track || this.kind === 'audio') return;
      const { width = 0, height = 0 } = track.getSettings();
      this.longerSide = Math.max(width, height) || CAMERA_WIDTH;
      await this.setEncodings();
    });
  }

  /** Which encodings anybody watches, in the order of the offer's rids; those that are not named are. */
  watch(active: readonly boolean[]): Promise<void> {
    this.watched = active;
    return this.inOrder(() => (this.kind === 'audio' ? this.carry(this.carried) : this.setEncodings()));
  }

  /** Sound has one encoding, and Firefox sends it even if it is not active: so who is not heard gives the sender no track. */
  private async carry(track: MediaStreamTrack | null): Promise<void> {
    const isHeard = this.kind === 'video' || this.watched[0] !== false;
    const wanted = isHeard ? track : null;
    if (this.sender.track !== wanted) await this.sender.replaceTrack(wanted);
  }

  private async setEncodings(): Promise<void> {
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
    const scales = layerScales(this.longerSide, encodings.length);
    const before = JSON.stringify(encodings);
    encodings.forEach((encoding, index) => {
      const scale = scales[index] ?? 0;
      encoding.active = scale > 0 && this.watched[index] !== false;
      encoding.scaleResolutionDownBy = scale || 1;
    });
    return JSON.stringify(encodings) !== before;
  }

  private inOrder(work: () => Promise<void>): Promise<void> {
    this.work = this.work.catch(() => {}).then(work);
    return this.work;
  }
}
