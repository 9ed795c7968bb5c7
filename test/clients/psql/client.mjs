/** psql: every backslash command that reads, with and without +, with and without a pattern; variables, cursors, COPY. */
import { spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, finish } from '../checks.mjs';

const ID = 'psql-1';
const [version] = spawnSync('psql', ['--version'], { encoding: 'utf8' }).stdout.match(/\d+\.\d+/) ?? ['?'];

/** What psql prints, errors among it. */
function psql(script, args = []) {
  const { stdout, stderr, error } = spawnSync('psql', ['-X', '-q', '-v', 'VERBOSITY=verbose', ...args], {
    input: script,
    encoding: 'utf8',
    timeout: 20_000,
    maxBuffer: 1 << 28,
    env: { ...process.env, PAGER: 'cat' },
  });
  if (error !== undefined) throw error;
  return { out: stdout, err: stderr };
}

/** Unaligned rows alone; an error throws. */
function rows(script, args = []) {
  const { out, err } = psql(script, ['-A', '-t', ...args]);
  assert.equal(err, '');
  return out.trimEnd().split('\n');
}

await check('append, append again', () => {
  const [first] = rows(`\\set id ${ID}
    INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
      VALUES (:'id', 'Ada', 'King', '1815-12-10', 61.500, '2026-01-02 03:04:05.678901+00', true, 3) RETURNING version, position, event_id;`);
  assert.match(first, /^1\|\d+\|[0-9a-f-]{36}$/);
  assert.deepEqual(
    rows(
      `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('${ID}', 'Lovelace') RETURNING version`,
    ),
    ['2'],
  );
});

await check('read state, typed', () => {
  assert.deepEqual(
    rows(
      `SET TimeZone = 'UTC'; SELECT last_name, birthdate, weight, admitted_at, smoker, visits FROM patient WHERE aggregate_id = '${ID}'`,
    ),
    ['Lovelace|1815-12-10|61.500|2026-01-02 03:04:05.678901+00|t|3'],
  );
});

await check('AS OF VERSION, TIMESTAMP and POSITION with \\gset', () => {
  const said = rows(`
    SELECT valid_to AS until, position AS place FROM patient_history WHERE aggregate_id = '${ID}' AND version = 1 \\gset
    SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = '${ID}';
    SELECT valid_from AS at FROM patient_history WHERE aggregate_id = '${ID}' AND version = 1 \\gset
    SELECT p.last_name FROM patient AS OF TIMESTAMP :'at' p WHERE aggregate_id = '${ID}';
    SELECT last_name FROM patient AS OF POSITION :place WHERE aggregate_id = '${ID}';`);
  assert.deepEqual(said, ['King', 'King', 'King']);
});

await check('PREPARE and EXECUTE; \\bind where psql has it', () => {
  // psql 15 has none.
  if (Number(version) >= 16)
    assert.deepEqual(
      rows(`SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2 \\bind 1 '${ID}' \\g`),
      ['King'],
    );
  assert.deepEqual(
    rows(
      `PREPARE one AS SELECT last_name FROM patient WHERE aggregate_id = $1; EXECUTE one('${ID}'); DEALLOCATE one;`,
    ),
    ['Lovelace'],
  );
});

for (const [state, statement] of [
  ['42703', `INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ('${ID}', 1)`],
  ['0A000', `UPDATE patient SET visits = 1`],
  [
    '40001',
    `INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('${ID}', 1) EXPECT VERSION 9`,
  ],
  ['42601', 'SELEC 1'],
])
  await check(`error: ${state}, with its position, and goes on`, () => {
    const { out, err } = psql(`${statement};\n\\echo :LAST_ERROR_SQLSTATE\nSELECT 'on';`, ['-A', '-t']);
    assert.equal(out, `${state}\non\n`);
    assert.match(err, new RegExp(`ERROR:  ${state}`));
    if (state.startsWith('42')) assert.match(err, /LINE 1: [\s\S]*\n +\^/);
  });

await check('transaction: reads its own writes, twice, rolls back', () => {
  const own = `SELECT last_name FROM patient WHERE aggregate_id = '${ID}';`;
  const said = rows(`BEGIN;
    INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('${ID}', 'Byron');
    ${own} ${own}
    SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = '${ID}';
    SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = '${ID}';
    ROLLBACK; ${own}`);
  assert.deepEqual(said, ['Byron', 'Byron', 'King', 'King', 'Lovelace']);
});

await check('transaction: ON_ERROR_ROLLBACK', () => {
  const said = rows(`\\set ON_ERROR_ROLLBACK on
    BEGIN;
    INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('psql-2', 'x');
    SELECT count(*) FROM patient WHERE aggregate_id = 'psql-2';
    COMMIT;
    SELECT version FROM patient WHERE aggregate_id = 'psql-2';`);
  assert.deepEqual(said, ['1', '1']);
});

await check('-1 with a file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'eventful-psql-'));
  const file = join(directory, 'script.sql');
  writeFileSync(
    file,
    `INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('psql-3', 1);
     INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('psql-4', 1);`,
  );
  rows('', ['-1', '-f', file]);
  rmSync(directory, { recursive: true });
  assert.deepEqual(rows("SELECT count(*) FROM patient WHERE aggregate_id IN ('psql-3', 'psql-4')"), ['2']);
});

await check('\\gdesc of state, past, append', () => {
  assert.deepEqual(rows(`SELECT version, weight FROM patient \\gdesc`), [
    'version|bigint',
    'weight|numeric(8,3)',
  ]);
  assert.deepEqual(rows(`SELECT version, weight FROM patient AS OF VERSION 1 \\gdesc`), [
    'version|bigint',
    'weight|numeric(8,3)',
  ]);
  assert.deepEqual(
    rows(
      `INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('x') RETURNING version, event_id \\gdesc`,
    ),
    ['version|bigint', 'event_id|uuid'],
  );
});

await check('\\watch asks again and again', () => {
  // It goes on until it is interrupted.
  const { stdout } = spawnSync('psql', ['-X', '-q', '-A', '-t'], {
    input: `SELECT last_name FROM patient WHERE aggregate_id = '${ID}' \\watch 0.2`,
    encoding: 'utf8',
    timeout: 1500,
    killSignal: 'SIGINT',
  });
  assert.ok(stdout.split('\n').filter((line) => line === 'Lovelace').length >= 2, stdout);
});

await check('\\gexec, \\gx, \\crosstabview', () => {
  assert.deepEqual(
    rows(
      `SELECT format('SELECT %L::text FROM patient AS OF VERSION 1 WHERE aggregate_id = %L', n, '${ID}') FROM generate_series(1, 2) n \\gexec`,
    ),
    ['1', '2'],
  );
  assert.match(psql(`SELECT * FROM patient WHERE aggregate_id = '${ID}' \\gx`).out, /last_name +\| Lovelace/);
  assert.match(
    psql(
      `SELECT aggregate_id, version, last_name FROM patient_history WHERE aggregate_id = '${ID}' \\crosstabview`,
    ).out,
    /King +\| Lovelace/,
  );
});

await check('FETCH_COUNT, over state, history and the past', () => {
  const own = `WHERE aggregate_id = '${ID}'`;
  const said = rows(`\\set FETCH_COUNT 1
    SELECT version FROM patient_history ${own} ORDER BY version;
    SELECT generate_series(1, 3) FROM patient ${own};
    SELECT last_name FROM patient AS OF VERSION 1 ${own};`);
  assert.deepEqual(said, ['1', '2', '1', '2', '3', 'King']);
});

await check('COPY from a file, \\copy to a file, COPY with inline data', () => {
  const directory = mkdtempSync(join(tmpdir(), 'eventful-psql-'));
  const file = join(directory, 'patients.csv');
  writeFileSync(file, 'aggregate_id,last_name\npsql-copy-1,One\npsql-copy-2,"Two, 2"\n');
  // psql reads \\copy itself and knows no EVENTS, so the file comes on standard input.
  const copy =
    'COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv, HEADER)';
  rows(readFileSync(file, 'utf8'), ['-c', copy]);
  rows(
    `\\copy (SELECT aggregate_id, last_name FROM patient WHERE aggregate_id LIKE 'psql-copy-%' ORDER BY 1) TO '${file}' WITH (FORMAT csv)`,
  );
  const written = readFileSync(file, 'utf8');
  rmSync(directory, { recursive: true });
  assert.equal(written, 'psql-copy-1,One\npsql-copy-2,"Two, 2"\n');
  rows(
    'COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN;\npsql-copy-3\tThree\n\\.\n',
  );
  assert.deepEqual(rows("SELECT last_name FROM patient WHERE aggregate_id = 'psql-copy-3'"), ['Three']);
});

await check('cursors', () => {
  const said = rows(`BEGIN;
    DECLARE c SCROLL CURSOR FOR SELECT version FROM patient_history WHERE aggregate_id = '${ID}' ORDER BY version;
    FETCH LAST FROM c; FETCH FIRST FROM c; MOVE ALL IN c; FETCH c; CLOSE c; COMMIT;`);
  assert.deepEqual(said, ['2', '1']);
});

await check('LISTEN prints what it hears', () => {
  const { out } = psql(
    `LISTEN patient;
     INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('psql-5', 1);
     SELECT pg_sleep(0.3);
     SELECT 1;`,
  );
  assert.match(
    out,
    /Asynchronous notification "patient" with payload ".*psql-5.*" received from server process/,
  );
});

await check('EXPLAIN', () => {
  assert.match(rows('EXPLAIN SELECT * FROM patient').join('\n'), /Scan on patient/);
  assert.ok(rows(`EXPLAIN SELECT * FROM patient AS OF VERSION 1 WHERE aggregate_id = '${ID}'`).length > 0);
  assert.ok(
    rows(`EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM patient_events WHERE aggregate_id = '${ID}'`).length >
      0,
  );
});

await check('\\conninfo, \\encoding, \\timing, \\errverbose, \\password is refused', () => {
  assert.match(psql('\\conninfo').out, /connected to database "eventful" as user/);
  assert.equal(psql('\\encoding').out, 'UTF8\n');
  assert.match(psql('\\timing on\nSELECT 1;').out, /Time: /);
});

await check('\\c connects again', () => {
  assert.deepEqual(rows(`\\c -\nSELECT current_database()`).slice(-1), ['eventful']);
});

await check('-l lists the database', () => {
  assert.match(psql('', ['-l', '-d', 'eventful']).out, /eventful/);
});

await check('\\d patient', () => {
  const { out, err } = psql('\\d patient');
  assert.equal(err, '');
  assert.match(out, /weight +\| numeric\(8,3\)/);
  assert.match(out, /"patient_pkey" PRIMARY KEY, btree \(aggregate_id\)/);
});

await check('\\dt+ has the comment', () => {
  assert.match(psql('\\dt+').out, /Somebody who is cared for/);
});

await check('\\dt eventful.*, \\dv eventful.*: the system relations', () => {
  assert.match(psql('\\dv eventful.*').out, /aggregates/);
});

/** Describe commands of psql 15: `S`, `+` and a pattern are tried with each that takes them. */
const COMMANDS = {
  '\\d': 'S+',
  '\\da': 'S',
  '\\dA': '+',
  '\\dAc': '+',
  '\\dAf': '+',
  '\\dAo': '+',
  '\\dAp': '+',
  '\\db': '+',
  '\\dc': 'S+',
  '\\dconfig': '+',
  '\\dC': '+',
  '\\dd': 'S',
  '\\dD': 'S+',
  '\\ddp': '',
  '\\dE': 'S+',
  '\\des': '+',
  '\\det': '+',
  '\\deu': '+',
  '\\dew': '+',
  '\\df': 'S+',
  '\\dfa': 'S+',
  '\\dfn': 'S+',
  '\\dfp': 'S+',
  '\\dft': 'S+',
  '\\dfw': 'S+',
  '\\dF': '+',
  '\\dFd': '+',
  '\\dFp': '+',
  '\\dFt': '+',
  '\\dg': 'S+',
  '\\di': 'S+',
  '\\dl': '+',
  '\\dL': 'S+',
  '\\dm': 'S+',
  '\\dn': 'S+',
  '\\do': 'S+',
  '\\dO': 'S+',
  '\\dp': '',
  '\\dP': '+',
  '\\dPi': '+',
  '\\dPt': '+',
  '\\drds': '',
  '\\dRp': '+',
  '\\dRs': '+',
  '\\ds': 'S+',
  '\\dt': 'S+',
  '\\dT': 'S+',
  '\\du': 'S+',
  '\\dv': 'S+',
  '\\dx': '+',
  '\\dX': '',
  '\\dy': '+',
  '\\l': '+',
  '\\lo_list': '+',
  '\\z': '',
};

/** Where a pattern is two words. */
const PATTERN = { '\\drds': '* *', '\\dl': '', '\\lo_list': '' };

/** Of things outside of schemas. */
const UNQUALIFIED = new Set(['\\dg', '\\du', '\\dn', '\\dL']);

/** What PostgreSQL shows to superusers alone. */
const PRIVILEGED =
  /^ERROR:  42501: permission denied for (tablespace pg_global|table pg_subscription)\n(LOCATION: .*\n)?$/;

for (const [command, suffixes] of Object.entries(COMMANDS))
  await check(command, () => {
    const pattern = PATTERN[command] ?? 'patient*';
    const forms = [command, `${command} ${pattern}`];
    for (const suffix of [...suffixes, ...(suffixes === 'S+' ? ['S+'] : [])])
      forms.push(`${command}${suffix}`, `${command}${suffix} ${pattern}`);
    if (suffixes.includes('S') && !UNQUALIFIED.has(command))
      forms.push(`${command}S pg_catalog.*a*`, `${command} *.*`);
    for (const form of forms) {
      const { err } = psql(form);
      const complaint = err.replaceAll(/^Did not find any .*\n/gm, '').replace(PRIVILEGED, '');
      assert.equal(complaint, '', form);
    }
  });

await check('\\sf and \\sv', () => {
  assert.match(psql('\\sv patient_history').out, /CREATE OR REPLACE VIEW/);
  assert.match(psql('\\sf pg_catalog.date_trunc(text, timestamptz)').out, /CREATE OR REPLACE FUNCTION/);
});

await check('tab completion asks only what can be answered', () => {
  // What psql 15 asks when the tab key is pressed after SELECT … FROM and after INSERT INTO patient (.
  const asked = `SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p')
      AND (c.relname) LIKE 'pat%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <>
      (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') ORDER BY 1;`;
  assert.deepEqual(rows(asked), ['patient|', 'patient_events|', 'patient_history|']);
});

finish(`psql ${version}`);
