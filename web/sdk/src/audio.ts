/** Plays the audio slots: one hidden element each, attached once, whoever is in the slot. */
export class AudioPlayback {
  private readonly elements: HTMLAudioElement[] = [];
  private readonly changed: () => void;
  private blocked = false;
  private silent = false;

  constructor(changed: () => void) {
    this.changed = changed;
  }

  /** False: the browser wants a gesture first; call `start` in a click. */
  get canPlay(): boolean {
    return !this.blocked;
  }

  /** Silences everything, on purpose. */
  set muted(muted: boolean) {
    this.silent = muted;
    for (const element of this.elements) element.muted = muted;
  }

  get muted(): boolean {
    return this.silent;
  }

  add(stream: MediaStream): void {
    const element = document.createElement('audio');
    element.hidden = true;
    element.muted = this.silent;
    element.srcObject = stream;
    document.body.append(element);
    this.elements.push(element);
    void this.play(element);
  }

  /** Tries again to play, which succeeds in a click. */
  async start(): Promise<void> {
    await Promise.all(this.elements.map((element) => this.play(element)));
  }

  clear(): void {
    for (const element of this.elements.splice(0)) {
      element.srcObject = null;
      element.remove();
    }
    this.block(false);
  }

  private async play(element: HTMLAudioElement): Promise<void> {
    try {
      await element.play();
      this.block(false);
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.block(true);
    }
  }

  private block(blocked: boolean): void {
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.changed();
  }
}
