/** What a session thread knows without asking: the schema, and which tokens were revoked. */
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { Schema } from '../../engine/types.js';
import type { News, ThreadData } from './messages.js';
import type { Progress } from './shared.js';

/** News are read when a session asks; a thread without work reads them every so often, so that they do not pile up. */
const IDLE_MS = 1000;

export class NewsReader {
  private readonly port: MessagePort;
  private readonly tokens: Set<string>;
  private current: Schema;
  private seen: bigint;

  constructor(
    { news, schema, revoked, newsCount }: Pick<ThreadData, 'news' | 'schema' | 'revoked' | 'newsCount'>,
    private readonly progress: Progress,
  ) {
    this.port = news;
    this.current = schema;
    this.tokens = new Set(revoked);
    this.seen = newsCount;
    setInterval(() => this.read(), IDLE_MS).unref();
  }

  /** As of everything that anybody was told is committed. */
  get schema(): Schema {
    this.read();
    return this.current;
  }

  get revoked(): ReadonlySet<string> {
    this.read();
    return this.tokens;
  }

  private read(): void {
    const { news } = this.progress;
    if (news === this.seen) return;
    this.seen = news;
    for (;;) {
      const received = receiveMessageOnPort(this.port) as { readonly message: News } | undefined;
      if (received === undefined) return;
      const { message } = received;
      if (message.kind === 'schema') this.current = message.schema;
      else this.tokens.add(message.tokenId);
    }
  }
}
