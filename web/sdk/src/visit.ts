import { IceWatch, type IceHooks } from './ice.ts';
import { Link } from './link.ts';
import { Media } from './media.ts';
import type { PublishedSection, Role, RoomMode } from './protocol.gen.ts';
import type { ReconnectPolicy } from './reconnect.ts';
import type { Joined } from './signal.ts';
import { SilenceWatch } from './silence.ts';

export interface VisitOptions {
  server: string;
  room: string;
  role?: Role;
  mode?: RoomMode;
  token: string | undefined;
  policy: ReconnectPolicy;
  media: ConstructorParameters<typeof Media>[0];
}

/** One participation in a room: its signalling and its peer connection. A room that is joined anew has another one. */
export class Visit {
  readonly link: Link;
  readonly media: Media;
  ice!: IceWatch;
  private silence: SilenceWatch | undefined;
  private readonly options: VisitOptions;

  constructor(options: VisitOptions) {
    this.options = options;
    // First, since it may fail at once.
    this.media = new Media(options.media);
    this.link = new Link({ url: socketUrl(options.server, options.room), policy: options.policy });
  }

  watchIce(hooks: Pick<IceHooks, 'restart' | 'troubled' | 'recovered' | 'lost'>): void {
    const { link, media } = this;
    const silence = (this.silence = new SilenceWatch(() => media.pc.getStats(), () => this.ice.update()));
    const state = () => media.pc.iceConnectionState;
    this.ice = new IceWatch({ ...hooks, state, isSilent: () => silence.isSilent, canRestart: () => link.standing });
    media.on('ice', () => this.ice.update());
    media.on('connected', () => silence.start());
  }

  async join(who: { name: string; metadata: string; rejoin: string | undefined }): Promise<{ joined: Joined; offered: PublishedSection[] }> {
    const { token, role = 'participant', mode = 'conference' } = this.options;
    const [offer] = await Promise.all([this.media.offer(), this.link.opened]);
    const { name, metadata, rejoin } = who;
    const joined = await this.link.join({
      type: 'join',
      ...{ name, metadata, role, mode },
      ...offer,
      ...(token === undefined ? {} : { token }),
      ...(rejoin === undefined ? {} : { rejoin }),
    });
    return { joined, offered: offer.tracks };
  }

  /** Says goodbye. */
  leave(): void {
    this.link.leave();
    this.close();
  }

  /** Another one will take the place of this one. Its media goes on until then, if it does. */
  retire(): void {
    this.link.abandon();
    this.ice.stop();
    this.silence?.stop();
  }

  close(): void {
    this.retire();
    this.media.close();
  }
}

/** The address of a room's signalling at a server. */
export function socketUrl(server: string, room: string): string {
  const base = server.replace(/^http/, 'ws').replace(/\/+$/, '');
  return `${base}/api/v1/rooms/${encodeURIComponent(room)}/socket`;
}

export interface PageHooks {
  leave(): void;
  freeze(): void;
  thaw(): void;
  /** The network, or somebody's attention, is back. */
  networkChanged(): void;
  /** Something about the network is different; browsers tell so of every other estimate. */
  networkDoubted(): void;
}

/** What happens to the page, and to the network under it. */
export class PageWatch {
  private readonly hooks: PageHooks;
  private stopping: AbortController | undefined;

  constructor(hooks: PageHooks) {
    this.hooks = hooks;
  }

  start(): void {
    const { hooks } = this;
    const { signal } = (this.stopping = new AbortController());
    window.addEventListener('pagehide', ({ persisted }) => (persisted ? hooks.freeze() : hooks.leave()), { signal });
    window.addEventListener('pageshow', ({ persisted }) => persisted && hooks.thaw(), { signal });
    window.addEventListener('online', () => hooks.networkChanged(), { signal });
    document.addEventListener('visibilitychange', () => !document.hidden && hooks.networkChanged(), { signal });
    // Not in every browser.
    const { connection } = navigator as Navigator & { connection?: EventTarget };
    connection?.addEventListener('change', () => hooks.networkDoubted(), { signal });
  }

  stop(): void {
    this.stopping?.abort();
  }
}
