/** What the commands say, and how they fail. Results go to stdout, everything else to stderr; never a secret. */

/** A failure of a command (exit 1). Engine and server errors carry the same fields. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly sqlstate: string | undefined;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(message: string, more: Omit<ErrorReport, 'message'> = {}) {
    super(message);
    this.sqlstate = more.sqlstate;
    this.detail = more.detail;
    this.hint = more.hint;
  }
}

/** The command was called wrongly (exit 2). */
export class UsageError extends CommandError {
  override readonly name = 'UsageError';
}

export const EXIT_ERROR = 1;
export const EXIT_USAGE = 2;

/** A key in hexadecimal or base64, and a token. */
const SECRETS = [
  /eyJ[\w-]+\.[\w-]+\.[\w-]+/g,
  /(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])/g,
  /(?<![\w+/-])[\w+/-]{43}=(?!=)/g,
];

/** A mistyped option is repeated by the message about it, together with the key that followed it. */
export function redact(text: string): string {
  return SECRETS.reduce((all, secret) => all.replace(secret, '[secret]'), text);
}

/**
 * Writes a command's result to stdout.
 * @throws CommandError when nobody reads it, or where it goes is full
 */
export function print(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = ({ code, message }: NodeJS.ErrnoException): void =>
      reject(new CommandError(`cannot write to standard output: ${code ?? message}`));
    process.stdout.once('error', failed);
    process.stdout.write(line + '\n', (error) => {
      if (error) failed(error);
      else resolve();
    });
  });
}

// What cannot be told, because nobody listens any more or the disk is full, must not end a server.
process.stderr.on('error', () => undefined);

/** Writes a line to stderr. */
export function say(line = ''): void {
  try {
    process.stderr.write(redact(line) + '\n');
  } catch {
    // A file's errors come at once.
  }
}

/** What is told of an error, also across processes. */
export interface ErrorReport {
  readonly message: string;
  readonly sqlstate?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

export function describeError(error: unknown): ErrorReport {
  if (!(error instanceof Error)) return { message: String(error) };
  const { sqlstate, code, detail, hint } = error as {
    readonly [key in 'sqlstate' | 'code' | 'detail' | 'hint']?: unknown;
  };
  return {
    // An AggregateError of several connection attempts has no message of its own.
    message: error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message,
    // Our own errors and those of the driver.
    sqlstate: [sqlstate, code].find(isSqlState),
    detail: typeof detail === 'string' ? detail : undefined,
    hint: typeof hint === 'string' ? hint : undefined,
  };
}

/** Five letters and digits; five letters alone, such as EPIPE, are the system's. */
function isSqlState(code: unknown): code is string {
  return typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code);
}

/** Tells of an error on stderr. @returns the exit code */
export function reportError(error: unknown): number {
  const { message, sqlstate, detail, hint } = describeError(error);
  say(`eventful: ${message}${sqlstate === undefined ? '' : ` (SQLSTATE ${sqlstate})`}`);
  if (detail !== undefined) say(detail);
  if (hint !== undefined) say(`hint: ${hint}`);
  if (process.env['EVENTFUL_DEBUG'] && error instanceof Error) say(error.stack ?? '');
  return error instanceof UsageError ? EXIT_USAGE : EXIT_ERROR;
}
