/**
 * Runs inside the EventfulDB process: records CPU and allocations of its main thread and of its session threads through
 * the inspector, without a debugging port. Workers are reached by the inspector's NodeWorker domain.
 */
import { Session, type NodeWorker } from 'node:inspector';
import type { Allocated, Allocator, CpuProfile, ThreadCpu } from './messages.js';

const CPU_INTERVAL_MICROSECONDS = 400;
/** Every allocation: V8's sampler then counts, and estimates nothing. Slow, so only for a few operations. */
const HEAP_INTERVAL_BYTES = 1;
const TOP_ALLOCATORS = 12;
const ATTACH_MS = 50;

interface HeapNode {
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

interface HeapProfile {
  readonly head: HeapNode;
  readonly samples: readonly { readonly size: number }[];
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Thread {
  readonly name: string;
  readonly post: (method: string, params?: object) => Promise<unknown>;
}

function mainThread(session: Session): Thread {
  return {
    name: 'main',
    post: (method, params) =>
      new Promise((resolve, reject) =>
        session.post(method, params, (error, result) => (error ? reject(error) : resolve(result))),
      ),
  };
}

function workerThread(session: Session, { sessionId, workerInfo }: NodeWorker.AttachedToWorkerEventDataType) {
  const waiting = new Map<number, (answer: Answer) => void>();
  let nextId = 1;
  session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
    if (params.sessionId !== sessionId) return;
    const answer = JSON.parse(params.message) as Answer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const thread: Thread = {
    name: workerInfo.title,
    post: (method, params) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        waiting.set(id, ({ result, error }) =>
          error === undefined ? resolve(result) : reject(new Error(`${method}: ${error.message}`)),
        );
        const message = JSON.stringify({ id, method, params });
        session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
      }),
  };
  return thread;
}

/** The threads alive when it is made; one recording at a time. */
export class Recorder {
  private constructor(
    private readonly session: Session,
    private readonly threads: readonly Thread[],
  ) {}

  private static async attach(): Promise<Recorder> {
    const session = new Session();
    session.connect();
    const threads = [mainThread(session)];
    session.on('NodeWorker.attachedToWorker', ({ params }) => {
      threads.push(workerThread(session, params));
    });
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await new Promise((resolve) => setTimeout(resolve, ATTACH_MS));
    return new Recorder(session, threads);
  }

  static async cpu(): Promise<Recorder> {
    const recorder = await Recorder.attach();
    await recorder.each(async ({ post }) => {
      await post('Profiler.enable');
      await post('Profiler.setSamplingInterval', { interval: CPU_INTERVAL_MICROSECONDS });
      await post('Profiler.start');
    });
    return recorder;
  }

  static async heap(intervalBytes = HEAP_INTERVAL_BYTES): Promise<Recorder> {
    const recorder = await Recorder.attach();
    await recorder.each(({ post }) =>
      post('HeapProfiler.startSampling', {
        samplingInterval: intervalBytes,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      }),
    );
    return recorder;
  }

  async stopCpu(): Promise<ThreadCpu[]> {
    const recorded = await this.each(async ({ name, post }) => {
      const { profile } = (await post('Profiler.stop')) as { profile: CpuProfile };
      return { thread: name, profile };
    });
    this.detach();
    return recorded;
  }

  async stopHeap(): Promise<Allocated> {
    const profiles = await this.each(
      async ({ post }) => ((await post('HeapProfiler.stopSampling')) as { profile: HeapProfile }).profile,
    );
    this.detach();
    return summarise(profiles);
  }

  private each<T>(work: (thread: Thread) => Promise<T>): Promise<T[]> {
    return Promise.all(this.threads.map(work));
  }

  private detach(): void {
    this.session.post('NodeWorker.disable');
    this.session.disconnect();
  }
}

function summarise(profiles: readonly HeapProfile[]): Allocated {
  const found = new Map<string, Allocator>();
  const open = profiles.map(({ head }) => head);
  let bytes = 0;
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    open.push(...node.children);
    bytes += node.selfSize;
    const { functionName, url } = node.callFrame;
    const key = `${functionName} ${url}`;
    found.set(key, { functionName, url, bytes: (found.get(key)?.bytes ?? 0) + node.selfSize });
  }
  const top = [...found.values()].sort((a, b) => b.bytes - a.bytes).slice(0, TOP_ALLOCATORS);
  const objects = profiles.reduce((sum, { samples }) => sum + samples.length, 0);
  return { bytes, objects, top };
}
