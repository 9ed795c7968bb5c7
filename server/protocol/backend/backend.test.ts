import fc from 'fast-check';
import { Parser } from 'pg-protocol/dist/parser.js';
import { describe, expect, it } from 'vitest';
import { DatabaseError } from '../../../engine/errors.js';
import {
  decodeAuthentication,
  decodeBackendKeyData,
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeNegotiateProtocolVersion,
} from './authentication.js';
import {
  decodeCommandComplete,
  encodeBindComplete,
  encodeCloseComplete,
  encodeCommandComplete,
  encodeEmptyQueryResponse,
  encodeNoData,
  encodeParseComplete,
  encodePortalSuspended,
} from './complete.js';
import { encodeCopyInResponse } from './copy.js';
import {
  ERROR_RESPONSE,
  changeErrorFields,
  decodeErrorFields,
  encodeErrorFields,
  encodeErrorResponse,
  encodeNoticeResponse,
  errorFromFields,
} from './error.js';
import { decodeNotificationResponse, encodeNotificationResponse } from './notification.js';
import { decodeParameterDescription, encodeParameterDescription } from './parameter-description.js';
import {
  decodeDataRow,
  decodeRowDescription,
  encodeDataRow,
  encodeRowDescription,
  encodeTextRow,
} from './row.js';
import {
  decodeParameterStatus,
  decodeReadyForQuery,
  encodeParameterStatus,
  encodeReadyForQuery,
} from './status.js';

/** What pg's own parser makes of the bytes. */
function oracle(...messages: Buffer[]): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  new Parser().parse(Buffer.concat(messages), (message) => {
    found.push(message as unknown as Record<string, unknown>);
  });
  return found;
}

function body(message: Buffer): Buffer {
  return message.subarray(5);
}

const FIELD = {
  name: 'nämé',
  tableOid: 3_000_000_000,
  columnNumber: 2,
  typeOid: 1700,
  typeSize: -1,
  typeModifier: 655366,
  format: 1,
} as const;

const ERROR = new DatabaseError('42703', 'no such colümn', { detail: 'd', hint: 'h', position: 8 });

describe('backend messages', () => {
  it('are read by pg as they were meant', () => {
    const found = oracle(
      encodeAuthenticationOk(),
      encodeAuthenticationCleartextPassword(),
      encodeBackendKeyData({ processId: 42, secret: Buffer.from([0, 0, 1, 0]) }),
      encodeParameterStatus({ name: 'TimeZone', value: 'UTC' }),
      encodeReadyForQuery('T'),
      encodeRowDescription([FIELD]),
      encodeDataRow([Buffer.from('a'), null, Buffer.alloc(0)]),
      encodeCommandComplete('SELECT 1'),
      encodeParseComplete(),
      encodeBindComplete(),
      encodeCloseComplete(),
      encodeNoData(),
      encodeEmptyQueryResponse(),
      encodePortalSuspended(),
      encodeParameterDescription([25, 20]),
      encodeCopyInResponse(0, [0, 0]),
      encodeNotificationResponse({ processId: 7, channel: 'c', payload: 'p' }),
    );
    expect(found).toMatchObject([
      { name: 'authenticationOk' },
      { name: 'authenticationCleartextPassword' },
      { name: 'backendKeyData', processID: 42, secretKey: 256 },
      { name: 'parameterStatus', parameterName: 'TimeZone', parameterValue: 'UTC' },
      { name: 'readyForQuery', status: 'T' },
      {
        name: 'rowDescription',
        fields: [
          {
            name: FIELD.name,
            tableID: FIELD.tableOid,
            columnID: 2,
            dataTypeID: 1700,
            dataTypeSize: -1,
            dataTypeModifier: 655366,
            format: 'binary',
          },
        ],
      },
      { name: 'dataRow', fields: ['a', null, ''] },
      { name: 'commandComplete', text: 'SELECT 1' },
      { name: 'parseComplete' },
      { name: 'bindComplete' },
      { name: 'closeComplete' },
      { name: 'noData' },
      { name: 'emptyQuery' },
      { name: 'portalSuspended' },
      { name: 'parameterDescription', dataTypeIDs: [25, 20] },
      { name: 'copyInResponse', binary: false, columnTypes: [0, 0] },
      { name: 'notification', processId: 7, channel: 'c', payload: 'p' },
    ]);
  });

  it('carry every field of an error', () => {
    const [error, notice] = oracle(
      encodeErrorResponse(ERROR, 'FATAL'),
      encodeNoticeResponse({ sqlstate: '01000', message: 'careful' }, 'WARNING'),
    );
    expect(error).toMatchObject({
      severity: 'FATAL',
      code: '42703',
      message: 'no such colümn',
      detail: 'd',
      hint: 'h',
      position: '8',
    });
    expect(notice).toMatchObject({ name: 'notice', severity: 'WARNING', code: '01000', message: 'careful' });
    const fields = decodeErrorFields(body(encodeErrorResponse(ERROR)));
    expect([...fields.keys()].join('')).toBe('SVCMDHP');
    expect(encodeErrorResponse(new DatabaseError('XX000', 'a\0b')).at(-1)).toBe(0);
  });

  it('can be changed on their way through', () => {
    const fields = decodeErrorFields(body(encodeErrorResponse(ERROR)));
    const changed = changeErrorFields(fields, { P: '3', H: null, C: '42P01', W: 'here' });
    const again = decodeErrorFields(body(encodeErrorFields(ERROR_RESPONSE, changed)));
    expect([...again]).toEqual([...changed]);
    expect([...again.keys()].join('')).toBe('SVCMDPW');
    expect(errorFromFields(again)).toMatchObject({
      sqlstate: '42P01',
      position: 3,
      detail: 'd',
      hint: undefined,
    });
    expect(errorFromFields(new Map())).toMatchObject({ sqlstate: 'XX000', position: undefined });
  });

  it('read back what they encode', () => {
    expect(decodeAuthentication(body(encodeAuthenticationOk()))).toEqual({ code: 0, data: Buffer.alloc(0) });
    const key = { processId: -5, secret: Buffer.alloc(256, 3) };
    expect(decodeBackendKeyData(body(encodeBackendKeyData(key)))).toEqual(key);
    for (const status of ['I', 'T', 'E'] as const) {
      expect(decodeReadyForQuery(body(encodeReadyForQuery(status)))).toBe(status);
    }
    expect(() => decodeReadyForQuery(Buffer.from('x'))).toThrow(
      expect.objectContaining({ sqlstate: '08P01' }),
    );
    const status = { name: 'a', value: 'é' };
    expect(decodeParameterStatus(body(encodeParameterStatus(status)))).toEqual(status);
    expect(decodeRowDescription(body(encodeRowDescription([FIELD, FIELD])))).toEqual([FIELD, FIELD]);
    expect(decodeParameterDescription(body(encodeParameterDescription([25, 0xffffffff])))).toEqual([
      25, 0xffffffff,
    ]);
    expect(decodeCommandComplete(body(encodeCommandComplete('INSERT 0 1')))).toBe('INSERT 0 1');
    const notification = { processId: 1, channel: 'é', payload: '' };
    expect(decodeNotificationResponse(body(encodeNotificationResponse(notification)))).toEqual(notification);
  });

  it('encode rows of text as rows of bytes', () => {
    const texts = fc.array(fc.option(fc.string({ unit: 'grapheme' })));
    fc.assert(
      fc.property(texts, (row) => {
        const bytes = row.map((value) => (value === null ? null : Buffer.from(value)));
        expect(encodeTextRow(row).equals(encodeDataRow(bytes))).toBe(true);
        expect(decodeDataRow(body(encodeTextRow(row)))).toEqual(bytes);
      }),
    );
  });

  it('negotiate the protocol version', () => {
    const message = encodeNegotiateProtocolVersion(0, ['_pq_.x']);
    expect(message.toString('latin1')).toBe('v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0');
  });
});
