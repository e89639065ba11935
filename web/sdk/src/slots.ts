/**
 * Which slot shows which track, and when its picture may carry the new name.
 *
 * A slot changes its source by RTP and its name by signalling, and the two do not arrive together. So a picture is shown under a name only from
 * the first frame on that lies at or past the RTP timestamp which the server gave for the new source:
 *
 *     slots: track 7                   slots: track 7, from 9000          frame 9000 or later
 *     ───────────────► waiting ──────────────────────────► armed ─────────────────────────► shown
 *
 * When its source is not sent for a while, a shown picture is held: it is still the track's own, but not a live one. It gives way to the next.
 *
 * Everything here is pure: no element, no connection, no clock.
 */
import type { Slot } from './protocol.gen.ts';

/** Whether an RTP timestamp is the same as or later than another, modulo 2^32. */
export function atOrPast(timestamp: number, first: number): boolean {
  return (timestamp - first) >>> 0 < 0x8000_0000;
}

/** When one element that shows one track may be seen. */
export class Reveal {
  private first: number | undefined;
  private last: number | undefined;
  private state: 'hidden' | 'held' | 'shown' = 'hidden';

  get picture(): 'hidden' | 'held' | 'shown' {
    return this.state;
  }

  /** Whether the element shows a live picture of its track. */
  get shown(): boolean {
    return this.state === 'shown';
  }

  /** The source stays, but is not sent for now. */
  hold(): void {
    this.first = undefined;
    if (this.shown) this.state = 'held';
  }

  /** Nothing of the source is to be seen. */
  hide(): void {
    this.first = undefined;
    this.state = 'hidden';
  }

  /** The source's first timestamp, or undefined while it is unknown. A new one begins anew: another source may have been in between. */
  expect(first: number | undefined): void {
    if (first === this.first && first !== undefined) return;
    this.first = first;
    if (first !== undefined && this.last !== undefined && atOrPast(this.last, first)) this.state = 'shown';
    else if (this.shown) this.state = 'hidden';
  }

  /** A frame was presented; its timestamp is undefined where the browser does not tell it: then the first frame after the news has to do. */
  frame(timestamp: number | undefined): void {
    this.last = timestamp;
    if (this.first !== undefined && (timestamp === undefined || atOrPast(timestamp, this.first))) this.state = 'shown';
  }
}

/** A track that lost or got its slot, or whose slot has news. */
export interface SlotChange {
  track: number;
  /** Undefined: the track is in no slot any more. */
  slot: Slot | undefined;
}

/** The server's map of slots, by `mid`. */
export class SlotTable {
  private readonly slots = new Map<string, Slot>();

  /** Takes over the server's news. Tracks that lose a slot come first, so that one that only moves ends up in its new place. */
  apply(news: Slot[]): SlotChange[] {
    const lost: number[] = [];
    for (const slot of news) {
      const before = this.slots.get(slot.mid);
      if (before?.track !== undefined && before.track !== slot.track) lost.push(before.track);
      this.slots.set(slot.mid, slot);
    }
    const got = news.flatMap((slot) => (slot.track === undefined ? [] : [{ track: slot.track, slot }]));
    return [...lost.map((track) => ({ track, slot: this.of(track) })), ...got];
  }

  /** The slot that carries a track. */
  of(track: number): Slot | undefined {
    for (const slot of this.slots.values()) if (slot.track === track) return slot;
    return undefined;
  }

  /** Forgets everything; gives the tracks that were in slots. */
  clear(): number[] {
    const tracks = [...this.slots.values()].flatMap(({ track }) => (track === undefined ? [] : [track]));
    this.slots.clear();
    return tracks;
  }
}
