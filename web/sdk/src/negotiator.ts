const DEBOUNCE_MS = 20;

/**
 * Runs offers one after another. Wishes that come within a moment of each other, or while an offer is on its way, share the next one.
 */
export class Negotiator {
  private readonly run: () => Promise<void>;
  private current: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;

  constructor(run: () => Promise<void>) {
    this.run = run;
  }

  /** Resolves when an offer that was made after this call has been answered. */
  negotiate(): Promise<void> {
    this.next ??= this.schedule();
    return this.next;
  }

  private async schedule(): Promise<void> {
    const before = this.current;
    await Promise.all([before.catch(() => {}), new Promise((resolve) => setTimeout(resolve, DEBOUNCE_MS))]);
    this.current = this.next ?? Promise.resolve();
    this.next = undefined;
    await this.run();
  }
}
