/** What the read model says of its settings at connect, so that a session can be greeted without a connection of its own. */
import type { SessionReadModel } from '../ports.js';
import { connectBackend } from './connect.js';

export class Greeting {
  private known: Promise<ReadonlyMap<string, string>> | null = null;
  /** Good enough while PostgreSQL is being restarted, so that appends go on. */
  private last: ReadonlyMap<string, string> | null = null;

  constructor(private readonly readModel: SessionReadModel) {
    // The next PostgreSQL may be another version.
    readModel.on('down', () => (this.known = null));
    // Asked before anybody needs it, so that the first client can be greeted while PostgreSQL is being restarted.
    this.parameters().catch(() => undefined);
  }

  parameters(): Promise<ReadonlyMap<string, string>> {
    this.known ??= this.ask().catch((error: unknown) => {
      this.known = null;
      if (this.last !== null) return this.last;
      throw error;
    });
    return this.known;
  }

  private async ask(): Promise<ReadonlyMap<string, string>> {
    const role = await this.readModel.roleFor([{ action: 'admin', aggregateType: '', aggregateId: '' }]);
    const backend = await connectBackend(this.readModel.connection(role), new Map());
    backend.socket.destroy();
    this.last = backend.parameters;
    return backend.parameters;
  }
}
