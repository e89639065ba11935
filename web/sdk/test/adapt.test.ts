/** A room that tells how its videos are shown, and sends what is watched. */
import { describe, expect, test } from 'vitest';
import { Room } from '../src/index.ts';
import type { RemoteTrackPublication } from '../src/track.ts';
import { FakeTrack, FakeVideo } from './fake-browser.ts';
import { answer, browser, enter, happen, letIn, pass, person, reach, refuse, resume, room, settle } from './fake-room.ts';
import type { FakeSocket } from './fake-socket.ts';

const MID = '70';

/** Bo publishes a camera, which is in a slot. */
async function meet(socket: FakeSocket, number = 7): Promise<RemoteTrackPublication> {
  happen(socket, 11, { kind: 'track_published', participant: 1, track: { track: number, source: 'camera', muted: false } });
  socket.receive({ type: 'slots', slots: [{ mid: MID, track: number, participant: 1 }] });
  await settle();
  const publication = room.remoteParticipants.get(1)?.publications.get(number);
  if (!publication) throw new Error('It is not published.');
  return publication;
}

const told = (socket: FakeSocket) => socket.sent.filter(({ type }) => type === 'wishes').map(({ slots }) => slots);
const shown = { mid: MID, track: 7, visible: true, priority: 0, paused: false };

describe('how a video is shown', () => {
  test('is told, as its elements have it', async () => {
    const socket = await enter();
    const { track } = await meet(socket);
    const video = new FakeVideo();
    track.attach(video.media);
    video.layOut(640, 360);
    await pass(0);
    expect(told(socket)).toEqual([[{ ...shown, width: 640, height: 360 }]]);
    Object.assign(browser.window, { devicePixelRatio: 3 });
    Object.assign(video, { videoWidth: 1280, videoHeight: 720, objectFit: 'cover' });
    video.layOut(160, 160);
    await pass(100);
    expect(told(socket).at(-1)).toEqual([{ ...shown, width: 569, height: 320 }]);
    // A layer of the same picture, but for a rounding.
    Object.assign(video, { videoWidth: 322, videoHeight: 180 });
    video.dispatchEvent(new Event('resize'));
    await pass(100);
    expect(told(socket)).toHaveLength(2);
  });

  test('is that it is not, out of the viewport, without size, detached, and in the background', async () => {
    const socket = await enter();
    const { track } = await meet(socket);
    const video = new FakeVideo();
    const look = (hidden: boolean) => {
      browser.document.hidden = hidden;
      browser.document.dispatchEvent(new Event('visibilitychange'));
    };
    track.attach(video.media);
    const hide = [() => video.layOut(640, 360, false), () => video.layOut(0, 0), () => look(true), () => track.detach(video.media)];
    for (const away of hide) {
      look(false);
      video.layOut(640, 360);
      await pass(200);
      expect(told(socket).at(-1)).toEqual([{ ...shown, width: 640, height: 360 }]);
      away();
      await pass(99);
      expect(told(socket).at(-1)).toEqual([{ ...shown, width: 640, height: 360 }]);
      await pass(101);
      expect(told(socket).at(-1), String(away)).toEqual([{ ...shown, visible: false }]);
    }
  });

  test('goes on in a picture-in-picture window while the page is in the background', async () => {
    const socket = await enter();
    const { track } = await meet(socket);
    const video = new FakeVideo();
    track.attach(video.media);
    video.layOut(640, 360);
    const floating = Object.assign(new EventTarget(), { width: 320, height: 180 });
    video.dispatchEvent(Object.assign(new Event('enterpictureinpicture'), { pictureInPictureWindow: floating }));
    browser.document.hidden = true;
    browser.document.dispatchEvent(new Event('visibilitychange'));
    await pass(300);
    expect(told(socket).at(-1)).toEqual([{ ...shown, width: 320, height: 180 }]);
    video.dispatchEvent(new Event('leavepictureinpicture'));
    await pass(300);
    expect(told(socket).at(-1)).toEqual([{ ...shown, visible: false }]);
  });

  test('goes on in a floating document, until that is closed', async () => {
    const floating = Object.assign(new EventTarget(), { document: {}, ResizeObserver: globalThis.ResizeObserver });
    const pictureInPicture = Object.assign(new EventTarget(), { window: null as unknown });
    Object.assign(browser.window, { documentPictureInPicture: pictureInPicture });
    const socket = await enter();
    const { track } = await meet(socket);
    const video = new FakeVideo();
    track.attach(video.media);
    video.layOut(640, 360);
    pictureInPicture.window = floating;
    pictureInPicture.dispatchEvent(new Event('enter'));
    video.ownerDocument = floating.document;
    browser.document.hidden = true;
    browser.document.dispatchEvent(new Event('visibilitychange'));
    video.layOut(320, 180, false);
    await pass(300);
    expect(told(socket).at(-1)).toEqual([{ ...shown, width: 320, height: 180 }]);
    floating.dispatchEvent(new Event('pagehide'));
    pictureInPicture.window = null;
    await pass(300);
    expect(told(socket).at(-1)).toEqual([{ ...shown, visible: false }]);
    const count = told(socket).length;
    floating.dispatchEvent(new Event('pagehide'));
    track.detach(video.media);
    await pass(300);
    expect(told(socket), 'a detached element says nothing').toHaveLength(count);
  });

  test('is told of a page that is opened in the background, which browsers do not lay out', async () => {
    browser.document.hidden = true;
    const socket = await enter();
    (await meet(socket)).track.attach(new FakeVideo().media);
    await pass(200);
    expect(told(socket)).toEqual([[{ ...shown, visible: false }]]);
  });

  test('is not told where no element is attached, nor if nobody wants that', async () => {
    const socket = await enter();
    await meet(socket);
    await pass(1000);
    expect(told(socket)).toEqual([]);
    const plain = new Room({ adaptiveStream: false });
    const connecting = plain.connect('http://server', { room: 'r', name: 'Ada' });
    await settle();
    browser.socket().open();
    await settle();
    letIn(browser.socket());
    await connecting;
    const other = browser.socket();
    happen(other, 11, { kind: 'track_published', participant: 1, track: { track: 7, source: 'camera', muted: false } });
    other.receive({ type: 'slots', slots: [{ mid: MID, track: 7, participant: 1 }] });
    const publication = plain.remoteParticipants.get(1)?.publications.get(7);
    publication?.track.attach(new FakeVideo().media);
    await pass(1000);
    expect(told(other)).toEqual([]);
    publication?.setPriority(3);
    publication?.setEnabled(false);
    publication?.setSize(320, 180);
    await pass(100);
    expect(told(other)).toEqual([[{ ...shown, priority: 3, paused: true, width: 320, height: 180 }]]);
    plain.disconnect();
  });

  test('is told when the roster knows of a track later than the slots', async () => {
    const socket = await enter();
    socket.receive({ type: 'slots', slots: [{ mid: MID, track: 7, participant: 1 }] });
    room.on('TrackPublished', (publication) => publication.setPriority(1));
    happen(socket, 11, { kind: 'track_published', participant: 1, track: { track: 7, source: 'camera', muted: false } });
    await pass(100);
    expect(told(socket)).toEqual([[{ ...shown, priority: 1 }]]);
  });

  test('is not told of sound', async () => {
    const socket = await enter();
    happen(socket, 11, { kind: 'track_published', participant: 1, track: { track: 8, source: 'microphone', muted: false } });
    socket.receive({ type: 'slots', slots: [{ mid: '60', track: 8, participant: 1 }] });
    room.remoteParticipants.get(1)?.publications.get(8)?.setPriority(1);
    await pass(100);
    expect(told(socket)).toEqual([]);
  });

  test('is told again to a server that may not have heard it, and to another one', async () => {
    const socket = await enter();
    (await meet(socket)).setPriority(2);
    await pass(100);
    socket.lose();
    const next = await reach();
    await resume(next);
    await pass(100);
    expect(told(next)).toEqual([[{ ...shown, priority: 2 }]]);
    next.lose();
    refuse(await reach(), 'resume', 'cannot_resume');
    const another = await reach();
    letIn(another, { participant: 5, participants: [{ ...person(1, 'Bo'), tracks: [{ track: 7, source: 'camera', muted: false }] }, person(5, 'Ada')] });
    await settle();
    another.receive({ type: 'slots', slots: [{ mid: '90', track: 7, participant: 1 }] });
    await pass(100);
    expect(told(another)).toEqual([[{ ...shown, mid: '90', priority: 2 }]]);
  });
});

describe('what is watched', () => {
  test('is sent, and nothing else, through another camera and not into another connection', async () => {
    const [microphone, camera] = [new FakeTrack('audio'), new FakeTrack('video')];
    const socket = await enter({ tracks: [microphone.media, camera.media] });
    const numbers = (['microphone', 'camera'] as const).map((source) => room.localParticipant.publication(source)?.number ?? 0);
    const say = (microphone: boolean, camera: boolean[]) =>
      socket.receive({ type: 'encodings', tracks: numbers.map((track, at) => ({ track, active: at === 0 ? [microphone] : camera })) });
    const [sound, picture] = [browser.peer().senderOf(microphone), browser.peer().senderOf(camera)];
    expect([sound.track, picture.active]).toEqual([microphone, [true, true, true]]);
    say(false, [true, false, false]);
    await settle();
    expect([sound.track, picture.active]).toEqual([null, [true, false, false]]);
    expect(microphone.enabled, 'whoever speaks is not muted').toBe(true);
    expect(room.localParticipant.isMicrophoneEnabled).toBe(true);
    await room.localParticipant.publishTrack(new FakeTrack('video').media, 'camera');
    await settle();
    expect(picture.active).toEqual([true, false, false]);
    say(true, [true, true, true]);
    await settle();
    expect([sound.track, picture.active]).toEqual([microphone, [true, true, true]]);
    say(false, [false, false, false]);
    await settle();
    socket.lose();
    refuse(await reach(), 'resume', 'cannot_resume');
    letIn(await reach(), { participant: 5 });
    await settle();
    expect(browser.peer().sending[0], 'all of it is sent').toBe(microphone);
    expect(browser.peer().transceivers.map(({ sender }) => sender.active)).not.toContainEqual([false, false, false]);
  });

  test('is known of a screen before its number is, and forgotten with it', async () => {
    const socket = await enter();
    const share = async () => {
      const screen = new FakeTrack('video');
      const publishing = room.localParticipant.publishTrack(screen.media, 'screen');
      await pass(20);
      return { screen, publishing };
    };
    const { screen, publishing } = await share();
    const sender = browser.peer().senderOf(screen);
    expect(sender.active).toEqual([true, true]);
    answer(socket);
    // Sections are numbered from 50 on: microphone, camera, screen.
    socket.receive({ type: 'encodings', tracks: [{ track: 52, active: [true, false] }] });
    await publishing;
    await settle();
    expect(sender.active).toEqual([true, false]);
    const stopping = room.localParticipant.unpublishTrack('screen');
    await pass(20);
    answer(socket);
    await stopping;
    const again = await share();
    answer(socket);
    await again.publishing;
    await settle();
    expect(browser.peer().senderOf(again.screen)).toBe(sender);
    expect(sender.active).toEqual([true, true]);
  });

  test('goes on being sent by a browser that cannot stop it', async () => {
    const camera = new FakeTrack('video');
    const socket = await enter({ tracks: [camera.media] });
    browser.peer().senderOf(camera).setParameters = () => Promise.reject(new TypeError('no'));
    socket.receive({ type: 'encodings', tracks: [{ track: room.localParticipant.publication('camera')?.number ?? 0, active: [true, true, false] }] });
    await settle();
    expect(console.warn).toHaveBeenCalledTimes(1);
    expect(room.state).toBe('connected');
  });
});

test('why nothing is sent is told, also of a slot that begins so', async () => {
  const socket = await enter();
  const reasons: (string | undefined)[] = [];
  room.on('TrackStreamStateChanged', ({ track }) => reasons.push(track.reason));
  await meet(socket);
  for (const reason of ['bandwidth', 'bandwidth', 'paused', undefined] as const) {
    socket.receive({ type: 'slots', slots: [{ mid: MID, track: 7, participant: 1, ...(reason && { reason }) }] });
  }
  socket.receive({ type: 'slots', slots: [{ mid: MID }] });
  socket.receive({ type: 'slots', slots: [{ mid: '71', track: 7, participant: 1, reason: 'codec' }] });
  expect(reasons).toEqual(['bandwidth', 'paused', undefined, 'codec']);
});

test('what is sent, and why it is not more', async () => {
  const socket = await enter();
  const publication = await meet(socket);
  const asked = [room.layers(), publication.layers()] as const;
  expect(socket.sent.filter(({ type }) => type === 'layers'), 'one question for both').toHaveLength(1);
  const slots = [{ mid: MID, track: 7, sent: { spatial: 0, temporal: 2, kbps: 150 }, limit: 'bandwidth' as const }];
  socket.receive({ type: 'layers', id: socket.last('layers').id, estimate_kbps: 300, slots });
  expect(await Promise.all(asked)).toEqual([{ estimateKbps: 300, slots }, slots[0]]);
  const again = room.layers();
  socket.receive({ type: 'layers', id: socket.last('layers').id, slots: [] });
  expect(await again).toEqual({ estimateKbps: undefined, slots: [] });
  room.disconnect();
  await expect(room.layers()).rejects.toMatchObject({ code: 'disconnected' });
});
