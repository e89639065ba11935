type Codec = Pick<RTCRtpCodec, 'mimeType' | 'sdpFmtpLine'>;

/**
 * What may be sent. The answer lists the room's codec first, and a browser sends the first one that both have: VP8 unless the room was made
 * otherwise. A browser that cannot be asked for layers (`canLayer`) makes wrong sizes of simulcast in other codecs, so it offers VP8 only.
 */
export function sendCodecs<T extends Codec>(kind: 'audio' | 'video', capabilities: T[], canLayer = true): T[] {
  if (kind === 'audio') return receiveCodecs(kind, capabilities);
  return canLayer ? receiveCodecs(kind, capabilities) : pick(capabilities, ['video/vp8', 'video/rtx']);
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
