/** The words of the replication grammar: far fewer than SQL's. */
import { DatabaseError, SqlState } from '../../engine/errors.js';

interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'lsn' | 'symbol';
  /** Words in lower case; quoted text without its quotes. */
  readonly text: string;
}

const PATTERNS: readonly (readonly [Token['kind'], RegExp])[] = [
  ['lsn', /[0-9A-Fa-f]+\/[0-9A-Fa-f]+/y],
  ['number', /[0-9]+/y],
  ['word', /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y],
  ['quoted', /"(?:[^"]|"")+"/y],
  ['string', /'(?:[^']|'')*'/y],
  ['symbol', /[(),;]/y],
];
const SPACE = /[ \t\n\r\f\v]*/y;
const MAX_TOKENS = 4000;

function invalid(message: string): DatabaseError {
  return new DatabaseError(SqlState.syntaxError, message);
}

export class TokenReader {
  private readonly tokens: Token[] = [];
  private at = 0;

  /** @throws DatabaseError 42601 */
  constructor(text: string) {
    let position = 0;
    for (;;) {
      SPACE.lastIndex = position;
      position += SPACE.exec(text)?.[0].length ?? 0;
      if (position >= text.length) break;
      const found = match(text, position);
      if (found === null || this.tokens.length >= MAX_TOKENS)
        throw invalid('syntax error in replication command');
      this.tokens.push(found.token);
      position += found.length;
    }
  }

  next(): Token | null {
    return this.tokens[this.at++] ?? null;
  }

  /** Takes the word or symbol when it comes next. */
  accept(text: string): boolean {
    const token = this.tokens[this.at];
    if (token?.text !== text || !['word', 'symbol'].includes(token.kind)) return false;
    this.at++;
    return true;
  }

  identifier(what: string): string {
    const token = this.next();
    if (token?.kind === 'word' || token?.kind === 'quoted') return token.text;
    throw invalid(`syntax error in replication command: expected ${what}`);
  }

  lsn(): string {
    const token = this.next();
    if (token?.kind === 'lsn') return token.text;
    throw invalid('syntax error in replication command: expected a WAL position');
  }

  /** `name [value], …)`, behind the opening parenthesis. */
  options(): [name: string, value: string | null][] {
    const found: [string, string | null][] = [];
    do {
      const name = this.identifier('an option');
      const token = this.tokens[this.at];
      const hasValue = token !== undefined && token.kind !== 'symbol';
      if (hasValue) this.at++;
      found.push([name, hasValue ? token.text : null]);
    } while (this.accept(','));
    if (!this.accept(')')) throw invalid('syntax error in replication command: expected ")"');
    return found;
  }

  /** Nothing but a semicolon may follow. */
  end(): void {
    this.accept(';');
    const rest = this.next();
    if (rest !== null)
      throw invalid(`syntax error in replication command at or near "${rest.text.slice(0, 70)}"`);
  }
}

function match(text: string, position: number): { token: Token; length: number } | null {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found === undefined) continue;
    return { token: { kind, text: plain(kind, found) }, length: found.length };
  }
  return null;
}

function plain(kind: Token['kind'], found: string): string {
  if (kind === 'quoted') return found.slice(1, -1).replaceAll('""', '"');
  if (kind === 'string') return found.slice(1, -1).replaceAll("''", "'");
  return kind === 'word' ? found.toLowerCase() : found;
}
