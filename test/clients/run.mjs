#!/usr/bin/env node
/**
 * Runs real PostgreSQL clients against a real server:
 * `node test/clients/run.mjs [names…] [--strict] [--json file] [--markdown file]`.
 * Each client is installed by its own package manager, here and nowhere else. A client whose toolchain is absent is SKIPPED;
 * under --strict it has failed. --markdown writes the table between the two marks that the file has for it.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CLIENTS, at, on } from './clients.mjs';
import { startClientServer } from './server.mjs';

/** A client that hangs is ended and has failed. */
const PATIENCE_MS = 5 * 60_000;
/** So many clients run at the same time. */
const LANES = 2;

/** @returns the exit code and what the client said, line by line */
function run({ directory, command: [program, ...args], environment: more = {} }, environment) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: at(directory),
      env: { ...process.env, ...environment, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    let complaints = '';
    child.stdout.on('data', (data) => (said += data));
    child.stderr.on('data', (data) => (complaints += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    const end = (code) => {
      clearTimeout(timer);
      resolve({ code, lines: said.split('\n'), complaints });
    };
    child.on('error', (error) => ((complaints += error.message), end(1)));
    child.on('close', (code, signal) => end(signal === null ? code : 1));
  });
}

/** Sees that a client is installed; what is not `ready` has its result already. */
function prepared(name) {
  const client = CLIENTS[name];
  const result = {
    client: name,
    status: 'ready',
    version: '',
    passed: 0,
    failed: 0,
    failures: [],
    installSeconds: 0,
    seconds: 0,
  };
  const absent = client.needs.filter((program) => !on(program));
  if (absent.length > 0) {
    const missing = `no ${absent.join(', ')} here`;
    if (!options.strict) return { ...result, status: 'SKIPPED', version: missing };
    return { ...result, status: 'FAILED', failed: 1, failures: [missing] };
  }
  const began = performance.now();
  try {
    client.install();
  } catch (error) {
    const failures = [`install: ${error.message}`];
    return { ...result, status: 'FAILED', failed: 1, failures, installSeconds: secondsSince(began) };
  }
  return { ...result, installSeconds: secondsSince(began) };
}

const secondsSince = (began) => Math.round((performance.now() - began) / 100) / 10;

async function test(ready, environment) {
  if (ready.status !== 'ready') return ready;
  const result = { ...ready, status: 'passed', failures: [] };
  const began = performance.now();
  const { code, lines, complaints } = await run(CLIENTS[ready.client], environment);
  result.seconds = secondsSince(began);
  for (const line of lines) {
    if (line.startsWith('ok ')) result.passed++;
    else if (line.startsWith('not ok ')) result.failures.push(line.slice('not ok '.length));
    else if (line.startsWith('# version ')) result.version = line.slice('# version '.length);
  }
  // A client prints its version last: without it, it did not come to its end.
  if (result.failures.length === 0 && (code !== 0 || result.version === '' || result.passed === 0))
    result.failures.push(`ended early, code ${code}: ${complaints.trim().slice(-1000)}`);
  result.failed = result.failures.length;
  if (result.failed > 0) result.status = 'FAILED';
  return result;
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

const counts = ({ status, passed, failed }) =>
  status === 'SKIPPED' ? ['SKIPPED', ''] : [`${passed}`, `${failed}`];

/** Replaces what stands between the marks of `file`. */
function writeMarkdown(file, results) {
  const mark = (name) => `<!-- ${name} of \`npm run test:clients\` -->`;
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(mark('begin')), text.indexOf(mark('end'))];
  if (from < 0 || to < from)
    throw new Error(`${file} has no line ${mark('begin')} with ${mark('end')} behind it`);
  const rows = results.map((result) => [result.client, result.version, ...counts(result)]);
  const figures = `${table([['client', 'version', 'checks passed', 'failed'], ...rows])}\n\n${summary(results)}, Node.js ${process.versions.node}.\n`;
  writeFileSync(file, `${text.slice(0, from)}${mark('begin')}\n${figures}${text.slice(to)}`);
}

function summary(results) {
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  const skipped = results.filter(({ status }) => status === 'SKIPPED').length;
  return `${sum('passed')} passed, ${sum('failed')} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { strict: { type: 'boolean' }, json: { type: 'string' }, markdown: { type: 'string' } },
});
const names = positionals.length > 0 ? positionals : Object.keys(CLIENTS);
const unknown = names.filter((name) => !Object.hasOwn(CLIENTS, name));
if (unknown.length > 0) {
  console.error(`no client ${unknown.join(', ')}; there are ${Object.keys(CLIENTS).join(', ')}`);
  process.exit(2);
}

/** One after the other, against a server of their own. @param queue what is `prepared`, taken away; lanes share it */
async function lane(queue, onResult) {
  const server = await startClientServer();
  running.add(server);
  try {
    for (let client = queue.shift(); client !== undefined; client = queue.shift())
      onResult(await test(client, server.environment));
  } finally {
    await server.stop();
  }
}

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(
    signal,
    () => void Promise.allSettled([...running].map((server) => server.stop())).finally(() => process.exit(1)),
  );
const done = new Map();
const inOrder = () => names.filter((name) => done.has(name)).map((name) => done.get(name));
// Before any server runs: installing holds up this thread, which serves them.
const queue = names.map(prepared);
const lanes = Array.from({ length: Math.min(LANES, names.length) }, () =>
  lane(queue, (result) => {
    done.set(result.client, result);
    console.error(
      `${result.client}: ${result.status} (installed in ${result.installSeconds} s, ran for ${result.seconds} s)`,
    );
    for (const failure of result.failures) console.error(`  not ok ${failure}`);
    // After each client: whoever ends this run early still has what was found.
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(inOrder(), null, 2)}\n`);
  }),
);
// Both, so that no server is left behind when one lane fails.
for (const { reason } of await Promise.allSettled(lanes)) if (reason !== undefined) throw reason;
const results = inOrder();

const rows = results.map((result) => [
  result.client,
  ...counts(result),
  result.seconds.toFixed(1),
  result.version,
]);
console.log(table([['client', 'checks passed', 'failed', 'seconds', 'version'], ...rows]));
console.log(summary(results));
if (options.markdown !== undefined) writeMarkdown(options.markdown, results);
process.exit(
  results.every(({ status }) => status !== 'FAILED') && results.some(({ passed }) => passed > 0) ? 0 : 1,
);
