/**
 * The one peer connection. We always offer, the server answers; the answer has all of its candidates, so nothing trickles. The first offer has
 *
 *     microphone · camera          sections that send, there even while the devices are off, so that turning them on needs no SDP
 *     audio slots · video slots    sections that receive; what they show changes by signalling only
 *     data                         two channels
 *
 * A shared screen adds sections later; so does what was not allowed at first.
 */
import { hasCodec, receiveCodecs, sendCodecs } from './codecs.ts';
import { decodeData, encodeData } from './data.ts';
import { Emitter } from './emitter.ts';
import { encodingsOf, plainEncodingsOf } from './encodings.ts';
import type { PublishOptions } from './options.ts';
import type { PublishedSection, Source } from './protocol.gen.ts';
import { TrackSender } from './sender.ts';
import { kindOf, type LocalTrack } from './track.ts';

/** How many tracks can be received at once without a further offer. */
export interface SlotCounts {
  audio: number;
  video: number;
}

export const DEFAULT_SLOTS: SlotCounts = { audio: 3, video: 9 };

/** A section that sends, or that could. */
export interface SendSection {
  readonly source: Source;
  readonly transceiver: RTCRtpTransceiver;
  readonly local: LocalTrack;
  readonly sender: TrackSender;
  muted: boolean;
  /** Part of the offers from now on. Said here and not by the transceiver's direction, which a closed connection forgets. */
  inUse: boolean;
}

/** A receiving section: its `mid` and the stream that plays whatever is in it. */
export interface ReceiveSection {
  readonly kind: 'audio' | 'video';
  readonly transceiver: RTCRtpTransceiver;
  readonly stream: MediaStream;
}

export interface MediaEvents {
  data: [from: number, payload: Uint8Array];
  connected: [];
  /** The state of ICE changed. */
  ice: [];
  /** Lost, and not because of ICE. */
  failed: [];
}

/** The list that goes with an offer: which section carries what. One that is not in use is left out. */
export function publishedSections(sections: Iterable<Pick<SendSection, 'source' | 'transceiver' | 'muted'>>): PublishedSection[] {
  return [...sections].flatMap(({ source, transceiver: { mid, direction }, muted }) =>
    mid !== null && direction === 'sendonly' ? [{ mid, source, muted }] : [],
  );
}

export class Media extends Emitter<MediaEvents> {
  readonly pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  readonly sends: SendSection[] = [];
  readonly receives: ReceiveSection[] = [];
  private readonly channels: { reliable: RTCDataChannel; lossy: RTCDataChannel };
  private readonly local: (source: Source) => LocalTrack;
  private readonly publish: PublishOptions;

  /** `sources` have sections from the first offer on; `local` gives what a source's section carries; `publish` says how pictures are sent. */
  constructor(options: { sources: Source[]; slots: SlotCounts; local: (source: Source) => LocalTrack; publish?: PublishOptions }) {
    super();
    this.local = options.local;
    this.publish = options.publish ?? {};
    for (const source of options.sources) this.addSend(source);
    for (let i = 0; i < options.slots.audio; i++) this.addReceive('audio');
    for (let i = 0; i < options.slots.video; i++) this.addReceive('video');
    this.channels = {
      reliable: this.addChannel('reliable', { ordered: true }),
      lossy: this.addChannel('lossy', { ordered: false, maxRetransmits: 0 }),
    };
    this.pc.addEventListener('connectionstatechange', () => this.handleState());
    this.pc.addEventListener('iceconnectionstatechange', () => this.emit('ice'));
  }

  /** The section in use for a source. */
  send(source: Source): SendSection | undefined {
    return this.sends.find((section) => section.source === source && section.inUse);
  }

  /** A section for a source: an idle one of that source if there is one, else a new one. Takes effect with the next offer. */
  openSend(source: Source): SendSection {
    const section = this.sends.find((section) => section.source === source) ?? this.addSend(source);
    section.transceiver.direction = 'sendonly';
    section.inUse = true;
    return section;
  }

  /** Stops using a section from the next offer on. */
  closeSend(section: SendSection): void {
    section.inUse = false;
    if (this.pc.signalingState !== 'closed') section.transceiver.direction = 'inactive';
  }

  /** The receiving section with this `mid`. */
  receive(mid: string): ReceiveSection | undefined {
    return this.receives.find(({ transceiver }) => transceiver.mid === mid);
  }

  /** Makes an offer and takes it over; `accept` or `rollback` must follow. */
  async offer(): Promise<{ offer: string; tracks: PublishedSection[] }> {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    return { offer: this.pc.localDescription?.sdp ?? '', tracks: publishedSections(this.sends) };
  }

  /** The next offer finds a new way to the server; media flows on meanwhile, if it does. */
  restartIce(): void {
    this.pc.restartIce();
  }

  accept(answer: string): Promise<void> {
    return this.pc.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  async rollback(): Promise<void> {
    if (this.pc.signalingState === 'have-local-offer') await this.pc.setLocalDescription({ type: 'rollback' });
  }

  sendData(payload: Uint8Array, reliable: boolean, to: number): void {
    const channel = reliable ? this.channels.reliable : this.channels.lossy;
    channel.send(encodeData(to, payload));
  }

  close(): void {
    this.pc.close();
  }

  private addSend(source: Source): SendSection {
    const kind = kindOf(source);
    const transceiver = kind === 'audio' ? this.addSound() : this.addPicture(source);
    const section = { source, transceiver, local: this.local(source), sender: new TrackSender(transceiver.sender, kind), muted: true, inUse: true };
    this.sends.push(section);
    return section;
  }

  private addSound(): RTCRtpTransceiver {
    const transceiver = this.pc.addTransceiver('audio', { direction: 'sendonly' });
    transceiver.setCodecPreferences(sendCodecs('audio', RTCRtpSender.getCapabilities('audio')?.codecs ?? []));
    return transceiver;
  }

  private addPicture(source: Source): RTCRtpTransceiver {
    const capabilities = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    const publish = hasCodec(capabilities, this.publish.videoCodec) ? this.publish : {};
    const [wanted, plain] = [encodingsOf(source, publish), plainEncodingsOf(source)];
    const tried = this.tryVideo(wanted);
    let transceiver = tried ?? this.addVideo(plain);
    if (tried && !isLayered(tried) && wanted.length < plain.length) {
      // One encoding without layers would be one size for everybody. This section was in no offer yet, and will be in none.
      tried.stop();
      transceiver = this.addVideo(plain);
    }
    // A browser that cannot be asked for layers makes wrong sizes of simulcast in other codecs.
    const only = isLayered(transceiver) ? publish.videoCodec : 'vp8';
    transceiver.setCodecPreferences(sendCodecs('video', capabilities, { only }));
    return transceiver;
  }

  /** Undefined: the browser refuses these encodings. */
  private tryVideo(sendEncodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver | undefined {
    try {
      return this.addVideo(sendEncodings);
    } catch {
      return undefined;
    }
  }

  private addVideo(sendEncodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver {
    return this.pc.addTransceiver('video', { direction: 'sendonly', sendEncodings });
  }

  private addReceive(kind: 'audio' | 'video'): void {
    const transceiver = this.pc.addTransceiver(kind, { direction: 'recvonly' });
    transceiver.setCodecPreferences(receiveCodecs(kind, RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []));
    this.receives.push({ kind, transceiver, stream: new MediaStream([transceiver.receiver.track]) });
  }

  private addChannel(label: string, init: RTCDataChannelInit): RTCDataChannel {
    const channel = this.pc.createDataChannel(label, init);
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => {
      const message = data instanceof ArrayBuffer ? decodeData(data) : undefined;
      if (message) this.emit('data', message.from, message.payload);
    });
    return channel;
  }

  private handleState(): void {
    if (this.pc.connectionState === 'connected') this.emit('connected');
    if (this.pc.connectionState === 'failed' && this.pc.iceConnectionState !== 'failed') this.emit('failed');
  }
}

/** Whether the browser took the wish for layers in time; one that does not know it leaves it out. */
function isLayered(transceiver: RTCRtpTransceiver): boolean {
  return transceiver.sender.getParameters().encodings.some((encoding) => 'scalabilityMode' in encoding);
}
