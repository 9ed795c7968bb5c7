import type { StateRow } from '../engine/types.js';

export async function* chunks(
  batches: AsyncIterable<readonly StateRow[]>,
  size: number,
): AsyncGenerator<readonly StateRow[]> {
  let waiting: StateRow[] = [];
  for await (const batch of batches) {
    for (const row of batch) {
      waiting.push(row);
      if (waiting.length < size) continue;
      yield waiting;
      waiting = [];
    }
  }
  if (waiting.length > 0) yield waiting;
}

/** The same, with the next item already being made while one is worked on. */
export async function* readAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = source.next();
  try {
    for (let step = await next; step.done !== true; step = await next) {
      next = source.next();
      // Its failure counts once it is its turn.
      next.catch(() => undefined);
      yield step.value;
    }
  } finally {
    await next.catch(() => undefined);
    await source.return(undefined);
  }
}
