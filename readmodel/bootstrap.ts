import type { ClientConfig } from 'pg';
import pg from 'pg';
import { EVENTS_SCHEMA } from '../engine/schema/eventRelations.js';
import { VIEWS_SCHEMA } from '../engine/schema/views.js';
import { REPLICATION_SETUP } from './publications.js';
import { SYSTEM_RELATIONS } from './relations.js';
import { quoteIdentifier, quoteLiteral } from './session.js';
import { guardView } from './views.js';

export const DATABASE = 'eventful';

/** Sees everything; the role of tokens that may read everything. */
export const READER = 'eventful_reader';
/** Members may select from every type's relations; which rows, their grants decide. */
export const ALL_TYPES = 'eventful_all_types';
/** Owns the users' views and fills the materialized ones; may read every state and nothing else. */
export const VIEW_OWNER = 'eventful_views';

/** Functions with which a reader could write, or disturb others. Most are open to PUBLIC by default. */
const FORBIDDEN_FUNCTIONS = [
  ...['pg_terminate_backend', 'pg_cancel_backend', 'pg_notify', 'pg_logical_emit_message'],
  ...[
    'lo_create',
    'lo_creat',
    'lo_from_bytea',
    'lo_put',
    'lowrite',
    'lo_truncate',
    'lo_truncate64',
    'lo_unlink',
  ],
  ...['lo_import', 'lo_export', 'lo_open'],
  // A slot read or moved by a function would pass by the grants; slots are for the replication protocol alone.
  ...['pg_create_logical_replication_slot', 'pg_create_physical_replication_slot'],
  ...['pg_copy_logical_replication_slot', 'pg_copy_physical_replication_slot', 'pg_drop_replication_slot'],
  ...['pg_replication_slot_advance', 'pg_logical_slot_get_changes', 'pg_logical_slot_peek_changes'],
  ...['pg_logical_slot_get_binary_changes', 'pg_logical_slot_peek_binary_changes'],
];

const TABLES = `
  CREATE SCHEMA IF NOT EXISTS eventful_internal;
  REVOKE ALL ON SCHEMA eventful_internal FROM PUBLIC;
  CREATE TABLE IF NOT EXISTS eventful_internal.cursor (store_id text NOT NULL, position bigint NOT NULL, format int NOT NULL)
    WITH (fillfactor = 10);
  ALTER TABLE eventful_internal.cursor ADD COLUMN IF NOT EXISTS leaf text NOT NULL DEFAULT '';
  CREATE TABLE IF NOT EXISTS eventful_internal.mirror (type text PRIMARY KEY, definition jsonb NOT NULL);
  CREATE TABLE IF NOT EXISTS eventful_internal.mirror_events (name text PRIMARY KEY, definition jsonb NOT NULL);
  CREATE TABLE IF NOT EXISTS eventful_internal.mirror_views (
    name text PRIMARY KEY, ordinal bigserial, made text NOT NULL, failure text, group_role name,
    types text[] NOT NULL, filled boolean NOT NULL);
  CREATE TABLE IF NOT EXISTS eventful_internal.role_grants (
    role name NOT NULL, aggregate_type text NOT NULL, pattern text NOT NULL, is_prefix boolean NOT NULL,
    PRIMARY KEY (role, aggregate_type, is_prefix, pattern));`;

/**
 * What the policies ask. session_user, because a client cannot change it. A view, which becomes part of the plan of each
 * read: a function would be planned again by each of them. Everybody may select from it, but only we can name it.
 */
const OWN_GRANTS = `
  CREATE OR REPLACE VIEW eventful_internal.own_grants WITH (security_barrier) AS
    SELECT aggregate_type, pattern, is_prefix FROM eventful_internal.role_grants WHERE role = session_user;
  GRANT SELECT ON eventful_internal.own_grants TO PUBLIC;`;

const GUARD = `
  CREATE OR REPLACE FUNCTION eventful_internal.answered_by_engine(relation text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE AS $$ BEGIN
      RAISE EXCEPTION USING ERRCODE = '55000',
        MESSAGE = format('relation "%s" is answered by the engine and cannot be read this way', relation),
        HINT = 'Name it directly, with its schema, in the FROM clause of the statement.';
    END $$;`;

const VIEW_FUNCTIONS = `
  CREATE OR REPLACE FUNCTION eventful_internal.view_failed(name text, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE AS $$ BEGIN
      RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('view "%s" could not be made: %s', name, reason),
        HINT = 'Drop it, or define it anew with CREATE OR REPLACE VIEW.';
    END $$;
  -- Makes a role a member of a materialized view's group if it may read every aggregate of these types.
  CREATE OR REPLACE FUNCTION eventful_internal.join_view_group(view_group name, reader name, wanted text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$ BEGIN
      IF NOT EXISTS (SELECT FROM unnest(wanted) AS type WHERE NOT EXISTS (
        SELECT FROM eventful_internal.role_grants
        WHERE role = reader AND aggregate_type IN (type, '*') AND is_prefix AND pattern = ''))
      THEN EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET FALSE', view_group, reader); END IF;
    END $$;
  REVOKE ALL ON FUNCTION eventful_internal.join_view_group FROM PUBLIC;`;

const ROLES = `
  DO $$ DECLARE wanted text; BEGIN
    FOREACH wanted IN ARRAY ARRAY['${READER}', '${ALL_TYPES}', '${VIEW_OWNER}'] LOOP
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT', wanted);
      END IF;
    END LOOP;
  END $$;
  GRANT ${READER} TO ${VIEW_OWNER} WITH INHERIT TRUE, SET FALSE;`;

const REVOKES = `
  REVOKE ALL ON DATABASE ${DATABASE} FROM PUBLIC;
  GRANT CONNECT ON DATABASE ${DATABASE} TO PUBLIC;
  REVOKE ALL ON DATABASE template1 FROM PUBLIC;
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
  REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
  REVOKE ALL ON LANGUAGE sql FROM PUBLIC;
  DO $$ DECLARE found regprocedure; BEGIN
    FOR found IN SELECT oid::regprocedure FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ('{${FORBIDDEN_FUNCTIONS.join(',')}}')
    LOOP EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found); END LOOP;
  END $$;`;

function systemViews(): string {
  const views = Object.entries(SYSTEM_RELATIONS).map(([name, columns]) => {
    const relation = `eventful.${quoteIdentifier(name)}`;
    // Made anew each time: a later version of the server may have other columns.
    return `DROP VIEW IF EXISTS ${relation}; ${guardView(relation, columns)}; GRANT SELECT ON ${relation} TO PUBLIC;`;
  });
  return `
    CREATE SCHEMA IF NOT EXISTS eventful;
    GRANT USAGE ON SCHEMA eventful TO PUBLIC;
    COMMENT ON SCHEMA eventful IS 'EventfulDB: events, schema, tokens and checkpoints';
    CREATE OR REPLACE FUNCTION eventful.unchanged(field anyelement) RETURNS anyelement
      LANGUAGE sql IMMUTABLE AS 'SELECT field';
    COMMENT ON FUNCTION eventful.unchanged IS 'What becomes of a field that an event leaves out';
    CREATE SCHEMA IF NOT EXISTS ${VIEWS_SCHEMA};
    GRANT USAGE ON SCHEMA ${VIEWS_SCHEMA} TO PUBLIC;
    GRANT CREATE ON SCHEMA ${VIEWS_SCHEMA} TO ${VIEW_OWNER};
    COMMENT ON SCHEMA ${VIEWS_SCHEMA} IS 'EventfulDB: views of your own';
    CREATE SCHEMA IF NOT EXISTS ${EVENTS_SCHEMA};
    GRANT USAGE ON SCHEMA ${EVENTS_SCHEMA} TO PUBLIC;
    COMMENT ON SCHEMA ${EVENTS_SCHEMA} IS 'EventfulDB: one relation for each event type; INSERT appends an event';
    ${views.join('\n')}`;
}

/** Creates the database, our own schemas and the safety net. Harmless to repeat. */
export async function bootstrap(config: ClientConfig): Promise<void> {
  const client = await connectCreating(config);
  try {
    await client.query([TABLES, OWN_GRANTS, GUARD, VIEW_FUNCTIONS, ROLES, REVOKES, systemViews()].join(''));
    await client.query(REPLICATION_SETUP);
    await dropLimitedRoles(client);
  } finally {
    await client.end();
  }
}

/** initdb leaves a database `postgres`; renaming it is quicker than copying a template. */
async function connectCreating(config: ClientConfig): Promise<pg.Client> {
  const client = new pg.Client({ ...config, database: DATABASE });
  try {
    await client.connect();
    return client;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '3D000') throw error;
  }
  const outer = new pg.Client({ ...config, database: 'template1' });
  await outer.connect();
  await outer.query(`ALTER DATABASE postgres RENAME TO ${DATABASE}`);
  const comment = quoteLiteral('EventfulDB read model: the current state of every aggregate');
  await outer.query(`COMMENT ON DATABASE ${DATABASE} IS ${comment}`).catch(() => undefined);
  await outer.end();
  const renamed = new pg.Client({ ...config, database: DATABASE });
  await renamed.connect();
  return renamed;
}

/** Roles of an earlier server's tokens: their passwords are forgotten, and those still needed are made again. */
async function dropLimitedRoles(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    `SELECT quote_ident(rolname) AS role FROM pg_roles WHERE rolname LIKE 'reader\\_%' OR rolname LIKE 'replica\\_%'`,
  );
  await client.query('TRUNCATE eventful_internal.role_grants');
  if (rows.length > 0) await client.query(`DROP ROLE ${rows.map((row) => row.role).join(', ')}`);
}
