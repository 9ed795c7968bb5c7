import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventIds } from './eventIds.js';

const ids = new EventIds(Buffer.alloc(32, 1));
const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test('an id leads back to its position, and is a UUID of version 8', () => {
  fc.assert(
    fc.property(position, time, (p, t) => {
      const id = ids.draw(p, t);
      expect(id.toString('hex')).toMatch(/^.{12}8.{3}[89ab].{15}$/);
      expect(ids.position(id)).toBe(p);
      expect(ids.draw(p, t)).toEqual(id);
    }),
  );
});

test('the same position at another time, or the same time at another position, has another id', () => {
  fc.assert(
    fc.property(position, time, (p, t) => {
      expect(ids.draw(p, t + 1)).not.toEqual(ids.draw(p, t));
      expect(ids.draw(p + 1, t)).not.toEqual(ids.draw(p, t));
    }),
  );
});

test('without the key neighbours look unrelated, and the position is not to be had', () => {
  const [one, two] = [ids.draw(1000, 5), ids.draw(1001, 5)];
  const equal = [...one].filter((byte, i) => byte === two[i]).length;
  expect(equal).toBeLessThan(8);
  expect(new EventIds(Buffer.alloc(32, 2)).position(one)).not.toBe(1000);
});

test('any other UUID leads nowhere, or to a position whose event has another id', () => {
  fc.assert(
    fc.property(fc.uuid(), time, (uuid, t) => {
      const id = Buffer.from(uuid.replaceAll('-', ''), 'hex');
      const found = ids.position(id);
      if (found !== null) expect(ids.draw(found, t)).not.toEqual(id);
    }),
  );
});
