/** Why a target is missed, as the profiles (profile.md) show it, and what would be tried next. */
import type { Goal, Row, Section } from '../measure.js';

interface Reason {
  readonly section: string;
  /** Of the row's label, which may hold counts that the flags change. */
  readonly row: RegExp;
  /** Of the target's text, where a row has several. */
  readonly goal?: RegExp;
  readonly why: string;
  readonly next: string;
}

const REASONS: readonly Reason[] = [
  {
    section: 'a',
    row: /^1 client$/,
    why: 'nothing overlaps with one client. Of about 0.5 ms the sync takes 0.15, which is all that PostgreSQL needs besides 0.1 of its own; the rest is JavaScript (parsing messages, sealing, hashing, the record of the log), the write to the socket, and waking up on either side',
    next: 'fewer small objects per append, one buffer from encoding to the log, the projector in a thread of its own',
  },
  {
    section: 'a',
    row: /^8 clients$/,
    why: 'one JavaScript thread receives, commits, projects and answers for all clients, and few commits share a sync; PostgreSQL has a process per client on both cores',
    next: 'fewer and larger socket writes, fewer promises and objects per append (profile.md, a with 64 clients)',
  },
  {
    section: 'a',
    row: /^64 clients$/,
    goal: /PostgreSQL/,
    why: 'the one thread is full: a fifth of it is garbage collection, the rest is spread over socket writes, sealing, RocksDB batches, the session and the projector; the disk is not the limit, since about 30 commits share a sync',
    next: 'less garbage per append (about 600 objects), batches handed to RocksDB in one buffer, the projector in a thread of its own',
  },
  {
    section: 'a',
    row: /^64 clients$/,
    goal: /syncs/,
    why: 'the groups of commits are too small: clients answer too slowly to fill them',
    next: 'gather a little longer while many sessions are about to append',
  },
  {
    section: 'b',
    row: /keeps the version/,
    why: 'as in a with 8 clients: the same append with a comparison of versions',
    next: 'what helps a helps here',
  },
  {
    section: 'b',
    row: /read the version/,
    why: 'each round is a read and an append, each at the cost seen in d and a; and of ten aggregates wanted by eight clients, most conflicts are found only after the read has been made again',
    next: 'the cheaper reads of d and appends of a',
  },
  {
    section: 'c',
    row: /events per run/,
    goal: /trigger/,
    why: 'each event costs garbage collection first (over 40 % of the busy time), then sealing and the tree of hashes, which PostgreSQL does not do; it is one thread, while PostgreSQL needs no cipher and no hash',
    next: 'copy rows as bytes into one buffer per chunk instead of objects per field; hash and seal whole chunks outside the main thread',
  },
  {
    section: 'c',
    row: /events per run/,
    goal: /one statement/,
    why: 'this side does less: its client counts the versions, nothing is checked, and one statement projects at the end; ours seals, hashes and checks every event',
    next: 'as for the trigger; the rest is the price of proofs and encryption',
  },
  {
    section: 'd',
    row: /^by aggregate_id/,
    why: 'over half of the busy time is the write to the socket (one system call per read, about the same in PostgreSQL), but on one thread; the rest is the session, buffers and promises of Node',
    next: 'sessions on threads of their own where there are cores; one buffer per answer, and the row of a known state encoded once',
  },
  {
    section: 'd',
    row: /^relayed/,
    why: 'each read passes two processes: four writes and three reads of sockets instead of one of each (system calls in profile.md), and PostgreSQL then does the same work as on its side',
    next: 'write what is relayed in fewer pieces; let the engine answer more forms of reads',
  },
  {
    section: 'e',
    row: /client/,
    why: 'each pair is an append at the cost seen in a, then a read at the cost seen in d; a read that is relayed also waits for the projector',
    next: 'what helps a and d helps here',
  },
  {
    section: 'f',
    row: /./,
    why: 'the read model is PostgreSQL with the same plan; what is lost is the way of the rows through the relay',
    next: 'hand on large answers without looking into them',
  },
  {
    section: 'g',
    row: /^AS OF VERSION/,
    why: 'with few events there is little to fold for either side, and the answer costs what a point read costs; with many, the states between two snapshots are folded once and kept, and the target is met',
    next: 'what makes point reads cheaper (d)',
  },
  {
    section: 'g',
    row: /^AS OF TIMESTAMP/,
    why: 'heads, keys and events of every aggregate are read and decrypted record by record, and the states then go to the read model as JSON before it can group them; PostgreSQL scans one table in C',
    next: 'fold from the present state where most aggregates have not changed since; group in the engine what needs no PostgreSQL',
  },
  {
    section: 'h',
    row: /verify/,
    why: 'about 45 µs per event where each aggregate has two, 22 µs where it has ten: decryption of event, head and key, seven hashes, decoding, garbage collection (190 objects per event) and the iterator of the RocksDB binding',
    next: 'decrypt and hash in batches, decode without an object per field, several aggregates at once on several threads',
  },
  {
    section: 'i',
    row: /tables/,
    why: 'each event is kept with its id, its hashes and the tags and nonce of its cipher; field names stand in every payload and state; what is encrypted cannot be compressed afterwards, and the binding has no compression',
    next: 'numbers instead of field names; an aggregate’s older events in blocks that are compressed, then sealed once; nonces of 10 bytes',
  },
  {
    section: 'j',
    row: /rebuild/,
    why: 'head and key of each aggregate are read, decrypted and decoded in one thread (about 17 µs) and written as text for COPY; PostgreSQL takes rows faster than they come',
    next: 'the key in the head’s record, so that one is read instead of two; decoding without an object per field',
  },
  {
    section: 'l',
    row: /^a/,
    why: 'a head that is not among the 50,000 kept in memory is read from RocksDB and decrypted before the append can be checked; the larger store has more aggregates than that',
    next: 'a cache bounded by bytes instead of heads, so that small states fit by the hundred thousand; the key in the head’s record, so that one is read instead of two',
  },
  {
    section: 'l',
    row: /^d/,
    why: 'a state beyond the 50,000 heads kept in memory is read from RocksDB and decrypted, about 50 µs, where a kept one costs next to nothing: the small store is all in memory',
    next: 'the same cache',
  },
  {
    section: 'l',
    row: /^g/,
    why: 'as for point reads, and the segment of events is read and folded where it is not kept',
    next: 'the same cache',
  },
];

function reasonFor(section: Section, row: Row, goal: Goal): Reason | undefined {
  return REASONS.find(
    (reason) =>
      reason.section === section.id && reason.row.test(row.label) && (reason.goal?.test(goal.text) ?? true),
  );
}

/** Of the targets that were missed, and only those; '' when all were met. */
export function missedText(sections: readonly Section[]): string {
  const lines = sections.flatMap((section) =>
    section.rows.flatMap((row) =>
      row.goals
        .filter(({ met }) => !met)
        .map((goal) => {
          const { why, next } = reasonFor(section, row, goal) ?? {
            why: '**no reason written down**',
            next: '–',
          };
          return `| ${section.id} | ${row.label}: ${goal.text} | ${why} | ${next} |`;
        }),
    ),
  );
  if (lines.length === 0) return '';
  return ['| | missed | why | next idea |', '|---|---|---|---|', ...lines].join('\n');
}
