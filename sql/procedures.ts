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
  ['checkpoint', { minimum: 0, maximum: 1, usage: 'checkpoint([since_size])' }],
  ['compact', { minimum: 0, maximum: 0, usage: 'compact()' }],
  [
    'token_generate',
    {
      minimum: 3,
      maximum: 5,
      usage: 'token_generate(identifier_type, identifier_id, grants [, expires_at [, write_limit]])',
    },
  ],
  ['token_revoke', { minimum: 1, maximum: 1, usage: 'token_revoke(token_id)' }],
]);
