import type { Fields } from './types.js';

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
