import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type pg from 'pg';
import { DatabaseError, SqlState } from '../engine/errors.js';
import { ByteWriter } from './byteWriter.js';
import { Submittable } from './submittable.js';

/** One statement and its parameters, all of them in PostgreSQL's binary form. */
export interface Step {
  /** Steps with the same name take each other's place in the server's memory of prepared statements. */
  readonly name: string;
  readonly text: string;
  /** Each writes one value without its length. */
  readonly parameters: readonly ((writer: ByteWriter) => void)[];
}

interface ClientState {
  /** The prepared statements by name. */
  readonly prepared: Map<string, string>;
  /** Used again and again: once PostgreSQL has answered, nothing of it is on its way any more. */
  writer: ByteWriter;
}

const states = new WeakMap<pg.Client, ClientState>();
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
/** PostgreSQL ends a connection over a message of 1 GiB. */
const MAX_BYTES = 512 * 1024 * 1024;

/**
 * Runs the steps in one round trip, outside a transaction as one transaction. All messages are built into one buffer:
 * a batch of the projector has thousands of values, and pg's way of taking each as an object costs more than the rest.
 * @throws DatabaseError 54000 before anything is sent, when it takes more than `maxBytes`
 */
export async function runSteps(
  client: pg.Client,
  steps: readonly Step[],
  maxBytes = MAX_BYTES,
): Promise<void> {
  let state = states.get(client);
  if (state === undefined) states.set(client, (state = { prepared: new Map(), writer: new ByteWriter() }));
  const { prepared, writer } = state;
  for (const step of steps) {
    if (prepared.get(step.name) !== step.text) putParse(writer, step);
    prepared.set(step.name, step.text);
    putBind(writer, step);
  }
  writer.byte('S'.charCodeAt(0));
  writer.int32(4);
  try {
    if (writer.length > maxBytes)
      throw new DatabaseError(SqlState.programLimitExceeded, 'too much for one message to the read model');
    await client.query(new Pipeline(writer.bytes())).done;
  } catch (error) {
    // Which of them were prepared before the fault is not known: they are closed and prepared again.
    for (const { name } of steps) prepared.delete(name);
    state.writer = new ByteWriter();
    throw error;
  }
  writer.clear(MAX_KEPT_BYTES);
}

/** A name for the statements of one kind about something: PostgreSQL takes 63 bytes. */
export function stepName(kind: string, about: string): string {
  return `${kind} ${createHash('sha256').update(about).digest('hex').slice(0, 32)}`;
}

/** Close, which is no error where there is none, and Parse. */
function putParse(writer: ByteWriter, { name, text }: Step): void {
  writer.byte('C'.charCodeAt(0));
  const close = writer.startLength();
  writer.byte('S'.charCodeAt(0));
  writer.cstring(name);
  writer.endLength(close, 4);
  writer.byte('P'.charCodeAt(0));
  const parse = writer.startLength();
  writer.cstring(name);
  writer.cstring(text);
  writer.int16(0);
  writer.endLength(parse, 4);
}

/** Bind and Execute. */
function putBind(writer: ByteWriter, { name, parameters }: Step): void {
  writer.byte('B'.charCodeAt(0));
  const message = writer.startLength();
  writer.byte(0);
  writer.cstring(name);
  // All parameters are binary.
  writer.int16(1);
  writer.int16(1);
  writer.int16(parameters.length);
  for (const put of parameters) {
    const start = writer.startLength();
    put(writer);
    writer.endLength(start);
  }
  writer.int16(0);
  writer.endLength(message, 4);
  writer.byte('E'.charCodeAt(0));
  writer.int32(9);
  writer.byte(0);
  writer.int32(0);
}

/** Messages that end in a Sync. */
class Pipeline extends Submittable {
  constructor(private readonly data: Buffer) {
    super();
  }

  submit(connection: pg.Connection): void {
    (connection as unknown as { stream: Duplex }).stream.write(this.data);
  }
  handleDataRow(): void {
    // Of the SELECT that notifies.
  }
}
