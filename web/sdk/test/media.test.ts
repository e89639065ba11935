import { describe, expect, test } from 'vitest';
import { receiveCodecs, sendCodecs } from '../src/codecs.ts';
import { DATA_BYTES_MAX, decodeData, encodeData } from '../src/data.ts';
import { publishedSections } from '../src/media.ts';
import { socketUrl } from '../src/visit.ts';

function section(source: 'camera' | 'screen', mid: string | null, direction: RTCRtpTransceiverDirection, muted = false) {
  return { source, muted, transceiver: { mid, direction } as RTCRtpTransceiver };
}

test('an offer lists each section in use, muted or not, and no other', () => {
  const sections = [
    section('camera', '1', 'sendonly', true),
    section('screen', '14', 'inactive'),
    section('screen', '15', 'stopped'),
    section('screen', null, 'sendonly'),
    section('screen', '16', 'sendonly'),
  ];
  expect(publishedSections(sections)).toEqual([
    { mid: '1', source: 'camera', muted: true },
    { mid: '16', source: 'screen', muted: false },
  ]);
});

describe('codecs', () => {
  const video = [
    { mimeType: 'video/VP9', sdpFmtpLine: 'profile-id=0' },
    { mimeType: 'video/VP9', sdpFmtpLine: 'profile-id=2' },
    { mimeType: 'video/rtx' },
    { mimeType: 'video/H264', sdpFmtpLine: 'level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f' },
    { mimeType: 'video/AV1', sdpFmtpLine: 'level-idx=5;profile=0;tier=0' },
    { mimeType: 'video/AV1', sdpFmtpLine: 'level-idx=5;profile=1;tier=0' },
    { mimeType: 'video/VP8' },
    { mimeType: 'video/red' },
    { mimeType: 'video/ulpfec' },
  ];
  const names = (codecs: { mimeType: string }[]) => codecs.map(({ mimeType }) => mimeType);

  test('VP8 is sent first, and alone where layers cannot be asked for', () => {
    expect(names(sendCodecs('video', video))).toEqual(['video/VP8', 'video/VP9', 'video/H264', 'video/AV1', 'video/rtx']);
    expect(names(sendCodecs('video', video, false))).toEqual(['video/VP8', 'video/rtx']);
  });

  test('every common codec is received, VP8 preferred, no error correction', () => {
    expect(names(receiveCodecs('video', video))).toEqual(['video/VP8', 'video/VP9', 'video/H264', 'video/AV1', 'video/rtx']);
  });

  test('sound is Opus, with redundancy where the browser knows it', () => {
    const audio = [{ mimeType: 'audio/opus' }, { mimeType: 'audio/PCMU' }, { mimeType: 'audio/red' }];
    expect(names(sendCodecs('audio', audio))).toEqual(['audio/red', 'audio/opus']);
    expect(names(receiveCodecs('audio', audio))).toEqual(['audio/red', 'audio/opus']);
    expect(names(sendCodecs('audio', audio.slice(0, 2)))).toEqual(['audio/opus']);
  });
});

describe('data messages', () => {
  test('name a participant in front', () => {
    const message = encodeData(0x0102_0304, new Uint8Array([9, 8]));
    expect([...message]).toEqual([1, 2, 3, 4, 9, 8]);
    expect(decodeData(message.buffer)).toEqual({ from: 0x0102_0304, payload: new Uint8Array([9, 8]) });
  });

  test('have a limit, and a least length', () => {
    expect(() => encodeData(0, new Uint8Array(DATA_BYTES_MAX + 1))).toThrow(RangeError);
    expect(encodeData(0, new Uint8Array(DATA_BYTES_MAX))).toHaveLength(DATA_BYTES_MAX + 4);
    expect(decodeData(new ArrayBuffer(3))).toBeUndefined();
  });
});

test.each([
  ['http://localhost:8080', 'lobby', 'ws://localhost:8080/api/v1/rooms/lobby/socket'],
  ['https://example.org/', '产品', 'wss://example.org/api/v1/rooms/%E4%BA%A7%E5%93%81/socket'],
])('the socket of %s, room %s', (server, room, expected) => {
  expect(socketUrl(server, room)).toBe(expected);
});
