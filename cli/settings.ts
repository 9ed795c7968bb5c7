/** `config.toml` in the data directory: everything an operator may set, but no secrets. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { parse, stringify, TomlError } from 'smol-toml';
import { MAX_SESSION_THREADS } from '../server/sessionThreads.js';
import { CommandError } from './report.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly maxConnections: number;
  /** Seconds. */
  readonly authenticationTimeout: number;
  /** null: by the number of cores. */
  readonly sessionThreads: number | null;
  /** Microseconds. */
  readonly busyPollUs: number;
  /** null: the data directory. */
  readonly socketDirectory: string | null;
  /** PEM files; relative ones are relative to the data directory. */
  readonly tlsCert: string;
  readonly tlsKey: string;
  /** null: in memory (/dev/shm). */
  readonly readModelDirectory: string | null;
  /** Megabytes for tables of the past; 0: none. */
  readonly historyMb: number;
  /** A look-back over fewer aggregates is the engine's. */
  readonly historyFrom: number;
  readonly logLevel: string;
}

export const DEFAULT_SETTINGS: Settings = {
  host: '127.0.0.1',
  port: 9595,
  maxConnections: 2000,
  authenticationTimeout: 60,
  sessionThreads: null,
  busyPollUs: 250,
  socketDirectory: null,
  tlsCert: 'tls/server.crt',
  tlsKey: 'tls/server.key',
  readModelDirectory: null,
  historyMb: 512,
  historyFrom: 1000,
  logLevel: 'info',
};

interface Entry {
  readonly section: string;
  readonly key: string;
  readonly setting: keyof Settings;
  readonly comment: string;
  /** What a value looks like where none is set; default: text. */
  readonly example?: string;
  /** What it must be, for the error; null when it is right. */
  check(value: unknown): string | null;
}

const text = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && !value.includes('\0') ? null : 'text';
const number =
  (least: number, most: number) =>
  (value: unknown): string | null =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most
      ? null
      : `a number from ${least} to ${most}`;
const level = (value: unknown): string | null =>
  (LOG_LEVELS as readonly unknown[]).includes(value) ? null : `one of ${LOG_LEVELS.join(', ')}`;

const ENTRIES: readonly Entry[] = [
  {
    section: 'server',
    key: 'host',
    setting: 'host',
    comment:
      'The address to listen on. 0.0.0.0 or :: for every interface; from other machines only TLS is accepted.',
    check: text,
  },
  { section: 'server', key: 'port', setting: 'port', comment: 'The TCP port.', check: number(0, 65_535) },
  {
    section: 'server',
    key: 'max_connections',
    setting: 'maxConnections',
    comment: 'How many clients may be connected at once.',
    check: number(1, 10_000),
  },
  {
    section: 'server',
    key: 'authentication_timeout',
    setting: 'authenticationTimeout',
    comment: 'How many seconds a client may take for TLS, startup and password.',
    check: number(1, 600),
  },
  {
    section: 'server',
    key: 'session_threads',
    setting: 'sessionThreads',
    comment:
      'Threads that serve the clients; 0: the thread of the engine does. Default: by the number of cores.',
    example: '2',
    check: number(0, MAX_SESSION_THREADS),
  },
  {
    section: 'server',
    key: 'busy_poll_us',
    setting: 'busyPollUs',
    comment:
      'Microseconds a thread stays awake for the next request of a client that is alone; 0: it sleeps at once.',
    check: number(0, 10_000),
  },
  {
    section: 'server',
    key: 'socket_directory',
    setting: 'socketDirectory',
    comment: 'Where the Unix socket .s.PGSQL.<port> is made. Default: the data directory.',
    check: text,
  },
  {
    section: 'tls',
    key: 'cert',
    setting: 'tlsCert',
    comment: 'Certificate (PEM), with its chain if it has one. Relative to the data directory.',
    check: text,
  },
  {
    section: 'tls',
    key: 'key',
    setting: 'tlsKey',
    comment: 'Private key of the certificate (PEM).',
    check: text,
  },
  {
    section: 'read_model',
    key: 'directory',
    setting: 'readModelDirectory',
    comment:
      'Where the current state is kept, unencrypted. Default: memory (/dev/shm). If you set it, use an encrypted volume.',
    check: text,
  },
  {
    section: 'read_model',
    key: 'history_mb',
    setting: 'historyMb',
    comment:
      'Megabytes for tables of the past, which AS OF over many aggregates is answered from; 0: none, the engine answers.',
    check: number(0, 1_000_000),
  },
  {
    section: 'read_model',
    key: 'history_from',
    setting: 'historyFrom',
    comment: 'AS OF over fewer aggregates than this is answered by the engine in any case.',
    check: number(1, 1_000_000_000),
  },
  {
    section: 'log',
    key: 'level',
    setting: 'logLevel',
    comment: `How much is logged: ${LOG_LEVELS.join(', ')}.`,
    check: level,
  },
];

export function settingsPath(dataDirectory: string): string {
  return join(dataDirectory, 'config.toml');
}

/** A path of the settings, which may be relative to the data directory. */
export function resolveSetting(dataDirectory: string, path: string): string {
  return isAbsolute(path) ? path : join(dataDirectory, path);
}

/** The directory that holds the read model's; undefined: memory. */
export function readModelParent(dataDirectory: string, { readModelDirectory }: Settings): string | undefined {
  return readModelDirectory === null ? undefined : resolveSetting(dataDirectory, readModelDirectory);
}

/**
 * Reads settings from TOML; what is not set has its default.
 * @throws CommandError for malformed TOML, an unknown setting, or a value that is not allowed
 */
export function parseSettings(toml: string, name = 'config.toml'): Settings {
  let sections: Record<string, unknown>;
  try {
    sections = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new CommandError(`${name} is not valid TOML`, {
      detail: `Line ${error.line}, column ${error.column}.`,
    });
  }
  const found: Record<string, unknown> = {};
  for (const [section, keys] of Object.entries(sections)) {
    const values = typeof keys === 'object' && keys !== null ? Object.entries(keys) : [['', keys] as const];
    for (const [key, value] of values) {
      const entry = ENTRIES.find((known) => known.section === section && known.key === key);
      const shown = key === '' ? section : `${section}.${key}`;
      if (entry === undefined) {
        const known = ENTRIES.map((each) => `${each.section}.${each.key}`).join(', ');
        throw new CommandError(`${name}: there is no setting ${shown}`, {
          hint: `The settings are ${known}.`,
        });
      }
      const wanted = entry.check(value);
      if (wanted !== null) throw new CommandError(`${name}: ${shown} must be ${wanted}`);
      found[entry.setting] = value;
    }
  }
  return { ...DEFAULT_SETTINGS, ...found };
}

/** The file's text, each setting with what it means; those without a value are commented out. */
export function renderSettings(settings: Settings): string {
  const lines = [
    '# Settings of this EventfulDB store, read at start. The keys are not here: they are given at every start.',
    '# "eventful config" rewrites this file: it keeps the values, not your comments.',
  ];
  let section = '';
  for (const entry of ENTRIES) {
    if (entry.section !== section) lines.push('', `[${(section = entry.section)}]`);
    const value = settings[entry.setting];
    lines.push(`# ${entry.comment}`);
    lines.push(
      value === null
        ? `# ${entry.key} = ${entry.example ?? '"…"'}`
        : stringify({ [entry.key]: value }).trim(),
    );
  }
  return lines.join('\n') + '\n';
}

/** The settings of a data directory; the defaults when it has no file. @throws CommandError */
export function readSettings(dataDirectory: string): Settings {
  const path = settingsPath(dataDirectory);
  return existsSync(path) ? parseSettings(readFileSync(path, 'utf8'), path) : DEFAULT_SETTINGS;
}

/** Replaces the file as a whole: a reader sees the old one or the new one. */
export function writeSettings(dataDirectory: string, settings: Settings): void {
  const path = settingsPath(dataDirectory);
  writeFileSync(`${path}.new`, renderSettings(settings), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
