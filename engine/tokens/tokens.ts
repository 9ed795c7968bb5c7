/**
 * Personal tokens: compact signed JWTs (EdDSA; `typ` and `kid` checked exactly, no algorithm negotiation). The engine
 * keeps a record of each (never the token itself) as an aggregate of the internal type `eventful.token`.
 */
import { createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import { SignJWT, jwtVerify } from 'jose';
import { TOKEN_TYPE, internalTypeNumber } from '../catalogue.js';
import { typePrefix } from '../codec/keys.js';
import type { CommitLoop } from '../commit/loop.js';
import { rawPublicKey } from '../crypto/keyring.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { Head, Repository } from '../repository.js';
import { sha256 } from '../crypto/hash.js';
import type { Fields, Grant, Writer } from '../types.js';
import { formatGrant, parseGrant } from './grants.js';
import { refused, requireValid, type Identity } from './identity.js';

const TYPE = 'eventful+jwt';
/** A token longer than this is refused before any cryptography. */
const TOKEN_BYTES_MAX = 16 * 1024;
const IDENTIFIER = /^[^\s:\0][^\s\0]{0,254}$/;

export interface TokenRequest {
  readonly identifierType: string;
  readonly identifierId: string;
  readonly grants: readonly Grant[];
  /** Seconds since 1970. */
  readonly expiresAt: number;
  /** Events the token may append in all; null: no limit. */
  readonly writeLimit: bigint | null;
}

export interface TokenRecord {
  readonly tokenId: string;
  readonly identifierType: string;
  readonly identifierId: string;
  readonly grants: readonly string[];
  /** Microseconds since 1970. */
  readonly notBefore: bigint;
  readonly expiresAt: bigint;
  readonly issuedAt: bigint;
  readonly writeLimit: bigint | null;
  readonly revoked: boolean;
}

/** Signs tokens with the store's token key; used by the engine and, with the master key, by the CLI. */
export class TokenSigner {
  private readonly kid: string;

  constructor(
    private readonly key: KeyObject,
    private readonly storeId: string,
  ) {
    this.kid = tokenKeyId(key);
  }

  async sign(request: TokenRequest, tokenId: string, nowSeconds: number): Promise<string> {
    const claims = {
      grants: request.grants.map(formatGrant),
      ...(request.writeLimit === null ? {} : { limit: request.writeLimit.toString() }),
    };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'EdDSA', typ: TYPE, kid: this.kid })
      .setIssuer(this.storeId)
      .setSubject(`${request.identifierType}:${request.identifierId}`)
      .setJti(tokenId)
      .setNotBefore(nowSeconds - 5)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(request.expiresAt)
      .sign(this.key);
  }
}

function tokenKeyId(key: KeyObject): string {
  return sha256(rawPublicKey(key)).toString('hex').slice(0, 16);
}

export class Tokens {
  private readonly revoked = new Set<string>();
  private readonly revocationListeners = new Set<(tokenId: string) => void>();
  private readonly publicKey: KeyObject;
  private readonly kid: string;
  private readonly signer: TokenSigner;

  constructor(
    private readonly repository: Repository,
    private readonly loop: CommitLoop,
    tokenKey: KeyObject,
    private readonly storeId: string,
    private readonly nowSeconds: () => number,
  ) {
    this.publicKey = createPublicKey(tokenKey);
    this.kid = tokenKeyId(tokenKey);
    this.signer = new TokenSigner(tokenKey, storeId);
  }

  /** Reads which tokens were revoked. */
  async load(): Promise<void> {
    for await (const record of this.all()) if (record.revoked) this.revoked.add(record.tokenId);
  }

  /** Issues a token and records it. The token is returned once and kept nowhere. @throws DatabaseError 22023 */
  async generate(request: TokenRequest, issuer: Writer): Promise<{ token: string; tokenId: string }> {
    for (const [name, value] of [
      ['identifierType', request.identifierType],
      ['identifierId', request.identifierId],
    ] as const) {
      if (!IDENTIFIER.test(value) || (name === 'identifierType' && value.includes(':')))
        throw new DatabaseError(
          SqlState.invalidParameterValue,
          `${name} must be 1 to 255 characters without spaces`,
        );
    }
    if (request.grants.length === 0)
      throw new DatabaseError(SqlState.invalidParameterValue, 'a token needs at least one grant');
    const now = this.nowSeconds();
    if (request.expiresAt <= now)
      throw new DatabaseError(SqlState.invalidParameterValue, 'a token must expire in the future');
    const tokenId = randomUUID();
    const payload: Fields = {
      identifier_type: request.identifierType,
      identifier_id: request.identifierId,
      grants: JSON.stringify(request.grants.map(formatGrant)),
      not_before: String((now - 5) * 1e6),
      issued_at: String(now * 1e6),
      expires_at: String(request.expiresAt * 1e6),
      write_limit: request.writeLimit?.toString() ?? null,
      revoked: 'false',
    };
    await this.record(tokenId, 'token_issued', payload, issuer, 0n);
    return { token: await this.signer.sign(request, tokenId, now), tokenId };
  }

  /** @throws DatabaseError 42704 when there is no such token */
  async revoke(tokenId: string, revoker: Writer): Promise<void> {
    if ((await this.loop.head(TOKEN_TYPE, tokenId)) === null)
      throw new DatabaseError(SqlState.undefinedObject, `there is no token with the id "${tokenId}"`);
    await this.record(tokenId, 'token_revoked', { revoked: 'true' }, revoker, null);
    this.revoked.add(tokenId);
    for (const listener of this.revocationListeners) listener(tokenId);
  }

  /** Ids of the tokens revoked so far. */
  get revokedIds(): ReadonlySet<string> {
    return this.revoked;
  }

  /** Calls the listener before a revocation is answered; returns the function that ends it. */
  onRevoked(listener: (tokenId: string) => void): () => void {
    this.revocationListeners.add(listener);
    return () => this.revocationListeners.delete(listener);
  }

  private async record(
    tokenId: string,
    eventType: string,
    payload: Fields,
    writer: Writer,
    version: bigint | null,
  ): Promise<void> {
    const event = {
      aggregateType: TOKEN_TYPE,
      aggregateId: tokenId,
      eventType,
      payload,
      metadata: null,
      eventId: null,
      expected: version === null ? ({ kind: 'any' } as const) : ({ kind: 'version', version } as const),
      ignoreDuplicate: false,
    };
    await this.loop.append([event], { ...writer, tokenId: null, writeLimit: null });
  }

  /** Who this token belongs to. @throws DatabaseError 28P01 for an unknown, expired or revoked one */
  async authenticate(token: string): Promise<Identity> {
    if (token.length > TOKEN_BYTES_MAX) throw refused('is not valid');
    let payload: Awaited<ReturnType<typeof jwtVerify>>['payload'];
    try {
      const verified = await jwtVerify(token, this.publicKey, {
        algorithms: ['EdDSA'],
        typ: TYPE,
        issuer: this.storeId,
        requiredClaims: ['sub', 'jti', 'exp', 'nbf', 'grants'],
        currentDate: new Date(this.nowSeconds() * 1000),
      });
      if (verified.protectedHeader.kid !== this.kid) throw refused('is not valid');
      payload = verified.payload;
    } catch (error) {
      const code = (error as { code?: string }).code;
      throw refused(code === 'ERR_JWT_EXPIRED' ? 'has expired' : 'is not valid');
    }
    const { sub = '', jti = '', exp = 0 } = payload;
    const grants = (payload['grants'] as unknown[]).map((g) => parseGrant(String(g)));
    const limit = payload['limit'];
    const identity: Identity = {
      actor: sub,
      tokenId: jti,
      grants,
      expiresAt: exp,
      writeLimit: typeof limit === 'string' ? BigInt(limit) : null,
    };
    this.requireValid(identity);
    return identity;
  }

  /** Checked before every statement, not only at connect. @throws DatabaseError 28P01 */
  requireValid(identity: Identity): void {
    requireValid(identity, this.revoked, this.nowSeconds());
  }

  /** Every token on record, never its secret. */
  async *all(): AsyncGenerator<TokenRecord> {
    const prefix = typePrefix(internalTypeNumber(TOKEN_TYPE));
    for await (const heads of this.repository.scans.heads(prefix)) yield* heads.map(recordOf);
  }
}

function recordOf({ id, state }: Head): TokenRecord {
  const limit = state['write_limit'];
  return {
    tokenId: id,
    identifierType: state['identifier_type'] ?? '',
    identifierId: state['identifier_id'] ?? '',
    grants: JSON.parse(state['grants'] ?? '[]') as string[],
    notBefore: BigInt(state['not_before'] ?? '0'),
    expiresAt: BigInt(state['expires_at'] ?? '0'),
    issuedAt: BigInt(state['issued_at'] ?? '0'),
    writeLimit: limit === null || limit === undefined ? null : BigInt(limit),
    revoked: state['revoked'] === 'true',
  };
}
