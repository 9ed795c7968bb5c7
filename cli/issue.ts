/** Issues a token: through the server that has the store open, or through the engine when there is none. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import pg from 'pg';
import { openEngine, openKeyring, type StoreKeys } from '../engine/index.js';
import { parseGrant } from '../engine/tokens/grants.js';
import { TokenSigner } from '../engine/tokens/tokens.js';
import { DATABASE, reachableHost } from './connect.js';
import type { ServerProcess } from './pidfile.js';
import { CommandError } from './report.js';
import { readSettings, resolveSetting } from './settings.js';

/** How long the administrator's token lives that this command signs for itself. */
const OWN_TOKEN_SECONDS = 60;
/** Who issued the tokens, in the record of them. */
const OWN_IDENTITY = { identifierType: 'system', identifierId: 'cli' } as const;

export interface TokenOrder {
  readonly identifierType: string;
  readonly identifierId: string;
  readonly grants: readonly string[];
  readonly expiresAt: Date;
  readonly writeLimit: bigint | null;
}

/** Nobody has the store open: opens it, issues the token, closes it. */
export async function issueThroughEngine(
  directory: string,
  keys: StoreKeys,
  order: TokenOrder,
): Promise<string> {
  const engine = await openEngine({ directory, ...keys });
  try {
    const { token } = await engine.tokens.generate(
      {
        identifierType: order.identifierType,
        identifierId: order.identifierId,
        grants: order.grants.map(parseGrant),
        expiresAt: Math.floor(order.expiresAt.getTime() / 1000),
        writeLimit: order.writeLimit,
      },
      {
        actor: `${OWN_IDENTITY.identifierType}:${OWN_IDENTITY.identifierId}`,
        tokenId: null,
        writeLimit: null,
      },
    );
    return token;
  } finally {
    await engine.close();
  }
}

/** A server has it open: asks the server, as an administrator for a minute. */
export async function issueThroughServer(
  dataDir: string,
  keys: StoreKeys,
  order: TokenOrder,
  server: ServerProcess,
): Promise<string> {
  const { tokenKey, storeId } = openKeyring(dataDir, keys);
  const now = Math.floor(Date.now() / 1000);
  const password = await new TokenSigner(tokenKey, storeId.toString('hex')).sign(
    {
      ...OWN_IDENTITY,
      grants: [{ action: 'admin', aggregateType: '', aggregateId: '' }],
      expiresAt: now + OWN_TOKEN_SECONDS,
      writeLimit: null,
    },
    randomUUID(),
    now,
  );
  const client = new pg.Client({
    ...address(dataDir, server),
    user: 'eventful',
    database: DATABASE,
    password,
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ token: string }>('CALL token_generate($1, $2, $3, $4, $5)', [
      order.identifierType,
      order.identifierId,
      [...order.grants],
      order.expiresAt.toISOString(),
      order.writeLimit?.toString() ?? null,
    ]);
    const token = rows[0]?.token;
    if (token === undefined) throw new CommandError('the server returned no token');
    return token;
  } finally {
    await client.end();
  }
}

function address(dataDir: string, server: ServerProcess): pg.ClientConfig {
  const { socket, port, host } = server;
  if (socket !== null) return { host: dirname(socket), port };
  const ca = readFileSync(resolveSetting(dataDir, readSettings(dataDir).tlsCert), 'utf8');
  return {
    host: reachableHost(host),
    port,
    // The certificate itself is what we trust, whatever name it carries and whoever signed it.
    ssl: { ca, allowPartialTrustChain: true, checkServerIdentity: () => undefined },
  };
}
