import type { ServerMessage } from '../src/protocol.gen.ts';

export type Sent = { type: string; id: number } & Record<string, unknown>;

/** Just enough of a WebSocket, driven by hand. */
export class FakeSocket extends EventTarget {
  readonly url: string;
  sent: Sent[] = [];
  closedWith: number | undefined;

  constructor(url = 'ws://server') {
    super();
    this.url = url;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Sent);
  }

  /** Called by us. A real one takes its time, which a dead network makes long: nobody may wait for it. */
  close(code?: number): void {
    this.closedWith ??= code;
  }

  open(): void {
    this.dispatchEvent(new Event('open'));
  }

  /** Closed by the other side, or by the network. */
  lose(): void {
    this.dispatchEvent(new Event('close'));
  }

  receive(message: ServerMessage): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) }));
  }

  /** The last request of a type. */
  last(type: string): Sent {
    const found = this.sent.findLast((message) => message.type === type);
    if (!found) throw new Error(`No ${type} was sent, only: ${this.sent.map(({ type }) => type).join(', ')}`);
    return found;
  }

  done(type: string): void {
    this.receive({ type: 'done', id: this.last(type).id });
  }
}
