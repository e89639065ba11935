/** A room in a browser of fakes, and a server that is played by hand. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import type { RoomEvents } from '../src/events.ts';
import { Room, type ConnectOptions } from '../src/index.ts';
import type { Participant, PublishedSection, RoomEvent } from '../src/protocol.gen.ts';
import type { Joined } from '../src/signal.ts';
import { installBrowser, type FakeBrowser } from './fake-browser.ts';
import type { FakeSocket } from './fake-socket.ts';

export let browser: FakeBrowser;
export let room: Room;
export let told: string[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0);
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  browser = installBrowser();
  room = new Room();
  told = [];
  const names: (keyof RoomEvents)[] = ['Reconnecting', 'Reconnected', 'Disconnected', 'Waiting', 'ParticipantConnected', 'ParticipantDisconnected', 'TrackMuted'];
  for (const name of names) room.on(name, (...[first]) => void told.push(typeof first === 'string' ? `${name} ${first}` : name));
});

afterEach(() => {
  room.disconnect();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Lets everything happen that needs no time. */
export const settle = () => vi.advanceTimersByTimeAsync(0);
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

export function person(participant: number, name: string, identity = name): Participant {
  return { participant, identity, name, metadata: '', away: false, moderator: false, publish: ['camera', 'microphone', 'screen'], tracks: [] };
}

let nextTrack = 100;

export function letIn(socket: FakeSocket, change: Partial<Joined> = {}): void {
  const join = socket.last('join');
  const tracks = (join.tracks as PublishedSection[]).map(({ mid }) => ({ mid, track: nextTrack++ }));
  const { participant = 2 } = change;
  socket.receive({
    type: 'joined',
    id: join.id,
    participant,
    identity: 'Ada',
    mode: 'conference',
    answer: 'answer',
    tracks,
    participants: [person(1, 'Bo'), person(participant, String(join.name))],
    raised: [],
    viewers: 0,
    seq: 10,
    resume: `${participant}-secret`,
    rights: { publish: ['camera', 'microphone', 'screen'], subscribe: true, moderate: false },
    settings: { locked: false, lobby: false, publish: ['camera', 'microphone', 'screen'] },
    lobby: [],
    ...change,
  });
}

export function refuse(socket: FakeSocket, type: string, code: string): void {
  socket.receive({ type: 'error', id: socket.last(type).id, error: { code, message: code } });
  socket.lose();
}

export function happen(socket: FakeSocket, seq: number, event: RoomEvent): void {
  socket.receive({ type: 'event', seq, event });
}

export async function enter(options: Partial<ConnectOptions> = {}): Promise<FakeSocket> {
  const connecting = room.connect('http://server', { room: 'r', name: 'Ada', ...options });
  await settle();
  const socket = browser.socket();
  socket.open();
  await settle();
  letIn(socket);
  await connecting;
  browser.peer().ice('connected');
  return socket;
}

/** The next connection that is tried stands; gives it. */
export async function reach(ms = 0): Promise<FakeSocket> {
  const before = browser.sockets.length;
  await pass(ms);
  expect(browser.sockets.length, 'another attempt').toBe(before + 1);
  browser.socket().open();
  await settle();
  return browser.socket();
}

export async function resume(socket: FakeSocket): Promise<void> {
  socket.receive({ type: 'resumed', id: socket.last('resume').id });
  await settle();
}

/** What an offer or a join says that it carries. */
export function offered(socket: FakeSocket, type: 'offer' | 'join'): PublishedSection[] {
  return socket.last(type).tracks as PublishedSection[];
}

/** Accepts the last offer; the tracks get numbers from 50 on. */
export function answer(socket: FakeSocket): void {
  const tracks = offered(socket, 'offer').map(({ mid }, at) => ({ mid, track: 50 + at }));
  socket.receive({ type: 'answered', id: socket.last('offer').id, answer: '', tracks });
}
