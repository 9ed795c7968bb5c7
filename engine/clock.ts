import type { Clock } from './commit/loop.js';

/** How far the monotonic clock may have drifted from the wall clock, which is only as fine as this. */
const DRIFT_MS = 2;
let clockOrigin = performance.timeOrigin;

/** Wall clock in microseconds since 1970; it follows when that is set, and when the machine has slept. */
export const systemClock: Clock = () => {
  const [wall, passed] = [Date.now(), performance.now()];
  if (Math.abs(clockOrigin + passed - wall) > DRIFT_MS) clockOrigin = wall - passed;
  return Math.round((clockOrigin + passed) * 1000);
};
