/** `eventful start`. */
import { Option, type Command } from 'commander';
import { destination, pino } from 'pino';
import { openKeyring, storeIdOf, type StoreKeys } from '../engine/index.js';
import { connectLines } from './connect.js';
import { answerFailed, answerReady, isDaemonChild, logPath, receiveKeys, startDaemon } from './daemon.js';
import { removeReadModel } from '../readmodel/index.js';
import { optionsOf, parseDirectory, parsePort, parseSessionThreads, type GlobalOptions } from './options.js';
import { runningServer } from './pidfile.js';
import { CommandError, say } from './report.js';
import { keyOptions, requireKeys, type KeyOptions } from './secrets.js';
import { serve, type Ready, type ServeOptions } from './serve.js';
import { LOG_LEVELS, readModelParent, readSettings, type Settings } from './settings.js';

export interface StartOptions extends KeyOptions, GlobalOptions {
  readonly port?: number;
  readonly host?: string;
  readonly socketDir?: string;
  readonly sessionThreads?: number;
  readonly logLevel?: string;
  readonly daemon?: boolean;
  readonly rebuildReadModel?: boolean;
}

/** The options that `start` and `restart` share. */
export function startOptions(command: Command): Command {
  return keyOptions(command)
    .option('--port <port>', 'TCP port, instead of the one in config.toml', parsePort)
    .option('--host <address>', 'address to listen on')
    .option(
      '--socket-dir <dir>',
      'directory of the Unix socket (default: the data directory)',
      parseDirectory,
    )
    .option(
      '--session-threads <n>',
      'threads that serve the clients; 0: the thread of the engine (default: by the number of cores)',
      parseSessionThreads,
    )
    .addOption(new Option('--log-level <level>', 'how much is logged').choices([...LOG_LEVELS]))
    .option('--rebuild-read-model', 'make the current state that queries read anew from the events');
}

export function startCommand(program: Command): void {
  startOptions(program.command('start').description('start the server'))
    .option('--daemon', 'run in the background, with the log in <data-dir>/server.log')
    .addHelpText(
      'after',
      `
Examples:
  $ eventful start                                      (until Ctrl-C; keys from the environment)
  $ eventful start --daemon --master-key-file master.key --dek-file dek.key`,
    )
    .action((_: unknown, command: Command) => start(optionsOf<StartOptions>(command)));
}

function effectiveSettings(options: StartOptions): Settings {
  const settings = readSettings(options.dataDir);
  return {
    ...settings,
    port: options.port ?? settings.port,
    host: options.host ?? settings.host,
    socketDirectory: options.socketDir ?? settings.socketDirectory,
    sessionThreads: options.sessionThreads ?? settings.sessionThreads,
    // Nobody wants to read JSON next to a prompt, unless there is something wrong.
    logLevel: options.logLevel ?? (process.stderr.isTTY ? 'warn' : settings.logLevel),
  };
}

/** @throws CommandError when there is no store or a server runs on it */
function requireStopped(dataDir: string): void {
  storeIdOf(dataDir);
  const running = runningServer(dataDir);
  if (running !== null)
    throw new CommandError(`a server is running on "${dataDir}" already`, {
      detail: `Process ${running.pid}, port ${running.port}.`,
      hint: 'Stop it with "eventful stop".',
    });
}

async function start(options: StartOptions): Promise<void> {
  if (isDaemonChild()) return runDaemonChild(options);
  requireStopped(options.dataDir);
  const keys = requireKeys(options);
  if (options.daemon === true) return startInBackground(options, keys);
  if (options.rebuildReadModel === true) await loseReadModel(options, keys);
  await serve(serveOptions(options, keys), (ready) => {
    printReady(ready, options.dataDir);
    say('Ctrl-C stops the server.');
  });
}

/** The server then makes it anew, as after any loss of it. With a wrong key nothing is removed. */
async function loseReadModel({ dataDir }: StartOptions, keys: StoreKeys): Promise<void> {
  openKeyring(dataDir, keys);
  await removeReadModel(storeIdOf(dataDir), readModelParent(dataDir, readSettings(dataDir)));
}

function serveOptions(options: StartOptions, keys: StoreKeys): ServeOptions {
  const settings = effectiveSettings(options);
  const log = destination({ fd: 2, sync: true });
  // Full, or closed by whoever read it: a server goes on without its log.
  log.on('error', () => undefined);
  const logger = pino({ level: settings.logLevel, base: null }, log);
  return { dataDir: options.dataDir, keys, settings, logger };
}

/** Starts a server in the background and says where it is. */
export async function startInBackground(options: StartOptions, keys: StoreKeys): Promise<void> {
  const { dataDir, port, host, socketDir, sessionThreads, logLevel, rebuildReadModel } = options;
  // A wrong key is told at once, and by this process.
  openKeyring(dataDir, keys);
  const args = ['start'];
  if (port !== undefined) args.push('--port', String(port));
  if (host !== undefined) args.push('--host', host);
  if (socketDir !== undefined) args.push('--socket-dir', socketDir);
  if (sessionThreads !== undefined) args.push('--session-threads', String(sessionThreads));
  if (logLevel !== undefined) args.push('--log-level', logLevel);
  if (rebuildReadModel === true) args.push('--rebuild-read-model');
  printReady(await startDaemon(dataDir, args, keys), dataDir);
  say(`Log: ${logPath(dataDir)}`);
}

async function runDaemonChild(options: StartOptions): Promise<void> {
  try {
    requireStopped(options.dataDir);
    const keys = await receiveKeys();
    if (options.rebuildReadModel === true) await loseReadModel(options, keys);
    await serve(serveOptions(options, keys), answerReady);
  } catch (error) {
    await answerFailed(error);
    throw error;
  }
}

function printReady({ endpoint, rebuild }: Ready, dataDir: string): void {
  const { host, port, socket } = endpoint;
  if (rebuild !== null && rebuild.rebuiltRows > 0) {
    const { rebuiltRows, rebuildSeconds, rowsPerSecond } = rebuild;
    const speed = Math.round(rowsPerSecond).toLocaleString('en');
    say(
      `Current state rebuilt: ${rebuiltRows.toLocaleString('en')} rows in ${rebuildSeconds.toFixed(2)} s (${speed}/s).`,
    );
  }
  say(`EventfulDB is listening on ${host}:${port}${socket === null ? '' : ` and ${socket}`}.`);
  if (socket === null)
    say('No Unix socket: its path would be too long. --socket-dir gives it another directory.');
  for (const line of connectLines(endpoint, dataDir)) say(line);
}
