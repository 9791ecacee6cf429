import type { LiveTold } from '../api';

/** Bytes begin at a multiple of this, so that they can be looked at as 64-bit floats. */
const ALIGNED = 8;
const utf8 = new TextDecoder();

/**
 * A message of the server, and the bytes that came with it.
 * With bytes it is the length of the JSON (32 bits, little-endian), the JSON, zeros up to the next
 * multiple of 8, and the bytes.
 */
export function decode(data: string | ArrayBuffer): [LiveTold, DataView[]] {
  if (typeof data === 'string') {
    return [JSON.parse(data) as LiveTold, []];
  }
  const length = new DataView(data).getUint32(0, true);
  const end = 4 + length;
  const told = JSON.parse(utf8.decode(new Uint8Array(data, 4, length))) as LiveTold;
  const start = Math.ceil(end / ALIGNED) * ALIGNED;
  return [told, [new DataView(data, Math.min(start, data.byteLength))]];
}
