/** People as the page shows them. */
import type { LocalTrack, Participant, Publishable, RemoteTrack, SlotReason } from '@ninefold/client';
import { hueOf, initialsOf } from './avatar.ts';
import { kept } from './kept.ts';

/** One video of a person. */
export interface Video {
  number: number;
  track: RemoteTrack | LocalTrack;
  muted: boolean;
  /** Why nothing is sent of it although the page has a place for it. */
  reason: SlotReason | undefined;
}

export interface Person {
  number: number;
  name: string;
  identity: string;
  own: boolean;
  hue: number;
  initials: string;
  micOn: boolean;
  speaking: boolean;
  hand: number | undefined;
  /** The connection is lost, and they may come back. */
  away: boolean;
  moderator: boolean;
  publish: readonly Publishable[];
  camera: Video | undefined;
  screen: Video | undefined;
  hasScreen: boolean;
}

/** Those who are here, `before` being those who were. */
export function peopleOf(participants: Iterable<Participant>, before: Person[]): Person[] {
  const known = new Map(before.map((person) => [person.number, person]));
  return kept(before, [...participants].map((participant) => personOf(participant, false, known.get(participant.number))));
}

/** The one before, when nothing about it has changed: then nothing that shows it is made anew. Voices change many times a second, and mostly two of a hundred people. */
export function personOf(participant: Participant, own: boolean, before: Person | undefined): Person {
  const microphone = participant.publication('microphone');
  const { number, name, identity } = participant;
  const screen = videoOf(participant, 'screen', before?.screen);
  return kept(before, {
    number,
    name,
    identity,
    own,
    hue: before?.identity === identity ? before.hue : hueOf(identity),
    initials: before?.name === name ? before.initials : initialsOf(name),
    micOn: microphone !== undefined && !microphone.muted,
    speaking: participant.isSpeaking,
    hand: participant.hand,
    away: participant.isAway,
    moderator: participant.isModerator,
    publish: participant.publish,
    camera: videoOf(participant, 'camera', before?.camera),
    screen,
    hasScreen: screen !== undefined,
  });
}

function videoOf(participant: Participant, source: 'camera' | 'screen', before: Video | undefined): Video | undefined {
  const publication = participant.publication(source);
  if (!publication) return undefined;
  const { number, track, muted } = publication;
  return kept(before, { number, track, muted, reason: 'reason' in track ? track.reason : undefined });
}
