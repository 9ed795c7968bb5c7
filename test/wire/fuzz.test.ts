/**
 * Messages at random against a real server. FUZZ_FRAMES says how many (100,000), FUZZ_SEED repeats the choices of a run
 * (what runs at the same time still varies).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { Random } from './fuzz/random.js';
import { fuzzSession, type FuzzReport } from './fuzz/session.js';

const FRAMES = Number(process.env['FUZZ_FRAMES'] ?? 100_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Date.now() % 2 ** 31));
const SESSIONS_AT_ONCE = 8;
/** What the process, server and fuzzer in one, may grow by. */
const MAX_GROWTH_BYTES = 700 * 1024 * 1024;
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE fuzz (name text, n bigint, EVENT changed)');
  await client.query('CREATE AGGREGATE pair (n bigint, EVENT half)');
  await client.query('CREATE AGGREGATE control (n bigint, EVENT counted)');
  await client.end();
});
afterAll(() => server.destroy());

/** A session that does its work while others do theirs: every answer must be right. */
async function control(running: () => boolean): Promise<number> {
  const client = await server.connect();
  let n = 0;
  while (running()) {
    n++;
    const append = "INSERT INTO control EVENTS counted (aggregate_id, n) VALUES ('c', $1) RETURNING version";
    expect((await client.query(append, [n])).rows).toEqual([{ version: String(n) }]);
    const state = "SELECT n, version FROM control WHERE aggregate_id = 'c'";
    expect((await client.query(state)).rows).toEqual([{ n: String(n), version: String(n) }]);
    const past = "SELECT n FROM control AS OF VERSION $1 WHERE aggregate_id = 'c'";
    expect((await client.query(past, [Math.ceil(n / 2)])).rows).toEqual([{ n: String(Math.ceil(n / 2)) }]);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await client.end();
  return n;
}

it(
  `${FRAMES} random messages leave the server, its memory and its data whole`,
  { timeout: 120_000 + FRAMES * 10 },
  async () => {
    console.log(`FUZZ_SEED=${SEED}`);
    const report: FuzzReport = { frames: 0, sessions: 0, errors: new Map(), faults: [], pairs: 0 };
    const before = process.memoryUsage().rss;
    let peak = before;
    let session = 0;
    const going = (): boolean => report.frames < FRAMES && report.faults.length === 0;
    const worker = async (): Promise<void> => {
      while (going()) {
        await fuzzSession(server, new Random(SEED + 7919 * session++), report);
        peak = Math.max(peak, process.memoryUsage().rss);
      }
    };
    const controlled = control(going);
    await Promise.all(Array.from({ length: SESSIONS_AT_ONCE }, worker));
    const counted = await controlled;

    expect(report.faults).toEqual([]);
    expect(report.frames).toBeGreaterThanOrEqual(FRAMES);
    expect(peak - before).toBeLessThan(MAX_GROWTH_BYTES);
    const client = await server.connect();
    const halves = `SELECT n, count(*) FROM (SELECT payload->>'n' AS n FROM pair_events) p GROUP BY n HAVING count(*) <> 2`;
    expect((await client.query(halves)).rows).toEqual([]);
    const sums = `SELECT (SELECT count(*)::int FROM pair_events) AS pairs,
      (SELECT count(*)::int FROM fuzz_events) AS fuzz, (SELECT count(*)::int FROM control_events) AS control`;
    const { rows } = await client.query(sums);
    const appended = rows[0] as { pairs: number; fuzz: number; control: number };
    expect(appended.control).toBe(counted);
    // The run was worth something: most ways of appending have worked, many ways of failing have been met.
    expect(appended.pairs).toBeGreaterThan(report.pairs / 2);
    expect(report.errors.size).toBeGreaterThan(15);
    expect((await client.query('CALL verify()')).rows).toMatchObject([{ verified: true }]);
    await client.end();
    const errors = [...report.errors].sort(([, a], [, b]) => b - a).map(([code, n]) => `${code}:${n}`);
    console.log(
      `${report.frames} messages, ${report.sessions} connections, ${report.pairs} pairs tried, ` +
        `${JSON.stringify(appended)}, +${Math.round((peak - before) / 2 ** 20)} MiB, ${errors.join(' ')}`,
    );
  },
);
