import { beforeEach, expect, test } from 'vitest';
import type { RoomEvents } from '../src/events.ts';
import { Room } from '../src/index.ts';
import { Emitter } from '../src/emitter.ts';
import { LocalParticipant } from '../src/participant.ts';
import type { RoomEvent, ServerMessage } from '../src/protocol.gen.ts';
import { Publisher } from '../src/publisher.ts';
import { Roster } from '../src/roster.ts';

const joined: Extract<ServerMessage, { type: 'joined' }> = {
  type: 'joined',
  id: 1,
  participant: 2,
  identity: 'guest-2',
  mode: 'conference',
  answer: '',
  tracks: [],
  participants: [
    { participant: 1, identity: 'guest-1', name: 'Bo', metadata: '', hand: 1, tracks: [{ track: 10, source: 'camera', muted: false }] },
    { participant: 2, identity: 'guest-2', name: 'Ada', metadata: '', tracks: [] },
  ],
  raised: [1],
  viewers: 3,
  seq: 7,
};

let told: string[];
let roster: Roster;
let seq: number;

beforeEach(() => {
  told = [];
  seq = joined.seq;
  const room = new Emitter<RoomEvents>();
  for (const name of ['ParticipantConnected', 'ParticipantDisconnected', 'TrackPublished', 'TrackUnpublished', 'TrackMuted'] as const) {
    room.on(name, () => told.push(name));
  }
  roster = new Roster(new LocalParticipant(new Publisher()), room);
  roster.enter(joined);
});

function happen(event: RoomEvent): void {
  roster.apply(++seq, event);
}

test('the SDK can be imported and a room made without a browser', () => {
  expect(new Room().state).toBe('disconnected');
});

test('the picture at the join', () => {
  expect(roster.local.name).toBe('Ada');
  expect([...roster.remotes.values()].map(({ name }) => name)).toEqual(['Bo']);
  expect(roster.find(10)?.participant.name).toBe('Bo');
  expect(roster.hands.map(({ name }) => name)).toEqual(['Bo']);
  expect(roster.viewers).toBe(3);
});

test('people come with their tracks and go with them', () => {
  const cy = { participant: 3, identity: 'guest-3', name: 'Cy', metadata: '', tracks: [{ track: 11, source: 'screen' as const, muted: false }] };
  happen({ kind: 'participant_joined', participant: cy });
  expect(roster.find(11)?.publication.source).toBe('screen');
  happen({ kind: 'participant_left', participant: 3, reason: 'left' });
  expect(roster.find(11)).toBeUndefined();
  expect(told).toEqual(['ParticipantConnected', 'TrackPublished', 'TrackUnpublished', 'ParticipantDisconnected']);
});

test('what the picture includes already is not news, nor is oneself', () => {
  roster.apply(joined.seq, { kind: 'participant_left', participant: 1, reason: 'left' });
  const [, self] = joined.participants;
  if (self) happen({ kind: 'participant_joined', participant: self });
  expect(roster.remotes.size).toBe(1);
  expect(told).toEqual([]);
});

test('mute state, hands and speakers', () => {
  happen({ kind: 'track_muted', participant: 1, track: 10, muted: true });
  expect(roster.find(10)?.publication.muted).toBe(true);
  happen({ kind: 'hands', raised: [2, 1] });
  expect([roster.local.hand, roster.remotes.get(1)?.hand]).toEqual([1, 2]);
  roster.applySpeakers([{ participant: 1, level: 0.5 }]);
  expect(roster.remotes.get(1)?.isSpeaking).toBe(true);
  roster.applySpeakers([]);
  expect(roster.remotes.get(1)?.isSpeaking).toBe(false);
});
