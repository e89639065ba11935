/**
 * What is seen of an element: how large its picture is, and whether anybody can see it. Out of the viewport, not displayed, without size, taken out of
 * the document and in a page in the background are not seen; what is in a picture-in-picture window always is. Only looks and reports; what follows
 * from it is decided in `wishes.ts`.
 */
import { pictureSize, pixelDensity, type Sight, type Size } from './wishes.ts';

/** So much the pictures of one camera differ in shape through the rounding of their layers: less is no news, or a layer could wish for another. */
const RATIO_TOLERANCE = 0.02;

/** Not in every browser, nor in TypeScript's. */
interface DocumentPictureInPicture extends EventTarget {
  readonly window: (Window & typeof globalThis) | null;
}

export class ElementSight {
  private readonly element: HTMLVideoElement;
  private readonly report: (sight: Sight) => void;
  private readonly stopping = new AbortController();
  private readonly observers: { disconnect(): void }[] = [];
  /** Undefined until the browser has looked, which it does not do in the background. */
  private isInViewport: boolean | undefined;
  /** Of the picture, width divided by height; 0: not known yet. */
  private ratio = 0;
  /** The window that floats the element's picture. */
  private floating: PictureInPictureWindow | undefined;

  constructor(element: HTMLVideoElement, report: (sight: Sight) => void) {
    this.element = element;
    this.report = report;
    this.observeSize(ResizeObserver);
    const viewport = new IntersectionObserver((entries) => {
      this.isInViewport = entries.at(-1)?.isIntersecting;
      this.look();
    });
    viewport.observe(element);
    this.observers.push(viewport);
    this.listen();
    this.look();
  }

  stop(): void {
    this.stopping.abort();
    for (const observer of this.observers) observer.disconnect();
  }

  private listen(): void {
    const { signal } = this.stopping;
    const { element } = this;
    const look = () => this.look();
    for (const event of ['loadedmetadata', 'resize']) element.addEventListener(event, look, { signal });
    document.addEventListener('visibilitychange', look, { signal });
    element.addEventListener('enterpictureinpicture', ({ pictureInPictureWindow }) => {
      this.floating = pictureInPictureWindow;
      pictureInPictureWindow.addEventListener('resize', look, { signal });
      look();
    }, { signal });
    element.addEventListener('leavepictureinpicture', () => {
      this.floating = undefined;
      look();
    }, { signal });
    documentPictureInPicture()?.addEventListener('enter', () => {
      const window = documentPictureInPicture()?.window;
      if (!window) return;
      // An observer of this page rests while the page is in the background.
      this.observeSize(window.ResizeObserver);
      // It is gone a moment later.
      window.addEventListener('pagehide', () => setTimeout(look), { signal });
    }, { signal });
  }

  private observeSize(Observer: typeof ResizeObserver): void {
    const size = new Observer(() => this.look());
    size.observe(this.element);
    this.observers.push(size);
  }

  private look(): void {
    if (this.stopping.signal.aborted) return;
    const { floating } = this;
    const isFloating = floating !== undefined || this.isInFloatingDocument();
    if (!isFloating && !document.hidden && this.isInViewport === undefined) return;
    const { width, height } = floating ?? this.pictureSize();
    const density = pixelDensity(window.devicePixelRatio);
    const visible = width > 0 && height > 0 && (isFloating || (this.isInViewport === true && !document.hidden));
    this.report({ width: width * density, height: height * density, visible });
  }

  private pictureSize(): Size {
    const { element } = this;
    const { clientWidth, clientHeight, videoWidth, videoHeight } = element;
    const ratio = videoHeight > 0 ? videoWidth / videoHeight : 0;
    if (Math.abs(ratio - this.ratio) > ratio * RATIO_TOLERANCE) this.ratio = ratio;
    return pictureSize({ width: clientWidth, height: clientHeight }, this.ratio, getComputedStyle(element).objectFit);
  }

  private isInFloatingDocument(): boolean {
    return documentPictureInPicture()?.window?.document === this.element.ownerDocument;
  }
}

function documentPictureInPicture(): DocumentPictureInPicture | undefined {
  return (window as { documentPictureInPicture?: DocumentPictureInPicture }).documentPictureInPicture;
}
