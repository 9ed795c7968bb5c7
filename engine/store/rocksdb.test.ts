import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DatabaseError } from '../errors.js';
import { RocksStore, loadBinding } from './rocksdb.js';

const key = (number: number) => Buffer.from(`k${String(number).padStart(6, '0')}`);
const whole = { gte: Buffer.from('k'), lt: Buffer.from('l') };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rocks-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function filled(): Promise<RocksStore> {
  const store = await RocksStore.open(directory);
  await store.write(Array.from({ length: 2000 }, (_, i) => ({ key: key(i), value: randomBytes(100) })));
  return store;
}

const tableFiles = async () => (await readdir(directory)).filter((name) => name.endsWith('.sst'));

test('keeps what was flushed when its own log is lost', async () => {
  const store = await filled();
  expect(await tableFiles()).toEqual([]);
  await store.flush();
  expect(await tableFiles()).toHaveLength(1);
  const value = await store.get(key(7));
  await store.close();
  for (const name of await readdir(directory)) if (name.endsWith('.log')) await rm(join(directory, name));
  const again = await RocksStore.open(directory);
  expect(await again.get(key(7))).toEqual(value);
  await again.close();
});

test('a damaged table file is an error, not a missing row, and rejects nobody who is not waiting', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const store = await filled();
    await store.flush();
    await store.close();
    const path = join(directory, (await tableFiles())[0] ?? '');
    const content = await readFile(path);
    content[5000] = (content[5000] ?? 0) ^ 1;
    await writeFile(path, content);

    const damaged = await RocksStore.open(directory);
    const failure = await damaged.getMany([key(0), key(1), key(1999)]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DatabaseError);
    expect(failure).toMatchObject({ sqlstate: 'XX001' });
    expect((failure as DatabaseError).detail).toMatch(/checksum mismatch/);
    expect((failure as DatabaseError).cause).toBeInstanceOf(Error);
    await expect(damaged.get(key(3))).rejects.toMatchObject({ sqlstate: 'XX001' });
    expect(await damaged.get(key(1999))).toHaveLength(100);
    const scan = async () => {
      for await (const entry of damaged.scan(whole)) expect(entry.value).toHaveLength(100);
    };
    await expect(scan()).rejects.toMatchObject({ sqlstate: 'XX001' });
    await damaged.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test('a lost table file is an error on opening or reading', async () => {
  const store = await filled();
  await store.flush();
  await store.close();
  await rm(join(directory, (await tableFiles())[0] ?? ''));
  await expect(RocksStore.open(directory)).rejects.toMatchObject({ sqlstate: 'XX001' });
});

test('a directory already open in this process is refused', async () => {
  const store = await RocksStore.open(directory);
  const refused = { sqlstate: '55006', message: `the store in ${directory} is already open` };
  await expect(RocksStore.open(directory)).rejects.toMatchObject(refused);
  await store.write([{ key: key(1), value: Buffer.from('still here') }]);
  await store.close();
  await (await RocksStore.open(directory)).close();
});

test('a directory open in another process is refused', async () => {
  const store = await RocksStore.open(directory);
  await store.close();
  const module = createRequire(import.meta.url).resolve('rocksdb-native');
  const script = `const R = require(${JSON.stringify(module)}); const db = new R(${JSON.stringify(directory)});
    db.ready().then(() => console.log('open')); process.stdin.on('data', () => process.exit());`;
  const other = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  await expect(RocksStore.open(directory)).rejects.toMatchObject({ sqlstate: '55006' });
  const ended = new Promise((resolve) => other.once('exit', resolve));
  other.stdin.write('end');
  await ended;
});

test('a directory that cannot be made is an I/O error that names it', async () => {
  const file = join(directory, 'file');
  await writeFile(file, '');
  await expect(RocksStore.open(join(file, 'db'))).rejects.toMatchObject({ sqlstate: '58030' });
});

test('says what to install when the binding cannot be loaded', async () => {
  const load = () => Promise.reject(new Error('libatomic.so.1: cannot open shared object file'));
  await expect(loadBinding(load)).rejects.toMatchObject({
    name: 'DatabaseError',
    hint: 'Install the library it needs: apt-get install libatomic1',
  });
});
