/**
 * The dialect's specification by example: each NAME.sql runs through the real psql against a fresh server, and what psql
 * shows must be NAME.out. `UPDATE_GOLDEN=1 npx vitest run test/golden` writes the .out files anew: read their diff.
 *
 * A script whose first line is `-- prelude: NAME` finds the aggregates and events of NAME.prelude.sql.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { psql, requirePsql } from './psql.js';

const FOLDER = new URL('.', import.meta.url);
const UPDATE = process.env['UPDATE_GOLDEN'] === '1';

/** Statements, results and errors all go to the output; unaligned, so that a masked value moves nothing else. */
const ARGUMENTS = [
  '--echo-all',
  '--no-align',
  ...['--field-separator', ' | '],
  ...['--pset', 'null=(null)'],
  ...['--set', 'VERBOSITY=verbose'],
];

function read(name: string): string {
  return readFileSync(new URL(name, FOLDER), 'utf8');
}

const scripts = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.sql') && !name.endsWith('.prelude.sql'))
  .map((name) => name.slice(0, -'.sql'.length));

/** Replaces each different match by `<label-1>`, `<label-2>`, …, unless the script itself holds it. */
function numbered(text: string, script: string, pattern: RegExp, label: string): string {
  const seen = new Map<string, string>();
  return text.replaceAll(pattern, (match) => {
    if (script.includes(match)) return match;
    const name = seen.get(match) ?? `<${label}-${seen.size + 1}>`;
    seen.set(match, name);
    return name;
  });
}

/**
 * The one place where what differs from run to run is masked: places in PostgreSQL's source, proofs and checkpoints
 * (JSON and signed notes), tokens, UUIDs, hashes (numbered, so that equal ones can be told), store ids, moments of
 * today, and how many checkpoints and seconds CALL verify took. What a script writes itself is never masked.
 */
function normalise(output: string, script: string, today: Date): string {
  let text = output.replaceAll(/^LOCATION: {2}.*\n/gm, '');
  text = text.replaceAll(/\{"[^\n]*"aggregateRoot"[^\n]*\}/g, '<proof>');
  text = text.replaceAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<token>');
  text = numbered(text, script, /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'uuid');
  text = numbered(text, script, /\b[0-9a-f]{64}\b/g, 'hash');
  text = numbered(text, script, /\b[0-9a-f]{32}\b/g, 'id');
  text = text.replaceAll(/(?<![\w/+])[A-Za-z0-9+/]{40,}={0,2}/g, '<base64>');
  text = text.replaceAll(/\+[0-9a-f]{8}\+/g, '+<key id>+');
  for (const offset of [-1, 0, 1]) {
    const day = new Date(today.getTime() + offset * 86_400_000).toISOString().slice(0, 10);
    text = text.replaceAll(
      new RegExp(`${day} \\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(\\+\\d\\d)?`, 'g'),
      '<timestamp>',
    );
    text = text.replaceAll(day, '<date>');
  }
  // How many checkpoints there are depends on how long it took: a timer makes them.
  return text.replaceAll(/^(t( \| [^|\n]+){4}) \| \d+ \| [\d.]+$/gm, '$1 | <checkpoints> | <seconds>');
}

async function run(server: TestServer, name: string): Promise<string> {
  const script = read(`${name}.sql`);
  const prelude = /^-- prelude: (\w+)\n/.exec(script)?.[1];
  if (prelude !== undefined) {
    const said = await psql(server, read(`${prelude}.prelude.sql`), ['--quiet']);
    if (said !== '') throw new Error(`the prelude failed: ${said}`);
  }
  return normalise(await psql(server, script, ARGUMENTS), script, new Date());
}

describe('golden scripts', () => {
  it('psql is the one whose output is expected', requirePsql);

  it('there are scripts', () => expect(scripts.length).toBeGreaterThan(15));

  it.each(scripts)('%s', async (name) => {
    await requirePsql();
    const server = await startTestServer();
    try {
      const output = await run(server, name);
      if (UPDATE) writeFileSync(new URL(`${name}.out`, FOLDER), output);
      expect(output).toBe(read(`${name}.out`));
    } finally {
      await server.destroy();
    }
  });
});
