import { describe, expect, it } from 'vitest';
import { parseReplicationCommand } from './commands.js';

describe('parseReplicationCommand', () => {
  it.each([
    ['SELECT 1'],
    ['BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ'],
    ['SHOW wal_level'],
    ['/* x */ DROP_REPLICATION_SLOT x'],
    [''],
  ])('%j is SQL', (text) => expect(parseReplicationCommand(text)).toBeNull());

  it('reads what the subscribers of PostgreSQL 15 to 18 send', () => {
    expect(parseReplicationCommand('IDENTIFY_SYSTEM')).toEqual({ kind: 'identify' });
    expect(parseReplicationCommand('DROP_REPLICATION_SLOT pg_1_sync_2_3 WAIT')).toEqual({
      ...{ kind: 'dropSlot', name: 'pg_1_sync_2_3', wait: true },
    });
    expect(
      parseReplicationCommand(`CREATE_REPLICATION_SLOT "sub" LOGICAL pgoutput (SNAPSHOT 'use', TWO_PHASE)`),
    ).toEqual({ kind: 'createSlot', name: 'sub', temporary: false, twoPhase: true, snapshot: 'use' });
    expect(
      parseReplicationCommand('create_replication_slot Sub temporary logical "pgoutput" USE_SNAPSHOT;'),
    ).toEqual({ kind: 'createSlot', name: 'sub', temporary: true, twoPhase: false, snapshot: 'use' });
    expect(
      parseReplicationCommand(
        `START_REPLICATION SLOT "sub" LOGICAL 1A/2b (proto_version '4', streaming 'parallel', origin 'any', publication_names '"Odd ""name""",plain')`,
      ),
    ).toEqual({
      kind: 'start',
      name: 'sub',
      lsn: 0x1a_0000_002bn,
      publications: ['Odd "name"', 'plain'],
      options: new Map([
        ['proto_version', '4'],
        ['streaming', 'parallel'],
        ['origin', 'any'],
      ]),
    });
  });

  it.each([
    [`START_REPLICATION SLOT x LOGICAL 0/0 (publication_names 'a', proto_version '1'') x')`, '22023'],
    [`START_REPLICATION SLOT x LOGICAL 123456789/0 (publication_names 'a')`, '42601'],
    [`START_REPLICATION SLOT x LOGICAL 0/0 (publication_names '"a)`, '42601'],
    [`START_REPLICATION SLOT x LOGICAL 0/0 (publication_names 'a b')`, '42601'],
    ['CREATE_REPLICATION_SLOT LOGICAL', '0A000'],
    ['CREATE_REPLICATION_SLOT', '42601'],
    ['DROP_REPLICATION_SLOT "x" "y"', '42601'],
    ['IDENTIFY_SYSTEM; SELECT 1', '42601'],
    [`DROP_REPLICATION_SLOT ${'x'.repeat(64)}`, '42602'],
    ['DROP_REPLICATION_SLOT "x""y"', '42602'],
  ])('%s is refused with %s', (text, sqlstate) => {
    expect(() => parseReplicationCommand(text)).toThrow(expect.objectContaining({ sqlstate }) as Error);
  });
});
