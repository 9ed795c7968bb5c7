/** Who gets in: what a startup packet may ask for, from where, and how many there may be. */
import { DatabaseError, SqlState } from '../engine/errors.js';
import { isAdmin } from '../engine/tokens/grants.js';
import type { Identity } from '../engine/tokens/identity.js';
import type { Arrival } from './host.js';

const DATABASE = 'eventful';
/** What tools connect to when they only want to list databases (psql -l, pgAdmin); here it leads to the same place. */
const MAINTENANCE_DATABASE = 'postgres';

/**
 * Checks the parameters of a startup packet. @returns whether the connection is to replicate
 * @throws DatabaseError 3D000, 0A000, 22023
 */
export function wantedReplication(parameters: ReadonlyMap<string, string>): boolean {
  const replication = isReplication(parameters.get('replication') ?? 'false');
  const database = parameters.get('database') ?? parameters.get('user') ?? '';
  if (database !== DATABASE && database !== MAINTENANCE_DATABASE)
    throw new DatabaseError(SqlState.invalidCatalogName, `database "${database}" does not exist`, {
      hint: `The database of every EventfulDB server is called "${DATABASE}".`,
    });
  const encoding = parameters.get('client_encoding') ?? 'UTF8';
  if (!/^'?(utf-?8|unicode|sql_ascii)'?$/i.test(encoding))
    throw new DatabaseError(SqlState.featureNotSupported, 'client_encoding must be UTF8');
  return replication;
}

/** `database`, or a boolean; true asks for physical replication. */
function isReplication(value: string): boolean {
  if (value === 'database') return true;
  if (/^(false|off|no|0|f|n)$/i.test(value)) return false;
  if (!/^(true|on|yes|1|t|y)$/i.test(value))
    throw new DatabaseError(SqlState.invalidParameterValue, 'invalid value for parameter "replication"');
  throw new DatabaseError(SqlState.featureNotSupported, 'physical replication is not supported', {
    hint: 'Connect with replication=database for logical replication.',
  });
}

/** Of a connection that is neither encrypted nor local. @throws DatabaseError 28000 */
export function requireLoopback(address: string | undefined): void {
  if (address !== undefined && /^(::ffff:)?127\.|^::1$/.test(address)) return;
  throw new DatabaseError(SqlState.invalidAuthorization, 'the connection is not encrypted', {
    hint: 'Connect with sslmode=require.',
  });
}

/** Beyond the limit only administrators get in. @throws DatabaseError 53300 */
export function requireRoom(arrival: Arrival, identity: Identity): void {
  if (arrival.isBeyondLimit && !isAdmin(identity.grants)) throw tooManyConnections();
}

export function tooManyConnections(): DatabaseError {
  return new DatabaseError(SqlState.tooManyConnections, 'sorry, too many clients already', {
    hint: 'Close some, use a connection pool, or raise server.max_connections.',
  });
}
