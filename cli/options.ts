/** Options that several commands have. */
import { resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { MAX_SESSION_THREADS } from '../server/sessionThreads.js';

export interface GlobalOptions {
  readonly dataDir: string;
}

/** A command's options together with the program's. */
export function optionsOf<Options>(command: Command): Options & GlobalOptions {
  const options = command.optsWithGlobals<Options & GlobalOptions>();
  // The default has not been parsed.
  return { ...options, dataDir: resolve(options.dataDir) };
}

/** @returns its absolute path */
export function parseDirectory(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('A directory must be named.');
  return resolve(text);
}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port >= 0 && port <= 65_535) return port;
  throw new InvalidArgumentError('A port is a number from 0 to 65535.');
}

export function parseSessionThreads(text: string): number {
  const threads = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (threads >= 0 && threads <= MAX_SESSION_THREADS) return threads;
  throw new InvalidArgumentError(`Session threads are a number from 0 to ${MAX_SESSION_THREADS}.`);
}
