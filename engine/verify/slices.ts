import { aggsWith, typePrefix, type AggRange } from '../codec/keys.js';

/** An aggregate's place within its type is a hash, so equal parts of these hold about as many aggregates. */
const PLACES = 2 ** 16;

/**
 * Cuts all aggregates there may be into parts of about the same size: of every type one slice for each part. What lies
 * between two types, where nothing should be, goes to the first slice of the next one.
 * @param types their numbers, ascending
 */
export function slicesOfAll(types: readonly number[], parts: number): AggRange[][] {
  const slices = types.map((type, i) => {
    const before = types[i - 1];
    const from = before === undefined ? Buffer.alloc(0) : aggsWith(typePrefix(before)).to;
    return cut(
      type,
      from ?? Buffer.alloc(0),
      i === types.length - 1 ? null : aggsWith(typePrefix(type)).to,
      parts,
    );
  });
  return Array.from({ length: parts }, (_, part) => slices.map((ofType) => ofType[part] as AggRange));
}

/** The same for one type alone. */
export function slicesOfType(type: number, parts: number): AggRange[][] {
  const { from, to } = aggsWith(typePrefix(type));
  return cut(type, from, to, parts).map((slice) => [slice]);
}

function cut(type: number, from: Uint8Array, to: Uint8Array | null, parts: number): AggRange[] {
  const bound = (i: number): Buffer => {
    const place = Buffer.alloc(4);
    place.set(typePrefix(type));
    place.writeUInt16BE(Math.floor((i * PLACES) / parts), 2);
    return place;
  };
  return Array.from({ length: parts }, (_, i) => ({
    from: i === 0 ? from : bound(i),
    to: i === parts - 1 ? to : bound(i + 1),
  }));
}
