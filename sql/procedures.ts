/** How many arguments a procedure takes. */
export interface ProcedureSignature {
  readonly minimum: number;
  readonly maximum: number;
  /** How to call it, for hints. */
  readonly usage: string;
}

/** Every procedure that CALL knows. What the arguments mean is the server's affair. */
export const PROCEDURES: ReadonlyMap<string, ProcedureSignature> = new Map([
  ['verify', { minimum: 0, maximum: 2, usage: 'verify([type [, id]])' }],
  ['prove', { minimum: 2, maximum: 3, usage: 'prove(type, id [, version])' }],
  ['checkpoint', { minimum: 0, maximum: 1, usage: 'checkpoint([note])' }],
  [
    'token_generate',
    { minimum: 1, maximum: 8, usage: 'token_generate(identifier_type, identifier_id, grants, …)' },
  ],
  ['token_revoke', { minimum: 1, maximum: 2, usage: 'token_revoke(token_id)' }],
  ['snapshot', { minimum: 2, maximum: 3, usage: 'snapshot(type, id [, comment])' }],
  ['replay', { minimum: 2, maximum: 4, usage: 'replay(type, id [, skip [, take]])' }],
]);
