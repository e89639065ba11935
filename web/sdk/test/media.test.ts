import { afterEach, describe, expect, test } from 'vitest';
import { receiveCodecs, sendCodecs } from '../src/codecs.ts';
import { DATA_BYTES_MAX, decodeData, encodeData } from '../src/data.ts';
import { encodingsOf, type Encoding } from '../src/encodings.ts';
import { Media, publishedSections } from '../src/media.ts';
import type { PublishOptions } from '../src/options.ts';
import { LocalTrack } from '../src/track.ts';
import { socketUrl } from '../src/visit.ts';
import { FakePeerConnection, installBrowser } from './fake-browser.ts';

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

  test('VP8 is sent first; what is asked for alone, where the browser has it', () => {
    expect(names(sendCodecs('video', video))).toEqual(['video/VP8', 'video/VP9', 'video/H264', 'video/AV1', 'video/rtx']);
    expect(names(sendCodecs('video', video, { only: 'av1' }))).toEqual(['video/AV1', 'video/rtx']);
    expect(names(sendCodecs('video', video.slice(-3), { only: 'vp9' }))).toEqual(['video/VP8']);
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

describe('encodings', () => {
  const short = (encodings: Encoding[]) => encodings.map(({ rid, scalabilityMode, maxBitrate }) => [rid, scalabilityMode, maxBitrate]);

  test('of a camera are three with layers in time, of a screen two without', () => {
    expect(short(encodingsOf('camera'))).toEqual([['q', 'L1T3', 160_000], ['h', 'L1T3', 450_000], ['f', 'L1T3', 1_700_000]]);
    expect(short(encodingsOf('screen'))).toEqual([['h', 'L1T1', 500_000], ['f', 'L1T1', 2_500_000]]);
    expect(short(encodingsOf('camera', { videoCodec: 'h264', scalabilityMode: 'L1T2' })).map(([, mode]) => mode)).toEqual(['L1T2', 'L1T2', 'L1T2']);
  });

  test('are one with layers in it, in a codec that has them or where they are asked for', () => {
    expect(short(encodingsOf('camera', { videoCodec: 'vp9' }))).toEqual([[undefined, 'L3T3_KEY', 1_700_000]]);
    expect(short(encodingsOf('camera', { videoCodec: 'av1', scalabilityMode: 'L1T3' }))).toEqual([[undefined, 'L1T3', 1_700_000]]);
    expect(short(encodingsOf('screen', { scalabilityMode: 'L2T1' }))).toEqual([[undefined, 'L2T1', 2_500_000]]);
  });
});

describe('sections that send pictures', () => {
  afterEach(() => {
    FakePeerConnection.knowsLayers = true;
  });

  const offered = (publish: PublishOptions) => {
    installBrowser();
    new Media({ sources: ['camera'], slots: { audio: 0, video: 0 }, local: () => new LocalTrack(), publish });
    return FakePeerConnection.all.at(-1)?.transceivers.filter(({ stopped }) => !stopped).map(({ sender }) => sender.getParameters().encodings.length);
  };

  test('have one encoding where the browser knows layers, and several where it does not', () => {
    expect(offered({ videoCodec: 'vp9' })).toEqual([1]);
    FakePeerConnection.knowsLayers = false;
    expect(offered({ videoCodec: 'vp9' })).toEqual([3]);
    expect(offered({})).toEqual([3]);
  });

  test('have several encodings where the browser lacks the codec', () => {
    expect(offered({ videoCodec: 'av1' })).toEqual([3]);
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
