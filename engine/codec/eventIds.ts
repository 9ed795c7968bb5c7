/**
 * Event ids that the engine draws need no index: they say, to whoever has the index key, where their event is.
 *
 *   r    = SipHash-2-4(k1, u64 position ‖ u64 recorded at)                      8 bytes
 *   p    = u56(position) XOR SipHash-2-4(k2, r)[0:7]
 *   uuid = version 8 (RFC 9562, section 5.8) with p in bytes 0 to 5 and 7, r in the rest
 *   k1 ‖ k2 = BLAKE2b-256(index key, "event ids")
 *
 * No two events share position and time, not even when a position is given again after a crash or a restore.
 */
import sodium from 'sodium-native';

const HASH_BYTES = 8;

export class EventIds {
  private readonly drawKey: Buffer;
  private readonly maskKey: Buffer;
  private readonly place = Buffer.alloc(16);
  private readonly random = Buffer.alloc(HASH_BYTES);
  private readonly mask = Buffer.alloc(HASH_BYTES);

  constructor(indexKey: Uint8Array) {
    const keys = Buffer.alloc(32);
    sodium.crypto_generichash(keys, Buffer.from('event ids'), indexKey);
    this.drawKey = keys.subarray(0, 16);
    this.maskKey = keys.subarray(16);
  }

  /** The id of the event at a position. @returns 16 bytes */
  draw(position: number, recordedAt: number): Buffer {
    const id = Buffer.allocUnsafe(16);
    this.setPlace(position, recordedAt);
    const { random, mask, place } = this;
    sodium.crypto_shorthash(random, place, this.drawKey);
    sodium.crypto_shorthash(mask, random, this.maskKey);
    // The position's low 7 bytes stand in place[1..7].
    for (let i = 0; i < 6; i++) id[i] = (place[i + 1] ?? 0) ^ (mask[i] ?? 0);
    id[6] = 0x80 | ((random[0] ?? 0) >>> 6);
    id[7] = (place[7] ?? 0) ^ (mask[6] ?? 0);
    id[8] = 0x80 | ((random[0] ?? 0) & 0x3f);
    random.copy(id, 9, 1);
    return id;
  }

  /** The position an id speaks of, if it is one of ours; ask `draw` whether it is. null when it cannot be. */
  position(id: Buffer): number | null {
    const { random, mask } = this;
    if (((id[6] ?? 0) & 0xfc) !== 0x80 || ((id[8] ?? 0) & 0xc0) !== 0x80) return null;
    random[0] = (((id[6] ?? 0) & 3) << 6) | ((id[8] ?? 0) & 0x3f);
    id.copy(random, 1, 9);
    sodium.crypto_shorthash(mask, random, this.maskKey);
    let position = 0;
    for (let i = 0; i < 6; i++) position = position * 256 + ((id[i] ?? 0) ^ (mask[i] ?? 0));
    position = position * 256 + ((id[7] ?? 0) ^ (mask[6] ?? 0));
    return Number.isSafeInteger(position) && position > 0 ? position : null;
  }

  private setPlace(position: number, recordedAt: number): void {
    const { place } = this;
    place.writeUInt32BE(Math.floor(position / 0x1_0000_0000), 0);
    place.writeUInt32BE(position >>> 0, 4);
    place.writeUInt32BE(Math.floor(recordedAt / 0x1_0000_0000), 8);
    place.writeUInt32BE(recordedAt >>> 0, 12);
  }
}
