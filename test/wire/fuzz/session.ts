/** One short connection of the fuzzer, from its first byte to its end. */
import type { Socket } from 'node:net';
import { decodeErrorFields } from '../../../server/protocol/backend/error.js';
import { decodeParameterDescription } from '../../../server/protocol/backend/parameter-description.js';
import { decodeDataRow, decodeRowDescription } from '../../../server/protocol/backend/row.js';
import { decodeBackendKeyData } from '../../../server/protocol/backend/authentication.js';
import { FrameReader, type Frame } from '../../../server/protocol/frames.js';
import { encodeCancelRequest, encodeSslRequest } from '../../../server/protocol/startup.js';
import { m, openSocket, startupPacket } from '../raw.js';
import { copyFail, damaged, hopeless, noise, pair, whole } from './frames.js';
import type { Random } from './random.js';

const ANSWER_MS = 30_000;
const RETRY_MS = 3000;
/** Internal errors that PostgreSQL itself answers with. */
const OF_POSTGRESQL = [
  // A Parse with the number of a type that does not exist.
  'cache lookup failed for type',
  // FETCH from a portal that Bind made of a statement without rows.
  'unsupported portal strategy',
];
/** Every message a server may send to a client. */
const KNOWN = new Set([...'RSKZTDCEINtns123GHdcAv'].map((letter) => letter.charCodeAt(0)));

export interface FuzzTarget {
  readonly port: number;
  readonly token: string;
}

export interface FuzzReport {
  /** Messages sent. */
  frames: number;
  sessions: number;
  /** SQLSTATE → how often. */
  readonly errors: Map<string, number>;
  /** What must not be: the first of each kind, with the session's messages. */
  readonly faults: string[];
  /** Pairs tried so far. */
  pairs: number;
}

/** Reads what the server answers and holds it against the protocol. */
class Answers {
  readonly startup = { ready: false, asked: false };
  key: { processId: number; secret: Buffer } | null = null;
  closed = false;
  cancelled = false;
  /** The first column of the newest row. */
  last = '';
  private readonly reader = new FrameReader({ mode: 'backend' });
  private wake: () => void = () => undefined;
  private readiness = false;

  constructor(
    socket: Socket,
    private readonly report: FuzzReport,
    private readonly fault: (what: string) => void,
  ) {
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
  }

  async until(condition: () => boolean, ms = ANSWER_MS): Promise<boolean> {
    const deadline = Date.now() + ms;
    while (!condition()) {
      if (this.closed || Date.now() > deadline) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return true;
  }

  private receive(chunk: Buffer): void {
    try {
      // The one answer without a length: a refused SSLRequest.
      const bytes = !this.readiness && chunk[0] === 0x4e && chunk.length === 1 ? chunk.subarray(1) : chunk;
      this.reader.push(Buffer.from(bytes));
      for (let frame = this.reader.next(); frame !== null; frame = this.reader.next()) this.take(frame);
    } catch (error) {
      this.fault(`unreadable answer: ${String(error)}`);
    }
    this.wake();
  }

  private take(frame: Frame): void {
    this.readiness = true;
    const letter = String.fromCharCode(frame.type);
    if (!KNOWN.has(frame.type)) this.fault(`unknown message ${letter}`);
    if (letter === 'R' && frame.body.readUInt32BE() === 3) this.startup.asked = true;
    if (letter === 'K') this.key = decodeBackendKeyData(frame.body);
    if (letter === 'Z') {
      this.startup.ready = true;
      if (!'ITE'.includes(frame.body.toString('latin1'))) this.fault('a status that is none');
    }
    if (letter === 'T') decodeRowDescription(frame.body);
    if (letter === 't') decodeParameterDescription(frame.body);
    if (letter === 'D') this.last = decodeDataRow(frame.body)[0]?.toString('utf8') ?? '';
    if (letter === 'E' || letter === 'N') this.takeReport(frame.body);
  }

  private takeReport(body: Buffer): void {
    const fields = decodeErrorFields(body);
    const sqlstate = fields.get('C') ?? '';
    this.report.errors.set(sqlstate, (this.report.errors.get(sqlstate) ?? 0) + 1);
    for (const letter of 'SVCM')
      if ((fields.get(letter) ?? '') === '') this.fault(`a report without ${letter}`);
    const message = fields.get('M') ?? '';
    const internal = sqlstate.startsWith('XX') && !OF_POSTGRESQL.some((start) => message.startsWith(start));
    if (!/^[0-9A-Z]{5}$/.test(sqlstate) || internal) this.fault(`SQLSTATE ${sqlstate}: ${message}`);
  }
}

/** The messages of a session after its password. */
function* messages(random: Random, report: FuzzReport): Generator<Buffer> {
  const length = 20 + random.below(100);
  for (let i = 0; i < length; i++) {
    const kind = random.below(200);
    if (kind < 110) yield whole(random);
    else if (kind < 150) yield damaged(random);
    else if (kind < 180) yield noise(random);
    else if (kind < 199) yield* pair(random, ++report.pairs);
    else yield hopeless(random);
    // Otherwise most of a session would be skipped: behind an error up to a Sync, in a failed transaction for good.
    if (random.chance(0.15)) yield m.sync();
    if (random.chance(0.03)) yield m.query('ROLLBACK');
  }
}

/** Sends a chunk whole, in two, or byte by byte. */
async function send(socket: Socket, bytes: Buffer, random: Random): Promise<void> {
  if (random.chance(0.9)) {
    socket.write(bytes);
    return;
  }
  const step = random.chance(0.2) && bytes.length < 200 ? 1 : Math.max(1, random.below(bytes.length));
  for (let at = 0; at < bytes.length; at += step) {
    socket.write(bytes.subarray(at, at + step));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A connection that never gets as far as a session. */
async function unauthenticated(socket: Socket, target: FuzzTarget, random: Random): Promise<number> {
  const packet = startupPacket({ user: 'fuzz', database: 'eventful' }, random.below(4));
  const kinds: (() => Buffer)[] = [
    () => random.bytes(1 + random.below(80)),
    () => {
      packet[random.below(packet.length)] = random.below(256);
      return packet;
    },
    () => packet.subarray(0, random.below(packet.length)),
    () => Buffer.concat([packet, whole(random)]),
    () => Buffer.concat([packet, m.password(random.chance(0.5) ? 'wrong' : `${target.token}x`)]),
    () => Buffer.concat([packet, m.password(target.token).fill(random.below(256), 40, 90)]),
    () => Buffer.concat([encodeSslRequest(), packet]),
    () => encodeCancelRequest(random.below(0x7fffffff), random.bytes(random.pick([4, 32]))),
    () => Buffer.from(random.pick(['GET / HTTP/1.0\r\n\r\n', 'SSH-2.0-x\r\n', '\x16\x03\x01\x02\x00\x01'])),
  ];
  await send(socket, random.pick(kinds)(), random);
  await new Promise((resolve) => setTimeout(resolve, 2));
  socket.end();
  return 1;
}

/** Runs one connection; its messages are counted and what it finds goes into the report. */
export async function fuzzSession(target: FuzzTarget, random: Random, report: FuzzReport): Promise<void> {
  report.sessions++;
  const sent: string[] = [];
  const fault = (what: string): void => {
    if (report.faults.length < 20) report.faults.push(`${what} (after ${sent.slice(-12).join(' | ')})`);
  };
  const socket = await openSocket(target.port);
  const answers = new Answers(socket, report, fault);
  try {
    if (random.chance(0.2)) {
      report.frames += await unauthenticated(socket, target, random);
      if (!(await answers.until(() => answers.startup.ready)) && !answers.closed)
        fault('neither refused nor ready');
      return;
    }
    await send(socket, startupPacket({ user: 'fuzz', database: 'eventful' }, random.below(3)), random);
    if (!(await answers.until(() => answers.startup.asked))) fault('no password was asked for');
    await send(socket, m.password(target.token), random);
    if (!(await answers.until(() => answers.startup.ready))) fault('the password was refused');
    for (const message of messages(random, report)) {
      if (answers.closed) return;
      sent.push(
        message
          .toString('latin1')
          .replace(/[^ -~]/g, '.')
          .slice(0, 160),
      );
      report.frames++;
      await send(socket, message, random);
      if (random.chance(0.02)) await new Promise((resolve) => setTimeout(resolve, random.below(5)));
      if (random.chance(0.004)) await cancel(target, answers);
    }
    // Some leave in the middle of everything; the others must get their answer.
    if (random.chance(0.15)) return;
    const last = `alive ${report.sessions}`;
    sent.push('-- the end');
    const end = [
      copyFail('the end'),
      m.sync(),
      m.query('RESET ALL; ROLLBACK'),
      m.query(`ROLLBACK; SELECT '${last}'`),
    ];
    const arrived = (): boolean => answers.last === last;
    socket.write(Buffer.concat(end));
    // A cancel request of ours may have met the last query itself.
    if (answers.cancelled && !(await answers.until(arrived, RETRY_MS))) socket.write(Buffer.concat(end));
    if (!(await answers.until(arrived, ANSWER_MS)) && !answers.closed) fault('no answer in time');
  } finally {
    socket.destroy();
  }
}

/** Cancels what the session is doing, as another connection with its key. */
async function cancel(target: FuzzTarget, answers: Answers): Promise<void> {
  const { key } = answers;
  if (key === null) return;
  answers.cancelled = true;
  const socket = await openSocket(target.port);
  socket.on('error', () => undefined);
  socket.end(encodeCancelRequest(key.processId, key.secret));
}
