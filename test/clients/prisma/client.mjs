/** Prisma 7 over its pg adapter (no Rust engine): mapped models read, raw statements append and look back. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { Prisma, PrismaClient } from '@prisma/client';
import { check, finish } from '../checks.mjs';

const lock = createRequire(import.meta.url)('./package-lock.json');
const { version } = lock.packages['node_modules/@prisma/client'];
const ID = 'prisma-1';
const ADMITTED = new Date('2026-01-02T03:04:05.678Z');
const db = new PrismaClient({ adapter: new PrismaPg({ ssl: false, max: 4 }) });

/** Prisma wraps the driver's error, a raw statement's otherwise than a model's. */
async function stateOf(promise) {
  const error = await promise.then(
    () => ({ meta: { code: 'no error' } }),
    (thrown) => thrown,
  );
  const cause = error.meta?.driverAdapterError?.cause ?? error.cause;
  return cause?.originalCode ?? error.meta?.code ?? `${error.code} ${error.message}`;
}
const update = (on, id, name) =>
  on.$queryRaw`INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (${id}, ${name})
    RETURNING version, position, event_id`.then(([row]) => row);
const nameOf = (on, id) => on.patient.findUnique({ where: { aggregateId: id } }).then((row) => row?.lastName);
const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
let first;
let between;

await check('append with $queryRaw', async () => {
  [first] = await db.$queryRaw`INSERT INTO patient EVENTS patient_created
    (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
    VALUES (${ID}, 'Ada', 'King', '1815-12-10', ${new Prisma.Decimal('61.500')}, ${ADMITTED}, ${true}, ${3})
    RETURNING version, position, event_id`;
  assert.equal(first.version, 1n);
});

await check('append again', async () => {
  await pause();
  between = new Date();
  await pause();
  assert.equal((await update(db, ID, 'Lovelace')).version, 2n);
});

await check('append with $executeRaw: the count of events', async () => {
  const made = await db.$executeRaw`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits)
    VALUES ('prisma-2', 1), ('prisma-2', 2)`;
  assert.equal(made, 2);
});

await check('read state, typed', async () => {
  const row = await db.patient.findUniqueOrThrow({ where: { aggregateId: ID } });
  assert.deepEqual(
    [row.version, row.lastName, row.weight.toFixed(3), row.admittedAt, row.smoker, row.visits],
    [2n, 'Lovelace', '61.500', ADMITTED, true, 3],
  );
  assert.equal(row.birthdate.toISOString(), '1815-12-10T00:00:00.000Z');
});

await check('AS OF VERSION, TIMESTAMP and POSITION with $queryRaw', async () => {
  const past = [
    await db.$queryRaw`SELECT last_name FROM patient AS OF VERSION ${1} WHERE aggregate_id = ${ID}`,
    await db.$queryRaw`SELECT last_name FROM patient AS OF TIMESTAMP ${between} WHERE aggregate_id = ${ID}`,
    await db.$queryRaw`SELECT last_name FROM patient AS OF POSITION ${first.position} WHERE aggregate_id = ${ID}`,
  ];
  assert.deepEqual(past, Array(3).fill([{ last_name: 'King' }]));
});

await check('history and events, by a relation and raw', async () => {
  const found = await db.patient.findUnique({
    where: { aggregateId: ID },
    select: { lastName: true, events: { orderBy: { version: 'desc' }, take: 1 } },
  });
  assert.deepEqual([found.lastName, found.events[0].payload], ['Lovelace', { last_name: 'Lovelace' }]);
  const rows =
    await db.$queryRaw`SELECT version, last_name FROM patient_history WHERE aggregate_id = ${ID} ORDER BY version`;
  assert.deepEqual(rows, [
    { version: 1n, last_name: 'King' },
    { version: 2n, last_name: 'Lovelace' },
  ]);
});

await check('findMany: filters, order, paging, a cursor', async () => {
  for (const n of [1, 2, 3, 4]) await update(db, `prisma-page-${n}`, `Name ${n}`);
  const where = {
    aggregateId: { startsWith: 'prisma-page-' },
    lastName: { contains: 'NAME', mode: 'insensitive' },
  };
  const page = await db.patient.findMany({ where, orderBy: { aggregateId: 'asc' }, skip: 1, take: 2 });
  assert.deepEqual(
    page.map(({ lastName }) => lastName),
    ['Name 2', 'Name 3'],
  );
  const next = await db.patient.findMany({
    where,
    orderBy: { aggregateId: 'asc' },
    cursor: { aggregateId: 'prisma-page-3' },
    skip: 1,
  });
  assert.deepEqual(
    next.map(({ lastName }) => lastName),
    ['Name 4'],
  );
});

await check('count, aggregate, groupBy', async () => {
  const where = { aggregateId: ID };
  assert.equal(await db.patient.count({ where }), 1);
  const { _avg, _max } = await db.patient.aggregate({
    where,
    _avg: { weight: true },
    _max: { admittedAt: true },
  });
  assert.deepEqual([Number(_avg.weight), _max.admittedAt], [61.5, ADMITTED]);
  const groups = await db.patient.groupBy({ by: ['smoker'], where, _count: { _all: true } });
  assert.deepEqual(groups, [{ _count: { _all: 1 }, smoker: true }]);
});

await check('a mapped model takes no writes: 0A000', async () => {
  const data = { aggregateId: 'x', version: 1n, lastName: 'x' };
  const where = { aggregateId: ID };
  assert.deepEqual(
    [
      await stateOf(db.patient.create({ data })),
      await stateOf(db.patient.createMany({ data: [data] })),
      await stateOf(db.patient.update({ where, data: { visits: 1 } })),
      await stateOf(db.patient.delete({ where })),
    ],
    ['0A000', '0A000', '0A000', '0A000'],
  );
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('errors 42703, 40001, and goes on', async () => {
  const bad = db.$executeRaw`INSERT INTO patient EVENTS patient_updated (aggregate_id, nope) VALUES (${ID}, 'x')`;
  assert.equal(await stateOf(bad), '42703');
  const late = db.$executeRaw`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits)
    VALUES (${ID}, 1) EXPECT VERSION ${9}`;
  assert.equal(await stateOf(late), '40001');
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('interactive transaction: reads its own writes, rolls back', async () => {
  const failure = await db
    .$transaction(async (transaction) => {
      await update(transaction, ID, 'Byron');
      throw new Error(await nameOf(transaction, ID));
    })
    .catch((error) => error);
  assert.equal(failure.message, 'Byron');
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('batch transaction commits several appends', async () => {
  const made = await db.$transaction(
    [3, 4].map(
      (n) =>
        db.$executeRaw`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (${`prisma-${n}`}, ${n})`,
    ),
    { isolationLevel: 'RepeatableRead' },
  );
  assert.deepEqual(made, [1, 1]);
  assert.equal(await db.patient.count({ where: { aggregateId: { in: ['prisma-3', 'prisma-4'] } } }), 2);
});

await db.$disconnect();
finish(`@prisma/client ${version} with @prisma/adapter-pg`);
