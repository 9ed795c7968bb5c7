/** How to reach a server: the lines that are printed once it runs. */
import { dirname } from 'node:path';

export const DATABASE = 'eventful';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** The path of the Unix socket. */
  readonly socket: string | null;
  /** The server's own certificate when it is self-signed, and so its own root; null: one that clients know. */
  readonly rootCertificate: string | null;
}

/** The name to connect to: a certificate names localhost, never 0.0.0.0. */
export function reachableHost(host: string): string {
  return /^(0\.0\.0\.0|::|::1|127\.\d+\.\d+\.\d+)$/.test(host) ? 'localhost' : host;
}

/** A connection string's value, quoted where libpq needs it. */
function value(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : `'${text.replace(/[\\']/g, '\\$&')}'`;
}

function shellQuote(text: string): string {
  return `"${text.replace(/["$`\\]/g, '\\$&')}"`;
}

/** A psql command line; the password comes from PGPASSWORD. */
export function psqlCommand({ host, port, rootCertificate }: Endpoint, user = 'me'): string {
  const tls = rootCertificate === null ? '' : ` sslrootcert=${value(rootCertificate)}`;
  const where = `host=${value(reachableHost(host))} port=${port} dbname=${DATABASE} user=${value(user)}`;
  return `psql ${shellQuote(`${where} sslmode=verify-full${tls}`)}`;
}

/** The same over the Unix socket. */
export function psqlSocketCommand(socket: string, port: number, user = 'me'): string {
  return `psql ${shellQuote(`host=${value(dirname(socket))} port=${port} dbname=${DATABASE} user=${value(user)}`)}`;
}

/** A connection string for the Node driver `pg`; the password comes from PGPASSWORD. */
export function connectionString({ host, port, rootCertificate }: Endpoint, user = 'me'): string {
  const name = reachableHost(host);
  const tls = rootCertificate === null ? '' : `&sslrootcert=${encodeURI(rootCertificate)}`;
  const address = name.includes(':') ? `[${name}]` : name;
  return `postgresql://${encodeURIComponent(user)}@${address}:${port}/${DATABASE}?sslmode=verify-full${tls}`;
}

/** What to type to connect. */
export function connectLines(endpoint: Endpoint, dataDirectory: string): string[] {
  const { socket, port } = endpoint;
  return [
    'The password is a token. Make one and put it where psql and pg look for it:',
    `  export PGPASSWORD=$(npx eventful --data-dir ${shellQuote(dataDirectory)} token:generate \\`,
    '    --identifierType user --identifierId me --grant admin)',
    'Connect (the user name is free, it is only recorded):',
    `  ${psqlCommand(endpoint)}`,
    ...(socket === null ? [] : [`  ${psqlSocketCommand(socket, port)}`]),
    `  new pg.Client("${connectionString(endpoint)}")`,
  ];
}
