/** The second column of a and d: node `pg`, what most users of Node run; it costs more CPU than pgbench. */
import { availableParallelism } from 'node:os';
import pg from 'pg';
import type { Login } from '../peers/login.js';

export interface NodeRun {
  readonly login: Login;
  /** A statement with pgbench's variables: each becomes a parameter drawn anew for every request. */
  readonly script: string;
  readonly clients: number;
  readonly seconds: number;
  readonly aggregates: number;
}

export interface NodeResult {
  readonly operations: number;
  readonly perSecond: number;
  readonly latencyMs: number;
  readonly clientShare: number;
}

/** The script's last statement with `$n` for its variables, and their upper bounds. */
function prepare(script: string, aggregates: number): { text: string; bounds: number[] } {
  const upper: Readonly<Record<string, number>> = { id: aggregates, ward: 40, note: 1_000_000 };
  const statement = script
    .split('\n')
    .filter((line) => !line.startsWith('\\'))
    .join('\n');
  const bounds: number[] = [];
  const text = statement.replace(/(?<!:):([a-z]+)/g, (_, name: string) => {
    bounds.push(upper[name] ?? 1);
    return `$${bounds.length}`;
  });
  return { text, bounds };
}

export async function nodePg(job: NodeRun): Promise<NodeResult> {
  const { text, bounds } = prepare(job.script, job.aggregates);
  const clients = Array.from({ length: job.clients }, () => new pg.Client({ ...job.login }));
  await Promise.all(clients.map((client) => client.connect()));
  try {
    const cpu = process.cpuUsage();
    const started = performance.now();
    const deadline = started + job.seconds * 1000;
    let operations = 0;
    const work = async (client: pg.Client): Promise<void> => {
      while (performance.now() < deadline) {
        // The same variable may stand twice in a statement (the id): all of a request's ids must agree.
        const id = 1 + Math.floor(Math.random() * job.aggregates);
        const values = bounds.map((bound) =>
          String(bound === job.aggregates ? id : 1 + Math.floor(Math.random() * bound)),
        );
        await client.query({ name: 'bench', text, values });
        operations++;
      }
    };
    await Promise.all(clients.map(work));
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return {
      operations,
      perSecond: operations / seconds,
      latencyMs: (seconds * 1000 * job.clients) / operations,
      clientShare: (user + system) / 1e6 / seconds / availableParallelism(),
    };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}
