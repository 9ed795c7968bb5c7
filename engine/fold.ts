import type { Fields } from './types.js';

/** A field's value; null where it has none, also for a field called like something all objects have (`constructor`). */
export function fieldOf(fields: Fields, name: string): string | null {
  const value: unknown = fields[name];
  return typeof value === 'string' ? value : null;
}

/** The state after one more event: fields left out keep their value, fields given null are cleared. */
export function applyEvent(state: Fields, payload: Fields): Fields {
  const next: Record<string, string | null> = { ...state };
  for (const field of Object.keys(payload)) {
    const value = payload[field] ?? null;
    if (value === null) delete next[field];
    else next[field] = value;
  }
  return next;
}
