/** Servers that speak PostgreSQL and run somewhere, named by --peer-url: further sides of a to e. */
import { withClient } from './login.js';
import { PG_SETTINGS, PostgresPeer } from './postgres.js';
import type { Variant } from './schema.js';

export interface OtherUrl {
  readonly name: string;
  readonly url: string;
}

/** What the page says of it. */
export interface OtherAbout {
  readonly name: string;
  readonly version: string;
  /** As it says them; a setting that it does not know is missing. */
  readonly settings: Readonly<Record<string, string>>;
  /** Why a variant of the schema, or the whole side, is not there. */
  readonly missing: readonly string[];
}

export interface OtherPeer {
  readonly about: OtherAbout;
  readonly peer: PostgresPeer;
  /** Those whose schema could be made. */
  readonly variants: readonly Variant[];
}

/** @throws Error that says what is wrong with the flag's value */
export function parseOther(text: string): OtherUrl {
  const [, name, url] = /^([A-Za-z][\w .-]{0,39})=(postgres(?:ql)?:\/\/.+)$/.exec(text) ?? [];
  if (name === undefined || url === undefined || !URL.canParse(url))
    throw new Error(`--peer-url takes name=postgres://user:password@host:port/db, not "${redacted(text)}"`);
  return { name, url };
}

/** Without the password, for pages and logs. */
export function redacted(text: string): string {
  return text.replace(/(postgres(?:ql)?:\/\/[^:/@\s]*):[^\s]*@/g, '$1:***@');
}

async function describe(peer: PostgresPeer): Promise<Pick<OtherAbout, 'version' | 'settings'>> {
  return withClient(peer.admin, async (client) => {
    // One that speaks the protocol with another SQL may not even know this.
    const { rows } = await client
      .query<{ version: string }>('SELECT version()')
      .catch(() => ({ rows: [{ version: 'a version that it does not say' }] }));
    const settings: Record<string, string> = {};
    for (const name of Object.keys(PG_SETTINGS)) {
      // Others may know neither the setting nor the function's second argument.
      const { rows: shown } = await client
        .query<Record<string, string>>({ text: `SHOW ${name}` })
        .catch(() => ({ rows: [] }));
      const value = Object.values(shown[0] ?? {})[0];
      if (value !== undefined) settings[name] = value;
    }
    return { version: rows[0]?.version ?? 'unknown', settings };
  });
}

/** Makes the schema there, in databases of our own, as far as it can be made. @throws Error when there is no server */
export async function connectOther({ name, url }: OtherUrl): Promise<OtherPeer> {
  const peer = PostgresPeer.elsewhere(url);
  const missing: string[] = [];
  const variants: Variant[] = [];
  try {
    const about = await describe(peer);
    for (const variant of ['statement', 'trigger'] as const)
      try {
        await peer.makeDatabase(variant);
        variants.push(variant);
      } catch (error) {
        missing.push(`the schema of "${variant}" could not be made: ${(error as Error).message}`);
      }
    return { about: { name, ...about, missing }, peer, variants };
  } catch (error) {
    throw new Error(`--peer-url ${name}: ${(error as Error).message}`, { cause: error });
  }
}
