import { describe, expect, test, vi } from 'vitest';
import { FakeTrack } from './fake-browser.ts';
import { answer, browser, enter, happen, letIn, offered, pass, refuse, room, settle, told } from './fake-room.ts';

describe('access', () => {
  test('the lobby: connect waits', async () => {
    const connecting = room.connect('http://server', { room: 'r', name: 'Ada', token: 'secret' });
    await settle();
    const socket = browser.socket();
    socket.open();
    await settle();
    expect(socket.url).not.toContain('secret');
    socket.receive({ type: 'waiting', id: 1 });
    await pass(600_000);
    expect(told).toEqual(['Waiting']);
    expect(room.state).toBe('connecting');
    letIn(socket);
    await connecting;
    expect(room.state).toBe('connected');
  });

  test('who does not want to wait any longer leaves', async () => {
    const connecting = expect(room.connect('http://server', { room: 'r', name: 'Ada' })).rejects.toMatchObject({ code: 'left' });
    await settle();
    const socket = browser.socket();
    socket.open();
    await settle();
    socket.receive({ type: 'waiting', id: 1 });
    room.disconnect();
    await connecting;
    expect(socket.sent.at(-1)).toEqual({ type: 'leave' });
    expect(room.state).toBe('disconnected');
    expect(browser.peer().closed).toBe(true);
  });

  test('who may publish less than the offer is ready for joins without, and publishes what is allowed', async () => {
    const [microphone, camera] = [new FakeTrack('audio'), new FakeTrack('video')];
    const connecting = room.connect('http://server', { room: 'r', name: 'Ada', tracks: [microphone.media, camera.media] });
    await settle();
    browser.socket().open();
    await settle();
    refuse(browser.socket(), 'join', 'not_allowed');
    await settle();
    const socket = browser.socket();
    socket.open();
    await settle();
    expect(socket.last('join').tracks).toEqual([]);
    letIn(socket, { rights: { publish: ['microphone'], subscribe: true, moderate: false } });
    await connecting;
    await pass(20);
    expect(offered(socket, 'offer').map(({ source }) => source)).toEqual(['microphone']);
    expect([microphone, camera].map(({ readyState }) => readyState)).toEqual(['live', 'ended']);
    await expect(room.localParticipant.setCameraEnabled(true)).rejects.toMatchObject({ code: 'not_allowed' });
  });

  test('a moderator mutes: the device is off, and its owner may turn it on again', async () => {
    const microphone = new FakeTrack('audio');
    const socket = await enter({ tracks: [microphone.media] });
    const track = room.localParticipant.publication('microphone')?.number ?? 0;
    const muted = vi.fn();
    room.on('TrackMuted', muted);
    happen(socket, 11, { kind: 'track_muted', participant: 2, track, muted: true, by: 1 });
    expect(microphone.enabled).toBe(false);
    expect(room.localParticipant.isMicrophoneEnabled).toBe(false);
    expect(muted.mock.calls[0]?.[2]).toBe(room.remoteParticipants.get(1));
    const unmuting = room.localParticipant.setMicrophoneEnabled(true);
    await settle();
    socket.done('mute');
    await unmuting;
    expect(microphone.enabled).toBe(true);
  });

  test('echoes of our own muting are no news, those of others are', async () => {
    const microphone = new FakeTrack('audio');
    const socket = await enter({ tracks: [microphone.media] });
    const track = room.localParticipant.publication('microphone')?.number ?? 0;
    for (const enabled of [false, true]) {
      const switching = room.localParticipant.setMicrophoneEnabled(enabled);
      await settle();
      socket.done('mute');
      await switching;
    }
    happen(socket, 11, { kind: 'track_muted', participant: 2, track, muted: true });
    happen(socket, 12, { kind: 'track_muted', participant: 2, track, muted: false });
    expect(microphone.enabled).toBe(true);
    happen(socket, 13, { kind: 'track_muted', participant: 2, track, muted: true });
    expect(microphone.enabled).toBe(false);
  });

  test('a track that the server ended is not captured any more, and can be published again when it is allowed', async () => {
    const microphone = new FakeTrack('audio');
    const socket = await enter({ tracks: [microphone.media] });
    const track = room.localParticipant.publication('microphone')?.number ?? 0;
    happen(socket, 11, { kind: 'publish_changed', participant: 2, publish: [] });
    happen(socket, 12, { kind: 'tracks_ended', tracks: [{ participant: 2, track }] });
    await pass(20);
    expect(microphone.readyState).toBe('ended');
    expect(room.localParticipant.publication('microphone')).toBeUndefined();
    const sources = () => offered(socket, 'offer').map(({ source }) => source);
    expect(sources()).toEqual(['camera']);
    socket.receive({ type: 'answered', id: socket.last('offer').id, answer: '', tracks: [] });
    happen(socket, 13, { kind: 'publish_changed', participant: 2, publish: ['microphone'] });
    const publishing = room.localParticipant.publishTrack(new FakeTrack('audio').media, 'microphone');
    await pass(40);
    expect(sources()).toEqual(['microphone', 'camera']);
    answer(socket);
    await publishing;
    expect(room.localParticipant.isMicrophoneEnabled).toBe(true);
  });

  test('what moderators say', async () => {
    const socket = await enter();
    const bo = room.remoteParticipants.get(1);
    if (!bo) throw new Error('Bo is missing.');
    const requests = [
      room.removeParticipant(bo, { ban: true }),
      room.setPermissions(bo, ['microphone']),
      room.updateSettings({ locked: true }),
      room.admit(15),
      room.refuse(16),
    ];
    const said = socket.sent.slice(-5);
    expect(said.map((message) => ({ ...message, id: undefined }))).toEqual([
      { type: 'remove', participant: 1, ban: true },
      { type: 'permit', participant: 1, publish: ['microphone'] },
      { type: 'settings', locked: true },
      { type: 'admit', participant: 15, admit: true },
      { type: 'admit', participant: 16, admit: false },
    ]);
    for (const { id } of said) socket.receive({ type: 'done', id });
    await Promise.all(requests);
  });
});
