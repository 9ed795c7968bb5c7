import type { ProjectionSource, StateRow } from '../engine/types.js';
import { chunks, readAhead } from './chunks.js';
import { copyData } from './copyIn.js';
import type { Logger } from './logger.js';
import type { SchemaMirror } from './schemaMirror.js';
import type { Session } from './session.js';
import { TableLoad } from './tableLoad.js';
import { load, type TypeRows } from './writer.js';

/** What goes into one COPY. */
const LOAD_ROWS = 5000;

export interface Loading {
  readonly source: ProjectionSource;
  readonly session: Session;
  readonly mirror: SchemaMirror;
  readonly logger: Logger;
  readonly onRows: (count: number) => void;
}

/** Rows with their bytes for COPY. */
interface Encoded {
  readonly rows: readonly StateRow[];
  /** null when the schema no longer has the type. */
  readonly typed: TypeRows | null;
  readonly data: Buffer;
}

/** Fills a type's table with all its states, in one transaction: nobody sees half a table. */
export async function loadType(
  type: string,
  { source, session, mirror, logger, onRows }: Loading,
): Promise<void> {
  await session.transaction(async (client) => {
    const target = new TableLoad(client, type);
    await target.begin();
    // While PostgreSQL stores one piece, the next is read and encoded.
    for await (const ahead of readAhead(encoded(source, mirror, type))) {
      let piece = ahead;
      if (mirror.lacksColumns(type, piece.rows, source.schema())) await mirror.apply(client, source.schema());
      // The table may have gained columns since, for this piece or for the one before it.
      if (!isCurrent(piece, mirror, type)) piece = encode(mirror, type, piece.rows);
      if (piece.typed !== null) await load(client, piece.typed, piece.data, target, logger);
      onRows(piece.rows.length);
    }
    await target.makeKey();
  });
}

async function* encoded(
  source: ProjectionSource,
  mirror: SchemaMirror,
  type: string,
): AsyncGenerator<Encoded> {
  for await (const rows of chunks(source.allStates(type), LOAD_ROWS)) yield encode(mirror, type, rows);
}

function isCurrent({ typed }: Encoded, mirror: SchemaMirror, type: string): boolean {
  return typed?.fields.length === mirror.typed(type, [])?.fields.length;
}

function encode(mirror: SchemaMirror, type: string, rows: readonly StateRow[]): Encoded {
  const typed = mirror.typed(type, rows);
  return { rows, typed, data: typed === null ? Buffer.alloc(0) : copyData(rows, typed.fields) };
}
