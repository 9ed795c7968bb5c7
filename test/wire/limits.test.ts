/** Sizes and numbers at their limits: large values, idle connections, clients that do not read or do not stop sending. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATA_ROW, encodeDataRow } from '../../server/protocol/backend/row.js';
import { READY_FOR_QUERY } from '../../server/protocol/backend/status.js';
import { startMessage } from '../../server/protocol/bytes.js';
import { FrameReader } from '../../server/protocol/frames.js';
import { startTestServer, type TestServer } from '../harness.js';
import { copyData, copyDone, copyFail } from './fuzz/frames.js';
import { m, openSocket, RawClient } from './raw.js';

/** Rows of up to 700 bytes: more than the kernel's buffers hold. */
const SLOW_ROWS = 50_000;
const MIB = 1024 * 1024;
const LARGE = 16 * MIB + 17;
const COPY = 'COPY patient EVENTS patient_named (aggregate_id, name) FROM STDIN';
let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, doc jsonb, EVENT patient_named)');
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const rss = (): number => process.memoryUsage().rss;

/** The most the process grows by while `work` runs. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = rss();
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, rss())), 5);
  await work().finally(() => clearInterval(watch));
  return Math.max(peak, rss()) - before;
}

async function one(sql: string, values: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query({ text: sql, values, rowMode: 'array' });
  return (rows[0] as unknown[] | undefined)?.[0];
}

describe('values of 16 MiB', () => {
  const text = 'é'.padEnd(LARGE - 1, 'x');
  const quoted = `'${text}'`;
  const insert = (id: string, column: string, value: string): string =>
    `INSERT INTO patient EVENTS patient_named (aggregate_id, ${column}) VALUES ('${id}', ${value})`;

  it.each([
    ['the simple protocol', async (id: string) => client.query(insert(id, 'name', quoted))],
    ['a parameter', async (id: string) => client.query(insert(id, 'name', '$1'), [text])],
    ['a payload', async (id: string) => client.query(insert(id, 'payload', '$1'), [{ name: text }])],
    [
      'COPY',
      async (id: string) => {
        const raw = await RawClient.ready(server.port, server.token);
        raw.send(m.query(COPY));
        const data = Buffer.from(`${id}\t${text}\n`);
        for (let at = 0; at < data.length; at += 8192) raw.send(copyData(data.subarray(at, at + 8192)));
        expect(await raw.run(copyDone())).toEqual(['G', 'C:COPY 1', 'Z:I']);
        raw.close();
      },
    ],
  ])('come in through %s and are read as state, past, history and event', async (name, append) => {
    const id = name.replaceAll(' ', '-');
    await append(id);
    for (const from of ['patient', 'patient AS OF VERSION 1', 'patient_history'])
      expect((await one(`SELECT name FROM ${from} WHERE aggregate_id = $1`, [id])) === text).toBe(true);
    const event = `SELECT payload->>'name' FROM patient_events WHERE aggregate_id = $1`;
    expect((await one(event, [id])) === text).toBe(true);
  });

  it('may be jsonb, and go through a relayed statement as bytea', async () => {
    await client.query(insert('doc', 'doc', '$1'), [JSON.stringify({ text })]);
    for (const from of ['patient', 'patient AS OF VERSION 1']) {
      const read = `SELECT doc->>'text' FROM ${from} WHERE aggregate_id = 'doc'`;
      expect((await one(read)) === text).toBe(true);
    }
    const bytes = Buffer.alloc(LARGE, 7);
    expect(bytes.equals((await one('SELECT $1::bytea', [bytes])) as Buffer)).toBe(true);
  });

  it('a message above the limit closes its connection before its body is read', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const head = Buffer.alloc(5);
    head.write('Q');
    head.writeUInt32BE(65 * MIB, 1);
    raw.send(head);
    expect((await raw.until('E')).length).toBe(1);
    await raw.ended();
  });
});

describe('COPY', () => {
  const count = (id: string): Promise<unknown> =>
    one(`SELECT count(*)::int FROM patient WHERE aggregate_id LIKE $1`, [`${id}%`]);
  const rows = (id: string, n: number): Buffer =>
    Buffer.from(Array.from({ length: n }, (_, i) => `${id}-${i}\tname ${i}\n`).join(''));

  it('that ends half-way (broken off, CopyFail, Query, cancel, bad row) appends nothing', async () => {
    const ways: Record<string, (raw: RawClient) => Promise<void>> = {
      broken: async (raw) => {
        raw.socket.resetAndDestroy();
        await sleep(50);
      },
      failed: async (raw) => expect(await raw.run(copyFail('enough'))).toEqual(['E:57014', 'Z:I']),
      query: async (raw) => expect(await raw.run(m.query('SELECT 1'))).toEqual(['E:57014', 'Z:I']),
      row: async (raw) =>
        expect(await raw.run(copyData('\none column\n'), copyDone())).toEqual(['E:22P04', 'Z:I']),
      id: async (raw) =>
        expect(await raw.run(copyData('\n\\N\tx\n'), copyDone())).toEqual(['E:23502', 'Z:I']),
    };
    for (const [id, end] of Object.entries(ways)) {
      const raw = await RawClient.ready(server.port, server.token);
      raw.send(m.query(COPY), copyData(rows(id, 1000)), copyData(`${id}-half\tno end`));
      await raw.until('G');
      await end(raw);
      expect([id, await count(id)]).toEqual([id, 0]);
      if (id !== 'broken') expect(await raw.run(m.query('SELECT 1'))).toContain('D:1');
      raw.close();
    }
  });

  it('reads text, csv with a header, and refuses binary before any data', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const csv = `${COPY} WITH (FORMAT csv, HEADER)`;
    const data = ['aggregate_id,name\r\n"csv-1","a ""quoted""\nname"\r\n', 'csv-2,\r\n'];
    expect(await raw.run(m.query(csv), ...data.map((part) => copyData(part)), copyDone())).toEqual([
      'G',
      'C:COPY 2',
      'Z:I',
    ]);
    expect(await one(`SELECT name FROM patient WHERE aggregate_id = 'csv-1'`)).toBe('a "quoted"\nname');
    expect(await raw.run(m.query(`${COPY} WITH (FORMAT binary)`))).toEqual(['E:0A000', 'Z:I']);
    raw.close();
  });

  it('takes 50,000 rows in little memory, and drops what follows a row that never ends', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    raw.send(m.query(COPY));
    const chunk = rows('bulk', 1000);
    const grown = await growth(async () => {
      for (let i = 0; i < 50; i++) {
        raw.send(copyData(chunk));
        if (raw.socket.writableNeedDrain) await new Promise((resolve) => raw.socket.once('drain', resolve));
      }
      expect(await raw.run(copyDone())).toEqual(['G', 'C:COPY 50000', 'Z:I']);
    });
    expect(grown).toBeLessThan(500 * MIB);
    raw.send(m.query(COPY));
    await raw.until('G');
    const endless = copyData(Buffer.alloc(MIB, 0x61));
    const kept = await growth(async () => {
      for (let i = 0; i < 200; i++) {
        raw.send(endless);
        if (raw.socket.writableNeedDrain) await new Promise((resolve) => raw.socket.once('drain', resolve));
      }
      expect(await raw.run(copyDone())).toEqual(['E:54000', 'Z:I']);
    });
    expect(kept).toBeLessThan(300 * MIB);
    raw.close();
  });

  it('of more rows than one commit takes is refused, also as INSERT … SELECT', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    raw.send(m.query(COPY));
    const chunk = rows('many', 10_000);
    for (let i = 0; i < 26; i++) raw.send(copyData(chunk));
    expect(await raw.run(copyDone())).toEqual(['G', 'E:54000', 'Z:I']);
    const select = `INSERT INTO patient EVENTS patient_named (aggregate_id) SELECT 'many-' || n FROM generate_series(1, 250001) n`;
    expect(await raw.run(m.query(select))).toEqual(['E:54000', 'Z:I']);
    expect(await count('many')).toBe(0);
    raw.close();
  });

  it('TO STDOUT gives relayed and engine rows in every format', async () => {
    const out = async (sql: string): Promise<[string[], Buffer]> => {
      const raw = await RawClient.ready(server.port, server.token);
      raw.send(m.query(sql));
      const frames = await raw.until('Z');
      raw.close();
      const data = frames.filter(({ type }) => type === 0x64).map(({ body }) => body);
      const letters = frames.filter(({ type }) => type !== 0x64).map(({ type }) => String.fromCharCode(type));
      return [letters, Buffer.concat(data)];
    };
    await client.query(`INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('out', 'a,b')`);
    for (const from of ['patient', 'patient AS OF VERSION 1']) {
      const query = `SELECT name, version::int FROM ${from} WHERE aggregate_id = 'out'`;
      const whole = ['H', 'c', 'C', 'Z'];
      expect(await out(`COPY (${query}) TO STDOUT`)).toEqual([whole, Buffer.from('a,b\t1\n')]);
      const raw = await RawClient.ready(server.port, server.token);
      for (let twice = 0; twice < 2; twice++) {
        const extended = [m.parse(`COPY (${query}) TO STDOUT`), m.bind(), m.execute(), m.sync()];
        expect(await raw.run(...extended)).toEqual(['1', '2', 'H', 'd', 'c', 'C:COPY 1', 'Z:I']);
      }
      raw.close();
      const csv = Buffer.from('name,version\n"a,b",1\n');
      expect(await out(`COPY (${query}) TO STDOUT (FORMAT csv, HEADER)`)).toEqual([whole, csv]);
      const [letters, binary] = await out(`COPY (${query}) TO STDOUT (FORMAT binary)`);
      expect(letters).toEqual(whole);
      const row = '0002' + '00000003612c62' + '0000000400000001' + 'ffff';
      expect(binary.subarray(0, 11).toString('latin1')).toBe('PGCOPY\n\xff\r\n\0');
      expect(binary.subarray(19).toString('hex')).toBe(row);
    }
  });
});

describe('backpressure', () => {
  it('a client that does not read a huge result costs the server little, and gets all of it later', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    raw.socket.pause();
    const rowsWanted = 400_000;
    const grown = await growth(async () => {
      raw.send(m.query(`SELECT repeat('x', 1000) FROM generate_series(1, ${rowsWanted})`));
      await sleep(2500);
    });
    expect(grown).toBeLessThan(64 * MIB);
    const other = await RawClient.ready(server.port, server.token);
    expect(await other.run(m.query('SELECT 1'))).toContain('D:1');
    other.close();
    // Counted as it comes: kept, it would be the client's memory that grows.
    let bytes = 0;
    raw.socket.removeAllListeners('data');
    raw.socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    raw.socket.resume();
    await expect.poll(() => bytes, { timeout: 50_000, interval: 100 }).toBeGreaterThan(rowsWanted * 1000);
    raw.close();
  });

  it('clients that read slowly get every byte as it was, whatever is read for others meanwhile', async () => {
    const clients = await Promise.all(
      ['a', 'b', 'c'].map(async (mark) => {
        const raw = await RawClient.ready(server.port, server.token);
        raw.socket.removeAllListeners('data');
        const wanted = createHash('sha256');
        let bytes = 0;
        for (let row = 1; row <= SLOW_ROWS; row++) {
          const message = encodeDataRow([Buffer.from(`${row}${mark.repeat(row % 700)}`)]);
          wanted.update(message);
          bytes += message.length;
        }
        const text = `SELECT g::text || repeat('${mark}', g % 700) FROM generate_series(1, ${SLOW_ROWS}) g`;
        return { raw, text, bytes, wanted: wanted.digest('hex') };
      }),
    );
    const got = await Promise.all(
      clients.map(async ({ raw, text, bytes }) => {
        raw.send(m.query(text));
        const reader = new FrameReader({ mode: 'backend' });
        const hash = createHash('sha256');
        for await (const chunk of raw.socket as AsyncIterable<Buffer>) {
          reader.push(chunk);
          for (let frame = reader.next(); frame !== null; frame = reader.next()) {
            if (frame.type === READY_FOR_QUERY) return hash.digest('hex');
            if (frame.type === DATA_ROW) hash.update(frame.raw);
          }
          if (Math.random() < (50 * chunk.length) / bytes) await sleep(10);
        }
        return 'the connection was lost';
      }),
    );
    expect(got).toEqual(clients.map(({ wanted }) => wanted));
  });

  it('a client that pipelines without end while a statement runs is not read from', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    raw.send(m.query('SELECT pg_sleep(1.5)'));
    const request = m.query(`SELECT ${' '.repeat(60_000)} 1`);
    let requests = 0;
    const grown = await growth(async () => {
      const until = Date.now() + 1000;
      while (Date.now() < until) {
        if (raw.socket.writableNeedDrain) await sleep(5);
        else if (++requests < 5000) raw.send(request);
        else break;
      }
    });
    // The kernel's buffers hold a few megabytes; 5,000 requests would be 300.
    expect(requests * request.length).toBeLessThan(64 * MIB);
    expect(grown).toBeLessThan(64 * MIB);
    for (let answered = 0; answered <= requests; answered++) await raw.until('Z');
    raw.close();
  });
});

describe('many connections', () => {
  it('500 idle ones have no PostgreSQL backends and little memory, and every one of them works', async () => {
    const backends = async (): Promise<number> => {
      const sql = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename LIKE '%reader%'";
      return Number((await server.server.readModel.query(sql)).rows[0]?.['n']);
    };
    await expect.poll(backends, { timeout: 10_000 }).toBe(0);
    const clients: RawClient[] = [];
    const grown = await growth(async () => {
      for (let i = 0; i < 500; i++) clients.push(await RawClient.ready(server.port, server.token));
    });
    expect(await backends()).toBe(0);
    // Server and clients together.
    expect(grown).toBeLessThan(100 * MIB);
    const read = m.query("SELECT version FROM patient WHERE aggregate_id = 'many'");
    const append = `INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('many', 'x')`;
    for (const raw of clients) expect(await raw.run(m.query(append))).toContain('C:INSERT 0 1');
    expect(await backends()).toBe(0);
    let most = 0;
    const watch = setInterval(() => void backends().then((n) => (most = Math.max(most, n))), 50);
    const answers = await Promise.all(clients.map((raw) => raw.run(read)));
    clearInterval(watch);
    expect(answers.every((answer) => answer.includes('D:500'))).toBe(true);
    expect(most).toBeLessThanOrEqual(180);
    await expect.poll(backends, { timeout: 10_000 }).toBe(0);
    for (const raw of clients) raw.close();
    // The processes too: a backend that is only forgotten would still be there.
    const processes = execFileSync('ps', ['-eo', 'ppid,args'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.trim().startsWith(`${server.server.readModel.pid} `) && line.includes('reader'));
    expect(processes).toEqual([]);
  });
});

describe('a session that is harmed', () => {
  it('takes no other with it', async () => {
    const steady = await RawClient.ready(server.port, server.token);
    const harms: ((raw: RawClient) => void)[] = [
      (raw) => raw.send(Buffer.from('Q\x7f\xff\xff\xff', 'latin1')),
      (raw) => raw.send(Buffer.from('B\x80\0\0\0', 'latin1')),
      (raw) => raw.send(startMessage(0x42, 2).fill(0xff, 5)),
      (raw) => raw.send(m.query(COPY), copyData('x')),
      (raw) => raw.send(m.query('SELECT pg_sleep(30)')),
      (raw) => raw.send(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    ];
    for (const harm of harms) {
      const raw = await RawClient.ready(server.port, server.token);
      harm(raw);
      await sleep(20);
      raw.socket.resetAndDestroy();
      expect(await steady.run(m.query('SELECT 1'))).toContain('D:1');
    }
    const socket = await openSocket(server.port);
    socket.destroy();
    expect(await steady.run(m.query("SELECT count(*) FROM patient WHERE aggregate_id = 'x'"))).toContain(
      'D:0',
    );
    steady.close();
  });
});
