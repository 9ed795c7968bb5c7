import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Nonces } from './nonces.js';

const corrupted = expect.objectContaining({ sqlstate: 'XX001' });

interface Drawn {
  readonly nonce: string;
  readonly carried: Buffer;
}

function draw(nonces: Nonces): Drawn {
  nonces.draw();
  return {
    nonce: nonces.nonce.toString('hex'),
    carried: Buffer.from(nonces.carried.subarray(0, nonces.carriedBytes)),
  };
}

function read(nonces: Nonces, carried: Uint8Array): string {
  nonces.read(Buffer.from(carried), 0);
  return nonces.nonce.toString('hex');
}

/** What a process knows that opens the store after this one. */
function reopened(before: Nonces): Nonces {
  const nonces = new Nonces();
  for (const { number, prefix } of before.added) nonces.load(number, prefix);
  return nonces;
}

describe('nonces', () => {
  test('never repeat, within a process or over restarts, and are read back by whoever comes later', () => {
    const all: Drawn[] = [];
    let kept: { readonly number: number; readonly prefix: Buffer }[] = [];
    let nonces = new Nonces();
    for (let start = 0; start < 300; start++) {
      nonces = new Nonces();
      for (const { number, prefix } of kept) nonces.load(number, prefix);
      for (let i = 0; i < 200; i++) all.push(draw(nonces));
      expect(nonces.added).toHaveLength(1);
      kept = [...kept, ...nonces.added];
    }
    expect(new Set(all.map(({ nonce }) => nonce)).size).toBe(60_000);
    for (const { nonce, carried } of all) expect(read(nonces, carried)).toBe(nonce);
  });

  test('of two copies of a store that both go on do not meet, nor do their records open in the other', () => {
    const origin = new Nonces();
    draw(origin);
    const [a, b] = [reopened(origin), reopened(origin)];
    const [inA, inB] = [draw(a), draw(b)];
    expect(inA.carried).toEqual(inB.carried);
    expect(inA.nonce).not.toBe(inB.nonce);
    expect(read(b, inA.carried)).not.toBe(inA.nonce);
  });

  test('a prefix whose first record was lost with it is not missed: its number goes to another', () => {
    const lost = draw(new Nonces());
    const next = draw(new Nonces());
    expect(next.carried).toEqual(lost.carried);
    expect(next.nonce).not.toBe(lost.nonce);
  });

  test('are carried in two bytes at first, and in no more than their numbers need', () => {
    const nonces = new Nonces();
    expect(draw(nonces).carried).toEqual(Buffer.of(1, 0));
    Object.assign(nonces, { counter: 128 });
    expect(draw(nonces).carried).toEqual(Buffer.of(1, 0x80, 1));
    nonces.load(65_536, randomBytes(19));
    const later = new Nonces();
    later.load(65_536, randomBytes(19));
    expect(draw(later).carried).toEqual(Buffer.of(0x81, 0x80, 4, 0));
  });

  test('count on past 32 bits, and begin with another prefix past 40', () => {
    let drawn = 0;
    const nonces = new Nonces((size) => Buffer.alloc(size, ++drawn));
    draw(nonces);
    const at = (counter: number): string => {
      Object.assign(nonces, { counter });
      const { nonce, carried } = draw(nonces);
      expect(read(nonces, carried)).toBe(nonce);
      return nonce;
    };
    expect(at(2 ** 32 - 1)).toBe(`${'01'.repeat(19)}00ffffffff`);
    expect(at(2 ** 32)).toBe(`${'01'.repeat(19)}0100000000`);
    expect(at(2 ** 40 - 1)).toBe(`${'01'.repeat(19)}ffffffffff`);
    expect(draw(nonces).nonce).toBe(`${'02'.repeat(19)}0000000000`);
    expect(nonces.added.map(({ number }) => number)).toEqual([1, 2]);
  });
});

describe('what is kept', () => {
  test('is offered again until it is settled, and what came after that stays', () => {
    const nonces = new Nonces();
    expect(nonces.added).toEqual([]);
    draw(nonces);
    const offered = nonces.newest;
    expect(nonces.added).toHaveLength(1);
    Object.assign(nonces, { counter: 2 ** 40 });
    draw(nonces);
    nonces.settle(offered);
    expect(nonces.added.map(({ number }) => number)).toEqual([2]);
    nonces.settle(nonces.newest);
    expect(nonces.added).toEqual([]);
  });

  test('when it is damaged or missing its records are, and no other; its number is not given again', () => {
    const first = new Nonces();
    const { carried } = draw(first);
    const second = new Nonces();
    second.load(1, Buffer.alloc(7));
    expect(() => second.read(carried, 0)).toThrow(corrupted);
    expect(draw(second).carried[0]).toBe(2);
    expect(() => new Nonces().read(carried, 0)).toThrow(corrupted);
  });

  test('numbers that are cut short or too large are damage', () => {
    const nonces = new Nonces();
    draw(nonces);
    for (const hex of ['', '01', '0180', '80', '00ffff', '01ffffffffffff7f', 'ffffffffffffffff7f00'])
      expect(() => nonces.read(Buffer.from(hex, 'hex'), 0)).toThrow(corrupted);
  });
});
