/** Fills a side by COPY before anything is measured. */
import { loadByCopy } from './bulk.js';
import type { Load } from './patients.js';
import { execute, type Login } from '../peers/login.js';

/** Events of one psql script: it lies on the disk as a whole, and what is loaded may be ten million. */
export const PART_EVENTS = 500_000;

/** Aggregates are shared out, so that each part still writes round after round. */
export function parts(load: Load): Load[] {
  const rounds = load.events / load.aggregates;
  if (load.events <= PART_EVENTS || !Number.isInteger(rounds)) return [load];
  const perPart = Math.max(1, Math.floor(PART_EVENTS / rounds));
  const all: Load[] = [];
  for (let done = 0; done < load.aggregates; done += perPart) {
    const aggregates = Math.min(perPart, load.aggregates - done);
    all.push({ ...load, aggregates, events: aggregates * rounds, firstId: load.firstId + done });
  }
  return all;
}

/** What loading leaves to be done later, done at once, so that it does not fall into what is measured. */
const SETTLING = { eventful: ['CALL compact()'], statement: ['VACUUM (ANALYZE)', 'CHECKPOINT'] } as const;

/** @param afterPart called after each part with the events loaded so far */
export async function fill(
  login: Login,
  system: 'eventful' | 'statement',
  load: Load,
  scratch: string,
  afterPart?: (loaded: number) => Promise<void> | void,
): Promise<void> {
  let loaded = 0;
  for (const part of parts(load)) {
    await loadByCopy(login, system, part, scratch);
    loaded += part.events;
    await afterPart?.(loaded);
  }
  await execute(login, ...SETTLING[system]);
}
