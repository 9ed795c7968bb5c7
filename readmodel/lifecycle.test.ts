import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  cpSync,
  chmodSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { childAccount } from './account.js';
import { findBinaries } from './binaries.js';
import { checkMemoryPlace } from './directory.js';
import { removeReadModel, startReadModel, type ReadModel } from './index.js';
import { EmbeddedPostgres } from './postgres.js';
import { SILENT } from './logger.js';
import { connectAs, definition, FakeSource } from './testing.js';

const scratch = mkdtempSync(join(tmpdir(), 'readmodel-test-'));
chmodSync(scratch, 0o755);
const stores: FakeSource[] = [];
const open: ReadModel[] = [];

function store(): FakeSource {
  const source = new FakeSource(randomUUID());
  source.define(definition('patient', { first_name: 'text', birthdate: 'date' }));
  source.append('patient', [['p-1', { first_name: 'Ann' }]]);
  stores.push(source);
  return source;
}
async function start(source: FakeSource, directory?: string): Promise<ReadModel> {
  const model = await startReadModel({ source, directory });
  open.push(model);
  return model;
}
afterAll(async () => {
  for (const model of open) await model.stop({ remove: true });
  for (const source of stores) await removeReadModel(source.storeId);
  rmSync(scratch, { recursive: true, force: true });
});

async function names(model: ReadModel): Promise<unknown[]> {
  const { rows } = await model.query('SELECT aggregate_id, first_name FROM patient ORDER BY 1');
  return rows.map((row) => row['first_name']);
}

test('start, stop, start again: only what changed is read', async () => {
  const source = store();
  let begin = performance.now();
  const first = await start(source);
  const fresh = performance.now() - begin;
  expect(statSync(first.directory).mode & 0o777).toBe(0o700);
  await first.stop();
  expect(existsSync(first.directory)).toBe(true);
  source.append('patient', [['p-2', { first_name: 'Bob' }]]);
  source.define(definition('patient', { first_name: 'text', birthdate: 'date', city: 'text' }));
  begin = performance.now();
  const second = await start(source);
  console.log(
    `start with initdb ${Math.round(fresh)} ms, with data ${Math.round(performance.now() - begin)} ms`,
  );
  expect(second.report).toBeNull();
  expect(source.catchUps).toBe(1);
  expect(await names(second)).toEqual(['Ann', 'Bob']);
  await second.stop({ remove: true });
  expect(existsSync(second.directory)).toBe(false);
});

test('another store, or a cursor ahead of the engine, is rebuilt', async () => {
  const source = store();
  source.append('patient', [['p-2', { first_name: 'Bob' }]]);
  const first = await start(source);
  await first.stop();
  source.states.delete('patient\0p-2');
  source.position = 1n;
  const second = await start(source);
  expect(second.report?.rebuiltRows).toBe(1);
  expect(await names(second)).toEqual(['Ann']);
  await second.query(`UPDATE eventful_internal.cursor SET store_id = 'other'`);
  await second.stop();
  const third = await start(source);
  expect(third.report?.rebuiltRows).toBe(1);
  await third.stop();
  // A copy of the store that went on by itself and has come as far.
  source.leaf = 'another';
  const fourth = await start(source);
  expect(fourth.report?.rebuiltRows).toBe(1);
  await fourth.stop({ remove: true });
});

test('the position the tables hold is that of the newest commit, however it got there', async () => {
  const source = store();
  const first = await start(source);
  source.append('patient', [['p-2', { first_name: 'Bob' }]]);
  await first.waitFor(source.position);
  await first.stop();
  source.append('patient', [['p-3', { first_name: 'Eve' }]]);
  const second = await start(source);
  expect(second.report).toBe(null);
  await second.waitFor(source.position);
  await second.stop();
  const third = await start(source);
  expect(third.report).toBe(null);
  await third.stop({ remove: true });
});

test('a rebuild gives the table its key, whatever stands in the way of making it last', async () => {
  const key = `SELECT conname FROM pg_constraint WHERE conrelid = 'public.patient'::regclass AND contype = 'p'`;
  const plain = store();
  const first = await start(plain);
  expect((await first.query(key)).rows).toEqual([{ conname: 'patient_pkey' }]);
  await first.stop({ remove: true });

  // PostgreSQL groups by the key alone only while it is one, so this view holds on to it.
  const query = 'SELECT p.aggregate_id, p.first_name FROM public.patient AS p GROUP BY p.aggregate_id';
  const columns = ['aggregate_id', 'first_name'].map((name) => ({ name, type: 'text' }));
  const view = { name: 'grouped', kind: 'view', query, columns, types: ['patient'], views: [] } as const;
  const viewed = store();
  viewed.current = { ...viewed.current, views: new Map([['grouped', { ...view, populate: false }]]) };
  const second = await start(viewed);
  expect((await second.query(key)).rows).toEqual([{ conname: 'patient_pkey' }]);
  expect((await second.query('SELECT first_name FROM views.grouped')).rows).toEqual([{ first_name: 'Ann' }]);
  await second.stop({ remove: true });

  // What COPY refuses is upserted, which takes the key.
  const refused = store();
  refused.append('patient', [['p-2', { first_name: 'Bob', birthdate: 'never' }]]);
  const third = await start(refused);
  expect((await third.query(key)).rows).toEqual([{ conname: 'patient_pkey' }]);
  expect(await names(third)).toEqual(['Ann', 'Bob']);
  await third.stop({ remove: true });
});

test('two servers on one directory are refused', async () => {
  const source = store();
  const model = await start(source);
  await expect(startReadModel({ source })).rejects.toMatchObject({ sqlstate: '55006' });
  await expect(removeReadModel(source.storeId)).rejects.toMatchObject({ sqlstate: '55006' });
  const other = spawn('sleep', ['60']);
  await model.stop();
  const ticks = readFileSync(`/proc/${other.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];
  writeFileSync(join(model.directory, 'server.pid'), `${other.pid} ${ticks}\n`);
  await expect(startReadModel({ source })).rejects.toMatchObject({ sqlstate: '55006' });
  // The same number, but another process than the one that wrote it.
  writeFileSync(join(model.directory, 'server.pid'), `${other.pid} 1\n`);
  const again = await start(source);
  other.kill();
  await again.stop({ remove: true });
});

test('a killed PostgreSQL comes back and the projector goes on', async () => {
  const source = store();
  const model = await start(source);
  const events: string[] = [];
  model.on('down', () => events.push('down'));
  const up = new Promise<void>((done) => model.on('up', done));
  const client = await connectAs(model, 'admin');
  source.append('patient', [['p-2', { first_name: 'before' }]]);
  await model.waitFor(source.position);
  process.kill(model.pid ?? 0, 'SIGKILL');
  source.append('patient', [['p-3', { first_name: 'during' }]]);
  await up;
  source.append('patient', [['p-4', { first_name: 'after' }]]);
  await model.waitFor(source.position);
  expect(events).toEqual(['down']);
  expect(await names(model)).toEqual(['Ann', 'before', 'during', 'after']);
  await client.end().catch(() => undefined);
  // Logins made before are good after.
  const again = await connectAs(model, 'admin');
  expect((await again.query('SELECT count(*)::int AS n FROM patient')).rows).toEqual([{ n: 4 }]);
  await again.end();
  await model.stop({ remove: true });
});

test('a killed backend (PostgreSQL then resets itself) does not stop the projector', async () => {
  const source = store();
  const model = await start(source);
  const { rows } = await model.query(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'eventful projector'`,
  );
  process.kill(Number(rows[0]?.['pid']), 'SIGKILL');
  for (let i = 0; i < 20; i++) {
    source.append('patient', [['p-2', { first_name: `${i}` }]]);
    await new Promise((done) => setTimeout(done, 20));
  }
  await model.waitFor(source.position);
  expect(await names(model)).toEqual(['Ann', '19']);
  await model.stop({ remove: true });
});

test('the PostgreSQL of a killed server is stopped first', async () => {
  const source = store();
  const first = await start(source);
  await first.stop();
  const script = join(scratch, 'orphan.mjs');
  const account = childAccount();
  const { postgres } = findBinaries(account);
  // A server that is killed: the postmaster stays, without a parent.
  writeFileSync(
    script,
    `import { spawn } from 'node:child_process';
     const child = spawn(${JSON.stringify(postgres)}, ['-D', ${JSON.stringify(join(first.directory, 'data'))}],
       { cwd: '/', detached: true, stdio: 'ignore', ...${JSON.stringify(account ?? {})} });
     child.unref(); console.log(child.pid);`,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  const pid = Number(stdout);
  while (!existsSync(join(first.directory, '.s.PGSQL.5432')))
    await new Promise((done) => setTimeout(done, 10));
  const second = await start(source);
  expect(second.pid).not.toBe(pid);
  // The orphan was reparented; gone, or a zombie nobody waits for.
  const state = existsSync(`/proc/${pid}/stat`)
    ? readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0]
    : 'gone';
  expect(['gone', 'Z']).toContain(state);
  expect(await names(second)).toEqual(['Ann']);
  await second.stop({ remove: true });
});

test('a PostgreSQL that cannot be restarted is given up with a clear error', async () => {
  const source = store();
  const model = await start(source);
  const control = join(model.directory, 'data', 'global', 'pg_control');
  writeFileSync(`${control}.kept`, readFileSync(control));
  rmSync(control);
  const waiting = model.waitFor(source.position + 1n);
  process.kill(model.pid ?? 0, 'SIGKILL');
  await expect(waiting).rejects.toMatchObject({
    sqlstate: '57P03',
    message: expect.stringContaining('keeps failing'),
  });
  await expect(model.waitFor(source.position + 1n)).rejects.toMatchObject({ sqlstate: '57P03' });
  await expect(model.query('SELECT 1')).rejects.toMatchObject({ sqlstate: '57P03' });
  await model.stop({ remove: true });
});

test('how fast a rebuild and live commits are', async () => {
  const source = store();
  for (let i = 0; i < 50_000; i++)
    source.put('patient', `p-${i}`, { first_name: `First ${i}`, birthdate: '1980-02-29' });
  let progress = 0;
  const model = await startReadModel({ source, onRebuildProgress: (rows) => (progress = rows) });
  open.push(model);
  expect(progress).toBe(50_000);
  const begin = performance.now();
  for (let i = 0; i < 20_000; i++) source.append('patient', [[`p-${i}`, { first_name: `x ${i}` }]]);
  await model.waitFor(source.position);
  const perSecond = Math.round(20_000 / ((performance.now() - begin) / 1000));
  console.log(`rebuild ${model.report?.rowsPerSecond} rows/s, live ${perSecond} commits/s`);
  await model.stop({ remove: true });
});

test('damaged data and another boot are made anew', async () => {
  const source = store();
  const first = await start(source);
  await first.stop();
  rmSync(join(first.directory, 'data', 'global', 'pg_control'));
  const second = await start(source);
  expect(second.report?.rebuiltRows).toBe(1);
  await second.stop();
  writeFileSync(join(first.directory, 'boot_id'), 'another');
  const third = await start(source);
  expect(third.report?.rebuiltRows).toBe(1);
  await third.stop({ remove: true });
});

test('an explicit directory, too long for a socket', async () => {
  const directory = join(scratch, 'd'.repeat(60), 'e'.repeat(40));
  mkdirSync(directory, { recursive: true });
  const model = await start(store(), directory);
  expect(await names(model)).toEqual(['Ann']);
  expect(model.directory.startsWith(directory)).toBe(true);
  const { host } = model.connection({ user: '', password: '' });
  expect(host.length).toBeLessThan(88);
  await model.stop({ remove: true });
  expect(existsSync(host)).toBe(false);
});

test('storage that is not memory, or too small, is refused with a hint', () => {
  expect(() => checkMemoryPlace('/proc')).toThrow(/not tmpfs/);
  expect(() => checkMemoryPlace('/dev/shm', Number.MAX_SAFE_INTEGER)).toThrow(/not enough room/);
  expect(() => checkMemoryPlace('/nowhere')).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('read_model.directory') }),
  );
});

test('a start that fails says why and leaves nothing running', async () => {
  const source = store();
  source.allStates = () => {
    throw new Error('aggregate patient/p-1 cannot be read');
  };
  await expect(startReadModel({ source })).rejects.toThrow('cannot be read');
  const postgres = new EmbeddedPostgres(source.storeId, undefined, SILENT);
  expect(existsSync(join(postgres.dataDirectory, 'postmaster.pid'))).toBe(false);
  expect(existsSync(join(postgres.directory, 'server.pid'))).toBe(false);
});

test('binaries out of reach, without links and modes, are staged or repaired', () => {
  const packageRoot = join(dirname(dirname(dirname(findBinaries(null).postgres))));
  const closed = join(scratch, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const copy = join(closed, 'package');
  cpSync(packageRoot, copy, { recursive: true, filter: (path) => !/lib(pq|icuuc)\.so(\.\d+)?$/.test(path) });
  chmodSync(join(copy, 'native/bin/postgres'), 0o644);
  const account = childAccount();
  const first = findBinaries(account, copy);
  expect(existsSync(join(copy, 'native/lib/libpq.so.5'))).toBe(true);
  if (account === null) return;
  expect(first.postgres.startsWith(closed)).toBe(false);
  expect(findBinaries(account, copy)).toEqual(first);
  rmSync(dirname(dirname(dirname(first.postgres))), { recursive: true });
});
