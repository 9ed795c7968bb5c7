/** What Node keeps of a socket's connection. Not in the published types, but what child_process and cluster go by as well. */
import type { Socket } from 'node:net';

export interface SocketHandle {
  /** The descriptor; absent where the system has none. */
  readonly fd?: number;
}

interface Handled {
  _handle?: SocketHandle | null;
}

/** null once the connection has ended, or where Node keeps it elsewhere. */
export function handleOf(socket: Socket): SocketHandle | null {
  return (socket as unknown as Handled)._handle ?? null;
}

/** As `handleOf`; the socket has no connection any more. */
export function takeHandle(socket: Socket): SocketHandle | null {
  const handle = handleOf(socket);
  if (handle !== null) (socket as unknown as Handled)._handle = null;
  return handle;
}
