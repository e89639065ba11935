/** What an `IceWatch` sees and can do. */
export interface IceHooks {
  state(): RTCIceConnectionState;
  /** Nothing comes any more, whatever the state is. */
  isSilent(): boolean;
  /** Whether an offer could be made now. */
  canRestart(): boolean;
  /** Restarts ICE by a further offer. */
  restart(): Promise<void>;
  /** Media stopped, and something is done about it. */
  troubled(): void;
  /** Media flows again. */
  recovered(): void;
  /** Nothing helped: a new peer connection is needed. */
  lost(): void;
}

/** A short gap heals by itself. */
const PATIENCE_MS = 2_500;
/** How long each restart may take from its answer on, and so how many there are. */
const RESTARTS_MS = [3_000, 4_000, 6_000];
const ASK_AGAIN_MS = 500;

/** Watches the connection of media, and restarts ICE when it is interrupted. */
export class IceWatch {
  private readonly hooks: IceHooks;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private restarts = 0;
  private stood = false;
  private troubled = false;
  private stopped = false;

  constructor(hooks: IceHooks) {
    this.hooks = hooks;
  }

  /** Whether media has ever flowed. */
  get hasStood(): boolean {
    return this.stood;
  }

  /** The state changed, or nothing comes any more, or something again. */
  update(): void {
    switch (this.hooks.state()) {
      case 'connected':
      case 'completed':
        this.stood = true;
        if (!this.hooks.isSilent()) return this.recover();
        if (!this.troubled) this.act();
        return;
      case 'disconnected':
        if (!this.troubled) this.timer ??= setTimeout(() => this.act(), PATIENCE_MS);
        return;
      case 'failed':
        if (!this.troubled) this.act();
        return;
    }
  }

  /** The network is another one, or signalling is back: does not wait any longer. */
  hurry(): void {
    if (this.stood && !this.troubled && !this.isWell()) this.act();
  }

  /** As if the connection had failed. */
  fail(): void {
    this.restarts = 0;
    this.restart();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private act(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.isWell()) return this.recover();
    if (!this.stood || this.restarts >= RESTARTS_MS.length) return this.hooks.lost();
    this.restart();
  }

  private restart(): void {
    clearTimeout(this.timer);
    if (!this.troubled) {
      this.troubled = true;
      this.hooks.troubled();
    }
    if (!this.hooks.canRestart()) return this.askAgain(ASK_AGAIN_MS);
    // The answer may take long if signalling is lost too; that is not this restart's fault.
    const limit = RESTARTS_MS[this.restarts++] ?? 0;
    this.hooks.restart().then(
      () => (this.isWell() ? this.recover() : this.askAgain(limit)),
      () => this.askAgain(ASK_AGAIN_MS),
    );
  }

  private askAgain(ms: number): void {
    clearTimeout(this.timer);
    if (this.troubled && !this.stopped) this.timer = setTimeout(() => this.act(), ms);
  }

  private isWell(): boolean {
    return ['connected', 'completed'].includes(this.hooks.state()) && !this.hooks.isSilent();
  }

  private recover(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.restarts = 0;
    if (!this.troubled) return;
    this.troubled = false;
    this.hooks.recovered();
  }
}
