/** The program `eventful`. */
import { Command, CommanderError, Option } from 'commander';
import { configCommand } from './config.js';
import { destroyCommand } from './destroy.js';
import { parseDirectory } from './options.js';
import { packageVersion } from './packageInfo.js';
import { EXIT_USAGE, print, redact, reportError } from './report.js';
import { startCommand } from './start.js';
import { restartCommand, stopCommand } from './stop.js';
import { tokenCommands } from './token.js';

function program(): Command {
  const eventful = new Command('eventful')
    .description('EventfulDB: an immutable, verifiable event store that speaks the PostgreSQL wire protocol')
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(redact(text.replace(/^error: /, 'eventful: '))),
    })
    .showHelpAfterError('hint: --help shows what there is')
    .version(packageVersion(), '--version', 'print the version')
    .addOption(
      new Option('--data-dir <dir>', 'where the store is')
        .env('EVENTFUL_DATA_DIR')
        .default('./.eventful')
        .argParser(parseDirectory),
    )
    .addHelpText(
      'after',
      `
Begin:
  $ export EVENTFUL_MASTER_KEY=$(openssl rand -hex 32) EVENTFUL_DEK=$(openssl rand -hex 32)
  $ eventful config
  $ eventful start --daemon
  $ export PGPASSWORD=$(eventful token:generate --identifierType user --identifierId me --grant admin)
  $ psql "host=localhost port=9595 dbname=eventful user=me sslmode=require"

Exit codes: 0 done, 1 failed, 2 called wrongly. EVENTFUL_DEBUG=1 shows where an error comes from.`,
    );
  configCommand(eventful);
  startCommand(eventful);
  stopCommand(eventful);
  restartCommand(eventful);
  tokenCommands(eventful);
  destroyCommand(eventful);
  eventful
    .command('version')
    .description('print the version')
    .action(() => print(packageVersion()));
  return eventful;
}

/** Runs a command line. @returns the exit code */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    return reportError(error);
  }
}
