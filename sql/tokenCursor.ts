import { parseSync } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { constantText, unwrap } from './ast.js';
import type { Token } from './lexer.js';
import { MAXIMUM_NAME_BYTES, isName, nameOf } from './names.js';
import type { SqlText } from './text.js';

/** Reads the dialect's own statements token by token. */
export class TokenCursor {
  constructor(
    readonly text: SqlText,
    readonly tokens: readonly Token[],
    public index = 0,
  ) {}

  get token(): Token | undefined {
    return this.tokens[this.index];
  }

  /** Whether these keywords or symbols come next. */
  at(...words: readonly string[]): boolean {
    return words.every((word, ahead) => this.tokens[this.index + ahead]?.word === word);
  }

  /** Steps over the keywords or symbols if they come next. */
  accept(...words: readonly string[]): boolean {
    if (!this.at(...words)) return false;
    this.index += words.length;
    return true;
  }

  expect(...words: readonly string[]): void {
    for (const word of words) if (!this.accept(word)) throw this.unexpected();
  }

  unexpected(hint?: string): Error {
    return this.text.syntaxError(this.token, hint === undefined ? {} : { hint });
  }

  end(): void {
    if (this.token !== undefined) throw this.unexpected();
  }

  name(): { readonly name: string; readonly start: number } {
    const token = this.token;
    if (!isName(token)) throw this.unexpected();
    this.index++;
    const name = nameOf(this.text, token);
    if (Buffer.byteLength(name) > MAXIMUM_NAME_BYTES) {
      throw this.text.error(
        '42622',
        `name "${name}" is longer than ${MAXIMUM_NAME_BYTES} bytes`,
        token.start,
      );
    }
    return { name, start: token.start };
  }

  /** A name that may have `public.` in front: aggregates live in no other schema. */
  aggregateName(): { readonly name: string; readonly start: number } {
    const first = this.name();
    if (!this.accept('.')) return first;
    const second = this.name();
    if (first.name !== 'public') {
      const message = `schema "${first.name}" cannot hold aggregates`;
      throw this.text.error('3F000', message, first.start, { hint: 'Aggregates live in the schema public.' });
    }
    return { name: second.name, start: first.start };
  }

  /** An integer without sign, as written. */
  integer(): number {
    const token = this.token;
    if (token?.kind !== 'integer') throw this.unexpected();
    this.index++;
    const value = Number(this.text.slice(token).replace(/_/g, ''));
    if (!Number.isSafeInteger(value)) {
      throw this.text.error(SqlState.numericValueOutOfRange, 'integer out of range', token.start);
    }
    return value;
  }

  string(): string {
    const token = this.token;
    if (token?.kind !== 'string' && token?.kind !== 'unicodeString') throw this.unexpected();
    this.index++;
    return stringValue(this.text, token);
  }
}

/** The value of a string constant, as PostgreSQL's parser reads its escapes. */
export function stringValue(text: SqlText, token: Token): string {
  const written = text.slice(token);
  if (/^'[^'\\]*'$/.test(written)) return written.slice(1, -1);
  try {
    const select = unwrap(parseSync(`SELECT ${written}`).stmts?.[0]?.stmt, 'SelectStmt');
    const constant = unwrap(unwrap(select?.targetList?.[0], 'ResTarget')?.val, 'A_Const');
    return constant === undefined ? '' : (constantText(constant) ?? '');
  } catch (error) {
    throw text.error(
      SqlState.syntaxError,
      error instanceof Error ? error.message : String(error),
      token.start,
    );
  }
}
