/** Statements that are prepared in the read model: what is passed on as it came must still be judged like the rest. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

const READ = 'SELECT version, status, 6 / $2::int FROM patient WHERE aggregate_id = $1 AND version > 0';
const INSERT = "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', $1)";
let server: TestServer;
let raw: RawClient;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (status text, EVENT patient_updated)');
  await client.query("INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', 'a')");
  await client.end();
});
beforeEach(async () => {
  raw = await RawClient.ready(server.port, server.token);
  await raw.run(m.parse(READ, 'read'), m.parse(INSERT, 'append'), m.sync());
  await raw.run(...read('1'), m.sync());
});
afterEach(() => raw.close());
afterAll(() => server.destroy());

function read(divisor: string, portal = ''): Buffer[] {
  return [m.bind(['p', divisor], { statement: 'read', portal }), m.execute(0, portal)];
}

describe('a prepared statement of the read model', () => {
  it('is answered again and again, in one message or in many', async () => {
    const answer = ['2', 'D:1|a|6', 'C:SELECT 1', 'Z:I'];
    expect(await raw.run(...read('1'), m.sync())).toEqual(answer);
    for (const message of [...read('1'), m.sync()]) raw.send(message);
    expect(await raw.run()).toEqual(answer);
  });

  it('fails up to Sync, and not beyond', async () => {
    const sent = [...read('0'), ...read('1'), m.sync(), ...read('2'), m.sync()];
    // PostgreSQL may find it at Bind, where it plans for this value alone.
    expect((await raw.run(...sent)).slice(-2)).toEqual(['E:22012', 'Z:I']);
    expect(await raw.run()).toEqual(['2', 'D:1|a|3', 'C:SELECT 1', 'Z:I']);
  });

  it('is skipped behind an error of ours, and makes an append before it fail with it', async () => {
    const append = [m.bind(['lost'], { statement: 'append' }), m.execute()];
    expect(await raw.run(m.bind([], { statement: 'none' }), ...read('1'), m.sync())).toEqual([
      'E:26000',
      'Z:I',
    ]);
    expect((await raw.run(...append, ...read('0'), m.sync())).slice(-2)).toEqual(['E:22012', 'Z:I']);
    expect(await raw.run(...read('1'), m.sync())).toEqual(['2', 'D:1|a|6', 'C:SELECT 1', 'Z:I']);
  });

  it('shows a transaction its own appends, and fails it', async () => {
    expect(await raw.run(m.query('BEGIN'))).toEqual(['C:BEGIN', 'Z:T']);
    expect(await raw.run(...read('1'), m.sync())).toEqual(['2', 'D:1|a|6', 'C:SELECT 1', 'Z:T']);
    await raw.run(m.bind(['own'], { statement: 'append' }), m.execute(), m.sync());
    expect(await raw.run(...read('1'), m.sync())).toEqual(['2', 'D:2|own|6', 'C:SELECT 1', 'Z:T']);
    expect((await raw.run(...read('0'), m.sync())).slice(-2)).toEqual(['E:22012', 'Z:E']);
    expect(await raw.run(...read('1'), m.sync())).toEqual(['E:25P02', 'Z:E']);
    expect(await raw.run(m.query('ROLLBACK'))).toEqual(['C:ROLLBACK', 'Z:I']);
  });

  it('is refused where PostgreSQL refuses its messages', async () => {
    const broken = m.bind(['p', '1'], { statement: 'read' });
    broken.writeUInt16BE(7, 5 + '\0read\0'.length);
    expect(await raw.run(broken, m.sync())).toEqual(['E:08P01', 'Z:I']);
    expect(await raw.run(m.execute(0, 'none'), m.sync())).toEqual(['E:34000', 'Z:I']);
    expect(await raw.run(...read('1', 'x'), ...read('1', 'x'), m.sync())).toEqual([
      ...['2', 'D:1|a|6', 'C:SELECT 1', 'E:42P03', 'Z:I'],
    ]);
    expect(await raw.run(m.bind(['p', 'x'], { statement: 'read' }), m.sync())).toEqual(['E:22P02', 'Z:I']);
  });

  it('is refused once the token is revoked', async () => {
    const admin = await server.connect();
    const { rows } = await admin.query<{ token: string; token_id: string }>(
      "CALL token_generate('user', 'gone', 'read:patient')",
    );
    const limited = await RawClient.ready(server.port, rows[0]?.token ?? '');
    await limited.run(m.parse(READ, 'read'), ...read('1'), m.sync());
    expect(await limited.run(...read('1'), m.sync())).toEqual(['2', 'D:1|a|6', 'C:SELECT 1', 'Z:I']);
    await admin.query('CALL token_revoke($1)', [rows[0]?.token_id]);
    expect((await limited.run(...read('1'), m.sync()))[0]).toBe('E:28P01');
    limited.close();
    await admin.end();
  });
});
