/** What the fuzzer sends: whole messages, messages with a fault in them, and noise. */
import { startMessage } from '../../../server/protocol/bytes.js';
import { encodeTerminate } from '../../../server/protocol/frontend/control.js';
import { m } from '../raw.js';
import type { Random } from './random.js';

const NAMES = ['', '', 's1', 's2', 'p1', 'ü'];
const IDS = Array.from({ length: 40 }, (_, i) => `f${i}`);
const TYPE_LETTERS = 'QPBDECSHXdcfFp';

/** Statements of every family; `$1` and `$2` where the extended protocol gives values. */
const STATEMENTS = [
  'SELECT 1',
  'SELECT $1::int + 1 AS n',
  'SELECT $1, $2::text',
  "SELECT * FROM fuzz WHERE aggregate_id = 'f1'",
  'SELECT name FROM fuzz WHERE aggregate_id = $1',
  "SELECT * FROM fuzz AS OF VERSION 2 WHERE aggregate_id = 'f2'",
  'SELECT name, n FROM fuzz AS OF VERSION $2 WHERE aggregate_id = $1',
  "SELECT version, valid_to FROM fuzz_history WHERE aggregate_id = 'f3'",
  "SELECT payload FROM fuzz_events WHERE aggregate_id = 'f4' AND version < 5",
  'SELECT count(*) FROM eventful.events WHERE position BETWEEN 3 AND 9',
  'SELECT * FROM eventful.fields',
  "INSERT INTO fuzz EVENTS changed (aggregate_id, name) VALUES ('f5', 'x')",
  'INSERT INTO fuzz EVENTS changed (aggregate_id, name) VALUES ($1, $2) RETURNING version, position',
  "INSERT INTO fuzz EVENTS changed (aggregate_id, n) VALUES ('f6', 'no number')",
  "INSERT INTO fuzz EVENTS changed (aggregate_id, name) VALUES ('f7', 'x') EXPECT VERSION 1",
  "INSERT INTO fuzz EVENTS changed (aggregate_id, name) SELECT 'f8', 'y' WHERE true",
  "INSERT INTO fuzz EVENTS (aggregate_id, event_type, payload) VALUES ('f9', 'changed', '{\"n\":1}')",
  'EXPLAIN SELECT * FROM fuzz AS OF VERSION 1',
  "CALL verify('fuzz', 'f1')",
  'CALL verify($1, $2)',
  'BEGIN',
  'BEGIN READ ONLY',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT a',
  'ROLLBACK TO a',
  'RELEASE a',
  'COPY fuzz EVENTS changed (aggregate_id, name) FROM STDIN',
  'COPY fuzz EVENTS changed (aggregate_id, n) FROM STDIN WITH (FORMAT csv, HEADER)',
  'COPY (SELECT generate_series(1, 5)) TO STDOUT',
  "COPY (SELECT name FROM fuzz AS OF VERSION 1 WHERE aggregate_id = 'f1') TO STDOUT (FORMAT csv)",
  'DECLARE p1 CURSOR FOR SELECT generate_series(1, 20)',
  'FETCH 3 FROM p1',
  'CLOSE p1',
  "SET TimeZone = 'Asia/Tokyo'",
  'SET LOCAL statement_timeout = 1000',
  "SET eventful.read_consistency = 'eventual'",
  'RESET ALL',
  'DISCARD ALL',
  'DEALLOCATE ALL',
  'SHOW server_version',
  'LISTEN fuzz',
  'UNLISTEN *',
  'SELECT 1/0',
  'SELECT nothing',
  'SELEC',
  '',
  ';;',
  'UPDATE fuzz SET n = 1',
  "SELECT set_config('application_name', $1, false)",
  'SELECT 1; SELECT 2 AS b; SELECT 3',
  "SELECT 1; INSERT INTO fuzz EVENTS changed (aggregate_id) VALUES ('f10'); SELECT 1/0",
];

const VALUES: readonly (string | Buffer | null)[] = [
  ...['f1', 'f2', 'fuzz', '1', '-7', '99999999999999999999', '', 'é漢🙂', "it's", '{"a":1}'],
  ...[null, Buffer.of(0, 0, 0, 1), Buffer.of(0xff, 0xfe), Buffer.of(0), Buffer.alloc(3000, 0x61)],
];

function copyMessage(type: 'd' | 'f', text: string | Buffer): Buffer {
  const body = Buffer.from(text);
  const message = startMessage(type.charCodeAt(0), body.length);
  body.copy(message, 5);
  return message;
}

export const copyData = (text: string | Buffer): Buffer => copyMessage('d', text);
export const copyFail = (reason: string): Buffer => copyMessage('f', `${reason}\0`);
export const copyDone = (): Buffer => startMessage(0x63, 0);

/** A message that is what it should be, whether or not it makes sense where it stands. */
export function whole(random: Random): Buffer {
  const name = (): string => random.pick(NAMES);
  switch (random.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return m.query(random.pick(STATEMENTS));
    case 4:
    case 5:
      return m.parse(
        random.pick(STATEMENTS),
        name(),
        random.chance(0.2) ? [random.pick([0, 20, 25, 114, 999])] : [],
      );
    case 6:
    case 7:
      return m.bind(
        Array.from({ length: random.below(4) }, () => random.pick(VALUES)),
        {
          portal: name(),
          statement: name(),
          formats: Array.from({ length: random.below(3) }, () => (random.chance(0.5) ? 0 : 1)),
          results: Array.from({ length: random.below(3) }, () => (random.chance(0.5) ? 0 : 1)),
        },
      );
    case 8:
      return random.chance(0.5) ? m.describe(name()) : m.describePortal(name());
    case 9:
    case 10:
      return m.execute(random.pick([0, 0, 1, 2, -1, 0x7fffffff]), name());
    case 11:
      return random.chance(0.5) ? m.close(name()) : m.closePortal(name());
    case 12:
    case 13:
      return m.sync();
    case 14:
      return random.chance(0.7) ? m.flush() : copyFail('enough');
    default:
      return random.chance(0.7) ? copyData(`${random.pick(IDS)}\tvalue\n`) : copyDone();
  }
}

/** The message with a fault: in its bytes, its length, or its type. */
export function damaged(random: Random): Buffer {
  const frame = Buffer.from(whole(random));
  const body = frame.subarray(5);
  switch (random.below(5)) {
    case 0:
    case 1: {
      for (let n = 1 + random.below(4); n > 0 && body.length > 0; n--)
        body[random.below(body.length)] = random.below(256);
      return frame;
    }
    case 2: {
      const cut = frame.subarray(0, 5 + random.below(body.length + 1));
      cut.writeUInt32BE(cut.length - 1, 1);
      return cut;
    }
    case 3: {
      const longer = Buffer.concat([frame, random.bytes(1 + random.below(9))]);
      longer.writeUInt32BE(longer.length - 1, 1);
      return longer;
    }
    default: {
      frame[0] = TYPE_LETTERS.charCodeAt(random.below(TYPE_LETTERS.length));
      return frame;
    }
  }
}

/** Bytes from which the server cannot find back into the stream, mostly. */
export function hopeless(random: Random): Buffer {
  const frame = Buffer.from(whole(random));
  switch (random.below(5)) {
    case 0:
      frame.writeUInt32BE(random.pick([0, 1, 3, 0x7fffffff, 0xffffffff, 0x80000000, 0x04100000]), 1);
      return frame;
    case 1:
      frame[0] = random.below(256);
      return frame;
    case 2: {
      const bytes = random.bytes(1 + random.below(60));
      // Never a length that a server may wait for: it would take what follows for its data.
      if (bytes.length > 1) bytes[1] = (bytes[1] ?? 0) | 0x08;
      return bytes;
    }
    case 3:
      return Buffer.from('GET / HTTP/1.1\r\nHost: fuzz\r\n\r\n');
    default:
      return encodeTerminate();
  }
}

/** A type letter with a random body of a right length. */
export function noise(random: Random): Buffer {
  const body = random.bytes(random.below(40));
  const frame = startMessage(TYPE_LETTERS.charCodeAt(random.below(TYPE_LETTERS.length)), body.length);
  body.copy(frame, 5);
  return frame[0] === 0x58 ? m.flush() : frame;
}

const PAIR = 'INSERT INTO pair EVENTS half (aggregate_id, n) VALUES ($1, $2)';

/** What may stand between the halves of a pair: nothing of it ends the transaction they share. */
function between(random: Random): Buffer[] {
  switch (random.below(6)) {
    case 0:
      return [m.describe('missing')];
    case 1:
      return [m.bind(['1'], { statement: 'missing' })];
    case 2:
      return [m.execute(0, 'missing')];
    case 3:
      return [m.flush()];
    default:
      return [];
  }
}

/**
 * Two events that must be appended together or not at all, by one of several ways; `n` is theirs alone. Whatever COPY or
 * error the session was in is ended first.
 */
export function pair(random: Random, n: number): Buffer[] {
  return [copyFail('next'), m.sync(), ...halves(random, n)];
}

function halves(random: Random, n: number): Buffer[] {
  const half = (id: string): string =>
    `INSERT INTO pair EVENTS half (aggregate_id, n) VALUES ('${id}${n % 50}', ${n})`;
  const bind = (id: string): Buffer[] => [m.bind([`${id}${n % 50}`, String(n)]), m.execute()];
  const between2 = (): Buffer[] => between(random);
  switch (random.below(7)) {
    case 0:
      return [m.query(`${half('a')}, ('b', ${n})`)];
    case 1:
      return [m.query(`${half('a')}; ${half('b')}`)];
    case 2:
      return [m.query(`${half('a')}; ${half('b')}; SELECT 1/0`)];
    case 3:
      return [m.parse(PAIR), ...bind('a'), ...between2(), ...bind('b'), m.sync()];
    case 4:
      return [
        m.query('COPY pair EVENTS half (aggregate_id, n) FROM STDIN'),
        copyData(`a\t${n}\nb\t${n}`),
        copyDone(),
      ];
    case 5:
      return [
        m.query('COPY pair EVENTS half (aggregate_id, n) FROM STDIN'),
        copyData(`a\t${n}\nb\t${n}\n`),
        copyFail('no'),
      ];
    default:
      return [m.query('BEGIN'), m.query(half('a')), ...between2(), m.query(half('b')), m.query('COMMIT')];
  }
}
