/** The offline verifier against proofs of a real engine: the true ones hold, every single change is refused. */
import { randomBytes, sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyring, openKeyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import type { Writer } from '../types.js';
import {
  ProofError,
  eventLeafHash,
  verifyCheckpoint,
  verifyConsistency,
  verifyEventProof,
  type EventProof,
} from './verifier.js';

const directory = mkdtempSync(join(tmpdir(), 'verifier-'));
afterAll(() => rmSync(directory, { recursive: true }));
const writer: Writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
const EVENTS = 600;

let engine: Engine;
let key: string;
let otherKey: string;
let signingKey: KeyObject;

async function newEngine(name: string): Promise<Engine> {
  const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
  createKeyring(join(directory, name), keys);
  const keyring = openKeyring(join(directory, name), keys);
  signingKey ??= keyring.signingKey;
  const made = await Engine.open({
    store: new MemoryStore(),
    log: new MemoryLog(),
    keyring,
    directory: null,
  });
  const events = [{ name: 'changed', fields: null }];
  await made.createAggregate(
    {
      type: 'patient',
      fields: [{ name: 'name', type: 'text' }],
      events,
      open: false,
      snapshotThreshold: 25,
      comment: null,
    },
    writer,
  );
  return made;
}

const idOf = (i: number): string => `p-${i % 9 === 0 ? 0 : i % 50}`;

beforeAll(async () => {
  engine = await newEngine('one');
  for (let i = 0; i < EVENTS; i++) {
    const payload = { name: i % 7 === 0 ? null : `größe ${i}` };
    const metadata = i % 3 === 0 ? `{"n":${i}}` : null;
    const event = {
      aggregateType: 'patient',
      aggregateId: idOf(i),
      eventType: 'changed',
      payload,
      metadata,
      eventId: null,
      expected: { kind: 'any' } as const,
      ignoreDuplicate: false,
    };
    await engine.append([event], writer);
  }
  key = engine.checkpoints.verifierKey;
  otherKey = (await newEngine('two')).checkpoints.verifierKey;
});

const prove = async (id: string, version: bigint): Promise<EventProof> =>
  (await engine.prove('patient', id, version)).proof;
const lastVersion = async (id: string): Promise<bigint> => (await engine.state('patient', id))?.version ?? 0n;

describe('true proofs', () => {
  test('of every version of every aggregate hold, and name the event by its hash', async () => {
    for (let i = 0; i < 50; i++) {
      const id = `p-${i}`;
      for (let version = 1n; version <= (await lastVersion(id)); version += i === 0 ? 13n : 1n) {
        const { proof, eventHash } = await engine.prove('patient', id, version);
        const checkpoint = await verifyEventProof(proof, key);
        expect(checkpoint.size).toBe(EVENTS + 1);
        expect(Buffer.from(eventLeafHash(proof.event)).toString('hex')).toBe(eventHash);
      }
    }
  });

  test('survive the way over JSON', async () => {
    const proof = JSON.parse(JSON.stringify(await prove('p-0', 5n))) as EventProof;
    await verifyEventProof(proof, key);
  });

  test('checkpoints of two sizes are consistent, those of a rewritten history are not', async () => {
    const size = EVENTS + 1;
    const { root } = await engine.checkpoint();
    const tree = (await engine.checkpoint()).size;
    expect(tree).toBe(size);
    for (const size1 of [1, 2, 255, 256, 257, 512, 513, 600]) {
      const path = (await engine.proveConsistency(size1, size)).map((h) => Buffer.from(h, 'hex'));
      const inclusion = await prove('p-1', 1n);
      expect(inclusion.checkpoint).toContain(String(size));
      const roots = await rootsUpTo(size1);
      verifyConsistency(size1, size, path, roots, root);
      expect(() => verifyConsistency(size1, size, path, randomBytes(32), root)).toThrow(ProofError);
      expect(() => verifyConsistency(size1, size, path.slice(1), roots, root)).toThrow(ProofError);
      expect(() => verifyConsistency(size1, size, [...path, randomBytes(32)], roots, root)).toThrow(
        ProofError,
      );
    }
  });

  /** The root of an earlier size, recomputed by an engine that replays only so much is out of reach here: by verify. */
  async function rootsUpTo(size1: number): Promise<Buffer> {
    const { StoreTree } = await import('../storeTree.js');
    const { repository } = engine as unknown as { repository: ConstructorParameters<typeof StoreTree>[0] };
    return new StoreTree(repository).root(size1);
  }
});

type Change = (proof: EventProof) => EventProof;
const hexChange = (hex: string, at: number): string => {
  const i = at % hex.length;
  return hex.slice(0, i) + (hex[i] === '0' ? '1' : '0') + hex.slice(i + 1);
};
const textChange = (text: string, at: number): string => {
  const chars = [...text];
  if (chars.length === 0) return 'x';
  const i = at % chars.length;
  chars[i] = chars[i] === 'a' ? 'b' : 'a';
  return chars.join('');
};
const numberChange = (text: string, by: number): string =>
  String(Math.abs(Number(text) + (by % 2 === 0 ? 1 : -1)));

const eventChange = fc
  .tuple(
    fc.constantFrom(
      'aggregateType',
      'aggregateId',
      'version',
      'eventId',
      'eventType',
      'actor',
      'recordedAt',
      'metadata',
      'payload',
      'salt',
    ),
    fc.nat(),
  )
  .map(([field, at]) => ({
    name: `event.${field}`,
    change: (({ event, ...proof }) => {
      const value = event[field];
      const changed =
        field === 'salt'
          ? hexChange(value ?? '', at)
          : field === 'eventId'
            ? hexChange((value ?? '').replaceAll('-', ''), at)
            : field === 'version' || field === 'recordedAt'
              ? numberChange(value ?? '', at)
              : textChange(value ?? '', at);
      return { ...proof, event: { ...event, [field]: changed } };
    }) satisfies Change,
  }));
const pathChange = fc
  .tuple(
    fc.constantFrom('aggregateProof' as const, 'storeProof' as const),
    fc.constantFrom('bit', 'cut', 'first', 'extend', 'reverse'),
    fc.nat(),
  )
  .map(([field, how, at]) => ({
    name: `${field} ${how}`,
    change: ((proof) => {
      const path = [...proof[field]];
      const i = at % Math.max(1, path.length);
      if (how === 'cut') path.pop();
      else if (how === 'first') path.shift();
      else if (how === 'extend') path.push('00'.repeat(32));
      else if (how === 'reverse') path.reverse();
      else if (path.length > 0) path[i] = hexChange(path[i] ?? '', at);
      return { ...proof, [field]: path };
    }) satisfies Change,
  }));
const rootChange = fc.nat().map((at) => ({
  name: 'aggregateRoot',
  change: ((proof) => ({ ...proof, aggregateRoot: hexChange(proof.aggregateRoot, at) })) satisfies Change,
}));
const positionChange = fc.nat().map((by) => ({
  name: 'position',
  change: ((proof) => ({ ...proof, position: numberChange(proof.position, by) })) satisfies Change,
}));
/** Letters of the signed body and of the signature; base64 padding bits carry no information, so not the last ones. */
const noteChange = fc.nat().map((at) => ({
  name: 'checkpoint',
  change: ((proof) => {
    const body = proof.checkpoint.indexOf('\n\n');
    const usable = [...Array(proof.checkpoint.length).keys()].filter(
      (i) => i < body - 2 || (i > body + 1 && i < proof.checkpoint.length - 5),
    );
    const i = usable[at % usable.length] ?? 0;
    const c = proof.checkpoint[i] === 'A' ? 'B' : 'A';
    return { ...proof, checkpoint: proof.checkpoint.slice(0, i) + c + proof.checkpoint.slice(i + 1) };
  }) satisfies Change,
}));

describe('a single change in any field', () => {
  const where = fc.record({ i: fc.nat(49), v: fc.nat(100) });

  test('is refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        where,
        fc.oneof(eventChange, pathChange, rootChange, positionChange, noteChange),
        async ({ i, v }, { change }) => {
          const id = `p-${i}`;
          const last = Number(await lastVersion(id));
          fc.pre(last > 0);
          const proof = await prove(id, BigInt(1 + (v % last)));
          const changed = change(proof);
          fc.pre(JSON.stringify(changed) !== JSON.stringify(proof));
          await expect(verifyEventProof(changed, key)).rejects.toBeInstanceOf(ProofError);
        },
      ),
      { numRuns: 600 },
    );
  });

  test('parts of two true proofs do not mix', async () => {
    const [a, b] = [await prove('p-0', 3n), await prove('p-0', 4n)];
    for (const field of ['event', 'position', 'aggregateRoot', 'aggregateProof', 'storeProof'] as const)
      await expect(verifyEventProof({ ...a, [field]: b[field] }, key)).rejects.toBeInstanceOf(ProofError);
  });

  test('metadata that is absent is not another metadata', async () => {
    const proof = await prove('p-1', 1n);
    const other = { ...proof.event, metadata: proof.event.metadata === null ? '{}' : null };
    await expect(verifyEventProof({ ...proof, event: other }, key)).rejects.toBeInstanceOf(ProofError);
  });
});

describe('checkpoints', () => {
  test('hold under their own key only', async () => {
    const { note } = await engine.checkpoint();
    expect(await verifyCheckpoint(note, key)).toMatchObject({ size: EVENTS + 1 });
    await expect(verifyCheckpoint(note, otherKey)).rejects.toBeInstanceOf(ProofError);
    const [name, hash] = key.split('+');
    const foreign = otherKey.split('+').slice(2).join('+');
    await expect(verifyCheckpoint(note, `${name}+${hash}+${foreign}`)).rejects.toBeInstanceOf(ProofError);
  });

  test.each(['', '\n\n', 'a\nb\nc\n\nd', 'x\n1\nAAAA\n\n', 'no signature at all'])(
    '%j is refused',
    async (note) => {
      await expect(verifyCheckpoint(note, key)).rejects.toBeInstanceOf(ProofError);
      await expect(verifyCheckpoint(note, note)).rejects.toBeInstanceOf(ProofError);
    },
  );

  test('a note without its signature, with another size spelling, with lines added', async () => {
    const { note } = await engine.checkpoint();
    const cut = note.indexOf('\n\n') + 2;
    for (const bad of [
      note.slice(0, cut),
      note.replace(`\n${EVENTS + 1}\n`, `\n0${EVENTS + 1}\n`),
      note.replace('\n\n', '\nextra\n\n'),
      note.replace('— ', '- '),
    ])
      await expect(verifyCheckpoint(bad, key)).rejects.toBeInstanceOf(ProofError);
  });

  test('a note over another origin, though the key itself signed it', async () => {
    const { note } = await engine.checkpoint();
    const [name = '', hash = ''] = key.split('+');
    const signed = (origin: string): string => {
      const body = note.slice(0, note.indexOf('\n\n') + 1).replace(name, origin);
      const bytes = Buffer.concat([Buffer.from(hash, 'hex'), sign(null, Buffer.from(body), signingKey)]);
      return `${body}\n— ${name} ${bytes.toString('base64')}\n`;
    };
    await verifyCheckpoint(signed(name), key);
    await expect(verifyCheckpoint(signed('another'), key)).rejects.toBeInstanceOf(ProofError);
  });
});

test.each([
  ['nothing', () => ({})],
  ['its text', (proof: EventProof) => JSON.stringify(proof)],
  ['no event', (proof: EventProof) => ({ ...proof, event: undefined })],
  ['no path', (proof: EventProof) => ({ ...proof, storeProof: undefined })],
  ['a number for a checkpoint', (proof: EventProof) => ({ ...proof, checkpoint: 42 })],
])('%s is no proof, and said to be none', async (_, made) => {
  const { proof } = await engine.prove('patient', idOf(1), 1n);
  await expect(verifyEventProof(made(proof) as EventProof, key)).rejects.toBeInstanceOf(ProofError);
  await verifyEventProof(proof, key);
});
