import { captureCamera, captureMicrophone, captureScreen } from './capture.ts';
import { Emitter } from './emitter.ts';
import type { Link } from './link.ts';
import type { Media, SendSection } from './media.ts';
import { Negotiator } from './negotiator.ts';
import type { PublishedSection, SectionTrack, Source, TrackEncodings } from './protocol.gen.ts';
import { failure, isLost, SignalError, warn, type ClientRequest } from './signal.ts';
import { LocalTrack, TrackPublication, type LocalTrackPublication } from './track.ts';

export interface PublisherEvents {
  published: [publication: LocalTrackPublication];
  unpublished: [publication: LocalTrackPublication];
  /** `by`: the number of the moderator who did it. */
  muted: [publication: LocalTrackPublication, by?: number];
}

/** What the server knows of a publication's mute state. */
interface Told {
  /** Undefined: it may or may not have heard the last wish. */
  muted: boolean | undefined;
  /** What we asked for and have not yet seen come back as an event, the oldest first. */
  echoes: boolean[];
}

/** Opened by `resume`, broken by `stop`. */
interface Gate {
  promise: Promise<void>;
  open(): void;
  fail(error: unknown): void;
}

/**
 * Puts one's own tracks into the sections of the peer connection, and tells the server about it. While the server is out of reach (from `pause` to
 * `resume`) the devices still obey, offers wait, and the server hears of the mute states afterwards.
 */
export class Publisher extends Emitter<PublisherEvents> {
  /** Whether a source may be published; set by the room. */
  allows: (source: Source) => boolean = () => true;
  private connection: { link: Link; media: Media } | undefined;
  private readonly negotiator = new Negotiator(() => this.negotiate());
  private readonly publications = new Map<number, LocalTrackPublication>();
  private readonly told = new Map<number, Told>();
  /** Which encodings of which track anybody watches; also of tracks whose numbers come in an answer that is still on its way. */
  private readonly watched = new Map<number, boolean[]>();
  /** What is captured for each source; outlives the peer connection. */
  private readonly locals = new Map<Source, LocalTrack>();
  /** Work on one source is done in order; different sources do not wait for each other: a question for a screen may stay open for long. */
  private readonly queues = new Map<Source, Promise<void>>();
  private gate: Gate | undefined;

  local = (source: Source): LocalTrack => {
    const local = this.locals.get(source) ?? new LocalTrack();
    this.locals.set(source, local);
    return local;
  };

  /** What is published, or ready to be: these have sections. */
  get sources(): Source[] {
    return (this.connection?.media.sends ?? []).filter(({ inUse }) => inUse).map(({ source }) => source);
  }

  /** Before the first offer: what is already captured goes into it. */
  async prepare(media: Media, tracks: MediaStreamTrack[]): Promise<void> {
    for (const track of tracks) {
      const section = media.send(track.kind === 'audio' ? 'microphone' : 'camera');
      if (section) await this.fill(section, track);
    }
  }

  /** Before the first offer of another peer connection: what was published goes on in it, with the same devices. */
  async carryOver(media: Media): Promise<void> {
    for (const section of media.sends) await this.copy(this.connection?.media.send(section.source), section);
  }

  /** From a join on; `offered` is what went with its offer. */
  start(link: Link, media: Media, tracks: SectionTrack[], offered: PublishedSection[]): void {
    const before = this.connection?.media;
    // Another participation counts its tracks anew.
    for (const publication of [...this.publications.values()]) this.forget(publication);
    this.watched.clear();
    this.connection = { link, media };
    if (before) this.catchUp(before, media);
    this.applyNumbers(tracks, offered);
  }

  /** After a join that had to do without sections: makes those that are allowed. */
  async openAllowed(tracks: MediaStreamTrack[]): Promise<void> {
    const { media } = this.connected();
    const sources = (['microphone', 'camera'] as const).filter((source) => this.allows(source));
    for (const source of sources) media.openSend(source);
    for (const track of tracks) {
      const source = track.kind === 'audio' ? 'microphone' : 'camera';
      const section = media.send(source);
      if (section) await this.fill(section, track);
      else this.local(source).replace(undefined);
      if (!section) release(track);
    }
    if (sources.length > 0) await this.negotiator.negotiate();
  }

  /** Offers again what there is, for a new way of media. */
  renegotiate(): Promise<void> {
    return this.negotiator.negotiate();
  }

  /** The server is out of reach. */
  pause(): void {
    if (this.gate) return;
    const gate: Partial<Gate> = {};
    gate.promise = new Promise((open, fail) => Object.assign(gate, { open, fail }));
    gate.promise.catch(() => {});
    this.gate = gate as Gate;
  }

  /** It is there again: repeats what it may not have heard. */
  resume(): void {
    this.gate?.open();
    this.gate = undefined;
    for (const publication of this.publications.values()) {
      const told = this.told.get(publication.number);
      if (told) told.echoes = [];
      if (told && told.muted !== publication.muted) void this.tell(publication).catch(warn);
    }
  }

  /** Stops every device; the connection is gone. What was never started is still the caller's. */
  stop(): void {
    for (const local of this.locals.values()) {
      if (this.connection) release(local.mediaStreamTrack);
      local.replace(undefined);
    }
    this.connection = undefined;
    this.publications.clear();
    this.told.clear();
    this.watched.clear();
    this.gate?.fail(failure('left'));
    this.gate = undefined;
  }

  async request(message: ClientRequest): Promise<void> {
    await this.connected().link.request(message);
  }

  sendData(payload: Uint8Array, reliable: boolean, to: number): void {
    this.connected().media.sendData(payload, reliable, to);
  }

  setCamera(enabled: boolean): Promise<void> {
    return this.inOrder('camera', async () => {
      const section = this.section('camera');
      if (!section) return enabled ? this.open('camera', captureCamera) : undefined;
      if (section.muted === !enabled) return;
      if (enabled) await this.fill(section, await captureCamera());
      else await this.empty(section);
      await this.tellMuted('camera');
    });
  }

  setMicrophone(enabled: boolean): Promise<void> {
    return this.inOrder('microphone', async () => {
      const section = this.section('microphone');
      if (!section) return enabled ? this.open('microphone', captureMicrophone) : undefined;
      if (section.muted === !enabled) return;
      const track = section.local.mediaStreamTrack;
      if (enabled && track?.readyState !== 'live') await this.fill(section, await captureMicrophone());
      else if (track) track.enabled = enabled;
      section.muted = !enabled;
      await this.tellMuted('microphone');
    });
  }

  setScreenShare(enabled: boolean): Promise<void> {
    return this.inOrder('screen', async () => {
      if (enabled === (this.section('screen') !== undefined)) return;
      if (!enabled) return this.close(['screen', 'screen_audio']);
      this.assertAllowed('screen');
      const { video, audio } = await captureScreen();
      video.addEventListener('ended', () => void this.setScreenShare(false).catch(() => {}));
      await this.openAll([['screen', video], ...(audio ? [['screen_audio', audio] as const] : [])]);
    });
  }

  publish(track: MediaStreamTrack, source: Source): Promise<void> {
    return this.inOrder(source, async () => {
      const section = this.section(source);
      if (!section) return this.open(source, () => Promise.resolve(track));
      await this.fill(section, track);
      await this.tellMuted(source);
    });
  }

  unpublish(source: Source): Promise<void> {
    switch (source) {
      case 'camera':
        return this.setCamera(false);
      case 'microphone':
        return this.inOrder(source, async () => {
          const section = this.section(source);
          if (!section) return;
          await this.empty(section);
          await this.tellMuted(source);
        });
      case 'screen':
      case 'screen_audio':
        return this.inOrder(source, () => this.close([source]));
    }
  }

  /** The server says that one's own track is muted or not: an echo of our own wish, or somebody else's doing, which is obeyed. */
  handleMuted(number: number, muted: boolean, by: number | undefined): void {
    const publication = this.publications.get(number);
    const told = this.told.get(number);
    if (!publication || !told) return;
    if (by === undefined && told.echoes.length > 0) {
      told.echoes.splice(0, told.echoes.indexOf(muted) + 1);
      return;
    }
    Object.assign(told, { muted, echoes: [] });
    if (!muted || publication.muted) return;
    publication.muted = true;
    const section = this.section(publication.source);
    if (section) this.silence(section);
    this.emit('muted', publication, by);
  }

  /** The server says which encodings of one's own tracks anybody watches: the others are not sent. */
  handleEncodings(tracks: TrackEncodings[]): void {
    for (const { track, active } of tracks) {
      this.watched.set(track, active);
      const publication = this.publications.get(track);
      if (publication) this.applyWatched(publication);
    }
  }

  /** The server ended one's own track. */
  handleUnpublished(number: number): void {
    const publication = this.publications.get(number);
    if (!publication) return;
    this.forget(publication);
    const section = this.section(publication.source);
    // Without a section we have ended it ourselves, and this is the echo.
    if (!section) return;
    void this.shut(publication.source).catch(warn);
    void this.negotiator.negotiate().catch(warn);
  }

  private async open(source: Source, capture: () => Promise<MediaStreamTrack>): Promise<void> {
    this.assertAllowed(source);
    await this.openAll([[source, await capture()]]);
  }

  private async openAll(tracks: (readonly [Source, MediaStreamTrack])[]): Promise<void> {
    try {
      for (const [source, track] of tracks) await this.fill(this.connected().media.openSend(source), track);
      await this.negotiator.negotiate();
    } catch (error) {
      for (const [source, track] of tracks) {
        release(track);
        await this.shut(source);
      }
      throw error;
    }
  }

  private async close(sources: Source[]): Promise<void> {
    for (const source of sources) await this.shut(source);
    await this.negotiator.negotiate();
  }

  private async shut(source: Source): Promise<void> {
    const section = this.section(source);
    if (!section) return;
    this.connection?.media.closeSend(section);
    await this.empty(section);
  }

  /** One offer and its answer. If the connection is lost meanwhile, again when it is back. */
  private async negotiate(): Promise<void> {
    for (;;) {
      await this.gate?.promise;
      if (!this.connection) throw failure('left');
      const { link, media } = this.connection;
      try {
        const offer = await media.offer();
        const { answer, tracks } = await link.request({ type: 'offer', ...offer });
        await media.accept(answer);
        return this.applyNumbers(tracks, offer.tracks);
      } catch (error) {
        // The server may have taken a lost offer. The next one must name new sections as it did, and one that is rolled back would not.
        if (!isLost(error)) await media.rollback().catch(() => {});
        // A peer connection that was replaced meanwhile may fail in any way.
        if (!isLost(error) && this.connection?.media === media) throw error;
        // Lost without a gate: it is back already, or it is gone for good.
        if (!this.gate && this.connection?.link === link && !link.standing) throw error;
      }
    }
  }

  /** Puts a captured track into a section. A device that goes away by itself counts as turned off. */
  private async fill(section: SendSection, track: MediaStreamTrack): Promise<void> {
    try {
      await section.sender.replaceTrack(track);
    } catch (error) {
      release(track);
      throw error;
    }
    if (section.local.mediaStreamTrack !== track) release(section.local.mediaStreamTrack);
    section.local.replace(track);
    section.muted = !track.enabled;
    if (section.source === 'camera' || section.source === 'microphone') {
      track.addEventListener('ended', () => void this.handleEnded(section, track).catch(() => {}));
    }
  }

  private async handleEnded(section: SendSection, track: MediaStreamTrack): Promise<void> {
    if (section.local.mediaStreamTrack === track) await this.unpublish(section.source);
  }

  private async empty(section: SendSection): Promise<void> {
    release(section.local.mediaStreamTrack);
    section.local.replace(undefined);
    section.muted = true;
    await section.sender.replaceTrack(null);
  }

  /** What a moderator muted is really off. A screen is not shared while nobody sees it. */
  private silence(section: SendSection): void {
    section.muted = true;
    switch (section.source) {
      case 'camera':
        return void this.empty(section).catch(warn);
      case 'screen':
        return void this.setScreenShare(false).catch(warn);
      default:
        if (section.local.mediaStreamTrack) section.local.mediaStreamTrack.enabled = false;
    }
  }

  /** A section of another peer connection carries what one of the old did. */
  private async copy(from: SendSection | undefined, to: SendSection): Promise<void> {
    to.muted = from?.muted ?? true;
    await to.sender.replaceTrack(to.local.mediaStreamTrack ?? null);
  }

  /** What changed between the offer of a new peer connection and its answer. */
  private catchUp(before: Media, media: Media): void {
    for (const section of media.sends) {
      const old = before.send(section.source);
      if (!old) media.closeSend(section);
      else if (old.muted !== section.muted || section.sender.track !== (section.local.mediaStreamTrack ?? null)) void this.copy(old, section).catch(warn);
    }
    for (const old of before.sends) {
      const isMissing = old.inUse && !media.send(old.source);
      if (isMissing && this.allows(old.source)) void this.copy(old, media.openSend(old.source)).then(() => this.negotiator.negotiate()).catch(warn);
      else if (isMissing) release(old.local.mediaStreamTrack);
    }
  }

  /** The page shows the new state at once, the server hears of it, now or when it is back. */
  private async tellMuted(source: Source): Promise<void> {
    const publication = [...this.publications.values()].find((publication) => publication.source === source);
    const muted = this.section(source)?.muted;
    if (!publication || muted === undefined || publication.muted === muted) return;
    publication.muted = muted;
    this.emit('muted', publication);
    await this.tell(publication);
  }

  private async tell(publication: LocalTrackPublication): Promise<void> {
    const { number, muted } = publication;
    const told = this.told.get(number);
    if (!told || this.gate) return;
    told.echoes.push(muted);
    try {
      await this.connected().link.request({ type: 'mute', track: number, muted });
      told.muted = muted;
    } catch (error) {
      told.echoes.pop();
      if (!isLost(error)) throw error;
      told.muted = undefined;
      return;
    }
    // A moderator was quicker.
    if (publication.muted !== muted) await this.tell(publication);
  }

  /** Takes over the server's numbers of our sections: new ones are published, those that are missing no longer are. */
  private applyNumbers(tracks: SectionTrack[], offered: PublishedSection[]): void {
    for (const publication of [...this.publications.values()]) {
      if (!tracks.some(({ track }) => track === publication.number)) this.forget(publication);
    }
    for (const number of this.watched.keys()) if (!tracks.some(({ track }) => track === number)) this.watched.delete(number);
    for (const { mid, track } of tracks) {
      const source = this.sourceOf(mid);
      const section = source && this.section(source);
      if (!section || this.publications.has(track)) continue;
      const publication = new TrackPublication(track, section.source, section.muted, section.local);
      this.publications.set(track, publication);
      const muted = offered.find((section) => section.mid === mid)?.muted ?? false;
      this.told.set(track, { muted, echoes: [] });
      this.applyWatched(publication);
      this.emit('published', publication);
      if (muted !== section.muted) void this.tell(publication).catch(warn);
    }
  }

  private sourceOf(mid: string): Source | undefined {
    return this.connection?.media.sends.find(({ transceiver }) => transceiver.mid === mid)?.source;
  }

  /** Of a track of which nothing was said, everything is watched. */
  private applyWatched({ number, source }: LocalTrackPublication): void {
    // What a browser cannot stop, it goes on sending.
    this.section(source)?.sender.watch(this.watched.get(number) ?? []).catch(warn);
  }

  private forget(publication: LocalTrackPublication): void {
    this.publications.delete(publication.number);
    this.told.delete(publication.number);
    this.watched.delete(publication.number);
    this.emit('unpublished', publication);
  }

  private inOrder(source: Source, work: () => Promise<void> | undefined): Promise<void> {
    const done = (this.queues.get(source) ?? Promise.resolve()).catch(() => {}).then(work);
    this.queues.set(source, done);
    return done;
  }

  private section(source: Source): SendSection | undefined {
    return this.connected().media.send(source);
  }

  private assertAllowed(source: Source): void {
    if (!this.allows(source)) throw new SignalError({ code: 'not_allowed', message: `You may not publish this here: ${source}.` });
  }

  private connected(): { link: Link; media: Media } {
    if (!this.connection) throw new Error('The room is not connected.');
    return this.connection;
  }
}

/** Turns a device off. */
function release(track: MediaStreamTrack | undefined): void {
  track?.stop();
}
