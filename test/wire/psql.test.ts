import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { psql, requirePsql } from '../golden/psql.js';
import { startTestServer, type TestServer } from '../harness.js';

let server: TestServer;
let secure: TestServer;

beforeAll(async () => {
  await requirePsql();
  server = await startTestServer();
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }]);
  secure = await startTestServer({ tls: { cert, key } });
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, born date, EVENT patient_created)');
  await client.query(
    "INSERT INTO patient EVENTS patient_created (aggregate_id, name) SELECT 'p-' || n, 'N' || n FROM generate_series(1, 250) n",
  );
  await client.end();
});
afterAll(async () => {
  await server.destroy();
  await secure.destroy();
});

describe('psql', () => {
  it('\\d, \\dt and \\l show what is there', async () => {
    const shown = await psql(server, '\\d patient\n\\dt\n\\l\n');
    expect(shown).toContain('Table "public.patient"');
    expect(shown).toMatch(/aggregate_id +\| text +\| +\| not null/);
    expect(shown).toMatch(/born +\| date/);
    expect(shown).toContain('"patient_pkey" PRIMARY KEY, btree (aggregate_id)');
    expect(shown).toMatch(/public +\| patient +\| table/);
    expect(shown).toMatch(/eventful +\| \w+ +\| UTF8/);
    expect(shown).not.toContain('ERROR');
  });

  it('\\gdesc describes a dialect statement without running it', async () => {
    const insert =
      "INSERT INTO patient EVENTS patient_created (aggregate_id, name) VALUES ('g-1', 'x') RETURNING version, event_id, recorded_at";
    const shown = await psql(
      server,
      `${insert} \\gdesc\nSELECT born, version FROM patient AS OF VERSION 1 \\gdesc\nSELECT count(*) AS n FROM patient WHERE aggregate_id = 'g-1';\n`,
      ['-A', '-t'],
    );
    expect(shown.trim().split('\n')).toEqual([
      'version|bigint',
      'event_id|uuid',
      'recorded_at|timestamp with time zone',
      'born|date',
      'version|bigint',
      '0',
    ]);
  });

  it('FETCH_COUNT reads in portions, in and outside AS OF', async () => {
    const script = `\\set FETCH_COUNT 40
      SELECT name FROM patient ORDER BY substr(name, 2)::int;
      SELECT name FROM patient AS OF VERSION 1 ORDER BY substr(name, 2)::int;\n`;
    const names = Array.from({ length: 250 }, (_, i) => `N${i + 1}`);
    expect((await psql(server, script, ['-A', '-t'])).trim().split('\n')).toEqual([...names, ...names]);
  });

  it('\\copy from a client file appends by the relation of the event', async () => {
    const file = join(tmpdir(), `eventful-copy-${process.pid}.csv`);
    writeFileSync(file, 'aggregate_id,name\nc-1,"Ada, Countess"\nc-2,Grace\n');
    try {
      await psql(server, 'CREATE AGGREGATE visitor (name text, EVENT visitor_came);');
      const columns = 'events.visitor_came (aggregate_id, name)';
      const said = await psql(server, `\\copy ${columns} from '${file}' with (format csv, header)\n`);
      expect(said).toBe('COPY 2\n');
      expect(await psql(server, "SELECT name FROM visitor WHERE aggregate_id = 'c-1'", ['-At'])).toBe(
        'Ada, Countess\n',
      );
    } finally {
      rmSync(file);
    }
  });

  it('\\copy to a client file and COPY TO STDOUT give the rows', async () => {
    const shown = await psql(
      server,
      "\\copy (SELECT aggregate_id, version FROM patient WHERE name = 'N7') to stdout csv\nCOPY (SELECT count(*) FROM patient_events) TO STDOUT;\n",
    );
    expect(shown.trim().split('\n')).toEqual(['p-7,1', '250']);
  });

  it('sslmode=require works against a TLS server and not against one without', async () => {
    const script = '\\conninfo\nSELECT 40 + 2;\n';
    const shown = await psql(secure, script, ['-A', '-t'], { PGSSLMODE: 'require' });
    expect(shown).toMatch(/SSL connection \(protocol: TLSv1\.[23]/);
    expect(shown).toMatch(/^42$/m);
    const refused = await psql(server, script, ['-A', '-t'], { PGSSLMODE: 'require' });
    expect(refused).toMatch(/server does not support SSL, but SSL was required/);
  });

  it('-c with several statements is one transaction', async () => {
    const insert = "INSERT INTO patient EVENTS patient_created (aggregate_id, name) VALUES ('c-1', 'x')";
    const failed = await psql(server, '', ['-A', '-t', '-c', `${insert}; SELECT 1/0`]);
    expect(failed).toContain('division by zero');
    const after = await psql(server, '', [
      '-A',
      '-t',
      '-c',
      "SELECT count(*) FROM patient WHERE aggregate_id = 'c-1'",
    ]);
    expect(after.trim()).toBe('0');
  });

  it('a wrong password is refused with 28P01', async () => {
    const shown = await psql({ port: server.port, token: 'wrong' }, 'SELECT 1;\n');
    expect(shown).toMatch(/FATAL: +/);
    expect(shown).not.toMatch(/\(1 row\)/);
  });
});
