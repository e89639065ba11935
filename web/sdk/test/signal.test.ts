import { afterEach, expect, test, vi } from 'vitest';
import { Signal, SignalError } from '../src/signal.ts';
import { FakeSocket } from './fake-socket.ts';

afterEach(() => vi.useRealTimers());

async function connected(): Promise<{ socket: FakeSocket; signal: Signal }> {
  const socket = new FakeSocket();
  const signal = new Signal('ws://server', () => socket as unknown as WebSocket);
  socket.open();
  await signal.opened;
  return { socket, signal };
}

test('answers find their requests, in whatever order they come', async () => {
  const { socket, signal } = await connected();
  const hand = signal.request({ type: 'hand', raised: true });
  const offer = signal.request({ type: 'offer', offer: 'sdp', tracks: [] });
  expect(socket.sent.map(({ type, id }) => [type, id])).toEqual([
    ['hand', 1],
    ['offer', 2],
  ]);
  socket.receive({ type: 'answered', id: 2, answer: 'sdp', tracks: [] });
  socket.receive({ type: 'done', id: 1 });
  expect((await offer).answer).toBe('sdp');
  expect(await hand).toEqual({ type: 'done', id: 1 });
});

test('an error rejects its request only, with the code', async () => {
  const { socket, signal } = await connected();
  const request = signal.request({ type: 'chat', text: '' });
  socket.receive({ type: 'error', id: 1, error: { code: 'bad_text', message: 'Empty.' } });
  await expect(request).rejects.toMatchObject({ name: 'SignalError', code: 'bad_text', message: 'Empty.' });
});

test('what the server says unasked becomes events', async () => {
  const { socket, signal } = await connected();
  const event = vi.fn();
  const slots = vi.fn();
  signal.on('event', event);
  signal.on('slots', slots);
  socket.receive({ type: 'event', seq: 4, event: { kind: 'viewers', count: 2 } });
  socket.receive({ type: 'slots', slots: [{ mid: '3' }] });
  expect(event).toHaveBeenCalledWith(4, { kind: 'viewers', count: 2 });
  expect(slots).toHaveBeenCalledWith([{ mid: '3' }]);
});

test('a lost connection rejects what is open and says so once', async () => {
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  const request = signal.request({ type: 'hand', raised: true });
  socket.lose();
  signal.drop();
  await expect(request).rejects.toBeInstanceOf(SignalError);
  await expect(signal.request({ type: 'hand', raised: true })).rejects.toMatchObject({ code: 'disconnected' });
  expect(closed.mock.calls).toEqual([[undefined]]);
});

test('the server gives its reason before it closes', async () => {
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  socket.receive({ type: 'closed', reason: 'room_closed' });
  socket.lose();
  expect(socket.closedWith).toBe(1000);
  expect(closed).toHaveBeenCalledWith('room_closed');
});

test('leaving says goodbye', async () => {
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  signal.leave();
  expect(socket.sent.at(-1)).toEqual({ type: 'leave' });
  expect(socket.closedWith).toBe(1000);
  expect(closed).toHaveBeenCalledWith('left');
});

test('a server that cannot be reached rejects', async () => {
  const socket = new FakeSocket();
  const { opened } = new Signal('ws://server', () => socket as unknown as WebSocket);
  socket.lose();
  await expect(opened).rejects.toMatchObject({ code: 'unreachable' });
});

test('a server that does not answer is taken for lost, and the place in the room is kept', async () => {
  vi.useFakeTimers();
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  const first = expect(signal.request({ type: 'hand', raised: true })).rejects.toMatchObject({ code: 'timeout' });
  vi.advanceTimersByTime(14_999);
  const second = expect(signal.request({ type: 'hand', raised: false })).rejects.toMatchObject({ code: 'disconnected' });
  expect(closed).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  await first;
  await second;
  expect(closed.mock.calls).toEqual([[undefined]]);
  expect(socket.closedWith).toBe(4000);
});

test('a connection that does not come about in time is none', async () => {
  vi.useFakeTimers();
  const { opened } = new Signal('ws://server', () => new FakeSocket() as unknown as WebSocket);
  vi.advanceTimersByTime(15_000);
  await expect(opened).rejects.toMatchObject({ code: 'unreachable' });
});

test('the lobby may take longer than any answer', async () => {
  vi.useFakeTimers();
  const { socket, signal } = await connected();
  const waiting = vi.fn();
  signal.on('waiting', waiting);
  const join = signal.request({ type: 'join', name: 'Ada', role: 'participant', metadata: '', mode: 'conference', offer: '', tracks: [] });
  socket.receive({ type: 'waiting', id: 1 });
  expect(waiting).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(3_600_000);
  socket.receive({ type: 'error', id: 1, error: { code: 'not_admitted', message: 'No.' } });
  await expect(join).rejects.toMatchObject({ code: 'not_admitted' });
});
