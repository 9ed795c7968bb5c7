/** What the commands say, and how they fail. Results go to stdout, everything else to stderr; never a secret. */

/** A failure of a command (exit 1). Engine and server errors carry the same fields. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(message: string, more: { readonly detail?: string; readonly hint?: string } = {}) {
    super(message);
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

/** Writes a line to stderr. */
export function say(line = ''): void {
  process.stderr.write(redact(line) + '\n');
}

/** What is told of an error, also across processes. */
export interface ErrorReport {
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

export function describeError(error: unknown): ErrorReport {
  if (!(error instanceof Error)) return { message: String(error) };
  const { detail, hint } = error as { detail?: unknown; hint?: unknown };
  return {
    // An AggregateError of several connection attempts has no message of its own.
    message: error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message,
    detail: typeof detail === 'string' ? detail : undefined,
    hint: typeof hint === 'string' ? hint : undefined,
  };
}

/** Tells of an error on stderr. @returns the exit code */
export function reportError(error: unknown): number {
  const { message, detail, hint } = describeError(error);
  say(`eventful: ${message}`);
  if (detail !== undefined) say(detail);
  if (hint !== undefined) say(`hint: ${hint}`);
  if (process.env['EVENTFUL_DEBUG'] && error instanceof Error) say(error.stack ?? '');
  return error instanceof UsageError ? EXIT_USAGE : EXIT_ERROR;
}
