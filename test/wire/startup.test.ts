import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeCancelRequest, encodeSslRequest, GSSENC_REQUEST_CODE } from '../../server/protocol/startup.js';
import { startTestServer, type TestServer } from '../harness.js';
import { psql } from '../golden/psql.js';
import { answerTo, m, openSocket, RawClient, startupPacket, stateIn } from './raw.js';

let plain: TestServer;
let secure: TestServer;

beforeAll(async () => {
  plain = await startTestServer();
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }]);
  secure = await startTestServer({ tls: { cert, key } });
});
afterAll(async () => {
  await plain.destroy();
  await secure.destroy();
});

function gssencRequest(): Buffer {
  const packet = Buffer.alloc(8);
  packet.writeUInt32BE(8, 0);
  packet.writeUInt32BE(GSSENC_REQUEST_CODE, 4);
  return packet;
}

async function getsIn(server: TestServer, token: string): Promise<boolean> {
  try {
    await (await server.connect(token)).end();
    return true;
  } catch {
    return false;
  }
}

describe('encryption', () => {
  it('SSLRequest and GSSENCRequest are answered N without TLS, and startup goes on', async () => {
    const socket = await openSocket(plain.port);
    for (const request of [gssencRequest(), encodeSslRequest()]) {
      const answer = new Promise<string>((resolve) =>
        socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1'))),
      );
      socket.write(request);
      expect(await answer).toBe('N');
    }
    const client = new RawClient(socket);
    client.send(startupPacket({ user: 'raw', database: 'eventful' }));
    await client.until('R');
    expect(await client.run(m.password(plain.token))).toContain('Z:I');
    client.close();
  });

  it('a TLS server answers S and works with the pg client', async () => {
    expect((await answerTo(secure.port, encodeSslRequest())).toString()).toBe('S');
    const client = await secure.connect(undefined, { ssl: { rejectUnauthorized: false } });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it('takes TLS without SSLRequest (sslnegotiation=direct)', async () => {
    const socket = connectTls({
      port: secure.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['postgresql'],
    });
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    expect(socket.alpnProtocol).toBe('postgresql');
    const client = new RawClient(socket);
    client.send(startupPacket({ user: 'raw', database: 'eventful' }));
    await client.until('R');
    expect(await client.run(m.password(secure.token))).toContain('Z:I');
    client.close();
  });

  it('refuses plaintext smuggled behind SSLRequest', async () => {
    for (const server of [plain, secure]) {
      const smuggled = Buffer.concat([
        encodeSslRequest(),
        startupPacket({ user: 'mallory', database: 'eventful' }),
      ]);
      const answer = await answerTo(server.port, smuggled, true);
      expect(stateIn(answer)).toBe('08P01');
    }
  });
});

describe('when as many are connected as may be', () => {
  it('others are told 53300 as PostgreSQL tells it, encrypted or not; administrators and cancel requests get through', async () => {
    const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }]);
    const server = await startTestServer({ tls: { cert, key }, maxConnections: 2 });
    const reader = await server.tokenFor(['read:*:*']);
    const one = await server.connect(reader);
    const two = await RawClient.ready(server.port, reader);
    for (const ssl of [false, { rejectUnauthorized: false }])
      await expect(server.connect(reader, { ssl })).rejects.toMatchObject({
        code: '53300',
        message: 'sorry, too many clients already',
      });
    const said = await psql({ port: server.port, token: reader }, 'SELECT 1', [], { PGSSLMODE: 'require' });
    expect(said).toContain('FATAL:  sorry, too many clients already');
    two.send(m.query('SELECT pg_sleep(30)'));
    const { processId, secret } = two.key ?? { processId: 0, secret: Buffer.alloc(4) };
    const request = encodeCancelRequest(processId, secret);
    // The statement may not have begun when the first one comes.
    const asking = setInterval(() => void openSocket(server.port).then((socket) => socket.end(request)), 200);
    expect(stateIn((await two.until('E')).at(-1)?.raw ?? Buffer.alloc(0))).toBe('57014');
    clearInterval(asking);
    const admin = await server.connect();
    expect((await admin.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await one.end();
    await admin.end();
    two.close();
    await expect.poll(() => getsIn(server, reader)).toBe(true);
    await server.destroy();
  });

  it('beyond those that are heard every one is told at once', async () => {
    const server = await startTestServer({ maxConnections: 1 });
    const waiting = await Promise.all(Array.from({ length: 17 }, () => openSocket(server.port)));
    await expect(server.connect()).rejects.toMatchObject({ code: '53300' });
    for (const socket of waiting) socket.destroy();
    await expect.poll(() => getsIn(server, server.token)).toBe(true);
    await server.destroy();
  });
});

describe('startup packets', () => {
  it('protocol 3.2 is accepted with a longer key, 3.0 has four bytes', async () => {
    const old = await RawClient.ready(plain.port, plain.token);
    expect(old.key?.secret.length).toBe(4);
    const recent = await RawClient.ready(plain.port, plain.token, {}, 2);
    expect(recent.key?.secret.length).toBe(32);
    old.close();
    recent.close();
  });

  it('3.9 and _pq_ options are negotiated', async () => {
    for (const [minor, parameters, version, options] of [
      [9, {}, 2, []],
      [0, { '_pq_.compression': 'on' }, 0, ['_pq_.compression']],
    ] as const) {
      const client = await RawClient.open(plain.port);
      client.send(startupPacket({ user: 'raw', database: 'eventful', ...parameters }, minor));
      const frame = (await client.until('R')).find(({ type }) => type === 'v'.charCodeAt(0));
      expect(frame?.body.readUInt32BE(0)).toBe((3 << 16) | version);
      expect(frame?.body.readUInt32BE(4)).toBe(options.length);
      expect(frame?.body.toString('latin1', 8)).toBe(options.map((name) => `${name}\0`).join(''));
      expect(await client.run(m.password(plain.token))).toContain('Z:I');
      client.close();
    }
  });

  it('another database is 3D000 with a hint', async () => {
    await expect(plain.connect(undefined, { database: 'elsewhere' })).rejects.toMatchObject({
      code: '3D000',
      message: 'database "elsewhere" does not exist',
      hint: expect.stringContaining('eventful') as string,
    });
  });

  it('an HTTP request, an oversized packet and another protocol are refused at once', async () => {
    const started = Date.now();
    const http = await answerTo(plain.port, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), true);
    expect(stateIn(http)).toBe('08P01');
    expect(http.toString('latin1')).toMatch(/HTTP/);
    const oversized = Buffer.alloc(8);
    oversized.writeUInt32BE(20_000, 0);
    oversized.writeUInt32BE(3 << 16, 4);
    expect(stateIn(await answerTo(plain.port, oversized, true))).toBe('08P01');
    const old = Buffer.alloc(9);
    old.writeUInt32BE(9, 0);
    old.writeUInt32BE(2 << 16, 4);
    expect(stateIn(await answerTo(plain.port, old, true))).toBe('0A000');
    expect(Date.now() - started).toBeLessThan(5000);
  });

  it('any message but a password is refused before authentication', async () => {
    const client = await RawClient.open(plain.port);
    client.send(startupPacket({ user: 'raw', database: 'eventful' }));
    await client.until('R');
    client.send(m.query('SELECT 1'));
    const error = (await client.until('E')).at(-1);
    expect(stateIn(error?.raw ?? Buffer.alloc(0))).toBe('08P01');
    await client.ended();
  });

  it('frames may be split at every byte', async () => {
    const socket = await openSocket(plain.port);
    const client = new RawClient(socket);
    const trickle = async (bytes: Buffer): Promise<void> => {
      for (const byte of bytes) {
        socket.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await trickle(startupPacket({ user: 'raw', database: 'eventful' }));
    await client.until('R');
    await trickle(m.password(plain.token));
    await client.until('Z');
    await trickle(Buffer.concat([m.parse('SELECT $1::text'), m.bind(['é']), m.execute(), m.sync()]));
    expect(await client.run()).toEqual(['1', '2', 'D:é', 'C:SELECT 1', 'Z:I']);
    client.close();
  });

  it('settings of the startup packet are visible and wrong ones refused', async () => {
    const options = '-c TimeZone=Asia/Tokyo -c eventful.read_consistency=eventual --statement-timeout=1234';
    const client = await plain.connect(undefined, { options, application_name: 'wire test' });
    const show = async (name: string): Promise<unknown> =>
      Object.values((await client.query(`SHOW ${name}`)).rows[0] as object)[0];
    expect(await show('TimeZone')).toBe('Asia/Tokyo');
    expect(await show('application_name')).toBe('wire test');
    expect(await show('statement_timeout')).toBe('1234ms');
    expect(await show('eventful.read_consistency')).toBe('eventual');
    await client.end();
    const raw = await RawClient.ready(plain.port, plain.token, { options: '-c TimeZone=Asia/Tokyo' });
    expect(raw.settings.get('TimeZone')).toBe('Asia/Tokyo');
    expect(raw.settings.get('server_version')).toMatch(/^16/);
    expect(raw.settings.get('session_authorization')).toBe('user:tester');
    raw.close();
    for (const wrong of ['-c nothing=1', '-c eventful.nothing=1'])
      await expect(plain.connect(undefined, { options: wrong })).rejects.toMatchObject({ code: '42704' });
    await expect(plain.connect(undefined, { options: '-c TimeZone=Nowhere' })).rejects.toMatchObject({
      code: '22023',
    });
  });

  it('the Unix socket works without TLS', async () => {
    for (const server of [plain, secure]) {
      const path = join(server.directory, `.s.PGSQL.${server.port}`);
      const client = await RawClient.ready(path, server.token);
      expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
      client.close();
      expect((await answerTo(path, encodeSslRequest())).toString()).toBe('N');
    }
  });
});

describe('cancel', () => {
  async function sleeper(minor: number): Promise<RawClient> {
    const client = await RawClient.ready(plain.port, plain.token, {}, minor);
    client.send(m.query('SELECT pg_sleep(30)'));
    await new Promise((resolve) => setTimeout(resolve, 300));
    return client;
  }
  async function cancel(processId: number, secret: Buffer): Promise<void> {
    const answer = await answerTo(plain.port, encodeCancelRequest(processId, secret), true);
    expect(answer.length).toBe(0);
  }

  it.each([0, 2])('with the right key gives 57014, protocol 3.%i', async (minor) => {
    const client = await sleeper(minor);
    const { processId, secret } = client.key ?? { processId: 0, secret: Buffer.alloc(0) };
    await cancel(processId, secret);
    expect((await client.run()).slice(-2)).toEqual(['E:57014', 'Z:I']);
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    client.close();
  });

  it('with a wrong key does nothing', async () => {
    const client = await sleeper(0);
    const { processId, secret } = client.key ?? { processId: 0, secret: Buffer.alloc(0) };
    const wrong = Buffer.from(secret);
    wrong[0] = (wrong[0] ?? 0) ^ 1;
    await cancel(processId, wrong);
    await cancel(processId, Buffer.concat([secret, Buffer.alloc(28)]));
    await cancel(processId + 1000, secret);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(client.frames).toEqual([]);
    await cancel(processId, secret);
    expect((await client.run()).slice(-2)).toEqual(['E:57014', 'Z:I']);
    client.close();
  });
});

describe('bad messages', () => {
  it('an unknown statement or portal is an error the connection survives', async () => {
    const client = await RawClient.ready(plain.port, plain.token);
    expect(await client.run(m.bind([], { statement: 'nope' }), m.sync())).toEqual(['E:26000', 'Z:I']);
    expect(await client.run(m.execute(0, 'nope'), m.sync())).toEqual(['E:34000', 'Z:I']);
    expect(await client.run(m.describe('nope'), m.sync())).toEqual(['E:26000', 'Z:I']);
    expect(await client.run(m.describePortal('nope'), m.sync())).toEqual(['E:34000', 'Z:I']);
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    client.close();
  });

  it('a garbage frame closes its own connection only', async () => {
    const other = await RawClient.ready(plain.port, plain.token);
    for (const garbage of ['z\0\0\0\x04', 'Q\0\0\0\x01', 'Q\xff\xff\xff\xff', 'S\x00\x10\x00\x00']) {
      const client = await RawClient.ready(plain.port, plain.token);
      client.send(Buffer.from(garbage, 'latin1'));
      expect(stateIn((await client.until('E')).at(-1)?.raw ?? Buffer.alloc(0))).toBe('08P01');
      await client.ended();
    }
    expect(await other.run(m.query('SELECT 1'))).toContain('D:1');
    other.close();
  });
});
