/** `eventful token:generate`. */
import { InvalidArgumentError, type Command } from 'commander';
import { decodeJwt } from 'jose';
import { parseGrant } from '../engine/tokens/grants.js';
import { parseExpiration } from './duration.js';
import { issueThroughEngine, issueThroughServer, type TokenOrder } from './issue.js';
import { optionsOf, type GlobalOptions } from './options.js';
import { runningServer } from './pidfile.js';
import { CommandError, describeError, print, say, UsageError } from './report.js';
import { keyOptions, requireKeys, type KeyOptions } from './secrets.js';

interface TokenOptions extends KeyOptions, GlobalOptions {
  readonly identifierType?: string;
  readonly identifierId?: string;
  readonly expiration: string;
  readonly limit?: bigint;
  readonly grant?: readonly string[];
}

export function tokenCommands(program: Command): void {
  const command = program
    .command('token:generate')
    .description('issue a token, the password of a connection; it alone goes to stdout')
    .option('--identifierType <type>', 'what the token is for: user, service, … (also --identifier-type)')
    .option('--identifierId <id>', 'which one (also --identifier-id)')
    .option('--expiration <when>', 'a duration such as 12h or 30d, or an ISO date', '365d')
    .option('--limit <events>', 'how many events it may append in all', parseLimit)
    .option(
      '--grant <grant>',
      'admin, append:<aggregate>[:<id>] or read:<aggregate>[:<id>]; * for any; may be given several times',
      (grant: string, before: readonly string[] = []) => [...before, grant],
    );
  for (const name of ['type', 'id'])
    command.addOption(command.createOption(`--identifier-${name} <${name}>`).hideHelp());
  keyOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ export PGPASSWORD=$(eventful token:generate --identifierType user --identifierId me --grant admin)
  $ eventful token:generate --identifierType service --identifierId intake --expiration 30d --limit 100000 \\
      --grant append:patient --grant read:patient`,
    )
    .action((_: unknown, self: Command) => generate(optionsOf<TokenOptions>(self)));
}

function parseLimit(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('A limit is a number from 0.');
  return BigInt(text);
}

function orderOf(options: TokenOptions): TokenOrder {
  const { identifierType, identifierId, grant = [], limit = null } = options;
  if (identifierType === undefined)
    throw new UsageError('--identifierType is missing', { hint: 'For example: user' });
  if (identifierId === undefined) throw new UsageError('--identifierId is missing');
  if (grant.length === 0)
    throw new UsageError('--grant is missing', {
      hint: 'For example: --grant append:patient --grant read:patient',
    });
  for (const text of grant) parseGrant(text);
  const expiresAt = parseExpiration(options.expiration, new Date());
  return { identifierType, identifierId, grants: grant, expiresAt, writeLimit: limit };
}

async function generate(options: TokenOptions): Promise<void> {
  const order = orderOf(options);
  const keys = requireKeys(options);
  const server = runningServer(options.dataDir);
  const token =
    server === null
      ? await issueThroughEngine(options.dataDir, keys, order)
      : await issueThroughServer(options.dataDir, keys, order, server);
  try {
    await print(token);
  } catch (error) {
    // Valid, but nobody has it.
    const { message } = describeError(error);
    throw new CommandError(message, {
      detail: `Token ${decodeJwt(token).jti ?? ''} was issued and is lost.`,
      hint: 'Issue another one. If somebody may have got this one: CALL token_revoke(…) with its id.',
    });
  }
  say(`Valid until ${order.expiresAt.toISOString()}. It is shown once and stored nowhere.`);
}
