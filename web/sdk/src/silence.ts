/** How often it is looked whether something came. */
const LOOK_EVERY_MS = 1_000;
/** Checks alone are answered every 2.5 s, and one answer may be lost on the way; media comes many times in a second. */
const SILENCE_MS = 3_500;

type Report = () => Promise<RTCStatsReport>;

/**
 * Notices that nothing comes any more: a firewall has closed the way of media, or the network has gone. Chromium says so after 7 to 10 s, which
 * is long for those who talk. Firefox, which does not count the answers to its checks, says so early enough by itself.
 */
export class SilenceWatch {
  private readonly report: Report;
  private readonly changed: () => void;
  private timer: ReturnType<typeof setInterval> | undefined;
  private heard: { count: number; at: number } | undefined;
  private silent = false;

  constructor(report: Report, changed: () => void) {
    this.report = report;
    this.changed = changed;
  }

  /** Nothing came for a while. */
  get isSilent(): boolean {
    return this.silent;
  }

  start(): void {
    this.timer ??= setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async look(): Promise<void> {
    // A connection that has been closed has nothing to tell.
    const report = await this.report().catch(() => undefined);
    const count = report && received(report);
    // Stopped while it was looked, or there is nothing to go by.
    if (this.timer === undefined || count === undefined) return;
    const now = performance.now();
    // A restart counts from 0 again: any other number is a sign of life.
    if (this.heard?.count !== count) this.heard = { count, at: now };
    const silent = now - this.heard.at >= SILENCE_MS;
    if (silent === this.silent) return;
    this.silent = silent;
    this.changed();
  }
}

/** Bytes and answers that came, on all paths; undefined where answers are not counted. */
export function received(report: RTCStatsReport): number | undefined {
  let sum: number | undefined;
  report.forEach((row: RTCStats) => {
    if (row.type !== 'candidate-pair') return;
    const { bytesReceived = 0, responsesReceived } = row as RTCIceCandidatePairStats;
    if (responsesReceived !== undefined) sum = (sum ?? 0) + bytesReceived + responsesReceived;
  });
  return sum;
}
