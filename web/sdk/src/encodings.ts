/**
 * In which encodings a picture is sent. Either in several sizes at once (simulcast), or in one encoding whose layers the server takes apart (SVC):
 *
 *     several sizes   VP8, H.264; the default, since every browser can send and receive it
 *     one encoding    VP9, AV1, and whatever has layers in space
 */
import type { PublishOptions } from './options.ts';
import type { Source } from './protocol.gen.ts';

/** As of WebRTC SVC; browsers know it, the types do not. */
export interface Encoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/** Lowest first. The bitrates are those at which VP8 looks good at 180, 360 and 720 lines. */
const CAMERA: Encoding[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 160_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 450_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** Readable text needs all of the resolution, seldom all of the frames; whoever sees it small, or has little bandwidth, gets half and few. */
const SCREEN: Encoding[] = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, maxFramerate: 5 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 2_500_000, maxFramerate: 15 },
];

/** Three sizes, each of which needs nothing of the smaller ones but at a keyframe: the receiver of one gets one. */
const MODE_OF_LAYERED = 'L3T3_KEY';

/**
 * With layers in time, where the browser knows how to be asked for them: three of a camera, so that the server may halve the frame rate. A screen in
 * several sizes has none: a limit of five frames a second would leave two of them.
 */
export function encodingsOf(source: Source, { videoCodec, scalabilityMode }: PublishOptions = {}): Encoding[] {
  const sizes = plainEncodingsOf(source);
  if (videoCodec === 'vp9' || videoCodec === 'av1' || hasLayersInSpace(scalabilityMode)) {
    return sizes.slice(-1).map(({ maxBitrate = 0 }) => ({ maxBitrate, scalabilityMode: scalabilityMode ?? MODE_OF_LAYERED }));
  }
  const mode = scalabilityMode ?? (source === 'camera' ? 'L1T3' : 'L1T1');
  return sizes.map((encoding) => ({ ...encoding, scalabilityMode: mode }));
}

/** For a browser that does not know layers: sizes in VP8, whatever was asked for. */
export function plainEncodingsOf(source: Source): Encoding[] {
  return source === 'camera' ? CAMERA : SCREEN;
}

function hasLayersInSpace(mode: string | undefined): boolean {
  return mode !== undefined && !/^[LS]1/.test(mode);
}
