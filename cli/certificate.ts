/** The certificate a new store gets, so that connections are encrypted from the start. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { generate } from 'selfsigned';
import { CommandError } from './report.js';

const YEARS = 10;
/** A clock that is a little behind ours must not refuse it. */
const BACKDATE_MS = 3_600_000;

export interface TlsPair {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

/** A self-signed ECDSA P-256 certificate for this machine. */
export async function makeCertificate(name: string = hostname()): Promise<TlsPair> {
  const notBefore = new Date(Date.now() - BACKDATE_MS);
  const notAfter = new Date(notBefore);
  notAfter.setFullYear(notAfter.getFullYear() + YEARS);
  const hosts = new Set(['localhost', ...(/^[\w.-]{1,253}$/.test(name) ? [name] : [])]);
  const made = await generate([{ name: 'commonName', value: 'EventfulDB' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: notBefore,
    notAfterDate: notAfter,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...[...hosts].map((host) => ({ type: 2 as const, value: host })),
          { type: 7, ip: '127.0.0.1' },
          { type: 7, ip: '::1' },
        ],
      },
    ],
  });
  return { cert: made.cert.trimEnd() + '\n', key: made.private };
}

/** Makes the two files unless both are there. @returns whether it did */
export async function ensureCertificate(certFile: string, keyFile: string): Promise<boolean> {
  if (existsSync(certFile) && existsSync(keyFile)) return false;
  const { cert, key } = await makeCertificate();
  for (const file of [certFile, keyFile]) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(keyFile, key, { mode: 0o600 });
  writeFileSync(certFile, cert, { mode: 0o644 });
  return true;
}

/** Reads certificate and key. @throws CommandError when one is missing or malformed, or they do not belong together */
export function readTlsPair(certFile: string, keyFile: string): TlsPair {
  const pair = { cert: readPem(certFile, 'certificate'), key: readPem(keyFile, 'key') };
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pair.cert);
  } catch {
    throw new CommandError(`"${certFile}" holds no PEM certificate`);
  }
  let belongs: boolean;
  try {
    belongs = certificate.checkPrivateKey(createPrivateKey(pair.key));
  } catch {
    throw new CommandError(`"${keyFile}" holds no PEM private key without a passphrase`);
  }
  if (!belongs)
    throw new CommandError(`the key "${keyFile}" does not belong to the certificate "${certFile}"`);
  return pair;
}

function readPem(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot read the TLS ${what} "${path}": ${code}`, {
      hint: 'Give --tls-cert and --tls-key to "eventful config"; without them it makes a certificate that is missing.',
    });
  }
}
