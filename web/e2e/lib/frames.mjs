/**
 * What becomes of a picture on its way: which frames were shown and when, and which the sender made meanwhile, so that a gap of the network is told
 * from a machine that is too busy to encode. All times are of the wall clock, in ms: sender, receiver and test are on one machine.
 */

/** In the receiver's page: notes each shown frame of a tile from now on, as `{ at, lines }`. */
export function watchFrames(label) {
  const video = document.querySelector(`[role=group][aria-label="${label}"] video`);
  const frames = [];
  const look = () =>
    video.requestVideoFrameCallback((_, { expectedDisplayTime, height }) => {
      frames.push({ at: performance.timeOrigin + expectedDisplayTime, lines: height });
      look();
    });
  look();
  Object.assign(window.e2e, { frames });
}

/** In the sender's page: notes every now and then how many frames each encoding has made, as `{ at, encoded: { rid: frames }, limited }`. */
export function watchEncoder(everyMs) {
  const made = [];
  setInterval(async () => {
    const rows = (await window.e2e.outbound()).filter(({ kind }) => kind === 'video');
    const encoded = Object.fromEntries(rows.map(({ rid, framesEncoded }) => [rid ?? '', framesEncoded ?? 0]));
    const limited = rows.some(({ qualityLimitationReason }) => qualityLimitationReason === 'cpu');
    made.push({ at: performance.timeOrigin + performance.now(), encoded, limited });
  }, everyMs);
  Object.assign(window.e2e, { made });
}

/** All that was noted so far. */
export async function notes(sender, receiver) {
  const [made, frames] = await Promise.all([sender.page.evaluate(() => window.e2e.made), receiver.page.evaluate(() => window.e2e.frames)]);
  return { made, frames };
}

/** The longest time without a new picture that ends between the two times, or is open at the end: `{ ms, from, to }`. */
export function longestGap(frames, from, to) {
  const before = frames.filter(({ at }) => at < from).slice(-1);
  const times = [...before, ...frames.filter(({ at }) => at >= from && at < to)].map(({ at }) => at).concat(to);
  return times.slice(1).reduce((worst, at, i) => (at - times[i] > worst.ms ? { ms: Math.round(at - times[i]), from: times[i], to: at } : worst), { ms: 0, from, to: from });
}

/** How many frames the busiest encoding made between the two times, as exactly as they were looked at. */
export function encodedWithin(made, from, to) {
  const inside = made.filter(({ at }) => at >= from && at <= to);
  const [first, last] = [inside[0], inside.at(-1)];
  if (!first || first === last) return undefined;
  return Math.max(...Object.entries(last.encoded).map(([rid, frames]) => frames - (first.encoded[rid] ?? 0)));
}
