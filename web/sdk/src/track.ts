import type { Slot, SlotLayers, Source } from './protocol.gen.ts';
import { ElementSight } from './sight.ts';
import { Reveal } from './slots.ts';
import { TrackWish } from './wishes.ts';

/** What kind of media a source is. */
export function kindOf(source: Source): 'audio' | 'video' {
  switch (source) {
    case 'camera':
    case 'screen':
      return 'video';
    case 'microphone':
    case 'screen_audio':
      return 'audio';
  }
}

/** A published track, as the roster shows it: one's own or somebody else's. */
export class TrackPublication<T extends RemoteTrack | LocalTrack = RemoteTrack | LocalTrack> {
  /** The track's number in the room. */
  readonly number: number;
  readonly source: Source;
  readonly track: T;
  muted: boolean;

  constructor(number: number, source: Source, muted: boolean, track: T) {
    this.number = number;
    this.source = source;
    this.muted = muted;
    this.track = track;
  }

  get kind(): 'audio' | 'video' {
    return kindOf(this.source);
  }
}

/** Somebody else's track, and how one wants it. What is said of sound has no effect. */
export class RemoteTrackPublication extends TrackPublication<RemoteTrack> {
  private readonly askLayers: () => Promise<SlotLayers | undefined>;

  constructor(number: number, source: Source, muted: boolean, track: RemoteTrack, askLayers: () => Promise<SlotLayers | undefined>) {
    super(number, source, muted, track);
    this.askLayers = askLayers;
  }

  /** Which tracks come first when the network does not carry all: the higher, from 0 (as all are) to 255. Screens come before all others. */
  setPriority(priority: number): void {
    this.track.wish.setPriority(priority);
  }

  /** False: it is not sent until it is enabled again, though it may be in sight. */
  setEnabled(enabled: boolean): void {
    this.track.wish.setPaused(!enabled);
  }

  /** The size in device pixels that its picture is wanted for, whatever its elements have; without one, theirs again. */
  setSize(width?: number, height?: number): void {
    this.track.wish.setSize(width === undefined || height === undefined ? undefined : { width, height });
  }

  /** What is sent of it, and why it is not more; undefined: it is in no slot. See `Room.layers`. */
  layers(): Promise<SlotLayers | undefined> {
    return this.askLayers();
  }
}

export type LocalTrackPublication = TrackPublication<LocalTrack>;

/** One's own track: what is captured now, if anything, shown in any number of elements. */
export class LocalTrack {
  private media: MediaStreamTrack | undefined;
  private readonly elements = new Set<HTMLMediaElement>();

  /** What is captured; undefined while the device is off. */
  get mediaStreamTrack(): MediaStreamTrack | undefined {
    return this.media;
  }

  /** Takes what is captured from now on. */
  replace(media: MediaStreamTrack | undefined): void {
    this.media = media;
    for (const element of this.elements) this.show(element);
  }

  /** Shows the track in an element, whatever device it comes from, until `detach`. */
  attach(element: HTMLMediaElement): void {
    this.elements.add(element);
    element.muted = true;
    this.show(element);
  }

  detach(element: HTMLMediaElement): void {
    this.elements.delete(element);
    clear(element);
  }

  private show(element: HTMLMediaElement): void {
    if (!this.media) return clear(element);
    element.srcObject = new MediaStream([this.media]);
    element.dataset.shown = 'true';
    play(element);
  }
}

export interface RemoteTrackHooks {
  /** Whether its elements say how it is wanted. */
  adaptive: boolean;
  /** What an element shows is another kind of picture, or none. */
  shown(): void;
  /** It is wanted in another way. */
  wished(): void;
}

/**
 * Somebody else's track. It may be attached to elements at any time; they show something while the track is in a slot, and only from the first
 * frame on that is its own (see `slots.ts`). An element has `data-shown="true"` while it shows a live picture of this track, and `"held"` while it
 * shows the last one because nothing is sent for now.
 */
export class RemoteTrack {
  readonly kind: 'audio' | 'video';
  /** How it is wanted; the room tells the server. */
  readonly wish: TrackWish;
  private slot: Slot | undefined;
  private stream: MediaStream | undefined;
  private readonly elements = new Map<HTMLVideoElement, ElementView>();
  private readonly hooks: RemoteTrackHooks;

  constructor(kind: 'audio' | 'video', hooks: RemoteTrackHooks) {
    this.kind = kind;
    this.hooks = hooks;
    this.wish = new TrackWish(hooks.wished);
  }

  /** Whether the server sends it: it is in a slot, and nothing hinders it. */
  get subscribed(): boolean {
    return this.slot !== undefined && this.slot.reason === undefined;
  }

  /** Why nothing is sent although the track is in a slot. */
  get reason(): Slot['reason'] {
    return this.slot?.reason;
  }

  /** What the slot plays now. Right after a change it may still be another track's picture: prefer `attach`. */
  get mediaStreamTrack(): MediaStreamTrack | undefined {
    return this.stream?.getTracks()[0];
  }

  /** Whether an attached element shows a live picture of this track. */
  get shown(): boolean {
    return [...this.elements.values()].some((view) => view.shown);
  }

  /** Shows the track in an element until `detach`. Sound needs no element: the room plays it. */
  attach(element: HTMLVideoElement): void {
    if (this.kind === 'audio') throw new TypeError('The room plays audio tracks itself.');
    if (this.elements.has(element)) return;
    const view = new ElementView(element, this.hooks.shown);
    if (this.hooks.adaptive) view.watchSight(this.wish);
    this.elements.set(element, view);
    view.update(this.stream, this.slot);
  }

  detach(element: HTMLVideoElement): void {
    this.elements.get(element)?.end();
    this.elements.delete(element);
    this.wish.lose(element);
  }

  /** News of the track's slot, with the stream of that slot; for the room. */
  update(stream: MediaStream | undefined, slot: Slot | undefined): void {
    this.stream = stream;
    this.slot = slot;
    for (const view of this.elements.values()) view.update(stream, slot);
  }
}

/** One element that shows one remote track: looks at each frame until the first right one. */
class ElementView {
  private reveal = new Reveal();
  private waiting: number | undefined;
  private sight: ElementSight | undefined;
  private readonly element: HTMLVideoElement;
  private readonly changed: () => void;

  constructor(element: HTMLVideoElement, changed: () => void) {
    this.element = element;
    this.changed = changed;
    element.muted = true;
    element.playsInline = true;
  }

  get shown(): boolean {
    return this.reveal.shown;
  }

  update(stream: MediaStream | undefined, slot: Slot | undefined): void {
    if (!stream || !slot) return this.stop();
    if (this.element.srcObject !== stream) {
      this.stop();
      this.element.srcObject = stream;
      play(this.element);
    }
    this.follow(slot);
    this.mark();
    if (!this.shown) this.watch();
  }

  stop(): void {
    if (this.waiting !== undefined) this.element.cancelVideoFrameCallback?.(this.waiting);
    this.waiting = undefined;
    this.reveal = new Reveal();
    this.mark();
    clear(this.element);
  }

  /** Says what is seen of the element from now on. */
  watchSight(wish: TrackWish): void {
    const { element } = this;
    wish.see(element, undefined);
    this.sight = new ElementSight(element, (sight) => wish.see(element, sight));
  }

  end(): void {
    this.sight?.stop();
    this.stop();
  }

  private follow({ reason, first_timestamp }: Slot): void {
    switch (reason) {
      case undefined:
        return this.reveal.expect(first_timestamp);
      case 'bandwidth':
      case 'paused':
        return this.reveal.hold();
      case 'muted':
      case 'codec':
        return this.reveal.hide();
    }
  }

  private watch(): void {
    if (this.waiting !== undefined) return;
    if (!('requestVideoFrameCallback' in this.element)) return this.watchWithoutFrames();
    this.waiting = this.element.requestVideoFrameCallback((_now, { rtpTimestamp }) => {
      this.waiting = undefined;
      this.see(rtpTimestamp);
      if (!this.shown) this.watch();
    });
  }

  /** A browser that does not tell of frames: time passing in the element is the next best sign of one. */
  private watchWithoutFrames(): void {
    this.element.addEventListener('timeupdate', () => this.see(undefined), { once: true });
  }

  private see(timestamp: number | undefined): void {
    this.reveal.frame(timestamp);
    this.mark();
  }

  private mark(): void {
    const shown = MARKS[this.reveal.picture];
    if (this.element.dataset.shown === shown) return;
    this.element.dataset.shown = shown;
    this.changed();
  }
}

const MARKS = { shown: 'true', held: 'held', hidden: 'false' };

function clear(element: HTMLMediaElement): void {
  element.dataset.shown = 'false';
  if (element.srcObject) element.srcObject = null;
}

/** Plays; an element that was taken away meanwhile, or that waits for a gesture, is no fault. */
function play(element: HTMLMediaElement): void {
  element.play().catch(() => {});
}
