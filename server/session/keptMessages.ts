import type { Frame } from '../protocol/frames.js';
import { BIND, decodeBind } from '../protocol/frontend/bind.js';
import { DESCRIBE } from '../protocol/frontend/describe.js';
import { EXECUTE } from '../protocol/frontend/execute.js';
import type { SharedStatement } from '../relay/sharedRead.js';
import type { Prepared } from './prepared.js';

const PORTAL = 0x50;
const STATEMENT = 0x53;
/** Longer messages are not kept. */
const BYTES_MAX = 16 * 1024;
/** Of Describe and Execute: the unnamed portal, all of its rows. */
const DESCRIBE_BODY = Buffer.from([PORTAL, 0]);
const EXECUTE_BODY = Buffer.alloc(5);

/** What came for one look-up since the last Sync, in this order: Parse, Describe of the statement, Bind, Describe, Execute. */
export class KeptMessages {
  bind: Frame | null = null;
  /** Of the result's columns, as Bind asks for them. */
  formats = '';
  describeStatement: Frame | null = null;
  describe: Frame | null = null;
  private execute: Frame | null = null;

  constructor(
    readonly statement: SharedStatement,
    readonly prepared: Prepared,
    readonly parse: Frame | null,
  ) {}

  /** @returns false for what does not belong to it */
  add(frame: Frame): boolean {
    if (this.execute !== null) return false;
    if (this.bind === null) return frame.type === BIND ? this.addBind(frame) : this.addStatement(frame);
    if (frame.type === DESCRIBE && this.describe === null && frame.body.equals(DESCRIBE_BODY))
      this.describe = frame;
    else if (frame.type === EXECUTE && frame.body.equals(EXECUTE_BODY)) this.execute = frame;
    else return false;
    return true;
  }

  /** A Sync may end it. */
  get isWhole(): boolean {
    return (this.bind === null) === (this.execute === null);
  }

  get frames(): readonly Frame[] {
    const { parse, describeStatement, bind, describe, execute } = this;
    return [parse, describeStatement, bind, describe, execute].filter((frame) => frame !== null);
  }

  private addBind(frame: Frame): boolean {
    const formats = isTooLong(frame) ? null : resultFormats(frame.body);
    if (formats === null || statementName(frame.body) !== this.prepared.name) return false;
    this.bind = frame;
    this.formats = formats;
    return true;
  }

  private addStatement(frame: Frame): boolean {
    if (frame.type !== DESCRIBE || this.describeStatement !== null || !describes(frame, this.prepared.name))
      return false;
    this.describeStatement = frame;
    return true;
  }
}

export function isTooLong({ body }: Frame): boolean {
  return body.length > BYTES_MAX;
}

/** Null for a message that is not as it should be, which must not reach the connection of others. */
function resultFormats(bind: Buffer): string | null {
  try {
    return decodeBind(bind).resultFormats.join();
  } catch {
    return null;
  }
}

/** What a Bind of the unnamed portal binds; null for other portals. */
export function statementName(bind: Buffer): string | null {
  const end = bind.indexOf(0, 1);
  return bind[0] !== 0 || end < 0 ? null : bind.toString('utf8', 1, end);
}

/** Whether a Describe is of the statement of that name. */
function describes(frame: Frame, name: string): boolean {
  const { body } = frame;
  return body[0] === STATEMENT && body.toString('utf8', 1, body.length - 1) === name;
}
