/** A session thread: serves the connections it is lent, and asks the engine's thread for what only that can do. */
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import type { Logger } from '../../readmodel/index.js';
import { prepareParser } from '../../sql/parse.js';
import { LocalHost } from '../host.js';
import { CallClient } from './callClient.js';
import { toPlain } from './errors.js';
import type { FromThread, LogLevel, ThreadData, ToThread } from './messages.js';
import { NewsReader } from './news.js';
import { RemoteEngine } from './remoteEngine.js';
import { RemoteReadModel } from './remoteReadModel.js';
import { RemoteReplication } from './remoteReplication.js';
import { Progress, SharedPlaces } from './shared.js';
import { SharedStates } from './sharedStates.js';

function send(message: FromThread): void {
  parentPort?.postMessage(message);
}

function log(level: LogLevel): (details: object, message: string) => void {
  return (details, message) => {
    const { err, ...rest } = details as { err?: unknown };
    send({ kind: 'log', level, details: rest, error: err === undefined ? null : toPlain(err), message });
  };
}

const logger: Logger = { info: log('info'), warn: log('warn'), error: log('error') };

function serve(data: ThreadData): (message: ToThread) => void {
  const client = new CallClient((requests) => send({ kind: 'requests', requests }));
  const progress = new Progress(data.progress);
  const news = new NewsReader(data, progress);
  const readModel = new RemoteReadModel(client, progress, news, data.backend);
  const host = new LocalHost({
    engine: new RemoteEngine(client, progress, news, new SharedStates(data.states), data.verifierKey),
    readModel,
    replication: new RemoteReplication(client),
    tls: data.tls,
    authenticationMs: data.authenticationMs,
    busyPollMs: data.busyPollMs,
    places: new SharedPlaces(data.places, data.slot, data.maxBackends, () => send({ kind: 'ask' })),
    logger,
    cancel: ({ processId, secret }) => send({ kind: 'cancel', processId, secret: secret.toString('hex') }),
  });
  return (message) => {
    switch (message.kind) {
      case 'replies':
        client.receive(message.replies);
        return;
      case 'connection': {
        const { arrival, fd } = message;
        const socket = new Socket({ fd, readable: true, writable: true });
        socket.on('error', () => undefined);
        host.serve(socket, arrival, () => send({ kind: 'closed', id: arrival.id }));
        return;
      }
      case 'cancel':
        host.cancel({ ...message, secret: Buffer.from(message.secret, 'hex') });
        return;
      case 'down':
        readModel.isDown();
        return;
      case 'oblige':
        host.pool.oblige();
        return;
      case 'shutdown':
        host.shutdown();
    }
  };
}

await prepareParser();
parentPort?.on('message', serve(workerData as ThreadData));
send({ kind: 'ready' });
