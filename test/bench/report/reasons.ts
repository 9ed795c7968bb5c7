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
    why: 'nothing overlaps with one client. The sync takes the same on either side (0.06 to 0.3 ms by the disk, and the quicker it is the more the rest counts); besides, PostgreSQL needs some 0.1 ms, and here parsing, hashing, sealing, the record of the log and the answer take two to three times that: the thread sleeps in the sync and goes on with cold caches, so that staging and encoding an event take 130 µs where they take 45 with 64 clients',
    next: 'fewer and larger steps between request and sync: one buffer from encoding to the log. Syncing in another thread while this one stays awake was tried and is slower',
  },
  {
    section: 'a',
    row: /^8 clients$/,
    why: 'one JavaScript thread receives, commits, projects and answers for all clients, and it waits for the syncs itself, since on this disk the way to another thread costs more than it saves; PostgreSQL has a process per client on both cores',
    next: 'sessions on another thread that hand over their appends without a message per append (shared memory instead of postMessage). Syncing elsewhere while the next group is staged was tried twice and is slower on two cores (decision 0022)',
  },
  {
    section: 'a',
    row: /^64 clients$/,
    goal: /PostgreSQL/,
    why: 'the one thread is full, and what fills it is spread over hashing, socket writes, garbage, sealing, RocksDB batches and the session (profile.md); the disk is not the limit, since some 40 commits share a sync',
    next: 'hashing and sealing of a group on another thread while the next one is checked; batches handed to RocksDB in one buffer',
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
    why: 'hashes, sealing and garbage on one thread, while PostgreSQL needs no cipher and no hash',
    next: 'hash and seal whole chunks outside the main thread',
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
    why: 'half of the busy time is the write to the socket (one system call per read, as in PostgreSQL), and all of it is on one thread, so what the hypervisor takes from that one core is missing, while PostgreSQL goes on on the other',
    next: 'sessions on threads of their own where there are cores',
  },
  {
    section: 'd',
    row: /^relayed, a connection/,
    why: 'each read passes two processes: one write and one read of sockets more on a single thread, and PostgreSQL then does the same work as on its side, on cores it shares with that thread',
    next: 'share a connection (decision 0027) for whatever was quick before and calls nothing but functions known to be harmless',
  },
  {
    section: 'd',
    row: /^relayed/,
    why: 'each read passes two processes, although many go together; with one client there is nothing that could go together',
    next: 'let the engine compute plain conditions and expressions by itself',
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
    why: 'the read model is PostgreSQL with the same plan; what is lost is the way through the relay: for many rows the reads and writes of 256 KB each, for few the way of a statement through a second process',
    next: 'measure where a single statement waits; the rows themselves cost a third of what they did',
  },
  {
    section: 'g',
    row: /^AS OF VERSION/,
    why: 'with few events there is little to fold for either side: the answer costs what a point read costs, of which more than a third is the client’s; with many, the states between two snapshots are folded once and kept, and the target is met',
    next: 'what makes point reads cheaper (d); they no longer wait for a thread to wake (decision 0022), which had kept this below 1.3',
  },
  {
    section: 'g',
    row: /^AS OF TIMESTAMP/,
    why: 'the read model scans its table of past versions, once that is made; what is left is that scan and the grouping',
    next: 'parallel plans for large tables',
  },
  {
    section: 'h',
    row: /verify/,
    why: 'about 16 µs per event: some 3 for the iterator of the RocksDB binding, 6 for one decryption, the salt and six hashes, each a call into libsodium for a hundred bytes, 2 or 3 for garbage collection, the rest for decoding and writing out what is hashed; that was on a Xeon, and an EPYC whose cores were shared took 30. The target is a number of events, so a slow machine misses it first',
    next: 'a call that hashes and decrypts many records at once, which no library offers. More cores are used already (the row with threads), but the target is for one',
  },
  {
    section: 'i',
    row: /tables/,
    why: 'of an event’s bytes 32 are its leaf in the store tree, 18 to 23 tag and nonce of its cipher, 12 its place in the total order, 14 its times; what is encrypted cannot be compressed afterwards',
    next: 'larger blocks; a time per run of events that were recorded together',
  },
  {
    section: 'j',
    row: /rebuild/,
    why: 'the head of each aggregate is read, decrypted and decoded in one thread, about half of it for the RocksDB binding’s iterator, which makes an object and two buffers per record; then it is written as text for COPY. PostgreSQL takes rows faster than they come. The target is a number of rows, so a slow machine misses it first',
    next: 'keys of heads from one piece of memory; a second thread that writes the text for COPY',
  },
  {
    section: 'l',
    row: /^a/,
    why: 'the largest store has far more aggregates than are kept as objects: most heads are kept as sealed records, and have to be opened first; and RocksDB merges larger tables meanwhile',
    next: 'a larger share of memory for heads; fewer bytes per event to merge',
  },
  {
    section: 'l',
    row: /^d/,
    why: 'the small store is all in memory as objects, and a read of it costs little more than its two system calls; in the large one most heads are kept as sealed records, and each read hashes the id, decrypts and decodes one, some 9 µs; a client that is answered more slowly falls asleep between its answers, and each write then has to wake it, which costs the thread another 10 to 20 µs; heads for which there is no memory are read from RocksDB',
    next: 'states in the clear for what is read often, as session threads have them (decision 0023)',
  },
  {
    section: 'l',
    row: /^g/,
    why: 'the small store’s versions are all folded already; of the large one the events are in memory and looked up for each read, some 13 µs (decision 0024), and its head is a sealed record that has to be opened (as in d). Events for which there is no memory are read from RocksDB, whose binding does that on another thread: some 100 µs for the way there and back and 15 to 20 for each key',
    next: 'events in fewer bytes, so that more of them stay; a read of RocksDB that returns at once where the block is in memory, which the binding does not offer',
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
