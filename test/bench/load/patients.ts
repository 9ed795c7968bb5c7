/** Rows to load: the same on every side, made from a seed, about 120 bytes of field values each. */
import { FIELDS } from '../peers/schema.js';

const FIRST = [
  'Ana',
  'Bao',
  'Chidi',
  'Dalia',
  'Emre',
  'Freya',
  'Goran',
  'Hana',
  'Ivo',
  'Jamal',
  'Kaya',
  'Lena',
];
const LAST = ['Abara', 'Becker', 'Castillo', 'Dumont', 'Eriksen', 'Fontaine', 'Grabowski', 'Haddad', 'Ito'];
const STATUS = ['admitted', 'stable', 'critical', 'recovering', 'discharged'];
const WORDS = [
  'round',
  'fever',
  'sepsis',
  'culture',
  'lactate',
  'fluid',
  'oxygen',
  'review',
  'scan',
  'clear',
];

export interface PatientRow {
  readonly id: string;
  /** What a client that keeps count would send; EventfulDB and the trigger assign it themselves. */
  readonly version: number;
  readonly values: readonly string[];
}

export interface Load {
  readonly events: number;
  readonly aggregates: number;
  /** Added to the ids, so that a second load brings other aggregates. */
  readonly firstId: number;
  /** Versions these aggregates have already. */
  readonly firstVersion?: number;
}

/** xorshift32: fast, repeatable, good enough for names. */
function random(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Round after round over all aggregates, as a system in use would write. */
export function* patients(load: Load): Generator<PatientRow> {
  const next = random(load.firstId + 7919);
  const pick = (words: readonly string[]): string => words[next(words.length)] ?? '';
  for (let i = 0; i < load.events; i++) {
    const birthdate = `${1930 + next(90)}-0${1 + next(9)}-${10 + next(18)}`;
    const note = `${pick(WORDS)} ${pick(WORDS)} ${next(1e6)}, ${pick(WORDS)} at ${next(24)} h, ${pick(WORDS)} ${next(1e6)}`;
    yield {
      id: String(load.firstId + (i % load.aggregates)),
      version: (load.firstVersion ?? 0) + Math.floor(i / load.aggregates) + 1,
      values: [pick(FIRST), pick(LAST), birthdate, pick(STATUS), String(1 + next(40)), note],
    };
  }
}

export function payloadOf(row: PatientRow): string {
  return JSON.stringify(Object.fromEntries(FIELDS.map((field, i) => [field, row.values[i]])));
}

export function csvLine(values: readonly string[]): string {
  return values.map((value) => `"${value.replaceAll('"', '""')}"`).join(',') + '\n';
}
