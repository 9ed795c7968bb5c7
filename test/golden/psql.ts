/** Runs the real psql without blocking this process, in which the server under test lives. */
import { spawn } from 'node:child_process';

const PSQL_MAJOR = 15;

const TIMEOUT_MS = 40_000;

interface PsqlTarget {
  readonly port: number;
  readonly token: string;
}

/** Standard output and error together, in order, as a user sees them. */
export function psql(
  target: PsqlTarget,
  script: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  return execute(['-X', '-h', '127.0.0.1', '-p', String(target.port), '-U', 'tester', ...args], script, {
    PGPASSWORD: target.token,
    PGDATABASE: 'eventful',
    PGSSLMODE: 'prefer',
    ...env,
  });
}

function execute(args: readonly string[], script: string, env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', 'exec psql "$@" 2>&1', 'psql', ...args], {
      env: { ...process.env, PGCLIENTENCODING: 'UTF8', LC_ALL: 'C.UTF-8', ...env },
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (_code, signal) => {
      clearTimeout(timer);
      if (signal === null) resolve(output);
      else reject(new Error(`psql did not end by itself (${signal}):\n${output}`));
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(script);
  });
}

/** @throws Error when psql is missing or another one than the tests were written against */
export async function requirePsql(): Promise<void> {
  const version = (await execute(['--version'], '', {})).trim();
  if (/\(PostgreSQL\) (\d+)/.exec(version)?.[1] !== String(PSQL_MAJOR))
    throw new Error(`these tests need psql ${PSQL_MAJOR} in PATH; found: ${version || 'none'}`);
}
