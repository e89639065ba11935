/**
 * How the page wants its video tracks, and telling the server. Elements report what is seen of them (`sight.ts`); all elements of a track together,
 * and what the application says, make the track's wish; the wishes of all tracks that are in slots are told in one message:
 *
 *     elements ──► TrackWish, one for each track ──► WishSender ──► server
 *
 * A slot of which nothing is said is taken to be in sight and of any size. So nothing is said of a track that is in no element, which may well be
 * drawn in some other way. No element and no connection is touched here.
 */
import type { Slot, Wish } from './protocol.gen.ts';
import { isDefinite, isLost, warn } from './signal.ts';

export interface Size {
  width: number;
  height: number;
}

/** What is seen of one element: the size of its picture in device pixels, and whether anybody can see it. */
export interface Sight extends Size {
  visible: boolean;
}

/** What is wished of a track, whichever slot it is in. */
export type Wanted = Omit<Wish, 'mid' | 'track'>;

/** What goes away often comes back at once: an element that moves, or is made anew. */
const HIDE_MS = 100;
/** Sizes change with every frame while a layout glides. */
const GATHER_MS = 100;
const RETRY_MS = 1_000;
const PRIORITY_MAX = 255;

/** The size of a picture in a box: `ratio` is width divided by height, 0 where it is unknown, and `fit` is what CSS calls `object-fit`. */
export function pictureSize(box: Size, ratio: number, fit: string): Size {
  if (ratio <= 0 || box.height <= 0 || (fit !== 'cover' && fit !== 'contain')) return box;
  const isWidthGiven = box.width / box.height > ratio === (fit === 'cover');
  return isWidthGiven ? { width: box.width, height: box.width / ratio } : { width: box.height * ratio, height: box.height };
}

/** The pixels that a picture is worth for each one of CSS. Dense screens have more: nobody sees the difference. */
export function pixelDensity(devicePixelRatio: number): number {
  return devicePixelRatio > 2 ? 2 : 1;
}

/** The wish of one track. */
export class TrackWish {
  /** By element; undefined: it is new, and not looked at yet. */
  private readonly sights = new Map<unknown, Sight | undefined>();
  private readonly changed: () => void;
  private seen: Size | undefined;
  private hidden = false;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private fixed: Size | undefined;
  private priority = 0;
  private paused = false;

  constructor(changed: () => void) {
    this.changed = changed;
  }

  get wanted(): Wanted {
    const size = this.fixed ?? this.seen;
    return { ...(size && whole(size)), visible: !this.hidden, priority: this.priority, paused: this.paused };
  }

  /** News of an element, or a new element. */
  see(element: unknown, sight: Sight | undefined): void {
    this.sights.set(element, sight);
    this.look();
  }

  /** The element shows the track no longer. */
  lose(element: unknown): void {
    if (this.sights.delete(element)) this.look();
  }

  setPriority(priority: number): void {
    if (!Number.isInteger(priority) || priority < 0 || priority > PRIORITY_MAX) throw new RangeError(`A priority is a whole number from 0 to ${PRIORITY_MAX}.`);
    this.priority = priority;
    this.changed();
  }

  setPaused(paused: boolean): void {
    this.paused = paused;
    this.changed();
  }

  /** In device pixels, whatever the elements say; undefined: as they say. */
  setSize(size: Size | undefined): void {
    if (size && !(isLength(size.width) && isLength(size.height))) throw new RangeError('A size has a width and a height of more than nothing.');
    this.fixed = size;
    this.changed();
  }

  private look(): void {
    const sights = [...this.sights.values()];
    const largest = sights.reduce((best, sight) => (sight?.visible && area(sight) > area(best) ? sight : best), undefined);
    clearTimeout(this.hiding);
    if (largest) this.set(largest);
    // What is not looked at yet may be in sight.
    else if (!this.hidden && !sights.includes(undefined)) this.hiding = setTimeout(() => this.set(undefined), HIDE_MS);
  }

  private set(seen: Size | undefined): void {
    this.seen = seen;
    this.hidden = seen === undefined;
    this.changed();
  }
}

export interface WishHooks {
  /** The wish of a track; undefined: there is none of it, or not yet. */
  wanted(track: number): Wanted | undefined;
  send(wishes: Wish[]): Promise<unknown>;
}

const NOTHING_SAID = keyOf({ visible: true, priority: 0, paused: false });
/** Equal to no wish. */
const UNSURE = '';

/** Tells the server the wishes of the tracks that are in slots: at once, but not more often than ten times a second, and only those that changed. */
export class WishSender {
  private readonly hooks: WishHooks;
  /** The tracks in the slots, by `mid`. */
  private readonly slots = new Map<string, number>();
  /** What the server was told of each slot; absent: nothing. */
  private readonly told = new Map<string, string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due = false;

  constructor(hooks: WishHooks) {
    this.hooks = hooks;
  }

  /** News of slots. One whose track changed has forgotten its wish. */
  apply(news: Slot[]): void {
    for (const { mid, track } of news) {
      if (this.slots.get(mid) === track) continue;
      this.told.delete(mid);
      if (track === undefined) this.slots.delete(mid);
      else this.slots.set(mid, track);
    }
    this.update();
  }

  /** Some wish may be another one now. */
  update(): void {
    this.due = true;
    this.timer ??= setTimeout(() => this.tick(), 0);
  }

  /** Says all of it again: the server may not have heard it. */
  repeat(): void {
    for (const mid of this.told.keys()) this.told.set(mid, UNSURE);
    this.update();
  }

  /** Forgets slots and wishes: the connection is another one. */
  reset(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.slots.clear();
    this.told.clear();
  }

  private tick(): void {
    this.timer = undefined;
    if (!this.due) return;
    this.due = false;
    const wishes = this.gather();
    if (wishes.length === 0) return;
    this.timer = setTimeout(() => this.tick(), GATHER_MS);
    void this.say(wishes);
  }

  /** The wishes that the server does not know. */
  private gather(): Wish[] {
    const wishes: Wish[] = [];
    for (const [mid, track] of this.slots) {
      const wanted = this.hooks.wanted(track);
      if (!wanted || keyOf(wanted) === (this.told.get(mid) ?? NOTHING_SAID)) continue;
      this.told.set(mid, keyOf(wanted));
      wishes.push({ mid, track, ...wanted });
    }
    return wishes;
  }

  private async say(wishes: Wish[]): Promise<void> {
    try {
      await this.hooks.send(wishes);
    } catch (error) {
      warn(error);
      this.doubt(wishes);
      // What was lost with the connection is repeated when there is another one; what was refused for good is not.
      if (!isLost(error) && !isDefinite(error)) setTimeout(() => this.update(), RETRY_MS);
    }
  }

  /** Wishes that may not have arrived are said again at the next occasion. */
  private doubt(wishes: Wish[]): void {
    for (const { mid, track } of wishes) if (this.slots.get(mid) === track && this.told.has(mid)) this.told.set(mid, UNSURE);
  }
}

function keyOf({ width, height, visible, priority, paused }: Wanted): string {
  return [width, height, visible, priority, paused].join();
}

function area(size: Size | undefined): number {
  return size ? size.width * size.height : 0;
}

function isLength(length: number): boolean {
  return Number.isFinite(length) && length > 0;
}

function whole({ width, height }: Size): Size {
  return { width: Math.ceil(width), height: Math.ceil(height) };
}
