import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer } from '../../harness.js';
import { parseOptions } from '../options.js';
import { execute, scalar } from './login.js';
import { connectOther, parseOther, redacted } from './others.js';
import { PostgresPeer } from './postgres.js';

describe('--peer-url', () => {
  it('takes a name and a URL', () => {
    const url = 'postgres://me:p%40ss@db.example:5433/bench';
    expect(parseOther(`Other 17=${url}`)).toEqual({ name: 'Other 17', url });
    expect(() => parseOther('postgres://me:secret@db/x')).toThrow(
      /takes name=.*not "postgres:\/\/me:\*\*\*@db\/x"/,
    );
    expect(() => parseOther('x=mysql://db')).toThrow(/takes name=/);
  });

  it('keeps passwords from the page', () => {
    expect(redacted('x=postgres://me:se@cret@db/x')).toBe('x=postgres://me:***@db/x');
    const options = parseOptions([
      '--peer-url',
      'x=postgres://me:secret@db/x',
      '--pg-url=postgres://a:hid@b/c',
    ]);
    expect(options?.commandLine).not.toMatch(/secret|hid/);
  });

  it('takes no server and no name twice', () => {
    const twice = ['--peer-url', 'x=postgres://a:b@db/x', '--peer-url'];
    expect(() => parseOptions([...twice, 'y=postgres://a:b@db/y'])).toThrow('the same server is named twice');
    expect(() => parseOptions([...twice, 'x=postgres://a:b@db2/y'])).toThrow(
      'two servers have the same name',
    );
    expect(() => parseOptions(['--peer-url', 'x=postgres://a:b@db/x', '--pg-url', 'postgres://db'])).toThrow(
      'twice',
    );
  });
});

describe('a second PostgreSQL named by its URL', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'eventful-others-'));
  let server: PostgresPeer;
  const url = (user: string, password: string): string =>
    `postgres://${user}:${password}@127.0.0.1:${server.admin.port}/postgres`;

  beforeAll(async () => {
    chmodSync(scratch, 0o711);
    server = await PostgresPeer.create(scratch, null);
  });

  afterAll(async () => {
    await server.destroy();
    rmSync(scratch, { recursive: true, force: true });
  });

  it('gets the schema, says its version and settings, and loses the databases afterwards', async () => {
    const other = await connectOther({ name: 'second', url: url('bench', server.admin.password) });
    expect(other.about.version).toMatch(/^PostgreSQL 16/);
    expect(other.about.settings).toMatchObject({
      fsync: 'on',
      synchronous_commit: 'on',
      shared_buffers: '512MB',
    });
    expect(other.about.missing).toEqual([]);
    expect(other.variants).toEqual(['statement', 'trigger']);
    const event = `INSERT INTO events (aggregate_id, event_type, payload) VALUES ('1', 'x', '{"ward":"3"}')`;
    await execute(other.peer.login('trigger'), event);
    expect(await scalar(other.peer.login('trigger'), 'SELECT ward FROM patient')).toBe('3');
    await other.peer.destroy();
    const left = `SELECT count(*) FROM pg_database WHERE datname LIKE 'eventful_bench_%'`;
    expect(await scalar(server.admin, left)).toBe('0');
  });

  it('is a side without variants, with the reason, where no database may be made', async () => {
    await execute(server.admin, `CREATE ROLE reader LOGIN PASSWORD 'r'`);
    const { about, variants } = await connectOther({ name: 'shy', url: url('reader', 'r') });
    expect(variants).toEqual([]);
    expect(about.missing[0]).toBe(
      'the schema of "statement" could not be made: permission denied to create database',
    );
  });

  it('is measured also when it does not say its version', async () => {
    await execute(server.admin, 'REVOKE EXECUTE ON FUNCTION version() FROM PUBLIC');
    const { about } = await connectOther({ name: 'shy', url: url('reader', 'r') });
    expect(about.version).toBe('a version that it does not say');
    expect(about.settings).toMatchObject({ fsync: 'on' });
  });

  it('is named when it does not answer', async () => {
    await expect(connectOther({ name: 'wrong', url: url('bench', 'no') })).rejects.toThrow(
      /^--peer-url wrong: password authentication failed/,
    );
  });
});

it('leaves out a server that speaks the protocol with another SQL, and says what it refused', async () => {
  const server = await startTestServer();
  try {
    const url = `postgres://bench:${server.token}@127.0.0.1:${server.port}/eventful`;
    const { about, variants } = await connectOther({ name: 'append-only', url });
    expect(variants).toEqual([]);
    expect(about.version).toMatch(/^PostgreSQL 16/);
    expect(about.missing).toEqual([
      expect.stringMatching(/^the schema of "statement" could not be made: .*DROP/),
      expect.stringMatching(/^the schema of "trigger" could not be made: .*DROP/),
    ]);
  } finally {
    await server.destroy();
  }
});
