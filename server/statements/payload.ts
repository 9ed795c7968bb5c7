import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Fields } from '../../engine/types.js';

/**
 * A JSON object of field → value. Strings lose their quotes, null clears; numbers, booleans, objects and arrays keep
 * their JSON text to the last digit, which is why the values are cut from the text and not taken from JSON.parse.
 * @throws DatabaseError 22P02 when it is not a JSON object
 */
export function payloadFields(text: string | null): Fields {
  if (text === null) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DatabaseError(SqlState.invalidTextRepresentation, 'payload is not valid JSON');
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed))
    throw new DatabaseError(
      SqlState.invalidTextRepresentation,
      'payload must be a JSON object of field and value',
    );
  // fromEntries makes own properties of every name, __proto__ too, so that validation sees it.
  return Object.fromEntries([...members(text)].map(([name, value]) => [name, fieldValue(value)]));
}

function fieldValue(json: string): string | null {
  if (json === 'null') return null;
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

/** The members of a JSON object that is known to be well-formed: name and the value's own text. */
function* members(text: string): Generator<[string, string]> {
  let at = text.indexOf('{') + 1;
  for (;;) {
    const start = text.indexOf('"', at);
    if (start < 0) return;
    const end = stringEnd(text, start);
    const name = JSON.parse(text.slice(start, end)) as string;
    const from = text.indexOf(':', end) + 1;
    const to = valueEnd(text, from);
    yield [name, text.slice(from, to).trim()];
    if (text[to] !== ',') return;
    at = to + 1;
  }
}

/** Index behind the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Index of the comma or brace behind the value. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length;) {
    const c = text[at];
    if (c === '"') {
      at = stringEnd(text, at);
      continue;
    }
    if (depth === 0 && (c === ',' || c === '}')) return at;
    if (c === '{' || c === '[') depth++;
    if (c === '}' || c === ']') depth--;
    at++;
  }
  return text.length;
}
