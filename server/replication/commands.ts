/** The replication grammar: what a walsender takes besides SQL. Read into plain data and written out anew, never passed on. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { parseLsn } from './lsn.js';
import { TokenReader } from './tokens.js';

export interface CreateSlot {
  readonly kind: 'createSlot';
  readonly name: string;
  readonly temporary: boolean;
  readonly twoPhase: boolean;
  readonly snapshot: 'export' | 'use' | 'nothing';
}

export interface StartReplication {
  readonly kind: 'start';
  readonly name: string;
  /** Where the client wants to go on; 0 for where the slot stands. */
  readonly lsn: bigint;
  /** Publication names as the client gave them. */
  readonly publications: readonly string[];
  /** The other options, checked, in the order given. */
  readonly options: ReadonlyMap<string, string>;
}

export type ReplicationCommand =
  | { readonly kind: 'identify' }
  | { readonly kind: 'dropSlot'; readonly name: string; readonly wait: boolean }
  | CreateSlot
  | StartReplication;

const PHYSICAL_ONLY = new Set([
  'base_backup',
  'timeline_history',
  'read_replication_slot',
  'upload_manifest',
  'alter_replication_slot',
]);

const PHYSICAL_HINT =
  'Only logical replication is served: CREATE SUBSCRIPTION, or pg_recvlogical with pgoutput.';

/** The options of pgoutput that may pass, and the values they may have. */
const OPTIONS: ReadonlyMap<string, RegExp> = new Map([
  ['proto_version', /^[1-4]$/],
  ['binary', /^(true|false|on|off|1|0)$/],
  ['streaming', /^(true|false|on|off|1|0|parallel)$/],
  ['two_phase', /^(true|false|on|off|1|0)$/],
  ['messages', /^(true|false|on|off|1|0)$/],
  ['origin', /^(none|any)$/],
]);

const MAX_PUBLICATIONS = 1000;

export function syntaxError(message: string): DatabaseError {
  return new DatabaseError(SqlState.syntaxError, message);
}

function physical(what: string): DatabaseError {
  return new DatabaseError(SqlState.featureNotSupported, `${what} is not supported`, { hint: PHYSICAL_HINT });
}

/**
 * Reads a replication command; null when the text is SQL, which PostgreSQL decides by the first word alone.
 * @throws DatabaseError 42601, or 0A000 for physical replication and for other plugins than pgoutput
 */
export function parseReplicationCommand(text: string): ReplicationCommand | null {
  const first = /^[ \t\n\r\f\v]*([A-Za-z_]+)/.exec(text)?.[1]?.toLowerCase();
  if (first === undefined) return null;
  if (PHYSICAL_ONLY.has(first)) throw physical(first.toUpperCase());
  const parse = COMMANDS.get(first);
  if (parse === undefined) return null;
  const reader = new TokenReader(text);
  reader.next();
  const command = parse(reader);
  reader.end();
  return command;
}

const COMMANDS: ReadonlyMap<string, (reader: TokenReader) => ReplicationCommand> = new Map([
  ['identify_system', (): ReplicationCommand => ({ kind: 'identify' })],
  ['create_replication_slot', createSlot],
  ['drop_replication_slot', dropSlot],
  ['start_replication', start],
]);

function slotName(reader: TokenReader): string {
  const name = reader.identifier('a slot name');
  if (/^[a-z0-9_]{1,63}$/.test(name)) return name;
  throw new DatabaseError('42602', `replication slot name "${name.slice(0, 70)}" is not valid`, {
    hint: 'It may have up to 63 lower case letters, digits and underscores.',
  });
}

function dropSlot(reader: TokenReader): ReplicationCommand {
  return { kind: 'dropSlot', name: slotName(reader), wait: reader.accept('wait') };
}

function createSlot(reader: TokenReader): ReplicationCommand {
  const name = slotName(reader);
  const temporary = reader.accept('temporary');
  if (!reader.accept('logical')) throw physical('a physical replication slot');
  const plugin = reader.identifier('an output plugin');
  if (plugin !== 'pgoutput')
    throw new DatabaseError(SqlState.featureNotSupported, `output plugin "${plugin}" is not available`, {
      hint: 'Use pgoutput: what it sends is checked against the grants of the token.',
    });
  let snapshot: CreateSlot['snapshot'] = 'export';
  let twoPhase = false;
  if (reader.accept('(')) {
    for (const [option, value] of reader.options()) {
      if (option === 'two_phase') twoPhase = value === null || /^(true|on|1)$/i.test(value);
      else if (option === 'snapshot' && isSnapshot(value)) snapshot = value;
      else throw syntaxError(`unrecognized option or value: ${option}`);
    }
  } else {
    for (;;) {
      if (reader.accept('export_snapshot')) snapshot = 'export';
      else if (reader.accept('noexport_snapshot')) snapshot = 'nothing';
      else if (reader.accept('use_snapshot')) snapshot = 'use';
      else if (reader.accept('two_phase')) twoPhase = true;
      else break;
    }
  }
  return { kind: 'createSlot', name, temporary, twoPhase, snapshot };
}

function isSnapshot(value: string | null): value is CreateSlot['snapshot'] {
  return value === 'export' || value === 'use' || value === 'nothing';
}

function start(reader: TokenReader): ReplicationCommand {
  if (!reader.accept('slot')) throw physical('physical replication');
  const name = slotName(reader);
  if (!reader.accept('logical')) throw physical('physical replication');
  const position = reader.lsn();
  const lsn = parseLsn(position);
  if (lsn === null) throw syntaxError(`invalid WAL position "${position}"`);
  let publications: readonly string[] = [];
  const options = new Map<string, string>();
  if (reader.accept('(')) {
    for (const [option, value] of reader.options()) {
      if (option === 'publication_names') publications = nameList(value ?? '');
      else if (OPTIONS.get(option)?.test((value ?? 'true').toLowerCase()) !== true)
        throw new DatabaseError(SqlState.invalidParameterValue, `unrecognized option or value: ${option}`);
      else if (option !== 'messages') options.set(option, (value ?? 'true').toLowerCase());
    }
  }
  if (publications.length === 0)
    throw new DatabaseError(SqlState.invalidParameterValue, 'option "publication_names" missing');
  return { kind: 'start', name, lsn, publications, options };
}

/** A list of identifiers, as SplitIdentifierString of PostgreSQL reads it. */
function nameList(text: string): string[] {
  const reader = new TokenReader(text);
  const names: string[] = [];
  do {
    names.push(reader.identifier('a publication name'));
    if (names.length > MAX_PUBLICATIONS) throw syntaxError('too many publications');
  } while (reader.accept(','));
  reader.end();
  return names;
}
