/**
 * Stays awake for the next request of a client that is alone.
 *
 * A thread that waits in epoll has to be woken for every request, and then finds its caches cold: on a virtual machine
 * that took as long as a point read itself (190 µs per read, 110 without). As long as one client after another comes,
 * there is no time to sleep anyhow; but a single client that asks one thing after another pays for it each time. So
 * while the requests of one client keep coming soon after each other, the event loop goes round without sleeping.
 * It stops as soon as another client comes. Where it does not pay it is given up, each time for twice as many requests.
 */
import { availableParallelism } from 'node:os';

/** Requests of one client in a row before the loop goes round for it: at first, and at most. */
const STREAK = { first: 8, most: 4096 };
/**
 * What it may lose before it is given up for a while. Having waited in vain costs the whole window, a request that
 * came in time saves a good part of it, so it pays as long as nine of ten come in time.
 */
const CREDIT = { first: 16, most: 64, inTime: 1, inVain: -8 };

/** What it needs of the runtime; tests have their own. */
export interface Turns {
  /** Milliseconds. */
  now(): number;
  /** Calls back in the next turn of the event loop, which then does not sleep. */
  next(turn: () => void): void;
}

const EVENT_LOOP: Turns = { now: () => performance.now(), next: (turn) => void setImmediate(turn) };

/**
 * With fewer cores than threads that may stay awake, and one more for everybody else, there is nothing to spare.
 * @param threads session threads; 0: sessions share the engine's
 */
export function windowMs(windowUs: number, threads: number, cores = availableParallelism()): number {
  return cores > Math.max(threads, 1) ? windowUs / 1000 : 0;
}

export class BusyPoll {
  private client: object | null = null;
  private streak = 0;
  private needed = STREAK.first;
  private credit = CREDIT.first;
  private until = 0;
  private turning = false;

  /** @param windowMs how long to go round for the next request; 0: never */
  constructor(
    private readonly windowMs: number,
    private readonly turns: Turns = EVENT_LOOP,
  ) {}

  /** A request has come. */
  request(client: object): void {
    if (this.windowMs === 0) return;
    if (this.client !== client) {
      this.client = client;
      this.streak = 0;
      return;
    }
    this.streak += 1;
    if (this.turning) this.cameInTime();
    this.stayAwake();
  }

  /** It was answered, some time after it had come. */
  answered(client: object): void {
    if (this.client === client) this.stayAwake();
  }

  private cameInTime(): void {
    this.credit = Math.min(CREDIT.most, this.credit + CREDIT.inTime);
    if (this.credit === CREDIT.most) this.needed = STREAK.first;
  }

  private wasInVain(): void {
    this.credit += CREDIT.inVain;
    if (this.credit > 0) return;
    this.credit = CREDIT.first;
    this.needed = Math.min(STREAK.most, this.needed * 2);
    this.streak = 0;
  }

  private stayAwake(): void {
    if (this.streak < this.needed) return;
    this.until = this.turns.now() + this.windowMs;
    if (this.turning) return;
    this.turning = true;
    this.turns.next(this.turn);
  }

  private readonly turn = (): void => {
    if (this.streak > 0 && this.turns.now() < this.until) {
      this.turns.next(this.turn);
      return;
    }
    this.turning = false;
    // Another client came: that tells nothing about this one.
    if (this.streak > 0) this.wasInVain();
  };
}
