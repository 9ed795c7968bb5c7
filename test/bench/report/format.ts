/** Numbers as people read them. */

/** Three digits that matter, thousands apart: 1,234,000 → `1,234,000`, 12.345 → `12.3`. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return value === 0 ? '0' : value.toPrecision(2);
}

export function times(value: number): string {
  return Number.isFinite(value) ? `${value >= 100 ? Math.round(value) : value.toFixed(2)}×` : '–';
}
