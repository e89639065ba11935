import { Emitter } from './emitter.ts';
import type { ClientMessage, ErrorBody, LeaveReason, RoomEvent, ServerMessage, Slot, Speaker } from './protocol.gen.ts';

/** A request that the server refused, with its stable code; or that could not be answered (code `disconnected`). */
export class SignalError extends Error {
  override readonly name = 'SignalError';
  readonly code: string;

  constructor(body: ErrorBody) {
    super(body.message);
    this.code = body.code;
  }
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
/** What may be asked; the `id` is added on the way. */
export type ClientRequest = WithoutId<Exclude<ClientMessage, { type: 'leave' }>>;
type Reply = Extract<ServerMessage, { type: 'joined' | 'answered' | 'done' }>;

export interface SignalEvents {
  event: [seq: number, event: RoomEvent];
  slots: [slots: Slot[]];
  speakers: [speakers: Speaker[]];
  /** The connection is gone; comes once. */
  closed: [reason: LeaveReason];
}

const OPEN_TIMEOUT_MS = 15_000;

/** The signalling connection: requests with their answers by `id`, and what the server says unasked. */
export class Signal extends Emitter<SignalEvents> {
  private readonly pending = new Map<number, { resolve(reply: Reply): void; reject(error: SignalError): void }>();
  private readonly socket: WebSocket;
  private nextId = 1;
  private open = false;
  private closed = false;
  private reason: LeaveReason = 'disconnected';

  private constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => this.receive(String(data)));
    socket.addEventListener('close', () => this.end());
  }

  /** Opens a connection; rejects if the server cannot be reached. */
  static connect(url: string, create: (url: string) => WebSocket = (url) => new WebSocket(url)): Promise<Signal> {
    return new Promise((resolve, reject) => {
      const signal = new Signal(create(url));
      const timer = setTimeout(() => signal.close(), OPEN_TIMEOUT_MS);
      signal.socket.addEventListener('open', () => {
        clearTimeout(timer);
        signal.open = true;
        resolve(signal);
      });
      signal.on('closed', () => {
        clearTimeout(timer);
        reject(new SignalError({ code: 'unreachable', message: 'The server could not be reached.' }));
      });
    });
  }

  /** Sends a request; resolves with its answer, rejects with the server's error. */
  request(message: Extract<ClientRequest, { type: 'join' }>): Promise<Extract<Reply, { type: 'joined' }>>;
  request(message: Extract<ClientRequest, { type: 'offer' }>): Promise<Extract<Reply, { type: 'answered' }>>;
  request(message: ClientRequest): Promise<Reply>;
  request(message: ClientRequest): Promise<Reply> {
    if (this.closed) return Promise.reject(disconnected());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ ...message, id }));
    });
  }

  /** Throws if the connection is gone. */
  assertOpen(): void {
    if (this.closed) throw disconnected();
  }

  /** Says goodbye, so that the others need not wait for a timeout, and closes. */
  leave(): void {
    if (this.open && !this.closed) this.socket.send(JSON.stringify({ type: 'leave' } satisfies ClientMessage));
    this.reason = 'left';
    this.close();
  }

  close(): void {
    this.socket.close();
    this.end();
  }

  private receive(text: string): void {
    if (this.closed) return;
    const message = JSON.parse(text) as ServerMessage;
    switch (message.type) {
      case 'joined':
      case 'answered':
      case 'done':
        return this.settle(message.id)?.resolve(message);
      case 'error':
        return this.fail(message.id, message.error);
      case 'event':
        return this.emit('event', message.seq, message.event);
      case 'slots':
        return this.emit('slots', message.slots);
      case 'speakers':
        return this.emit('speakers', message.speakers);
      case 'closed':
        this.reason = message.reason;
        return;
    }
  }

  private fail(id: number | undefined, error: ErrorBody): void {
    if (id === undefined) console.warn(`ninefold: the server could not read a message: ${error.message}`);
    else this.settle(id)?.reject(new SignalError(error));
  }

  private settle(id: number) {
    const waiting = this.pending.get(id);
    this.pending.delete(id);
    return waiting;
  }

  private end(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { reject } of this.pending.values()) reject(disconnected());
    this.pending.clear();
    this.emit('closed', this.reason);
  }
}

function disconnected(): SignalError {
  return new SignalError({ code: 'disconnected', message: 'The connection to the server is gone.' });
}
