import { describe, expect, it } from 'vitest';
import { ChangeFilter, statusUpdate } from './changes.js';

const BASE = 0x7000_0000_0000n;

type Part = string | bigint | number;

/** A message: a letter, then positions (bigint), 32-bit numbers and strings. */
function message(...parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.map((part, index) => {
      if (typeof part === 'string') return Buffer.from(index === 0 ? part : `${part}\0`);
      const bytes = Buffer.alloc(typeof part === 'bigint' ? 8 : 4);
      if (typeof part === 'bigint') bytes.writeBigUInt64BE(part);
      else bytes.writeUInt32BE(part);
      return bytes;
    }),
  );
}

/** XLogData around a message. */
const data = (lsn: bigint, ...parts: readonly Part[]): Buffer =>
  Buffer.concat([message('w', lsn, lsn, 0n), message(...parts)]);

const relation = (id: number, name: string, ...xid: readonly number[]): Buffer =>
  data(0x10n, 'R', ...xid, id, 'public', name);

function letters(filter: ChangeFilter, ...bodies: readonly Buffer[]): string {
  return bodies
    .flatMap((body) => filter.pass(body, body))
    .map((body) => String.fromCharCode(body[25] ?? 0))
    .join('');
}

const onlyVisit = (): ChangeFilter => new ChangeFilter(BASE, (_, name) => name === 'visit');
const begin = (): Buffer => data(0x20n, 'B', 0x30n, 0n, 7);
const commit = (): Buffer => data(0x30n, 'C\0', 0x30n, 0x38n, 0n);

describe('ChangeFilter', () => {
  it('drops relations, their changes, and transactions of nothing else', () => {
    const filter = onlyVisit();
    const hidden = [relation(1, 'patient'), data(1n, 'I', 1), data(1n, 'U', 1), data(1n, 'D', 1)];
    expect(letters(filter, begin(), ...hidden, commit())).toBe('');
    expect(letters(filter, begin(), data(1n, 'I', 1), relation(2, 'visit'), data(1n, 'I', 2), commit())).toBe(
      'BRIC',
    );
    expect(letters(filter, begin(), data(1n, 'D', 1), commit())).toBe('');
  });

  it('does the same within a transaction that is streamed before it ends', () => {
    const filter = onlyVisit();
    const block = [
      relation(1, 'patient', 9),
      data(1n, 'I', 9, 1),
      relation(2, 'visit', 9),
      data(1n, 'U', 9, 2),
    ];
    expect(
      letters(filter, data(1n, 'S', 9), ...block, data(1n, 'E'), data(1n, 'c\0\0\0\t\0', 3n, 4n, 0n)),
    ).toBe('SRUEc');
  });

  it('a table by the same name in another schema is another table', () => {
    const filter = new ChangeFilter(BASE, (schema, name) => schema === 'public' && name === 'visit');
    expect(letters(filter, begin(), data(1n, 'R', 3, 'other', 'visit'), data(1n, 'I', 3), commit())).toBe('');
  });

  it.each(['M', 'T', 'P', 'b', 'K', 'r', 'p', '?'])(
    'message %s, which nobody asked for, ends the stream',
    (letter) => {
      expect(() => letters(onlyVisit(), data(1n, letter, 1, 1, 1, 1))).toThrow(/unexpected change/);
    },
  );

  it('so does a change of a relation that was not described', () => {
    expect(() => letters(onlyVisit(), data(1n, 'I', 5))).toThrow(/unexpected change/);
  });

  it('moves every position, and no time', () => {
    const filter = new ChangeFilter(BASE, () => true);
    const [first, second] = [begin(), relation(2, 'visit')];
    letters(filter, first, second);
    const end = commit();
    letters(filter, end);
    expect(first.readBigUInt64BE(1)).toBe(BASE + 0x20n);
    expect(first.readBigUInt64BE(26)).toBe(BASE + 0x30n);
    expect(end.subarray(27).readBigUInt64BE(0)).toBe(BASE + 0x30n);
    expect(end.subarray(27).readBigUInt64BE(8)).toBe(BASE + 0x38n);
    expect(end.subarray(27).readBigUInt64BE(16)).toBe(0n);
    const keepalive = message('k', 0x50n, 0x1234n, 0);
    filter.pass(keepalive, keepalive);
    expect([keepalive.readBigUInt64BE(1), keepalive.readBigUInt64BE(9)]).toEqual([BASE + 0x50n, 0x1234n]);
    expect(filter.told).toBe(BASE + 0x50n);
  });
});

describe('statusUpdate', () => {
  it('moves positions back, none beyond what was told and none below zero', () => {
    const body = Buffer.concat([message('r', BASE + 0x90n, BASE + 0x40n, 0n, 5n), Buffer.from([0])]);
    const update = statusUpdate(body, BASE, BASE + 0x50n);
    const message_ = update?.message.subarray(5) ?? Buffer.alloc(34);
    expect([1, 9, 17, 25].map((at) => message_.readBigUInt64BE(at))).toEqual([0x50n, 0x40n, 0n, 5n]);
    expect(update?.flushed).toBe(0x40n);
  });

  it('passes nothing else on', () => {
    expect(statusUpdate(Buffer.from('h'.repeat(34)), BASE, BASE)).toBeNull();
    expect(statusUpdate(Buffer.from('r'), BASE, BASE)).toBeNull();
  });
});
