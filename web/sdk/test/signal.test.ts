import { expect, test, vi } from 'vitest';
import type { ServerMessage } from '../src/protocol.gen.ts';
import { Signal, SignalError } from '../src/signal.ts';

/** Just enough of a WebSocket, driven by hand. */
class FakeSocket extends EventTarget {
  sent: { type: string; id: number }[] = [];

  send(text: string): void {
    this.sent.push(JSON.parse(text) as { type: string; id: number });
  }

  close(): void {
    this.dispatchEvent(new Event('close'));
  }

  receive(message: ServerMessage): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) }));
  }
}

async function connected(): Promise<{ socket: FakeSocket; signal: Signal }> {
  const socket = new FakeSocket();
  const opening = Signal.connect('ws://server', () => socket as unknown as WebSocket);
  socket.dispatchEvent(new Event('open'));
  return { socket, signal: await opening };
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
  socket.close();
  signal.close();
  await expect(request).rejects.toBeInstanceOf(SignalError);
  await expect(signal.request({ type: 'hand', raised: true })).rejects.toMatchObject({ code: 'disconnected' });
  expect(closed.mock.calls).toEqual([['disconnected']]);
});

test('the server gives its reason before it closes', async () => {
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  socket.receive({ type: 'closed', reason: 'room_closed' });
  socket.close();
  expect(closed).toHaveBeenCalledWith('room_closed');
});

test('leaving says goodbye', async () => {
  const { socket, signal } = await connected();
  const closed = vi.fn();
  signal.on('closed', closed);
  signal.leave();
  expect(socket.sent.at(-1)).toEqual({ type: 'leave' });
  expect(closed).toHaveBeenCalledWith('left');
});

test('a server that cannot be reached rejects', async () => {
  const socket = new FakeSocket();
  const opening = Signal.connect('ws://server', () => socket as unknown as WebSocket);
  socket.close();
  await expect(opening).rejects.toMatchObject({ code: 'unreachable' });
});
