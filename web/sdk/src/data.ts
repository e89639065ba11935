/** Data messages: four bytes, big-endian, that name a participant (whom to, or who from), then the payload. */

/** The most that one message may carry. */
export const DATA_BYTES_MAX = 16 * 1024;

const HEADER_BYTES = 4;

/** `to` 0 is everybody. */
export function encodeData(to: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  if (payload.byteLength > DATA_BYTES_MAX) throw new RangeError(`A data message carries at most ${DATA_BYTES_MAX} bytes.`);
  const message = new Uint8Array(HEADER_BYTES + payload.byteLength);
  new DataView(message.buffer).setUint32(0, to);
  message.set(payload, HEADER_BYTES);
  return message;
}

/** Undefined: too short to name a sender. */
export function decodeData(message: ArrayBuffer): { from: number; payload: Uint8Array } | undefined {
  if (message.byteLength < HEADER_BYTES) return undefined;
  return { from: new DataView(message).getUint32(0), payload: new Uint8Array(message, HEADER_BYTES) };
}
