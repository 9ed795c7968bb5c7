/**
 * A server in a process of its own, from the built files, to be killed: `node server-process.mjs <directory>` with the
 * keys as hex in MASTER_KEY and DEK. Prints one line of JSON with its port and an admin's token.
 */
import { startServer } from '../../dist/server/index.js';
import { parseGrant } from '../../dist/engine/tokens/grants.js';

const server = await startServer({
  directory: process.argv[2],
  masterKey: Buffer.from(process.env.MASTER_KEY, 'hex'),
  dek: Buffer.from(process.env.DEK, 'hex'),
  host: '127.0.0.1',
  port: 0,
  socketDirectory: null,
  tls: null,
  sessionThreads: Number(process.env.EVENTFUL_TEST_SESSION_THREADS ?? 0),
  segmentBytes: Number(process.env.SEGMENT_BYTES ?? 262_144),
  logger: { info() {}, warn() {}, error: (context, message) => console.error(message, context) },
});
const { token } = await server.engine.tokens.generate(
  {
    identifierType: 'user',
    identifierId: 'tester',
    grants: [parseGrant('admin')],
    expiresAt: Math.floor(Date.now() / 1000) + 3600,
    writeLimit: null,
  },
  { actor: 'system:test', tokenId: null, writeLimit: null },
);
process.stdout.write(`${JSON.stringify({ port: server.port, token })}\n`);
process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)));
