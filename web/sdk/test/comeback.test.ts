import { describe, expect, test, vi } from 'vitest';
import { Backoff, DEFAULT_RECONNECT_POLICY } from '../src/reconnect.ts';
import type { ConnectOptions } from '../src/index.ts';
import type { RoomEvent } from '../src/protocol.gen.ts';
import { FakeTrack } from './fake-browser.ts';
import { answer, browser, enter, happen, letIn, offered, pass, person, reach, refuse, resume, room, settle, told } from './fake-room.ts';
import type { FakeSocket } from './fake-socket.ts';

describe('when to try again', () => {
  test('the delays, the later ones spread by up to a second', () => {
    const delays = () => Array.from({ length: 31 }, (_, attempt) => DEFAULT_RECONNECT_POLICY.delay(attempt));
    expect(delays()).toEqual([0, 300, 1000, ...Array<number>(27).fill(2000), undefined]);
    vi.mocked(Math.random).mockReturnValue(0.999);
    expect(delays()).toEqual([0, 300, 1999, ...Array<number>(27).fill(2999), undefined]);
  });

  test('a hurry ends the wait and begins anew', async () => {
    const backoff = new Backoff({ delay: (attempt) => attempt * 1000 });
    const due: boolean[] = [];
    const wait = () => void backoff.next().then((goOn) => due.push(goOn));
    for (const ms of [0, 1000]) {
      wait();
      await pass(ms);
    }
    wait();
    backoff.hurry();
    await settle();
    expect(due).toHaveLength(3);
    wait();
    await pass(1000);
    expect(due).toHaveLength(4);
    wait();
    backoff.cancel();
    await settle();
    expect(due).toEqual([true, true, true, true, false]);
  });
});

describe('a lost connection is resumed', () => {
  test('with its secret and its last number; what was missed comes in order and once; media knows nothing of it', async () => {
    const track = new FakeTrack('audio');
    const socket = await enter({ tracks: [track.media] });
    const texts: string[] = [];
    room.on('ChatMessage', ({ text }) => texts.push(text));
    const chat = (text: string): RoomEvent => ({ kind: 'chat', from: 1, text, time_ms: 0 });
    happen(socket, 11, chat('one'));
    socket.lose();
    expect(room.state).toBe('reconnecting');
    const next = await reach();
    expect(next.last('resume')).toMatchObject({ resume: '2-secret', seq: 11 });
    expect(next.sent).toHaveLength(1);
    next.receive({ type: 'resumed', id: 1 });
    for (const [seq, text] of [[11, 'one'], [12, 'two'], [14, 'three'], [12, 'two']] as const) happen(next, seq, chat(text));
    await settle();
    expect(texts).toEqual(['one', 'two', 'three']);
    expect(told).toEqual(['Reconnecting signal', 'Reconnected']);
    expect(room.state).toBe('connected');
    expect(browser.peers).toHaveLength(1);
    expect(browser.peer().log).toEqual(['offer', 'answer']);
    expect(track.readyState).toBe('live');
  });

  test('again, from the last number that came', async () => {
    (await enter()).lose();
    const second = await reach();
    await resume(second);
    happen(second, 20, { kind: 'viewers', count: 1 });
    second.lose();
    expect((await reach()).last('resume')).toMatchObject({ seq: 20 });
  });

  test('in the rhythm of the policy while the server is away', async () => {
    const start = Date.now();
    (await enter()).lose();
    const at: number[] = [];
    for (let known = 1; Date.now() - start < 20_000; await pass(10)) {
      if (browser.sockets.length === known) continue;
      known = browser.sockets.length;
      at.push(Date.now() - start);
      browser.socket().lose();
    }
    expect(at.map((ms) => Math.round(ms / 100) / 10)).toEqual([0, 0.3, 1.3, 3.3, 5.3, 7.3, 9.3, 11.3, 13.3, 15.3, 17.3, 19.3]);
  });

  test('at once when the network is back', async () => {
    (await enter()).lose();
    for (const ms of [0, 300, 1000]) {
      await pass(ms);
      browser.socket().lose();
    }
    browser.window.dispatchEvent(new Event('online'));
    await resume(await reach());
    expect(room.state).toBe('connected');
  });

  test('an attempt that hangs is given up when the network is another one', async () => {
    (await enter()).lose();
    await settle();
    expect(browser.sockets).toHaveLength(2);
    browser.window.dispatchEvent(new Event('online'));
    await resume(await reach());
    expect(browser.sockets[1]?.closedWith).toBe(4000);
  });

  test('wishes for the view are repeated', async () => {
    const socket = await enter();
    room.setVisibleTracks([7]);
    await pass(30);
    socket.done('view');
    socket.lose();
    const next = await reach();
    await resume(next);
    await pass(30);
    expect(next.last('view').view).toEqual({ mode: 'tracks', tracks: [7] });
  });

  test('a pending request fails, a pending negotiation is repeated', async () => {
    const socket = await enter();
    const chat = expect(room.localParticipant.sendChat('lost')).rejects.toMatchObject({ code: 'disconnected' });
    const publishing = room.localParticipant.publishTrack(new FakeTrack('video').media, 'screen');
    await pass(20);
    expect(socket.last('offer')).toBeDefined();
    socket.lose();
    await chat;
    await expect(room.localParticipant.sendChat('while away')).rejects.toMatchObject({ code: 'disconnected' });
    const next = await reach();
    await resume(next);
    answer(next);
    await publishing;
    expect(browser.peer().log).toEqual(['offer', 'answer', 'offer', 'offer', 'answer']);
    expect(room.localParticipant.isScreenShareEnabled).toBe(true);
  });

  test('who mutes meanwhile is muted at once, and the server hears of it afterwards', async () => {
    const track = new FakeTrack('audio');
    (await enter({ tracks: [track.media] })).lose();
    await room.localParticipant.setMicrophoneEnabled(false);
    expect(track.enabled).toBe(false);
    const next = await reach();
    await resume(next);
    expect(next.last('mute')).toMatchObject({ muted: true });
  });

  test('who unmutes meanwhile is not muted by the echo of what was asked before', async () => {
    const track = new FakeTrack('audio');
    const socket = await enter({ tracks: [track.media] });
    const number = room.localParticipant.publication('microphone')?.number ?? 0;
    const muting = room.localParticipant.setMicrophoneEnabled(false);
    await settle();
    expect(socket.last('mute')).toBeDefined();
    socket.lose();
    await muting;
    await room.localParticipant.setMicrophoneEnabled(true);
    const next = await reach();
    await resume(next);
    expect(next.last('mute')).toMatchObject({ muted: false });
    happen(next, 11, { kind: 'track_muted', participant: 2, track: number, muted: true });
    next.done('mute');
    happen(next, 12, { kind: 'track_muted', participant: 2, track: number, muted: false });
    await settle();
    expect(track.enabled).toBe(true);
    expect(room.localParticipant.isMicrophoneEnabled).toBe(true);
  });

  test('not if the server said why it closes, nor after a goodbye', async () => {
    const socket = await enter();
    socket.receive({ type: 'closed', reason: 'removed' });
    socket.lose();
    await pass(60_000);
    expect(told).toEqual(['Disconnected removed']);
    expect(browser.sockets).toHaveLength(1);
    const again = await enter();
    room.disconnect();
    again.lose();
    await pass(60_000);
    expect(browser.sockets).toHaveLength(2);
    expect(told.slice(1)).toEqual(['Disconnected left']);
  });

  test('a dead connection is found out when the page is looked at again', async () => {
    await enter();
    browser.document.dispatchEvent(new Event('visibilitychange'));
    await pass(3_999);
    expect(room.state).toBe('connected');
    await resume(await reach(2));
    expect(room.state).toBe('connected');
  });
});

describe('what cannot be resumed is joined anew', () => {
  async function refused(options: Partial<ConnectOptions> = {}): Promise<FakeSocket> {
    (await enter(options)).lose();
    refuse(await reach(), 'resume', 'cannot_resume');
    return reach();
  }

  test('with the same devices in their states, a fresh token, and everybody who is still there', async () => {
    const [microphone, camera] = [new FakeTrack('audio'), new FakeTrack('video')];
    const token = vi.fn<() => Promise<string>>().mockResolvedValueOnce('first').mockResolvedValueOnce('second');
    const entering = enter({ tracks: [microphone.media, camera.media], token });
    const socket = await entering;
    expect(socket.last('join').token).toBe('first');
    expect(socket.last('join')).not.toHaveProperty('rejoin');
    void room.localParticipant.setMicrophoneEnabled(false);
    happen(socket, 11, { kind: 'hands', raised: [2] });
    await settle();
    socket.lose();
    refuse(await reach(), 'resume', 'cannot_resume');
    const next = await reach();
    const join = next.last('join');
    expect(join).toMatchObject({ rejoin: '2-secret', token: 'second', name: 'Ada' });
    expect(offered(next, 'join').map(({ source, muted }) => [source, muted])).toEqual([['microphone', true], ['camera', false]]);
    const bo = room.remoteParticipants.get(1);
    letIn(next, { participant: 5, participants: [person(1, 'Bo'), person(5, 'Ada'), person(6, 'Cy')] });
    await settle();
    expect(room.state).toBe('connected');
    expect(browser.peers.map(({ closed }) => closed)).toEqual([true, false]);
    await pass(20);
    expect(browser.peer().log, 'no further offer').toEqual(['offer', 'answer']);
    expect(browser.peer().sending).toEqual([microphone, camera]);
    expect([microphone, camera].map(({ readyState }) => readyState)).toEqual(['live', 'live']);
    expect(microphone.enabled).toBe(false);
    expect(room.remoteParticipants.get(1)).toBe(bo);
    expect(next.last('hand')).toMatchObject({ raised: true });
    expect(told.filter((event) => event !== 'TrackMuted')).toEqual(['Reconnecting signal', 'Reconnecting room', 'ParticipantConnected', 'Reconnected']);
    expect(room.localParticipant.number).toBe(5);
    expect([...room.localParticipant.publications.values()].map(({ source, muted }) => [source, muted])).toEqual([['microphone', true], ['camera', false]]);
  });

  test('what is switched while joining holds afterwards', async () => {
    const microphone = new FakeTrack('audio');
    const next = await refused({ tracks: [microphone.media] });
    await room.localParticipant.setMicrophoneEnabled(false);
    letIn(next, { participant: 5 });
    await settle();
    expect(microphone.enabled).toBe(false);
    expect(next.last('mute')).toMatchObject({ muted: true });
    expect(room.localParticipant.isMicrophoneEnabled).toBe(false);
  });

  test('a screen goes on too', async () => {
    const socket = await enter();
    const screen = new FakeTrack('video');
    const publishing = room.localParticipant.publishTrack(screen.media, 'screen');
    await pass(20);
    answer(socket);
    await publishing;
    socket.lose();
    refuse(await reach(), 'resume', 'no_room');
    const next = await reach();
    expect(offered(next, 'join').map(({ source }) => source)).toEqual(['microphone', 'camera', 'screen']);
    letIn(next, { participant: 5 });
    await settle();
    expect(browser.peer().sending.at(-1)).toBe(screen);
    expect(room.localParticipant.isScreenShareEnabled).toBe(true);
  });

  test('until all attempts are used up, more than a minute later', async () => {
    const start = Date.now();
    (await enter()).lose();
    for (let known = 1; room.state !== 'disconnected' && Date.now() - start < 200_000; await pass(100)) {
      if (browser.sockets.length === known) continue;
      known = browser.sockets.length;
      browser.socket().lose();
    }
    expect(Date.now() - start).toBeGreaterThan(60_000);
    expect(told).toEqual(['Reconnecting signal', 'Reconnecting room', 'Disconnected disconnected']);
  });

  test.each(['banned', 'room_locked', 'bad_token'])('not after a definite no: %s', async (code) => {
    const next = await refused();
    const ended = vi.fn();
    room.on('Disconnected', ended);
    refuse(next, 'join', code);
    await pass(120_000);
    expect(browser.sockets).toHaveLength(3);
    expect(ended).toHaveBeenCalledWith(code === 'banned' ? 'banned' : 'disconnected', expect.objectContaining({ code }));
  });

  test('a server that is just starting is asked again', async () => {
    refuse(await refused(), 'join', 'stopping');
    letIn(await reach(300), { participant: 5 });
    await settle();
    expect(room.state).toBe('connected');
  });

  test('after a server that stopped', async () => {
    const socket = await enter();
    socket.receive({ type: 'closed', reason: 'server_stopping' });
    const next = await reach();
    expect(next.last('join')).toMatchObject({ rejoin: '2-secret' });
  });

  test('a page that comes back from the cache', async () => {
    const socket = await enter();
    browser.window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
    expect(socket.sent.at(-1)).toEqual({ type: 'leave' });
    expect(room.state).toBe('connected');
    browser.window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
    letIn(await reach(), { participant: 5 });
    await settle();
    expect(told).toEqual(['Reconnecting room', 'Reconnected']);
  });

  test('a page that closes says so', async () => {
    const socket = await enter();
    browser.window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
    expect(socket.sent.at(-1)).toEqual({ type: 'leave' });
    expect(room.state).toBe('disconnected');
  });
});

describe('lost media', () => {
  test('a short gap heals by itself', async () => {
    await enter();
    browser.peer().ice('disconnected');
    await pass(2_000);
    browser.peer().ice('connected');
    await pass(10_000);
    expect(told).toEqual([]);
    expect(browser.peer().log).toEqual(['offer', 'answer']);
  });

  test('gets a new way by a further offer', async () => {
    const socket = await enter();
    browser.peer().ice('disconnected');
    await pass(2_600);
    expect(browser.peer().log.slice(2)).toEqual(['restart', 'offer']);
    socket.receive({ type: 'answered', id: socket.last('offer').id, answer: '', tracks: [] });
    await settle();
    browser.peer().ice('connected');
    expect(told).toEqual(['Reconnecting media', 'Reconnected']);
    expect(room.state).toBe('connected');
  });

  test('shows that signalling is dead too, sooner than its requests would', async () => {
    const socket = await enter();
    browser.peer().ice('disconnected');
    await pass(2_500 + 4_000 - 1);
    expect(socket.closedWith).toBeUndefined();
    const next = await reach(3);
    await resume(next);
    expect(next.last('offer')).toBeDefined();
    expect(browser.peer().log).toEqual(['offer', 'answer', 'restart', 'offer', 'offer']);
  });

  test('that stays lost takes a new peer connection', async () => {
    const socket = await enter();
    browser.peer().ice('failed');
    socket.done('view');
    for (const ms of [3_000, 4_000, 6_000]) {
      await pass(21);
      answer(socket);
      expect(socket.closedWith).toBeUndefined();
      await pass(ms - 1);
    }
    expect(browser.peer().log.filter((entry) => entry === 'restart')).toHaveLength(3);
    const next = await reach(2);
    expect(socket.closedWith).toBe(4000);
    letIn(next, { participant: 5 });
    await settle();
    expect(browser.peers).toHaveLength(2);
    expect(room.state).toBe('connected');
  });

  test('that never stood is nothing to repair', async () => {
    const connecting = room.connect('http://server', { room: 'r', name: 'Ada' });
    await settle();
    browser.socket().open();
    await settle();
    letIn(browser.socket());
    await connecting;
    browser.peer().ice('failed');
    expect(told).toEqual(['Disconnected media_lost']);
  });

  test('can be simulated', async () => {
    const socket = await enter();
    room.simulate('ice-fail');
    await pass(20);
    socket.receive({ type: 'answered', id: socket.last('offer').id, answer: '', tracks: [] });
    await settle();
    expect(told).toEqual(['Reconnecting media', 'Reconnected']);
    room.simulate('signal-drop');
    expect(socket.closedWith).toBe(4000);
    await resume(await reach());
    room.simulate('node-failure');
    letIn(await reach(), { participant: 5 });
    await settle();
    expect(room.state).toBe('connected');
  });
});
