/** A typed emitter: `Events` maps each event's name to the list of its arguments. */
export class Emitter<Events extends { [K in keyof Events]: unknown[] }> {
  private readonly listeners = new Map<keyof Events, Set<unknown>>();

  /** Calls `listener` on each event until the returned function is called. */
  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): () => void {
    const of = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, of);
    of.add(listener);
    return () => of.delete(listener);
  }

  /** Like `on`, for the next event only. */
  once<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): () => void {
    const off = this.on(event, (...args) => {
      off();
      listener(...args);
    });
    return off;
  }

  /** Calls the listeners. One that throws does not keep the others from hearing it: its error is reported as uncaught. */
  emit<K extends keyof Events>(event: K, ...args: Events[K]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) {
      try {
        (listener as (...args: Events[K]) => void)(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
