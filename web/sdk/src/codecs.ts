import type { VideoCodec } from './protocol.gen.ts';

type Codec = Pick<RTCRtpCodec, 'mimeType' | 'sdpFmtpLine'>;

/**
 * What may be sent. The answer lists the room's codec first, and a browser sends the first one that both have: VP8 unless the room was made
 * otherwise. With `only` it is that one whatever the room prefers, if the browser has it.
 */
export function sendCodecs<T extends Codec>(kind: 'audio' | 'video', capabilities: T[], { only }: { only?: VideoCodec | undefined } = {}): T[] {
  const all = receiveCodecs(kind, capabilities);
  const some = pick(all, [`video/${only}`, 'video/rtx']);
  return some.some((codec) => !isRepair(codec)) ? some : all;
}

/** Whether the browser has it, or nothing was asked for. */
export function hasCodec(capabilities: Codec[], codec: VideoCodec | undefined): boolean {
  return codec === undefined || pick(receiveCodecs('video', capabilities), [`video/${codec}`]).length > 0;
}

/**
 * What may be received: every codec that somebody might publish, in the one profile that is published. Sound with redundancy comes first, so that
 * one lost packet in a row is not heard; a picture has no forward error correction: the server sends none. The trimming keeps an offer of a dozen slots at a quarter of its size.
 */
export function receiveCodecs<T extends Codec>(kind: 'audio' | 'video', capabilities: T[]): T[] {
  if (kind === 'audio') return pick(capabilities, ['audio/red', 'audio/opus']);
  return pick(capabilities, ['video/vp8', 'video/vp9', 'video/h264', 'video/av1', 'video/rtx']).filter(isCommonProfile);
}

function pick<T extends Codec>(capabilities: T[], mimeTypes: string[]): T[] {
  return mimeTypes.flatMap((wanted) => capabilities.filter(({ mimeType }) => mimeType.toLowerCase() === wanted));
}

function isRepair({ mimeType }: Codec): boolean {
  return mimeType.toLowerCase() === 'video/rtx';
}

function isCommonProfile({ mimeType, sdpFmtpLine = '' }: Codec): boolean {
  switch (mimeType.toLowerCase()) {
    case 'video/vp9':
      return /profile-id=0\b/.test(sdpFmtpLine) || !sdpFmtpLine.includes('profile-id');
    case 'video/h264':
      return sdpFmtpLine.includes('packetization-mode=1');
    case 'video/av1':
      return /profile=0\b/.test(sdpFmtpLine) || !/(^|;)profile=/.test(sdpFmtpLine);
    default:
      return true;
  }
}
