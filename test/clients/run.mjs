#!/usr/bin/env node
/**
 * Runs real PostgreSQL clients against a real server: `node test/clients/run.mjs [names…] [--json file]`.
 * Each client is installed by its own package manager, here and nowhere else. A client whose toolchain is absent is SKIPPED.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { SCHEMA, startClientServer } from './server.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
/** A client that hangs is ended and has failed. */
const PATIENCE_MS = 5 * 60_000;

const at = (...parts) => join(HERE, ...parts);
const on = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** Is `made` absent, or older than one of these? */
function stale(made, ...sources) {
  if (!existsSync(made)) return true;
  const { mtimeMs } = statSync(made);
  return sources.some((source) => statSync(source).mtimeMs > mtimeMs);
}

function step(directory, command, args, environment = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: at(directory),
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  throw new Error(`${command} ${args[0]}: ${(error?.message ?? `${stdout}${stderr}`).trim().slice(-2000)}`);
}

const npm = (directory) => ({
  needs: ['npm'],
  directory,
  install() {
    if (stale(at(directory, 'node_modules', '.package-lock.json'), at(directory, 'package-lock.json')))
      step(directory, 'npm', ['ci', '--no-audit', '--no-fund']);
  },
  command: [process.execPath, 'client.mjs'],
});

const python = (script, more = {}) => ({
  needs: ['python3'],
  directory: 'python',
  install() {
    const done = at('python', 'venv', 'installed');
    if (!stale(done, at('python', 'requirements.txt'))) return;
    step('python', 'python3', ['-m', 'venv', '--clear', 'venv']);
    step('python', at('python', 'venv', 'bin', 'pip'), [
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '-r',
      'requirements.txt',
    ]);
    writeFileSync(done, '');
  },
  command: [at('python', 'venv', 'bin', 'python'), script],
  ...more,
});

const GO = { GOPATH: at('go', '.gopath'), GOFLAGS: '-modcacherw' };
const go = (name) => ({
  needs: ['go'],
  directory: 'go',
  // Always: the toolchain knows what has changed.
  install: () => step('go', 'go', ['build', '-o', `.bin/${name}`, `./${name}`], GO),
  command: [at('go', '.bin', name)],
});

const rust = (name) => ({
  needs: ['cargo'],
  directory: 'rust',
  install: () =>
    step('rust', 'cargo', ['build', '--quiet', '--locked', '--bin', name], {
      CARGO_HOME: at('rust', '.cargo'),
    }),
  command: [at('rust', 'target', 'debug', name)],
});

/** Debian's own packages, unpacked here instead of installed. */
const DRIVERS = ['odbc-postgresql', 'unixodbc', 'libodbc2', 'libodbcinst2', 'odbcinst', 'libltdl7', 'libpq5'];
const odbc = at('odbc', '.odbc');
const libraries = join(odbc, 'usr', 'lib', 'x86_64-linux-gnu');
const psqlodbc = python('../odbc/client.py', {
  needs: ['python3', 'apt-get', 'dpkg'],
  environment: {
    ODBCSYSINI: odbc,
    LD_LIBRARY_PATH: libraries,
    ODBC_DRIVER: join(libraries, 'odbc', 'psqlodbcw.so'),
    ISQL: join(odbc, 'usr', 'bin', 'isql'),
  },
});
const installPython = psqlodbc.install;
psqlodbc.install = () => {
  installPython();
  if (existsSync(join(libraries, 'odbc', 'psqlodbcw.so'))) return;
  mkdirSync(odbc, { recursive: true });
  try {
    step('odbc/.odbc', 'apt-get', ['download', ...DRIVERS]);
  } catch {
    step('odbc/.odbc', 'apt-get', ['update']);
    step('odbc/.odbc', 'apt-get', ['download', ...DRIVERS]);
  }
  for (const file of readdirSync(odbc).filter((name) => name.endsWith('.deb')))
    step('odbc/.odbc', 'dpkg', ['-x', file, '.']);
  writeFileSync(
    join(odbc, 'odbcinst.ini'),
    `[PostgreSQL]\nDriver=${join(libraries, 'odbc', 'psqlodbcw.so')}\n`,
  );
};

const CLIENTS = {
  'node-pg': npm('node-pg'),
  psycopg: python('client_psycopg.py'),
  asyncpg: python('client_asyncpg.py'),
  psycopg2: python('client_psycopg2.py'),
  pgjdbc: {
    needs: ['mvn', 'java'],
    directory: 'java',
    install() {
      const source = at('java', 'src', 'main', 'java', 'Client.java');
      if (stale(at('java', 'target', 'classes', 'Client.class'), source, at('java', 'pom.xml')))
        step('java', 'mvn', ['-q', '-B', '-Dmaven.repo.local=.m2', 'compile']);
    },
    command: ['java', '-cp', 'target/classes:target/lib/*', 'Client'],
  },
  pgx: go('pgx'),
  libpq: go('libpq'),
  sqlalchemy: python('client_sqlalchemy.py'),
  'tokio-postgres': rust('tokio-postgres'),
  sqlx: rust('sqlx'),
  'postgres-js': npm('postgres-js'),
  psql: {
    needs: ['psql'],
    directory: 'psql',
    install: () => undefined,
    command: [process.execPath, 'client.mjs'],
  },
  psqlodbc,
};

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

async function test(name, environment) {
  const client = CLIENTS[name];
  const result = {
    client: name,
    status: 'passed',
    version: '',
    passed: 0,
    failed: 0,
    failures: [],
    installSeconds: 0,
    seconds: 0,
  };
  const absent = client.needs.filter((program) => !on(program));
  if (absent.length > 0) return { ...result, status: 'SKIPPED', version: `no ${absent.join(', ')} here` };
  const began = performance.now();
  const elapsed = () => Math.round((performance.now() - began) / 100) / 10;
  try {
    client.install();
  } catch (error) {
    return {
      ...result,
      status: 'FAILED',
      failed: 1,
      failures: [`install: ${error.message}`],
      installSeconds: elapsed(),
    };
  }
  result.installSeconds = elapsed();
  const { code, lines, complaints } = await run(client, environment);
  result.seconds = Math.round((elapsed() - result.installSeconds) * 10) / 10;
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

function table(results) {
  const rows = [
    ['client', 'checks passed', 'failed', 'seconds', 'version'],
    ...results.map(({ client, status, passed, failed, seconds, version }) =>
      status === 'SKIPPED'
        ? [client, 'SKIPPED', '', '', version]
        : [client, `${passed}`, `${failed}`, seconds.toFixed(1), version],
    ),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' } },
});
const names = positionals.length > 0 ? positionals : Object.keys(CLIENTS);
const unknown = names.filter((name) => !Object.hasOwn(CLIENTS, name));
if (unknown.length > 0) {
  console.error(`no client ${unknown.join(', ')}; there are ${Object.keys(CLIENTS).join(', ')}`);
  process.exit(2);
}

const server = await startClientServer();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => void server.stop().finally(() => process.exit(1)));
const results = [];
try {
  const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = server.environment;
  const admin = new pg.Client({
    host: PGHOST,
    port: Number(PGPORT),
    user: PGUSER,
    password: PGPASSWORD,
    database: PGDATABASE,
    ssl: false,
  });
  await admin.connect();
  await admin.query(SCHEMA);
  await admin.end();
  for (const name of names) {
    const result = await test(name, server.environment);
    results.push(result);
    console.error(
      `${name}: ${result.status} (installed in ${result.installSeconds} s, ran for ${result.seconds} s)`,
    );
    for (const failure of result.failures) console.error(`  not ok ${failure}`);
  }
} finally {
  await server.stop();
}

const sum = (key) => results.reduce((total, result) => total + result[key], 0);
console.log(table(results));
const skipped = results.filter(({ status }) => status === 'SKIPPED').length;
console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
process.exit(sum('failed') === 0 && sum('passed') > 0 ? 0 : 1);
