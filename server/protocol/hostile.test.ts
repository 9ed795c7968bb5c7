/** Every decoder against messages cut short and against noise: it may refuse, it may not crash. */
import { serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import { DatabaseError } from '../../engine/errors.js';
import { encodeCommandComplete } from './backend/complete.js';
import { decodeCommandComplete } from './backend/complete.js';
import { decodeErrorFields, encodeErrorResponse } from './backend/error.js';
import { decodeParameterDescription, encodeParameterDescription } from './backend/parameter-description.js';
import { decodeDataRow, decodeRowDescription, encodeDataRow, encodeRowDescription } from './backend/row.js';
import {
  decodeParameterStatus,
  decodeReadyForQuery,
  encodeParameterStatus,
  encodeReadyForQuery,
} from './backend/status.js';
import { FrameReader } from './frames.js';
import { decodeFrontend } from './frontend/decode.js';
import { parseStartup } from './startup.js';

const FUNCTION_CALL = Buffer.from('460000001b000005390001000100020000000107ffffffff0001', 'hex');

const FRONTEND = [
  serialize.query('SELECT é'),
  serialize.parse({ name: 'é', text: 'SELECT $1', types: [25, 20] }),
  serialize.bind({ portal: 'p', statement: 'é', values: ['a', null, Buffer.from([1, 2])], binary: true }),
  serialize.describe({ type: 'S', name: 's' }),
  serialize.execute({ portal: 'p', rows: 9 }),
  serialize.close({ type: 'P', name: 'p' }),
  serialize.password('geheim'),
  serialize.copyFail('no'),
  FUNCTION_CALL,
];

const FIELD = {
  name: 'é',
  tableOid: 1,
  columnNumber: 1,
  typeOid: 25,
  typeSize: -1,
  typeModifier: -1,
  format: 0,
} as const;
const BACKEND: [Buffer, (body: Buffer) => unknown][] = [
  [encodeErrorResponse(new DatabaseError('XX000', 'é', { hint: 'h' })), decodeErrorFields],
  [encodeReadyForQuery('I'), decodeReadyForQuery],
  [encodeParameterStatus({ name: 'a', value: 'b' }), decodeParameterStatus],
  [encodeParameterDescription([25, 20]), decodeParameterDescription],
  [encodeRowDescription([FIELD, FIELD]), decodeRowDescription],
  [encodeDataRow([Buffer.from('abc'), null]), decodeDataRow],
  [encodeCommandComplete('SELECT 1'), decodeCommandComplete],
];

/** A small generator with a seed, so that a failure can be seen again. */
function randomBytes(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % 256;
  };
}

/** Runs it and hands back the sqlstate it refused with, null when it did not refuse; any other error is a failure. */
function refusal(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof DatabaseError) return error.sqlstate;
    throw error;
  }
}

describe('hostile input', () => {
  it('every frontend message cut short is refused with 08P01', () => {
    for (const raw of FRONTEND) {
      const type = raw.readUInt8(0);
      expect(refusal(() => decodeFrontend({ type, body: raw.subarray(5) }))).toBeNull();
      for (let end = 5; end < raw.length; end++) {
        const state = refusal(() => decodeFrontend({ type, body: raw.subarray(5, end) }));
        expect(state, `${String.fromCharCode(type)} cut at ${end}`).toBe('08P01');
      }
      const longer = Buffer.concat([raw.subarray(5), Buffer.from('x')]);
      expect(refusal(() => decodeFrontend({ type, body: longer }))).toBe('08P01');
    }
  });

  it('every backend message cut short is refused with 08P01', () => {
    for (const [raw, decode] of BACKEND) {
      expect(refusal(() => decode(raw.subarray(5)))).toBeNull();
      for (let end = 5; end < raw.length; end++) {
        expect(
          refusal(() => decode(raw.subarray(5, end))),
          `${raw.toString('latin1', 0, 1)} ${end}`,
        ).toBe('08P01');
      }
    }
  });

  it('every startup packet cut short is refused with 08P01', () => {
    for (const raw of [serialize.startup({ user: 'ann' }), serialize.requestSsl(), serialize.cancel(1, 2)]) {
      for (let end = 4; end < raw.length; end++) {
        expect(refusal(() => parseStartup(raw.subarray(4, end)))).toBe('08P01');
      }
    }
  });

  it('noise is decoded or refused, never more', () => {
    const next = randomBytes(20260101);
    const types = [...'QPBDECSHXpdcfF'].map((letter) => letter.charCodeAt(0));
    for (let round = 0; round < 10_000; round++) {
      const body = Buffer.alloc(next() % 48);
      // Many zeros and small numbers: pure noise would be refused at the first count.
      for (let at = 0; at < body.length; at++) body[at] = next() < 150 ? next() % 3 : next();
      const type = types[next() % types.length] ?? 0;
      refusal(() => decodeFrontend({ type, body }));
      refusal(() => parseStartup(body));
      for (const [, decode] of BACKEND) refusal(() => decode(body));
    }
  });

  it('valid messages with one byte changed are decoded or refused', () => {
    const next = randomBytes(7);
    for (let round = 0; round < 10_000; round++) {
      const raw = Buffer.from(FRONTEND[next() % FRONTEND.length] ?? FUNCTION_CALL);
      raw[next() % raw.length] = next();
      const reader = new FrameReader({ mode: 'normal' });
      reader.push(raw);
      refusal(() => {
        for (let frame = reader.next(); frame !== null; frame = reader.next()) decodeFrontend(frame);
      });
    }
  });
});
