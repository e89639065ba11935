import { captureCamera, captureMicrophone, captureScreen } from './capture.ts';
import { Emitter } from './emitter.ts';
import { fitLayers, type Media, type SendSection } from './media.ts';
import { Negotiator } from './negotiator.ts';
import type { SectionTrack, Source } from './protocol.gen.ts';
import type { ClientRequest, Signal } from './signal.ts';
import { TrackPublication, type LocalTrackPublication } from './track.ts';

export interface PublisherEvents {
  published: [publication: LocalTrackPublication];
  unpublished: [publication: LocalTrackPublication];
  muted: [publication: LocalTrackPublication];
}

/** Puts one's own tracks into the sections of the peer connection, and tells the server about it. */
export class Publisher extends Emitter<PublisherEvents> {
  private connection: { signal: Signal; media: Media } | undefined;
  private readonly negotiator = new Negotiator(() => this.negotiate());
  private readonly publications = new Map<number, LocalTrackPublication>();
  /** Work on one source is done in order; different sources do not wait for each other: a question for a screen may stay open for long. */
  private readonly queues = new Map<Source, Promise<void>>();

  /** Before the first offer: what is already captured goes into it. */
  async prepare(media: Media, tracks: MediaStreamTrack[]): Promise<void> {
    for (const track of tracks) {
      const section = media.send(track.kind === 'audio' ? 'microphone' : 'camera');
      if (section) await this.fill(section, track);
    }
  }

  /** From the join on. */
  start(signal: Signal, media: Media, tracks: SectionTrack[]): void {
    this.connection = { signal, media };
    this.applyNumbers(tracks);
  }

  /** Stops every device; the connection is gone. */
  stop(): void {
    for (const { local } of this.connection?.media.sends ?? []) release(local.mediaStreamTrack);
    this.connection = undefined;
    this.publications.clear();
  }

  async request(message: ClientRequest): Promise<void> {
    await this.connected().signal.request(message);
  }

  sendData(payload: Uint8Array, reliable: boolean, to: number): void {
    this.connected().media.sendData(payload, reliable, to);
  }

  setCamera(enabled: boolean): Promise<void> {
    return this.inOrder('camera', async () => {
      const section = this.connected().media.send('camera');
      if (!section || section.muted === !enabled) return;
      if (enabled) await this.fill(section, await captureCamera());
      else await this.empty(section);
      await this.tellMuted(section);
    });
  }

  setMicrophone(enabled: boolean): Promise<void> {
    return this.inOrder('microphone', async () => {
      const section = this.connected().media.send('microphone');
      if (!section || section.muted === !enabled) return;
      const track = section.local.mediaStreamTrack;
      if (enabled && track?.readyState !== 'live') await this.fill(section, await captureMicrophone());
      else if (track) track.enabled = enabled;
      section.muted = !enabled;
      await this.tellMuted(section);
    });
  }

  setScreenShare(enabled: boolean): Promise<void> {
    return this.inOrder('screen', async () => {
      const { media } = this.connected();
      if (enabled === (media.send('screen') !== undefined)) return;
      if (!enabled) return this.close(media, ['screen', 'screen_audio']);
      const { video, audio } = await captureScreen();
      video.addEventListener('ended', () => void this.setScreenShare(false).catch(() => {}));
      await this.open(media, [['screen', video], ...(audio ? [['screen_audio', audio] as const] : [])]);
    });
  }

  publish(track: MediaStreamTrack, source: Source): Promise<void> {
    return this.inOrder(source, async () => {
      const { media } = this.connected();
      const section = media.send(source);
      if (!section) return this.open(media, [[source, track]]);
      await this.fill(section, track);
      await this.tellMuted(section);
    });
  }

  unpublish(source: Source): Promise<void> {
    switch (source) {
      case 'camera':
        return this.setCamera(false);
      case 'microphone':
        return this.inOrder(source, async () => {
          const section = this.connected().media.send(source);
          if (!section) return;
          await this.empty(section);
          await this.tellMuted(section);
        });
      case 'screen':
      case 'screen_audio':
        return this.inOrder(source, () => this.close(this.connected().media, [source]));
    }
  }

  private async open(media: Media, tracks: (readonly [Source, MediaStreamTrack])[]): Promise<void> {
    for (const [source, track] of tracks) await this.fill(media.openSend(source), track);
    try {
      await this.negotiator.negotiate();
    } catch (error) {
      for (const [source] of tracks) await this.shut(media, source);
      throw error;
    }
  }

  private async close(media: Media, sources: Source[]): Promise<void> {
    for (const source of sources) await this.shut(media, source);
    await this.negotiator.negotiate();
  }

  private async shut(media: Media, source: Source): Promise<void> {
    const section = media.send(source);
    if (!section) return;
    await this.empty(section);
    await media.closeSend(section);
  }

  private async negotiate(): Promise<void> {
    const { signal, media } = this.connected();
    try {
      const { answer, tracks } = await signal.request({ type: 'offer', ...(await media.offer()) });
      await media.accept(answer);
      this.applyNumbers(tracks);
    } catch (error) {
      await media.rollback().catch(() => {});
      throw error;
    }
  }

  /** Puts a captured track into a section. A device that goes away by itself counts as turned off. */
  private async fill(section: SendSection, track: MediaStreamTrack): Promise<void> {
    try {
      await section.transceiver.sender.replaceTrack(track);
      if (section.source === 'camera') await fitLayers(section.transceiver.sender, track);
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
    await section.transceiver.sender.replaceTrack(null);
  }

  /** The page shows the new state at once, the server hears of it. */
  private async tellMuted({ transceiver, source, muted }: SendSection): Promise<void> {
    const publication = [...this.publications.values()].find((publication) => publication.source === source);
    if (!publication || transceiver.mid === null || publication.muted === muted) return;
    publication.muted = muted;
    this.emit('muted', publication);
    await this.connected().signal.request({ type: 'mute', track: publication.number, muted });
  }

  /** Takes over the server's numbers of our sections: new ones are published, those that are missing no longer are. */
  private applyNumbers(tracks: SectionTrack[]): void {
    for (const publication of this.publications.values()) {
      if (tracks.some(({ track }) => track === publication.number)) continue;
      this.publications.delete(publication.number);
      this.emit('unpublished', publication);
    }
    for (const { mid, track } of tracks) {
      const section = this.connection?.media.sends.find(({ transceiver }) => transceiver.mid === mid);
      if (!section || this.publications.has(track)) continue;
      const publication = new TrackPublication(track, section.source, section.muted, section.local);
      this.publications.set(track, publication);
      this.emit('published', publication);
    }
  }

  private inOrder(source: Source, work: () => Promise<void>): Promise<void> {
    const done = (this.queues.get(source) ?? Promise.resolve()).catch(() => {}).then(work);
    this.queues.set(source, done);
    return done;
  }

  private connected(): { signal: Signal; media: Media } {
    if (!this.connection) throw new Error('The room is not connected.');
    return this.connection;
  }
}

/** Turns a device off. */
function release(track: MediaStreamTrack | undefined): void {
  track?.stop();
}
