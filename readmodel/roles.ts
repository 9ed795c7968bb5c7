import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { Grant } from '../engine/types.js';
import { ALL_TYPES, READER } from './bootstrap.js';
import { quoteLiteral, type Session } from './session.js';

/** Who to log in to the read model as. */
export interface RoleLogin {
  readonly user: string;
  readonly password: string;
}

/** The group whose members may select from a type's relations. A hash: the type's name may be 63 bytes itself. */
export function typeGroup(type: string): string {
  return `eventful_type_${createHash('sha256').update(type).digest('hex').slice(0, 32)}`;
}

/** Makes the login roles of tokens, one per distinct set of read grants. */
export class Roles {
  private readonly known = new Map<string, Promise<RoleLogin>>();

  constructor(private readonly session: Session) {}

  /** The role that sees exactly what the grants allow. Append grants give no right to read and are ignored. */
  async roleFor(grants: readonly Grant[]): Promise<RoleLogin> {
    const reads = readGrants(grants);
    return this.login(reads === 'everything' ? READER : `reader_${hash(reads)}`, reads, false);
  }

  /**
   * The same rights for a replication connection. A role of its own, because PostgreSQL checks no grant on what a
   * REPLICATION role streams: nobody but the server, which does, may log in with it.
   */
  async replicationRoleFor(grants: readonly Grant[]): Promise<RoleLogin> {
    const reads = readGrants(grants);
    return this.login(reads === 'everything' ? 'replica_all' : `replica_${hash(reads)}`, reads, true);
  }

  private async login(user: string, reads: Reads, replication: boolean): Promise<RoleLogin> {
    let login = this.known.get(user);
    if (login === undefined) {
      login = this.create(user, reads, replication);
      this.known.set(user, login);
      // A failure (read model down) must not be remembered.
      login.catch(() => this.known.delete(user));
    }
    return login;
  }

  private async create(user: string, reads: Reads, replication: boolean): Promise<RoleLogin> {
    const password = randomBytes(32).toString('hex');
    const attributes = `LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT
      ${replication ? 'REPLICATION' : 'NOREPLICATION'} NOBYPASSRLS
      CONNECTION LIMIT -1 PASSWORD ${quoteLiteral(password)}`;
    await this.session.transaction(async (client) => {
      await client.query('LOCK TABLE eventful_internal.role_grants IN EXCLUSIVE MODE');
      const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [user]);
      await client.query(`${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${user} ${attributes}`);
      // Settings that a role was given would hold for everybody who comes as it.
      await client.query(`ALTER ROLE ${user} RESET ALL`);
      if (reads === 'everything') {
        if (user !== READER) await client.query(`GRANT ${READER} TO ${user} WITH INHERIT TRUE, SET FALSE`);
      } else await grantAll(client, user, reads);
    });
    return { user, password };
  }
}

interface ReadGrant {
  readonly aggregateType: string;
  readonly pattern: string;
  readonly isPrefix: boolean;
}

type Reads = 'everything' | readonly ReadGrant[];

function readGrants(grants: readonly Grant[]): Reads {
  if (grants.some((g) => g.action === 'admin')) return 'everything';
  const reads = grants.filter((grant) => grant.action === 'read');
  if (reads.some((g) => g.aggregateType === '*' && g.aggregateId === '*')) return 'everything';
  const keyed = reads.map(({ aggregateType, aggregateId }) => {
    const isPrefix = aggregateId.endsWith('*');
    const read = { aggregateType, pattern: isPrefix ? aggregateId.slice(0, -1) : aggregateId, isPrefix };
    return [JSON.stringify(read), read] as const;
  });
  return [...new Map(keyed.sort(([a], [b]) => (a < b ? -1 : 1))).values()];
}

function hash(reads: readonly ReadGrant[]): string {
  return createHash('sha256').update(JSON.stringify(reads)).digest('hex').slice(0, 32);
}

async function grantAll(client: pg.Client, user: string, reads: readonly ReadGrant[]): Promise<void> {
  await client.query('DELETE FROM eventful_internal.role_grants WHERE role = $1', [user]);
  await client.query(
    `INSERT INTO eventful_internal.role_grants
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[])`,
    [user, reads.map((g) => g.aggregateType), reads.map((g) => g.pattern), reads.map((g) => g.isPrefix)],
  );
  const types = new Set(reads.map((grant) => grant.aggregateType));
  const groups = [...types].map((type) => (type === '*' ? ALL_TYPES : typeGroup(type)));
  // A type that does not exist yet has no group; its creation looks for the roles that wait for it.
  const { rows } = await client.query<{ rolname: string }>(
    'SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[])',
    [groups],
  );
  for (const { rolname } of rows) {
    // The privileges come with the membership; SET ROLE does not.
    await client.query(`GRANT ${rolname} TO ${user} WITH INHERIT TRUE, SET FALSE`);
  }
  await client.query(
    `SELECT eventful_internal.join_view_group(group_role, $1, types)
     FROM eventful_internal.mirror_views WHERE group_role IS NOT NULL`,
    [user],
  );
}
