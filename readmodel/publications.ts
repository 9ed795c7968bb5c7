import { quoteIdentifier } from './session.js';

/** The publication of every type; those of one type are called like the type. */
export const ALL_PUBLICATION = 'eventful';

/** No TRUNCATE: the tables are emptied only to be loaded again, which is no change of any aggregate. */
const CHANGES = `WITH (publish = 'insert, update, delete')`;

/** @returns nothing for a type that is called like the publication of all of them */
export function createPublication(type: string): readonly string[] {
  if (type === ALL_PUBLICATION) return [];
  const name = quoteIdentifier(type);
  return [`CREATE PUBLICATION ${name} FOR TABLE public.${name} ${CHANGES}`];
}

export function dropPublication(type: string): string {
  return type === ALL_PUBLICATION ? '' : `DROP PUBLICATION IF EXISTS ${quoteIdentifier(type)};`;
}

/**
 * WAL positions of a cluster count from the second it was made in, in steps of 4 GiB. So those of a cluster made
 * later are larger than any its forerunners gave out, and a subscriber that comes from an earlier one skips nothing.
 */
const STANDING = `
  CREATE TABLE IF NOT EXISTS eventful_internal.standing (lsn_base numeric NOT NULL, incarnation text NOT NULL);
  INSERT INTO eventful_internal.standing
    SELECT floor(extract(epoch FROM clock_timestamp())) * 4294967296, gen_random_uuid()::text
    WHERE NOT EXISTS (SELECT FROM eventful_internal.standing);`;

const PUBLICATION = `
  DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '${ALL_PUBLICATION}') THEN
      CREATE PUBLICATION ${ALL_PUBLICATION} FOR TABLES IN SCHEMA public ${CHANGES};
    END IF;
  END $$;`;

/**
 * A subscriber asks pg_get_publication_tables what a publication holds, each version of PostgreSQL in its own words. What
 * it is told must be what its token may read, so the function is replaced in the catalogue: under a new number,
 * because PostgreSQL runs the C function for the old one whatever the catalogue says. Changes do not go this way.
 */
const PUBLISHED = 'pg_get_publication_tables';
const ORIGINAL = 'eventful_publication_tables';
const CATALOGUE = `
  DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = '${ORIGINAL}' AND pronamespace = 'pg_catalog'::regnamespace) THEN
      ALTER FUNCTION pg_catalog.${PUBLISHED}(text[]) RENAME TO ${ORIGINAL};
    END IF;
  END $$;
  REVOKE ALL ON FUNCTION pg_catalog.${ORIGINAL}(text[]) FROM PUBLIC;
  CREATE OR REPLACE FUNCTION eventful_internal.reads_all_of(wanted text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT pg_has_role(session_user, 'eventful_reader', 'MEMBER') OR EXISTS (
            SELECT FROM eventful_internal.role_grants
            WHERE role = session_user AND aggregate_type IN (wanted, '*') AND is_prefix AND pattern = '') $$;
  CREATE OR REPLACE FUNCTION pg_catalog.${PUBLISHED}(
      VARIADIC pubname text[], OUT pubid oid, OUT relid oid, OUT attrs int2vector, OUT qual pg_node_tree)
    RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT found.* FROM ${ORIGINAL}(VARIADIC pubname) AS found JOIN pg_class AS c ON c.oid = found.relid
          WHERE eventful_internal.reads_all_of(c.relname::text) $$;
  DO $$ BEGIN
    SET LOCAL allow_system_table_mods = on;
    EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_publication_tables AS '
      || replace(pg_get_viewdef('pg_catalog.pg_publication_tables'::regclass), '${ORIGINAL}(', '${PUBLISHED}(');
  END $$;`;

/** What bootstrap adds for logical replication. Harmless to repeat. */
export const REPLICATION_SETUP = [STANDING, PUBLICATION, CATALOGUE].join('');
