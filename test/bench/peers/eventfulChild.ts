/**
 * The process of the measured EventfulDB: a whole server as it ships, plus a way for the suite to ask for counters over
 * IPC, so that asking does not go through what is measured.
 */
import { verifyEventProof, type EventProof } from '../../../engine/proofs/verifier.js';
import { parseGrant } from '../../../engine/tokens/grants.js';
import { parseKey } from '../../../engine/index.js';
import { startServer, type RunningServer } from '../../../server/index.js';
import { defaultSessionThreads } from '../../../server/sessionThreads.js';
import { Recorder } from '../profile/recorder.js';
import type { Proved, Recorded, Reply, Request, Started, Stats, Verified } from './messages.js';

const TOKEN_SECONDS = 7 * 24 * 3600;

const logger = {
  info: () => undefined,
  warn: (details: object, message: string) => console.error('eventfuldb:', message, details),
  error: (details: object, message: string) => console.error('eventfuldb:', message, details),
};

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

async function start(): Promise<RunningServer> {
  return startServer({
    directory: environment('BENCH_DIRECTORY'),
    masterKey: parseKey(environment('BENCH_MASTER_KEY'), 'master key'),
    dek: parseKey(environment('BENCH_DEK'), 'DEK'),
    host: '127.0.0.1',
    port: 0,
    socketDirectory: null,
    tls: null,
    sessionThreads: Number(process.env['BENCH_SESSION_THREADS'] ?? defaultSessionThreads()),
    logger,
  });
}

async function announce(server: RunningServer): Promise<Started> {
  const startMs = performance.now();
  const { token } = await server.engine.tokens.generate(
    {
      identifierType: 'user',
      identifierId: 'bench',
      grants: [parseGrant('admin')],
      expiresAt: Math.floor(Date.now() / 1000) + TOKEN_SECONDS,
      writeLimit: null,
    },
    { actor: 'system:bench', tokenId: null, writeLimit: null },
  );
  const { port, readModel } = server;
  const { report } = readModel;
  const rebuilt = report === null ? null : { rows: report.rebuiltRows, seconds: report.rebuildSeconds };
  return {
    port,
    token,
    startMs,
    readModelPid: readModel.pid,
    readModelDirectory: readModel.directory,
    rebuilt,
  };
}

function stats({ engine, readModel }: RunningServer): Stats {
  const { position, syncs, groups, logBytes } = engine.stats();
  return { position: Number(position), applied: Number(readModel.appliedPosition), syncs, groups, logBytes };
}

async function verify({ engine }: RunningServer, threads: number | null): Promise<Verified> {
  const started = performance.now();
  const { events } = await engine.verify(null, null, threads === null ? {} : { threads });
  return { events, seconds: (performance.now() - started) / 1000 };
}

async function prove({ engine }: RunningServer, type: string, ids: readonly string[]): Promise<Proved> {
  const proofs: EventProof[] = [];
  const started = performance.now();
  for (const id of ids) {
    const version = (await engine.state(type, id))?.version ?? 0n;
    proofs.push((await engine.prove(type, id, version)).proof);
  }
  const made = performance.now();
  for (const proof of proofs) await verifyEventProof(proof, engine.checkpoints.verifierKey);
  const checked = performance.now();
  const bytes = proofs.reduce((sum, proof) => sum + JSON.stringify(proof).length, 0);
  return {
    proofs: proofs.length,
    makeSeconds: (made - started) / 1000,
    checkSeconds: (checked - made) / 1000,
    proofBytes: bytes / Math.max(1, proofs.length),
  };
}

let recording: { readonly what: 'cpu' | 'heap'; readonly recorder: Recorder } | null = null;

async function record(what: 'cpu' | 'heap'): Promise<void> {
  recording = { what, recorder: await Recorder[what]() };
}

async function recorded(): Promise<Recorded> {
  if (recording === null) throw new Error('nothing is being recorded');
  const { what, recorder } = recording;
  recording = null;
  if (what === 'cpu') return { what, threads: await recorder.stopCpu() };
  return { what, allocated: await recorder.stopHeap() };
}

async function answer(server: RunningServer, request: Request): Promise<unknown> {
  switch (request.kind) {
    case 'stats':
      return stats(server);
    case 'verify':
      return verify(server, request.threads);
    case 'prove':
      return prove(server, request.type, request.ids);
    case 'record':
      return record(request.what);
    case 'recorded':
      return recorded();
    case 'stop':
      return server.stop({ removeReadModel: request.removeReadModel });
  }
}

async function main(): Promise<void> {
  const server = await start();
  const abandoned = (): void => void server.stop({ removeReadModel: true }).then(() => process.exit(0));
  // The suite is gone, maybe while we were starting: nobody would stop us otherwise.
  if (!process.connected) return abandoned();
  process.once('disconnect', abandoned);
  process.on('message', ({ id, request }: { id: number; request: Request }) => {
    const send = (reply: Reply): void => {
      process.send?.(reply, undefined, undefined, () => {
        if (request.kind === 'stop') process.exit(0);
      });
    };
    answer(server, request).then(
      (result) => send({ id, result: result ?? null }),
      (error: unknown) => send({ id, error: String((error as Error).stack ?? error) }),
    );
  });
  process.send?.({ id: 0, result: await announce(server) } satisfies Reply);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
