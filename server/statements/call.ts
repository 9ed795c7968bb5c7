/** CALL: procedures that return one row each. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { parseGrant } from '../../engine/tokens/grants.js';
import type { Writer } from '../../engine/types.js';
import type { VerifyOptions } from '../../engine/verify/verify.js';
import type { CallStatement } from '../../sql/statement.js';
import type { SessionEngine } from '../ports.js';
import type { Access } from '../session/access.js';
import { parseTextArray } from '../values/arrays.js';
import { operandValue, type Parameters } from './append.js';
import { timestampText, type Column, type Result } from './result.js';

export interface CallContext {
  readonly engine: SessionEngine;
  readonly access: Access;
  readonly writer: Writer;
  readonly parameters: Parameters;
  readonly signal: AbortSignal;
  /** Reads a timestamp as the session does; microseconds since 1970. */
  readonly timestamp: (text: string) => Promise<bigint>;
  /** What `verify` takes from the read model. */
  readonly beside: Pick<VerifyOptions, 'compare' | 'ids'>;
}

interface Procedure {
  readonly parameters: readonly string[];
  readonly columns: readonly Column[];
  run(args: Arguments, context: CallContext): Promise<(string | null)[][]>;
}

/** Arguments by name. */
class Arguments {
  constructor(private readonly values: ReadonlyMap<string, string | null>) {}

  get(name: string): string | null {
    return this.values.get(name) ?? null;
  }

  require(name: string): string {
    const value = this.get(name);
    if (value === null) throw new DatabaseError(SqlState.invalidParameterValue, `${name} must not be null`);
    return value;
  }

  number(name: string): bigint | null {
    const value = this.get(name);
    if (value === null) return null;
    if (!/^\d{1,18}$/.test(value))
      throw new DatabaseError(SqlState.invalidParameterValue, `${name} must be a number from 0`);
    return BigInt(value);
  }
}

const columns = (all: Readonly<Record<string, string>>): Column[] =>
  Object.entries(all).map(([name, type]) => ({ name, type }));

const verify: Procedure = {
  parameters: ['type', 'id'],
  columns: columns({
    verified: 'boolean',
    aggregates: 'bigint',
    events: 'bigint',
    size: 'bigint',
    root: 'text',
    checkpoints: 'bigint',
    seconds: 'double precision',
  }),
  async run(args, { engine, access, signal, beside }) {
    const type = args.get('type');
    const id = args.get('id');
    if (type !== null && id !== null) access.requireRead(type, id);
    else access.requireReadAll(type);
    const started = performance.now();
    const report = await engine.verify(type, id, { signal, ...beside });
    const seconds = ((performance.now() - started) / 1000).toFixed(3);
    return [
      [
        't',
        String(report.aggregates),
        String(report.events),
        String(report.size),
        report.root,
        String(report.checkpoints),
        seconds,
      ],
    ];
  },
};

const prove: Procedure = {
  parameters: ['type', 'id', 'version'],
  columns: columns({
    position: 'bigint',
    event_hash: 'text',
    aggregate_root: 'text',
    checkpoint: 'text',
    proof: 'json',
    verifier_key: 'text',
  }),
  async run(args, { engine, access }) {
    const [type, id] = [args.require('type'), args.require('id')];
    access.requireRead(type, id);
    const version = args.number('version') ?? (await engine.state(type, id))?.version ?? 0n;
    const { proof, eventHash } = await engine.prove(type, id, version);
    return [
      [
        proof.position,
        eventHash,
        proof.aggregateRoot,
        proof.checkpoint,
        JSON.stringify(proof),
        engine.checkpoints.verifierKey,
      ],
    ];
  },
};

const checkpoint: Procedure = {
  parameters: ['since'],
  columns: columns({
    origin: 'text',
    size: 'bigint',
    root: 'text',
    note: 'text',
    consistency: 'text[]',
    verifier_key: 'text',
  }),
  async run(args, { engine }) {
    const since = args.number('since');
    const { origin, size, root, note } = await engine.checkpoint();
    const path = since === null ? null : await engine.proveConsistency(Number(since), size);
    return [
      [
        origin,
        String(size),
        root.toString('hex'),
        note,
        path === null ? null : `{${path.join(',')}}`,
        engine.checkpoints.verifierKey,
      ],
    ];
  },
};

const compact: Procedure = {
  parameters: [],
  columns: columns({ seconds: 'double precision' }),
  async run(_args, { engine, access }) {
    access.requireAdmin('compact the store');
    const started = performance.now();
    await engine.compact();
    return [[((performance.now() - started) / 1000).toFixed(3)]];
  },
};

const tokenGenerate: Procedure = {
  parameters: ['identifier_type', 'identifier_id', 'grants', 'expires_at', 'write_limit'],
  columns: columns({ token: 'text', token_id: 'uuid', expires_at: 'timestamp with time zone' }),
  async run(args, context) {
    context.access.requireAdmin('issue tokens');
    const grants = args.require('grants');
    const list = grants.startsWith('{') ? parseTextArray(grants) : grants.split(',');
    const expires = args.get('expires_at');
    const expiresAt = expires === null ? inOneYear() : await context.timestamp(expires);
    const { token, tokenId } = await context.engine.tokens.generate(
      {
        identifierType: args.require('identifier_type'),
        identifierId: args.require('identifier_id'),
        grants: list.map((grant) => parseGrant((grant ?? '').trim())),
        expiresAt: Number(expiresAt / 1_000_000n),
        writeLimit: args.number('write_limit'),
      },
      context.writer,
    );
    return [[token, tokenId, timestampText(expiresAt)]];
  },
};

function inOneYear(): bigint {
  return BigInt(Date.now() + 365 * 24 * 3600 * 1000) * 1000n;
}

const tokenRevoke: Procedure = {
  parameters: ['token_id'],
  columns: columns({ token_id: 'text', revoked: 'boolean' }),
  async run(args, { engine, access, writer }) {
    access.requireAdmin('revoke tokens');
    const tokenId = args.require('token_id');
    await engine.tokens.revoke(tokenId, writer);
    return [[tokenId, 't']];
  },
};

const PROCEDURES: Readonly<Record<string, Procedure>> = {
  verify,
  prove,
  checkpoint,
  compact,
  token_generate: tokenGenerate,
  token_revoke: tokenRevoke,
};

function procedure(statement: CallStatement): Procedure {
  const found = Object.hasOwn(PROCEDURES, statement.procedure) ? PROCEDURES[statement.procedure] : undefined;
  if (found === undefined)
    throw new DatabaseError(SqlState.undefinedFunction, `procedure ${statement.procedure} does not exist`);
  return found;
}

export function callColumns(statement: CallStatement): readonly Column[] {
  return procedure(statement).columns;
}

function bindArguments(statement: CallStatement, parameters: Parameters): Arguments {
  const names = procedure(statement).parameters;
  const values = new Map<string, string | null>();
  statement.args.forEach((operand, i) => {
    const name = statement.names[i] ?? names[i];
    if (name === undefined || !names.includes(name))
      throw new DatabaseError(
        SqlState.undefinedFunction,
        `procedure ${statement.procedure} has no argument ${name === undefined ? i + 1 : `"${name}"`}`,
        { hint: `Its arguments are ${names.join(', ')}.` },
      );
    values.set(name, operandValue(operand, parameters));
  });
  return new Arguments(values);
}

export async function runCall(statement: CallStatement, context: CallContext): Promise<Result> {
  const called = procedure(statement);
  const rows = await called.run(bindArguments(statement, context.parameters), context);
  return { columns: called.columns, rows, tag: 'CALL' };
}
