import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { SessionEngine } from '../ports.js';
import type { Access } from '../session/access.js';
import { timestampText } from './result.js';

type Row = Readonly<Record<string, unknown>>;

/** The rows of a relation in schema `eventful`; values as JSON. */
export async function systemRows(name: string, engine: SessionEngine, access: Access): Promise<Row[]> {
  const types = [...engine.schema().aggregates.values()].filter(({ type }) => access.canReadSome(type));
  switch (name) {
    case 'aggregates':
      return Promise.all(
        types.map(async (type) => ({
          aggregate_type: type.type,
          aggregates: access.canReadAll(type.type) ? await engine.countAggregates(type.type) : null,
          comment: type.comment,
          snapshot_threshold: type.snapshotThreshold,
          open: type.open,
          fields: type.fields.length,
          event_types: type.events.length,
        })),
      );
    case 'event_types':
      return types.flatMap((type) =>
        type.events.map((event) => ({
          aggregate_type: type.type,
          event_type: event.name,
          fields: event.fields ?? type.fields.map((field) => field.name),
        })),
      );
    case 'fields':
      return types.flatMap((type) =>
        type.fields.map((field, i) => ({
          aggregate_type: type.type,
          field: field.name,
          type: field.type,
          ordinal: i + 1,
        })),
      );
    case 'checkpoints':
      return checkpointRows(engine);
    case 'tokens':
      access.requireAdmin('list tokens');
      return tokenRows(engine);
    default:
      throw new DatabaseError(SqlState.undefinedTable, `relation "eventful.${name}" does not exist`);
  }
}

async function checkpointRows(engine: SessionEngine): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const { origin, size, root, note } of engine.checkpoints.all())
    rows.push({ origin, size, root: root.toString('hex'), note });
  return rows;
}

async function tokenRows(engine: SessionEngine): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const token of engine.tokens.all()) {
    rows.push({
      token_id: token.tokenId,
      identifier_type: token.identifierType,
      identifier_id: token.identifierId,
      grants: token.grants,
      not_before: timestampText(token.notBefore),
      expires_at: timestampText(token.expiresAt),
      write_limit: token.writeLimit?.toString() ?? null,
      // Only limited tokens are counted; the events of the others are found by their actor.
      writes_used: token.writeLimit === null ? null : (await engine.writesUsed(token.tokenId)).toString(),
      revoked: token.revoked,
      issued_at: timestampText(token.issuedAt),
    });
  }
  return rows;
}
