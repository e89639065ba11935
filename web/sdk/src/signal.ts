import { Emitter } from './emitter.ts';
import type { ClientMessage, ErrorBody, LeaveReason, RoomEvent, ServerMessage, Slot, Speaker, TrackEncodings } from './protocol.gen.ts';

/**
 * A request that the server refused, with its stable code; or that could not be answered: `disconnected` (the connection was lost), `timeout`,
 * `unreachable`, `left` (`disconnect` was called meanwhile).
 */
export class SignalError extends Error {
  override readonly name = 'SignalError';
  readonly code: string;

  constructor(body: ErrorBody) {
    super(body.message);
    this.code = body.code;
  }
}

/** Whether a request failed because the server was out of reach, and not because it said no. */
export function isLost(error: unknown): boolean {
  return error instanceof SignalError && ['disconnected', 'timeout', 'unreachable'].includes(error.code);
}

/** For work that nobody waits for. What was lost with a connection is repeated when another one stands. */
export function warn(error: unknown): void {
  if (isLost(error) || (error instanceof SignalError && error.code === 'left')) return;
  console.warn('ninefold:', error instanceof Error ? error.message : error);
}

/** What may be otherwise at the next attempt. */
const TRANSIENT = ['disconnected', 'timeout', 'unreachable', 'left', 'stopping', 'server_error', 'too_many_requests', 'too_many_sockets', 'join_timeout'];

/** Whether the server said no, and would say it again. */
export function isDefinite(error: unknown): error is SignalError {
  return error instanceof SignalError && !TRANSIENT.includes(error.code);
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
/** What may be asked; the `id` is added on the way. */
export type ClientRequest = WithoutId<Exclude<ClientMessage, { type: 'leave' }>>;
type Reply = Extract<ServerMessage, { type: 'joined' | 'answered' | 'resumed' | 'done' | 'layers' }>;
export type Joined = Extract<Reply, { type: 'joined' }>;
type Answered = Extract<Reply, { type: 'answered' }>;
export type Layers = Extract<Reply, { type: 'layers' }>;

interface Pending {
  resolve(reply: Reply): void;
  reject(error: SignalError): void;
  timer: ReturnType<typeof setTimeout>;
}

export interface SignalEvents {
  event: [seq: number, event: RoomEvent];
  slots: [slots: Slot[]];
  encodings: [tracks: TrackEncodings[]];
  speakers: [speakers: Speaker[]];
  /** The join waits in the lobby. */
  waiting: [];
  /** The connection is gone; comes once. Undefined: it was lost, nobody said why. */
  closed: [reason: LeaveReason | undefined];
}

const OPEN_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** What the server takes for a goodbye, and what it does not. */
const CLOSE_GOODBYE = 1000;
const CLOSE_LOST = 4000;

export type SocketFactory = (url: string) => WebSocket;

/** One signalling connection: requests with their answers by `id`, and what the server says unasked. */
export class Signal extends Emitter<SignalEvents> {
  /** Resolves when the connection stands; rejects if the server cannot be reached. */
  readonly opened: Promise<void>;
  private readonly pending = new Map<number, Pending>();
  private readonly socket: WebSocket;
  private nextId = 1;
  private open = false;
  private closed = false;

  constructor(url: string, create: SocketFactory = (url) => new WebSocket(url)) {
    super();
    const socket = (this.socket = create(url));
    socket.addEventListener('message', ({ data }) => this.receive(String(data)));
    socket.addEventListener('close', () => this.end(undefined));
    this.opened = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.drop(), OPEN_TIMEOUT_MS);
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        this.open = true;
        resolve();
      });
      this.on('closed', () => {
        clearTimeout(timer);
        reject(failure('unreachable'));
      });
    });
    this.opened.catch(() => {});
  }

  /** Whether the connection has come about. */
  get isOpen(): boolean {
    return this.open;
  }

  /** Sends a request; resolves with its answer, rejects with the server's error. One that is not answered in time means that the connection is dead. */
  request(message: Extract<ClientRequest, { type: 'join' }>): Promise<Joined>;
  request(message: Extract<ClientRequest, { type: 'offer' }>): Promise<Answered>;
  request(message: Extract<ClientRequest, { type: 'layers' }>): Promise<Layers>;
  request(message: ClientRequest, timeoutMs?: number): Promise<Reply>;
  request(message: ClientRequest, timeoutMs = REQUEST_TIMEOUT_MS): Promise<Reply> {
    if (this.closed || !this.open) return Promise.reject(failure('disconnected'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.settle(id)?.reject(failure('timeout'));
        this.drop();
      }, timeoutMs);
      this.pending.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ ...message, id }));
    });
  }

  /** Says goodbye, so that the others need not wait for a timeout, and closes. */
  leave(): void {
    if (this.open && !this.closed) this.socket.send(JSON.stringify({ type: 'leave' } satisfies ClientMessage));
    this.close('left');
  }

  /** Gives the connection up as lost: the server keeps our place. */
  drop(): void {
    this.socket.close(CLOSE_LOST);
    this.end(undefined);
  }

  private close(reason: LeaveReason): void {
    this.socket.close(CLOSE_GOODBYE);
    this.end(reason);
  }

  private receive(text: string): void {
    if (this.closed) return;
    const message = JSON.parse(text) as ServerMessage;
    switch (message.type) {
      case 'joined':
      case 'answered':
      case 'resumed':
      case 'done':
      case 'layers':
        return this.settle(message.id)?.resolve(message);
      case 'error':
        return this.fail(message.id, message.error);
      case 'waiting':
        // Until a moderator decides; that may take long.
        clearTimeout(this.pending.get(message.id)?.timer);
        return this.emit('waiting');
      case 'event':
        return this.emit('event', message.seq, message.event);
      case 'slots':
        return this.emit('slots', message.slots);
      case 'encodings':
        return this.emit('encodings', message.tracks);
      case 'speakers':
        return this.emit('speakers', message.speakers);
      case 'closed':
        return this.close(message.reason);
    }
  }

  private fail(id: number | undefined, error: ErrorBody): void {
    if (id === undefined) console.warn(`ninefold: the server could not read a message: ${error.message}`);
    else this.settle(id)?.reject(new SignalError(error));
  }

  private settle(id: number): Pending | undefined {
    const waiting = this.pending.get(id);
    this.pending.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  private end(reason: LeaveReason | undefined): void {
    if (this.closed) return;
    this.closed = true;
    for (const id of [...this.pending.keys()]) this.settle(id)?.reject(failure('disconnected'));
    this.emit('closed', reason);
  }
}

const FAILURES = {
  disconnected: 'The connection to the server is gone.',
  timeout: 'The server did not answer in time.',
  unreachable: 'The server could not be reached.',
  left: 'The room was left meanwhile.',
};

/** An error that comes from here, not from the server. */
export function failure(code: keyof typeof FAILURES): SignalError {
  return new SignalError({ code, message: FAILURES[code] });
}
