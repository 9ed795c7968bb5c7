import type { AggregateDefinition, Schema } from '../engine/types.js';
import { DatabaseError } from '../engine/errors.js';
import { catalogueOf } from './catalogue.js';
import { parseStatements } from './parse.js';
import type { Statement } from './statement.js';

/** Schema and helpers of the tests in this folder. */
const PATIENT: AggregateDefinition = {
  type: 'patient',
  fields: [
    { name: 'first_name', type: 'text' },
    { name: 'last_name', type: 'text' },
    { name: 'birthdate', type: 'date' },
    { name: 'status', type: 'text' },
  ],
  events: [
    { name: 'patient_created', fields: ['first_name', 'last_name', 'birthdate'] },
    { name: 'patient_updated', fields: ['last_name', 'status'] },
  ],
  open: false,
  snapshotThreshold: 25,
  comment: null,
};

const NOTE: AggregateDefinition = {
  ...PATIENT,
  type: 'note',
  fields: [],
  events: [{ name: 'note_written', fields: null }],
  open: true,
};

export const SCHEMA: Schema = {
  revision: 1,
  aggregates: new Map([
    ['patient', PATIENT],
    ['note', NOTE],
    ['Größe', { ...NOTE, type: 'Größe' }],
  ]),
  views: new Map(),
};

export const parse = (sql: string): Statement[] => parseStatements(sql, catalogueOf(SCHEMA));

export function parseOne(sql: string): Statement {
  const [statement] = parse(sql);
  if (statement === undefined) throw new Error(`no statement in ${sql}`);
  return statement;
}

export function parseKind<K extends Statement['kind']>(
  sql: string,
  kind: K,
): Extract<Statement, { kind: K }> {
  const statement = parseOne(sql);
  if (statement.kind !== kind) throw new Error(`expected ${kind}, got ${statement.kind}`);
  return statement as Extract<Statement, { kind: K }>;
}

/** The error that a text is refused with. */
export function failure(sql: string): DatabaseError {
  try {
    parse(sql);
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error(`not refused: ${sql}`);
}

/** The position that an error must have: where the marker stands in the text without it. */
export function marked(sql: string): { readonly sql: string; readonly position: number } {
  const [before = '', after = ''] = sql.split('§');
  return { sql: before + after, position: [...before].length + 1 };
}
