/** Starts, asks and stops the EventfulDB process under measurement. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKeyring, openKeyring, type StoreKeys } from '../../../engine/index.js';
import { removeReadModel } from '../../../readmodel/index.js';
import { familyCpuSeconds, familyMemory } from '../processes.js';
import { NODE_FLAGS } from '../../../server/nodeFlags.js';
import type { Login } from './login.js';
import type { Allocated, ThreadCpu } from '../profile/messages.js';
import type { Proved, Recorded, Reply, Request, Started, Stats, Verified } from './messages.js';

const CHILD = new URL('./eventfulChild.js', import.meta.url);
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 600_000;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class EventfulPeer {
  private child: ChildProcess | null = null;
  private started: Started | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;

  private constructor(
    readonly directory: string,
    private readonly keys: StoreKeys,
    private readonly cpuProf: string | null,
    private readonly sessionThreads: number | null,
  ) {}

  /**
   * A new store in a directory of its own below `parent`.
   * @param sessionThreads null: as many as `eventful start` takes by itself
   */
  static async create(
    parent: string,
    cpuProf: string | null,
    sessionThreads: number | null = null,
  ): Promise<EventfulPeer> {
    const directory = mkdtempSync(join(parent, 'eventfuldb-'));
    const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
    createKeyring(directory, keys);
    const peer = new EventfulPeer(directory, keys, cpuProf, sessionThreads);
    try {
      await peer.start();
    } catch (error) {
      await peer.destroy();
      throw error;
    }
    return peer;
  }

  get login(): Login {
    if (this.started === null) throw new Error('EventfulDB does not run');
    const { port, token } = this.started;
    return { host: '127.0.0.1', port, user: 'bench', password: token, database: 'eventful' };
  }

  async start(): Promise<Started> {
    const execArgv = [...NODE_FLAGS];
    if (this.cpuProf !== null) {
      mkdirSync(this.cpuProf, { recursive: true });
      execArgv.push('--cpu-prof', `--cpu-prof-dir=${this.cpuProf}`);
    }
    const child = fork(CHILD, {
      execArgv,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: {
        ...process.env,
        BENCH_DIRECTORY: this.directory,
        BENCH_MASTER_KEY: this.keys.masterKey.toString('hex'),
        BENCH_DEK: this.keys.dek.toString('hex'),
        ...(this.sessionThreads === null ? {} : { BENCH_SESSION_THREADS: String(this.sessionThreads) }),
      },
      // Ctrl-C is the suite's to handle.
      detached: true,
    });
    this.child = child;
    child.on('message', (reply: Reply) => this.receive(reply));
    child.once('exit', (code, signal) => {
      const error = new Error(`EventfulDB ended with ${signal ?? code}`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
    this.started = (await this.expect(0, START_TIMEOUT_MS)) as Started;
    return this.started;
  }

  stats(): Promise<Stats> {
    return this.ask({ kind: 'stats' }) as Promise<Stats>;
  }

  /** @param threads beside the engine's; null: as many as it takes by itself */
  verify(threads: number | null = null): Promise<Verified> {
    return this.ask({ kind: 'verify', threads }) as Promise<Verified>;
  }

  prove(type: string, ids: readonly string[]): Promise<Proved> {
    return this.ask({ kind: 'prove', type, ids }) as Promise<Proved>;
  }

  get pid(): number {
    return this.child?.pid ?? -1;
  }

  /** Every thread's, until `stopCpu`. */
  async startCpu(): Promise<void> {
    await this.ask({ kind: 'record', what: 'cpu' });
  }

  async stopCpu(): Promise<readonly ThreadCpu[]> {
    const recorded = (await this.ask({ kind: 'recorded' })) as Recorded;
    if (recorded.what !== 'cpu') throw new Error('no CPU profile was being recorded');
    return recorded.threads;
  }

  async startHeap(): Promise<void> {
    await this.ask({ kind: 'record', what: 'heap' });
  }

  async stopHeap(): Promise<Allocated> {
    const recorded = (await this.ask({ kind: 'recorded' })) as Recorded;
    if (recorded.what !== 'heap') throw new Error('no allocations were being recorded');
    return recorded.allocated;
  }

  /** Of the server and its read model. */
  cpuSeconds(): number {
    return familyCpuSeconds(this.child?.pid ?? -1);
  }

  /** Waits until the read model has everything, so that its work does not fall into another side's run; in ms. */
  async settle(): Promise<number> {
    const started = performance.now();
    for (;;) {
      const { position, applied } = await this.stats();
      const waited = performance.now() - started;
      if (applied >= position) return waited;
      if (waited > SETTLE_TIMEOUT_MS) throw new Error('the read model does not catch up');
      await sleep(5);
    }
  }

  /** Of the read model alone. */
  readModelCpuSeconds(): number {
    return familyCpuSeconds(this.started?.readModelPid ?? -1);
  }

  /** Bytes of the server alone and of its read model's processes. */
  memory(): { readonly server: number; readonly readModel: number } {
    const readModel = familyMemory(this.started?.readModelPid ?? -1);
    return { server: familyMemory(this.child?.pid ?? -1) - readModel, readModel };
  }

  get readModelDirectory(): string {
    return this.started?.readModelDirectory ?? '';
  }

  /** The directory stays; `start` opens it again. */
  async stop(options: { readonly removeReadModel: boolean }): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.child = null;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    if (child.exitCode !== null || child.signalCode !== null) return;
    const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.send({ id: this.nextId++, request: { kind: 'stop', ...options } satisfies Request });
    await ended;
    clearTimeout(impatient);
  }

  async destroy(): Promise<void> {
    await this.stop({ removeReadModel: true });
    const { storeId } = openKeyring(this.directory, this.keys);
    // After a crash the read model is still there, maybe running.
    await removeReadModel(storeId.toString('hex')).catch(() => undefined);
    rmSync(this.directory, { recursive: true, force: true });
  }

  private ask(request: Request): Promise<unknown> {
    const id = this.nextId++;
    const answer = this.expect(id, 3_600_000);
    this.child?.send({ id, request });
    return answer;
  }

  private expect(id: number, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Error('EventfulDB does not answer'));
      }, timeoutMs);
      this.waiting.set(id, {
        resolve: (result) => (clearTimeout(timer), resolve(result)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
    });
  }

  private receive(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if ('error' in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.result);
  }
}
