import type { Slot, Source } from './protocol.gen.ts';
import { Reveal } from './slots.ts';

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

export type RemoteTrackPublication = TrackPublication<RemoteTrack>;
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

/**
 * Somebody else's track. It may be attached to elements at any time; they show something while the track is in a slot, and only from the first
 * frame on that is its own (see `slots.ts`). An element has `data-shown="true"` while it shows a picture of this track.
 */
export class RemoteTrack {
  readonly kind: 'audio' | 'video';
  private slot: Slot | undefined;
  private stream: MediaStream | undefined;
  private readonly elements = new Map<HTMLVideoElement, ElementView>();
  private readonly changed: () => void;

  constructor(kind: 'audio' | 'video', changed: () => void = () => {}) {
    this.kind = kind;
    this.changed = changed;
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

  /** Whether an attached element shows a picture of this track. */
  get shown(): boolean {
    return [...this.elements.values()].some((view) => view.shown);
  }

  /** Shows the track in an element until `detach`. Sound needs no element: the room plays it. */
  attach(element: HTMLVideoElement): void {
    if (this.kind === 'audio') throw new TypeError('The room plays audio tracks itself.');
    if (this.elements.has(element)) return;
    const view = new ElementView(element, this.changed);
    this.elements.set(element, view);
    view.update(this.stream, this.slot);
  }

  detach(element: HTMLVideoElement): void {
    this.elements.get(element)?.stop();
    this.elements.delete(element);
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
    this.reveal.expect(slot.reason === undefined ? slot.first_timestamp : undefined);
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
    const shown = String(this.shown);
    if (this.element.dataset.shown === shown) return;
    this.element.dataset.shown = shown;
    this.changed();
  }
}

function clear(element: HTMLMediaElement): void {
  element.dataset.shown = 'false';
  if (element.srcObject) element.srcObject = null;
}

/** Plays; an element that was taken away meanwhile, or that waits for a gesture, is no fault. */
function play(element: HTMLMediaElement): void {
  element.play().catch(() => {});
}
