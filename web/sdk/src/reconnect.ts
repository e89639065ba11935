/** When to try again. */
export interface ReconnectPolicy {
  /** Milliseconds to wait before an attempt, from 0; undefined: give up. */
  delay(attempt: number): number | undefined;
}

const FIRST_DELAYS_MS = [0, 300, 1000];
/** With the jitter at most three seconds: so soon a server that is back is noticed, and everybody sees each other again within five. */
const DELAY_MS = 2000;
/** The first attempts are for one unlucky client; later ones may be those of a whole server, and are spread. */
const JITTER_FROM = 2;
const JITTER_MS = 1000;
/** More than a minute. */
const ATTEMPTS = 30;

export const DEFAULT_RECONNECT_POLICY: ReconnectPolicy = {
  delay(attempt) {
    if (attempt >= ATTEMPTS) return undefined;
    const delay = FIRST_DELAYS_MS[attempt] ?? DELAY_MS;
    return attempt < JITTER_FROM ? delay : delay + Math.random() * JITTER_MS;
  },
};

/** Waits between the attempts of one coming back. */
export class Backoff {
  private readonly policy: ReconnectPolicy;
  private attempt = 0;
  private wake: ((goOn: boolean) => void) | undefined;
  private cancelled = false;

  constructor(policy: ReconnectPolicy) {
    this.policy = policy;
  }

  /** Resolves when the next attempt is due; with false if there is none. */
  next(): Promise<boolean> {
    const delay = this.cancelled ? undefined : this.policy.delay(this.attempt++);
    if (delay === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake?.(true), delay);
      this.wake = (goOn) => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve(goOn);
      };
    });
  }

  /** The network is there again: tries at once, and begins anew with the short delays. */
  hurry(): void {
    this.attempt = this.wake ? 1 : 0;
    this.wake?.(true);
  }

  cancel(): void {
    this.cancelled = true;
    this.wake?.(false);
  }
}
