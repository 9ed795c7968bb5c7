/** The replication protocol by hand: what is refused, whose slots are whose, and that a stream holds nothing else. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeErrorFields } from '../../server/protocol/backend/error.js';
import { decodeDataRow } from '../../server/protocol/backend/row.js';
import { startMessage } from '../../server/protocol/bytes.js';
import { parseLsn } from '../../server/replication/lsn.js';
import { startTestServer, type TestServer } from '../harness.js';
import { append, CLINIC, created, renamed } from '../replicated.js';
import { m, RawClient, startupPacket } from './raw.js';

let db: TestServer;
const clients: RawClient[] = [];

beforeAll(async () => {
  db = await startTestServer();
  await append(db, ...CLINIC);
});
afterAll(async () => {
  for (const client of clients) client.close();
  await db?.destroy();
});

async function replica(token = db.token): Promise<RawClient> {
  const client = await RawClient.ready(db.port, token, { replication: 'database' });
  clients.push(client);
  return client;
}

async function run(client: RawClient, text: string): Promise<string[]> {
  return client.run(m.query(text));
}

function start(slot: string, publications = 'eventful', lsn = '0/0'): string {
  return `START_REPLICATION SLOT "${slot}" LOGICAL ${lsn} (proto_version '2', publication_names '"${publications}"')`;
}

/** What CopyData holds, as text; the positions of its header go first. */
async function streamed(client: RawClient, needle: string): Promise<string> {
  let text = '';
  while (!text.includes(needle)) {
    const frames = await client.until('d');
    text += frames.at(-1)?.body.toString('latin1') ?? '';
  }
  return text;
}

describe('commands', () => {
  it('IDENTIFY_SYSTEM, CREATE_REPLICATION_SLOT and SHOW answer, in positions that belong together', async () => {
    const client = await replica();
    client.send(m.query('IDENTIFY_SYSTEM'));
    const [, row] = await client.until('Z');
    const identified = decodeDataRow(row?.body ?? Buffer.alloc(0)).map(String);
    expect(identified[3]).toBe('eventful');
    client.send(m.query('CREATE_REPLICATION_SLOT "one" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT'));
    const answer = await client.until('Z');
    const made = decodeDataRow(answer.find(({ type }) => type === 0x44)?.body ?? Buffer.alloc(0)).map(String);
    expect(made[0]).toBe('one');
    const [now, point] = [identified[2], made[1]].map((text) => parseLsn(text ?? ''));
    expect(point ?? 0n).toBeGreaterThanOrEqual(now ?? 1n);
    // The upper half is the second the read model was made in.
    const age = BigInt(Math.floor(Date.now() / 1000)) - ((now ?? 0n) >> 32n);
    expect(age).toBeGreaterThanOrEqual(0n);
    expect(age).toBeLessThan(600n);
    expect(await run(client, 'SHOW server_version_num')).toContain('C:SHOW');
  });

  it.each([
    ['BASE_BACKUP', '0A000'],
    ['base_backup (label $$x$$)', '0A000'],
    ['TIMELINE_HISTORY 1', '0A000'],
    ['READ_REPLICATION_SLOT x', '0A000'],
    ['START_REPLICATION 0/0', '0A000'],
    ['START_REPLICATION SLOT x PHYSICAL 0/0', '0A000'],
    ['CREATE_REPLICATION_SLOT x PHYSICAL', '0A000'],
    ['CREATE_REPLICATION_SLOT x LOGICAL test_decoding', '0A000'],
    ['CREATE_REPLICATION_SLOT "Bad-Name" LOGICAL pgoutput', '42602'],
    ['CREATE_REPLICATION_SLOT x LOGICAL pgoutput; DROP_REPLICATION_SLOT y', '42601'],
    ['DROP_REPLICATION_SLOT nobodys', '42704'],
    [start('nobodys'), '42704'],
    [start('nobodys', 'nothing'), '42704'],
    [`START_REPLICATION SLOT x LOGICAL 0/0 (proto_version '1')`, '22023'],
    [
      `START_REPLICATION SLOT x LOGICAL 0/0 (proto_version '1', publication_names 'eventful', evil 'yes')`,
      '22023',
    ],
    [`INSERT INTO patient EVENTS patient_created (aggregate_id) VALUES ('x')`, '0A000'],
    ['SELECT count(*) FROM patient AS OF VERSION 1', '0A000'],
    ['COPY patient EVENTS patient_created (aggregate_id, name) FROM STDIN', '0A000'],
    ['CREATE SUBSCRIPTION s CONNECTION $$x$$ PUBLICATION y', '0A000'],
    ['SELECT pg_create_logical_replication_slot($$x$$, $$pgoutput$$)', '42501'],
    ['SELECT pg_drop_replication_slot($$x$$)', '42501'],
    ['SELECT * FROM pg_logical_slot_peek_binary_changes($$x$$, NULL, NULL)', '42501'],
    ['SELECT * FROM pg_catalog.eventful_publication_tables($$eventful$$)', '42501'],
    ['SELECT * FROM eventful_internal.standing', '42501'],
  ])('%s is refused with %s, and the connection goes on', async (text, state) => {
    const client = await replica();
    expect(await run(client, text)).toEqual([`E:${state}`, 'Z:I']);
    expect(await run(client, 'SELECT 1')).toEqual(['T:?column?=23', 'D:1', 'C:SELECT 1', 'Z:I']);
    client.close();
  });

  it('the extended protocol is refused up to Sync', async () => {
    const client = await replica();
    expect(await client.run(m.parse('SELECT 1'), m.bind(), m.execute(), m.sync())).toEqual([
      'E:08P01',
      'Z:I',
    ]);
  });

  it.each([
    ['true', '0A000'],
    ['maybe', '22023'],
  ])('a connection with replication=%s is refused with %s', async (replication, state) => {
    const client = await RawClient.open(db.port);
    client.send(startupPacket({ user: 'raw', database: 'eventful', replication }));
    const frames = await client.until('E');
    expect(decodeErrorFields(frames.at(-1)?.body ?? Buffer.alloc(0)).get('C')).toBe(state);
  });

  it('replication=off is an ordinary connection', async () => {
    const client = await RawClient.ready(db.port, db.token, { replication: 'off' });
    expect(await run(client, 'IDENTIFY_SYSTEM')).toEqual(['E:42601', 'Z:I']);
    client.close();
  });

  it('slots are out of reach of ordinary connections', async () => {
    const client = await db.connect();
    for (const call of [
      `pg_create_logical_replication_slot('mine', 'pgoutput')`,
      `pg_logical_slot_get_changes('mine', NULL, NULL)`,
      `pg_replication_slot_advance('mine', '0/1')`,
      `pg_drop_replication_slot('mine')`,
    ])
      await expect(client.query(`SELECT ${call}`)).rejects.toMatchObject({ code: '42501' });
    await client.end();
  });
});

describe('slots', () => {
  it('belong to the token holder; an admin may drop them', async () => {
    const [ann, bob] = await Promise.all([
      db.tokenFor(['read:patient:*'], { holder: 'ann' }),
      db.tokenFor(['read:*:*'], { holder: 'bob' }),
    ]);
    const [owner, other, admin] = [await replica(ann), await replica(bob), await replica()];
    const made = await run(
      owner,
      'CREATE_REPLICATION_SLOT anns LOGICAL pgoutput (SNAPSHOT $$nothing$$)'.replaceAll('$$', "'"),
    );
    expect(made.at(-2)).toMatch(/^C/);
    expect(await run(other, 'CREATE_REPLICATION_SLOT anns LOGICAL pgoutput')).toEqual(['E:42710', 'Z:I']);
    expect(await run(other, 'CREATE_REPLICATION_SLOT anns TEMPORARY LOGICAL pgoutput')).toEqual([
      'E:42710',
      'Z:I',
    ]);
    expect(await run(other, start('anns'))).toEqual(['E:42501', 'Z:I']);
    expect(await run(other, 'DROP_REPLICATION_SLOT anns')).toEqual(['E:42501', 'Z:I']);
    expect(await run(admin, start('anns'))).toEqual(['E:42501', 'Z:I']);
    expect((await run(admin, 'DROP_REPLICATION_SLOT anns WAIT')).at(-1)).toBe('Z:I');
    expect(await run(owner, start('anns'))).toEqual(['E:42704', 'Z:I']);
  });

  it('are dropped also when the read model has lost them', async () => {
    const client = await replica();
    await run(client, 'CREATE_REPLICATION_SLOT gone LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    await db.server.readModel.query(`SELECT pg_drop_replication_slot('gone')`);
    expect(await run(client, 'DROP_REPLICATION_SLOT gone')).toEqual(['C:DROP_REPLICATION_SLOT', 'Z:I']);
    expect(await run(client, 'DROP_REPLICATION_SLOT gone')).toEqual(['E:42704', 'Z:I']);
  });

  it('are bounded for each holder', async () => {
    const client = await replica(await db.tokenFor(['read:*:*'], { holder: 'greedy' }));
    let made = 0;
    for (; made < 40; made++) {
      const answer = await run(
        client,
        `CREATE_REPLICATION_SLOT greedy_${made} LOGICAL pgoutput NOEXPORT_SNAPSHOT`,
      );
      if (answer[0] === 'E:53400') break;
    }
    expect(made).toBe(14);
    for (let i = 0; i < made; i++) await run(client, `DROP_REPLICATION_SLOT greedy_${i}`);
  }, 60_000);

  it('a token that reads less than the one before is refused, not served with a hole', async () => {
    const wide = await replica(await db.tokenFor(['read:patient:*', 'read:visit:*'], { holder: 'eve' }));
    await run(wide, 'CREATE_REPLICATION_SLOT eves LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    wide.send(m.query(start('eves')));
    await wide.until('W');
    wide.close();
    const narrow = await replica(await db.tokenFor(['read:visit:*'], { holder: 'eve' }));
    let answer: string[] = [];
    for (let i = 0; i < 50 && answer[0] !== 'E:42501'; i++) {
      answer = await run(narrow, start('eves'));
      await sleep(50);
    }
    expect(answer).toEqual(['E:42501', 'Z:I']);
    await run(narrow, 'DROP_REPLICATION_SLOT eves WAIT');
  });
});

describe('a stream', () => {
  it('holds nothing of what the token may not read, whatever publication it names', async () => {
    const token = await db.tokenFor(['read:visit:*']);
    const client = await replica(token);
    await run(client, 'CREATE_REPLICATION_SLOT narrow TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    expect(await run(client, start('narrow', 'patient'))).toEqual(['E:42501', 'Z:I']);
    client.send(m.query(start('narrow')));
    await client.until('W');
    await append(
      db,
      created('s-1', 'SECRET-A'),
      `INSERT INTO visit EVENTS visit_created (aggregate_id, reason) VALUES ('s-1', 'open')`,
      renamed('s-1', 'SECRET-B'),
      `INSERT INTO visit EVENTS visit_created (aggregate_id, reason) VALUES ('s-2', 'final')`,
    );
    const text = await streamed(client, 'final');
    expect(text).toContain('open');
    expect(text).not.toMatch(/SECRET|patient/);
  });

  it('refuses to go on from a position this server has never reached', async () => {
    const client = await replica();
    await run(client, 'CREATE_REPLICATION_SLOT ahead TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    expect(await run(client, start('ahead', 'eventful', 'FFFFFFF0/0'))).toEqual(['E:55000', 'Z:I']);
  });

  it('waits for a subscriber that does not read, and then gives it everything', async () => {
    const client = await replica();
    await run(client, 'CREATE_REPLICATION_SLOT slow TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    client.send(m.query(start('slow')));
    await client.until('W');
    client.socket.pause();
    const writer = await db.connect();
    // Random, so that PostgreSQL does not store it compressed.
    for (let i = 0; i < 40; i++)
      await writer.query('INSERT INTO patient EVENTS patient_created (aggregate_id, name) VALUES ($1, $2)', [
        `slow-${i}`,
        randomBytes(500_000).toString('hex'),
      ]);
    await writer.query(created('slow-last', 'the last of them'));
    await writer.query('SELECT FROM patient LIMIT 1');
    await writer.end();
    await sleep(1000);
    const { rows } = await db.server.readModel.query(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn)::bigint AS unsent FROM pg_stat_replication
       WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'slow')`,
    );
    expect(Number(rows[0]?.['unsent'])).toBeGreaterThan(10_000_000);
    client.socket.resume();
    expect(await streamed(client, 'the last of them')).toContain('slow-39');
  }, 60_000);

  it('ends with CopyDone and leaves the connection ready', async () => {
    const client = await replica();
    await run(client, 'CREATE_REPLICATION_SLOT done TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    client.send(m.query(start('done')));
    await client.until('W');
    client.send(startMessage(0x63, 0));
    await client.until('Z');
    expect(await run(client, 'SELECT 1')).toContain('D:1');
  });

  it('ends within seconds when its token is revoked', async () => {
    const token = await db.tokenFor(['read:visit:*'], { seconds: 3600, holder: 'leaver' });
    const client = await replica(token);
    await run(client, 'CREATE_REPLICATION_SLOT leaver TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    client.send(m.query(start('leaver')));
    await client.until('W');
    const admin = await db.connect();
    const { rows } = await admin.query<{ token_id: string }>(
      `SELECT token_id FROM eventful.tokens WHERE identifier_id = 'leaver'`,
    );
    await admin.query(`CALL token_revoke('${rows[0]?.token_id}')`);
    await admin.end();
    const frames = await client.until('E');
    expect(decodeErrorFields(frames.at(-1)?.body ?? Buffer.alloc(0)).get('C')).toBe('28P01');
    await client.ended();
  });

  it('ends when its token expires', async () => {
    const client = await replica(await db.tokenFor(['read:visit:*'], { seconds: 3 }));
    await run(client, 'CREATE_REPLICATION_SLOT brief TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT');
    client.send(m.query(start('brief')));
    await client.until('W');
    const frames = await client.until('E');
    expect(decodeErrorFields(frames.at(-1)?.body ?? Buffer.alloc(0)).get('C')).toBe('28P01');
  });
});
