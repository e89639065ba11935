import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { RoomEvents } from '../src/events.ts';
import { Room } from '../src/index.ts';
import { Emitter } from '../src/emitter.ts';
import { LocalParticipant } from '../src/participant.ts';
import type { Participant, RoomEvent, Track } from '../src/protocol.gen.ts';
import { Publisher } from '../src/publisher.ts';
import { Roster, type OwnTracks, type RemoteTracks } from '../src/roster.ts';
import type { Joined } from '../src/signal.ts';

function person(participant: number, name: string, tracks: Track[] = [], identity = `guest-${participant}`): Participant {
  return { participant, identity, name, metadata: '', away: false, moderator: false, publish: ['camera', 'microphone'], tracks };
}

const joined: Joined = {
  type: 'joined',
  id: 1,
  participant: 2,
  identity: 'guest-2',
  mode: 'conference',
  answer: '',
  tracks: [],
  participants: [{ ...person(1, 'Bo', [{ track: 10, source: 'camera', muted: false }]), hand: 1 }, person(2, 'Ada')],
  raised: [1],
  viewers: 3,
  seq: 7,
  resume: '2-secret',
  rights: { publish: ['camera', 'microphone', 'screen'], subscribe: true, moderate: false },
  settings: { locked: false, lobby: false, publish: ['camera', 'microphone', 'screen'] },
  lobby: [],
};

let told: string[];
let roster: Roster;
const own = { handleMuted: vi.fn<OwnTracks['handleMuted']>(), handleUnpublished: vi.fn<OwnTracks['handleUnpublished']>() };
const theirs: RemoteTracks = { adaptive: false, handlePublished: () => {}, handleWished: () => {}, layersOf: () => Promise.resolve(undefined) };
let seq: number;

beforeEach(() => {
  told = [];
  seq = joined.seq;
  const room = new Emitter<RoomEvents>();
  const names = ['ParticipantConnected', 'ParticipantDisconnected', 'ParticipantAwayChanged', 'ParticipantPermissionsChanged', 'ParticipantUpdated'] as const;
  const ofTracks = ['TrackPublished', 'TrackUnpublished', 'TrackMuted', 'TrackUnmuted', 'RoomSettingsChanged', 'LobbyChanged'] as const;
  for (const name of [...names, ...ofTracks]) room.on(name, () => told.push(name));
  vi.clearAllMocks();
  roster = new Roster(new LocalParticipant(new Publisher()), room, own, theirs);
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
  const cy = person(3, 'Cy', [{ track: 11, source: 'screen', muted: false }]);
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

test('who is away, and what somebody may publish', () => {
  happen({ kind: 'participants_away', participants: [1], away: true });
  expect(roster.remotes.get(1)?.isAway).toBe(true);
  happen({ kind: 'publish_changed', participant: 1, publish: ['microphone'] });
  expect(roster.remotes.get(1)?.publish).toEqual(['microphone']);
  expect(told).toEqual(['ParticipantAwayChanged', 'ParticipantPermissionsChanged']);
});

test('what one may publish oneself: by right, and by the room unless one moderates', () => {
  const { local } = roster;
  expect(local.canPublish('screen_audio')).toBe(true);
  happen({ kind: 'settings_changed', settings: { locked: true, lobby: false, publish: ['camera', 'microphone'] } });
  expect([local.canPublish('screen'), local.canPublish('screen_audio'), local.canPublish('camera')]).toEqual([false, false, true]);
  expect(roster.settings.locked).toBe(true);
  happen({ kind: 'publish_changed', participant: 2, publish: ['microphone'] });
  expect([local.canPublish('camera'), local.canPublish('microphone')]).toEqual([false, true]);
  roster.enter({ ...joined, rights: { ...joined.rights, moderate: true }, settings: { locked: true, lobby: true, publish: [] } });
  expect(local.canPublish('screen')).toBe(true);
});

test('the lobby', () => {
  const waiting = [{ participant: 5, identity: 'guest-5', name: 'Dan' }];
  happen({ kind: 'lobby', waiting });
  expect(roster.lobby).toEqual(waiting);
  expect(told).toEqual(['LobbyChanged']);
});

test("what is done to one's own tracks goes to the publisher", () => {
  happen({ kind: 'track_muted', participant: 2, track: 20, muted: true, by: 1 });
  happen({ kind: 'track_unpublished', participant: 2, track: 20 });
  expect(own.handleMuted).toHaveBeenCalledWith(20, true, 1);
  expect(own.handleUnpublished).toHaveBeenCalledWith(20);
});

describe('joining anew', () => {
  const quiet = ['RoomSettingsChanged', 'LobbyChanged'];

  test('tells nothing of what stayed as it was, and keeps it', () => {
    const [bo, track] = [roster.remotes.get(1), roster.find(10)?.publication];
    roster.reenter({ ...joined, participant: 4, seq: 90, participants: [joined.participants[0], person(4, 'Ada')] as Participant[] });
    expect(roster.remotes.get(1)).toBe(bo);
    expect(roster.find(10)?.publication).toBe(track);
    expect(roster.local.number).toBe(4);
    expect(told).toEqual(quiet);
  });

  test('tells what differs', () => {
    happen({ kind: 'participant_joined', participant: person(3, 'Cy') });
    told = [];
    const bo = { ...person(1, 'Bob', [{ track: 12, source: 'microphone', muted: true }]), away: true };
    roster.reenter({ ...joined, participants: [bo, person(2, 'Ada'), person(6, 'Fay')] });
    expect(told).toEqual([
      'ParticipantDisconnected',
      'ParticipantAwayChanged',
      'ParticipantUpdated',
      'TrackUnpublished',
      'TrackPublished',
      'ParticipantConnected',
      ...quiet,
    ]);
    expect([...roster.remotes.values()].map(({ name }) => name)).toEqual(['Bob', 'Fay']);
  });

  test('after a restart of the server a number may be somebody else', () => {
    roster.reenter({ ...joined, participants: [person(1, 'Eve', [], 'guest-other'), person(2, 'Ada')] });
    expect(told).toEqual(['TrackUnpublished', 'ParticipantDisconnected', 'ParticipantConnected', ...quiet]);
  });
});
