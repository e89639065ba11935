/** How long media takes to flow, and by which protocol it does. */
import { Person } from './browser.mjs';
import { until } from './until.mjs';

/** What no machine is too busy for; a figure beyond the wish is printed, and judged by who reads it. */
const HANG_MS = 20_000;

/** In the page: when the first connection was begun. */
export function installBeginning() {
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.begun ??= Date.now();
    }
  };
}

/** Joins; gives the person and, once somebody's video flows, the seconds from the beginning of their connection until then. */
export async function joinAndSee(browser, server, room, name, others) {
  const person = await Person.open(browser, name, { origin: server.url });
  await person.page.evaluateOnNewDocument(installBeginning);
  await person.enter(server.url, room);
  const seconds = async () => {
    await flows(person, new Map(), others);
    return (Date.now() - (await person.page.evaluate(() => window.begun))) / 1_000;
  };
  return { person, seconds: others > 0 ? await seconds() : undefined };
}

/** Does something to the network; gives the seconds until each person again decodes the videos of so many others. */
export async function interrupt(people, others, act) {
  const began = Date.now();
  await act();
  // What was on its way has arrived.
  await new Promise((resolve) => setTimeout(resolve, 500));
  return Promise.all(
    people.map(async (person) => {
      await flows(person, await decoded(person), others);
      return (Date.now() - began) / 1_000;
    }),
  );
}

/** Waits until ten more frames than `before` are decoded of the videos of so many others. */
async function flows(person, before, others) {
  const grown = async () => [...(await decoded(person))].filter(([id, frames]) => frames >= (before.get(id) ?? 0) + 10).length;
  const what = async () => `${person.name} decodes ${others} videos, but: ${JSON.stringify(await person.inbound())}`;
  await until(what, async () => (await grown()) >= others, HANG_MS);
}

async function decoded(person) {
  return new Map((await person.inbound()).filter(({ kind }) => kind === 'video').map(({ ssrc, framesDecoded }) => [ssrc, framesDecoded ?? 0]));
}

/** The protocol of the pair that media takes. */
export function protocol(person) {
  return person.page.evaluate(async () => {
    const report = [...(await window.ninefold.room.getStats()).values()];
    const transport = report.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
    // Firefox has no such row, and marks the pair.
    const pair = report.find(({ type, id, selected }) => type === 'candidate-pair' && (transport ? id === transport.selectedCandidatePairId : selected));
    return report.find(({ id }) => id === pair?.localCandidateId)?.protocol;
  });
}

/** The address that media is sent to. */
export function remoteAddress(person) {
  return person.page.evaluate(async () => {
    const report = [...(await window.ninefold.room.getStats()).values()];
    const transport = report.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
    const pair = report.find(({ id }) => id === transport?.selectedCandidatePairId);
    return report.find(({ id }) => id === pair?.remoteCandidateId)?.address;
  });
}
