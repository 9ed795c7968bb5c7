/** How each client is installed, by its own package manager and below this directory alone, and how it is run. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
// What toolchains.sh put here is found first.
process.env.PATH = `${join(HERE, '.tools', 'bin')}:${process.env.PATH}`;

export const at = (...parts) => join(HERE, ...parts);
export const on = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

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

const npm = (directory, generate = () => undefined) => ({
  needs: ['npm'],
  directory,
  install() {
    if (!stale(at(directory, 'node_modules', '.package-lock.json'), at(directory, 'package-lock.json')))
      return;
    // No package here needs its install script; some would fetch from outside of the registry.
    step(directory, 'npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts']);
    generate();
  },
  command: [process.execPath, 'client.mjs'],
});

/** `prisma generate` wants to fetch an engine that only migrations use; any program in its place will do. */
const prisma = npm('prisma', () =>
  step('prisma', 'npx', ['prisma', 'generate', '--schema', 'schema.prisma'], {
    PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
    CHECKPOINT_DISABLE: '1',
  }),
);

function venv(directory, interpreter) {
  const done = at(directory, 'venv', 'installed');
  if (!stale(done, at(directory, 'requirements.txt'))) return;
  step(directory, interpreter, ['-m', 'venv', '--clear', 'venv']);
  const quiet = ['--quiet', '--disable-pip-version-check'];
  step(directory, at(directory, 'venv', 'bin', 'pip'), ['install', ...quiet, '-r', 'requirements.txt']);
  writeFileSync(done, '');
}

const python = (script, more = {}) => ({
  needs: ['python3'],
  directory: 'python',
  install: () => venv('python', 'python3'),
  command: [at('python', 'venv', 'bin', 'python'), script],
  ...more,
});

/** The packages that Superset pins are built for these versions of Python alone. */
const FOR_SUPERSET = ['python3.12', 'python3.11', 'python3.10', 'python3'];
const superset = {
  needs: ['python3'],
  directory: 'superset',
  install() {
    const fits = 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))';
    const interpreter = FOR_SUPERSET.find((name) => spawnSync(name, ['-c', fits]).status === 0);
    if (interpreter === undefined) throw new Error('Superset needs Python 3.10, 3.11 or 3.12 with venv');
    venv('superset', interpreter);
  },
  command: [at('superset', 'venv', 'bin', 'python'), 'client.py'],
};

const GO = { GOPATH: at('go', '.gopath'), GOFLAGS: '-modcacherw' };
const go = (name, directory = 'go', path = `./${name}`) => ({
  needs: ['go'],
  directory,
  // Always: the toolchain knows what has changed.
  install: () => step(directory, 'go', ['build', '-o', `.bin/${name}`, path], GO),
  command: [at(directory, '.bin', name)],
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

const java = (main) => ({
  needs: ['mvn', 'javac'],
  directory: 'java',
  install() {
    const sources = ['Checks', 'Client', 'DBeaver', 'Metabase'].map((name) =>
      at('java', 'src', 'main', 'java', `${name}.java`),
    );
    if (stale(at('java', 'target', 'classes', 'Checks.class'), ...sources, at('java', 'pom.xml')))
      step('java', 'mvn', ['-q', '-B', '-Dmaven.repo.local=.m2', 'clean', 'compile']);
  },
  command: ['java', '-cp', 'target/classes:target/lib/*', main],
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

export const CLIENTS = {
  'node-pg': npm('node-pg'),
  psycopg: python('client_psycopg.py'),
  asyncpg: python('client_asyncpg.py'),
  psycopg2: python('client_psycopg2.py'),
  pgjdbc: java('Client'),
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
  drizzle: npm('drizzle'),
  kysely: npm('kysely'),
  prisma,
  'sqlalchemy-orm': python('client_sqlalchemy_orm.py'),
  superset,
  grafana: go('grafana', 'grafana', '.'),
  metabase: java('Metabase'),
  dbeaver: java('DBeaver'),
};
