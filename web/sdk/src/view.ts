import type { View } from './protocol.gen.ts';

const DEBOUNCE_MS = 30;

/** Gathers what the page wants to see and sends it once it rests, and only if it differs from what was sent last. */
export class ViewSender {
  private readonly send: (view: View) => void;
  private wanted: number[] | undefined;
  private sent: string | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (view: View) => void) {
    this.send = send;
  }

  /** What is asked for now. */
  get current(): View {
    return this.wanted ? { mode: 'tracks', tracks: this.wanted } : { mode: 'auto', offset: 0, pinned: [] };
  }

  /** The video tracks that are in sight, the most important first. */
  set(tracks: number[]): void {
    this.wanted = [...tracks];
    this.timer ??= setTimeout(() => this.flush(), DEBOUNCE_MS);
  }

  /** Says it again: the server may not have heard it. */
  repeat(): void {
    this.sent = undefined;
    if (this.wanted) this.timer ??= setTimeout(() => this.flush(), DEBOUNCE_MS);
  }

  /** Forgets what was sent and is waiting: the connection is another one. */
  reset(): void {
    clearTimeout(this.timer);
    this.timer = this.wanted = this.sent = undefined;
  }

  private flush(): void {
    this.timer = undefined;
    const key = JSON.stringify(this.wanted);
    if (this.wanted === undefined || key === this.sent) return;
    this.sent = key;
    this.send(this.current);
  }
}
