/**
 * The signalling of one participation, over as many connections as it takes. A lost one is replaced by another that resumes; media knows nothing
 * of it.
 *
 *              lost                       resumed
 *     standing ────► away: try, wait, try ───────► standing
 *                                  │ refused, or 30 s gone
 *                                  └──────────────────────► closed: undefined
 */
import { Emitter } from './emitter.ts';
import type { LeaveReason } from './protocol.gen.ts';
import { Backoff, type ReconnectPolicy } from './reconnect.ts';
import { failure, isDefinite, Signal, type ClientRequest, type Joined, type SignalEvents, type SocketFactory } from './signal.ts';

export interface LinkEvents extends Pick<SignalEvents, 'event' | 'slots' | 'encodings' | 'speakers' | 'waiting'> {
  /** The connection is lost; another one is sought. */
  lost: [];
  /** Another one stands. What was missed follows. */
  resumed: [];
  /** The participation is over; comes once. Undefined: its connection was lost and could not be resumed. */
  closed: [reason: LeaveReason | undefined];
}

/** So long the server keeps the place of somebody who is away. */
const RESUME_MS = 30_000;

export interface LinkOptions {
  url: string;
  policy: ReconnectPolicy;
  create?: SocketFactory;
}

export class Link extends Emitter<LinkEvents> {
  private readonly options: LinkOptions;
  /** The one in use, or the one that is tried. */
  private signal: Signal;
  private secret: string | undefined;
  private seq = 0;
  private backoff: Backoff | undefined;
  private over = false;

  constructor(options: LinkOptions) {
    super();
    this.options = options;
    this.signal = this.dial();
  }

  /** Resolves when the first connection stands; rejects if the server cannot be reached. */
  get opened(): Promise<void> {
    return this.signal.opened;
  }

  /** The secret that names this participation when it is over. */
  get resumeSecret(): string | undefined {
    return this.secret;
  }

  /** Whether the participation is over. */
  get ended(): boolean {
    return this.over;
  }

  /** Whether requests can be made now. */
  get standing(): boolean {
    return !this.over && !this.backoff;
  }

  async join(message: Extract<ClientRequest, { type: 'join' }>): Promise<Joined> {
    const joined = await this.signal.request(message);
    this.secret = joined.resume;
    // News that came right after the answer may be further already.
    this.seq = Math.max(this.seq, joined.seq);
    return joined;
  }

  /** As `Signal.request`; while the connection is lost it rejects with `disconnected`. */
  request: Signal['request'] = ((message: ClientRequest, timeoutMs?: number) =>
    this.standing ? this.signal.request(message, timeoutMs) : Promise.reject(failure('disconnected'))) as Signal['request'];

  /** Says goodbye; nothing is told of it. */
  leave(): void {
    this.retire();
    this.signal.leave();
  }

  /** As if the network had lost the connection. */
  drop(): void {
    this.signal.drop();
  }

  /** Drops the connection without resuming it: another participation takes the place of this one. */
  abandon(): void {
    this.retire();
    this.signal.drop();
  }

  /** The network is there again, or another one: does not wait for the next attempt. */
  hurry(): void {
    this.backoff?.hurry();
    if (this.backoff || !this.signal.isOpen) this.signal.drop();
  }

  private dial(): Signal {
    const signal = new Signal(this.options.url, this.options.create);
    signal.on('event', (seq, event) => {
      this.seq = Math.max(this.seq, seq);
      this.emit('event', seq, event);
    });
    signal.on('slots', (slots) => this.emit('slots', slots));
    signal.on('encodings', (tracks) => this.emit('encodings', tracks));
    signal.on('speakers', (speakers) => this.emit('speakers', speakers));
    signal.on('waiting', () => this.emit('waiting'));
    signal.on('closed', (reason) => this.handleClosed(reason));
    return signal;
  }

  private handleClosed(reason: LeaveReason | undefined): void {
    if (reason !== undefined) return this.finish(reason);
    // Before the join the failed request tells of the loss; during a resume the failed attempt does.
    if (this.over || this.backoff || this.secret === undefined) return;
    void this.resume(this.secret);
  }

  private async resume(secret: string): Promise<void> {
    const backoff = (this.backoff = new Backoff(this.options.policy));
    const deadline = Date.now() + RESUME_MS;
    this.emit('lost');
    while ((await backoff.next()) && Date.now() < deadline) {
      const outcome = await this.tryResume(secret);
      if (this.over) return this.signal.drop();
      if (outcome === 'refused') break;
      if (outcome === 'failed') continue;
      this.backoff = undefined;
      return this.emit('resumed');
    }
    this.finish(undefined);
  }

  private async tryResume(resume: string): Promise<'resumed' | 'failed' | 'refused'> {
    const signal = (this.signal = this.dial());
    try {
      await signal.opened;
      await signal.request({ type: 'resume', resume, seq: this.seq });
      return 'resumed';
    } catch (error) {
      signal.drop();
      return isDefinite(error) ? 'refused' : 'failed';
    }
  }

  private finish(reason: LeaveReason | undefined): void {
    if (this.over) return;
    this.retire();
    this.emit('closed', reason);
  }

  private retire(): void {
    this.over = true;
    this.backoff?.cancel();
  }
}
