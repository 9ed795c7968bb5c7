/** Subscriptions that stream or copy at once; one takes up to three connections while it copies. */
const MAX_WAL_SENDERS = 32;
/** Slots that hold back WAL at once. */
export const MAX_REPLICATION_SLOTS = 32;
/** WAL kept for the slowest slot. */
export const MAX_SLOT_WAL_MB = 256;

/** The whole of pg_hba.conf: nothing but our socket, and a password for everyone. */
export const HBA = 'local all all scram-sha-256\n';

/**
 * The whole of postgresql.conf, written anew at each start. The data is disposable, so nothing is synced; shared memory
 * segments are files in the data directory because a container's /dev/shm is often 64 MB.
 */
export function postgresSettings(socketDirectory: string): string {
  const settings: Readonly<Record<string, string>> = {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: socketDirectory,
    unix_socket_permissions: '0700',
    max_connections: '200',
    superuser_reserved_connections: '10',
    shared_buffers: '128MB',
    // Memory, or at least no disk that turns: a page read out of turn costs little more.
    random_page_cost: '1.1',
    // Sorts and hashes of reports; with hash_mem_multiplier a hash may take twice as much.
    work_mem: '16MB',
    dynamic_shared_memory_type: 'mmap',
    fsync: 'off',
    // Without fsync this only hands the log to the kernel. Off, a killed PostgreSQL would forget its latest commits, and
    // with them positions that readers were already told are applied.
    synchronous_commit: 'on',
    full_page_writes: 'off',
    // The schema is made again in one transaction: a lock for each table, view and index of it.
    max_locks_per_transaction: '256',
    wal_level: 'logical',
    max_wal_senders: String(MAX_WAL_SENDERS),
    max_replication_slots: String(MAX_REPLICATION_SLOTS),
    // The log lives in memory: a subscriber that stays away must not fill it. Its slot is then made anew.
    max_slot_wal_keep_size: `${MAX_SLOT_WAL_MB}MB`,
    wal_sender_timeout: '60s',
    max_wal_size: '128MB',
    min_wal_size: '32MB',
    max_prepared_transactions: '0',
    statement_timeout: '0',
    // Sorts that spill would otherwise fill the memory the directory lives in.
    temp_file_limit: '1GB',
    jit: 'off',
    autovacuum: 'on',
    autovacuum_naptime: '10s',
    // As PostgreSQL's own, and the users' views behind it.
    search_path: '"$user", public, views',
    timezone: 'UTC',
    log_timezone: 'UTC',
    datestyle: 'ISO, MDY',
    lc_messages: 'C',
    password_encryption: 'scram-sha-256',
    // The passwords are 256 random bits: stretching them would only slow down every connection.
    scram_iterations: '1',
    // What SHOW and RESET answer; the server acts on them.
    'eventful.read_consistency': 'linearizable',
    'eventful.synchronous_commit': 'on',
    log_destination: 'stderr',
    logging_collector: 'off',
    // LOG and worse; ERROR ranks below LOG here. Errors can quote values, which have no place in a log.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    update_process_title: 'on',
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('');
}

/** Nothing of our own environment: it may hold keys, and the child belongs to another user. */
export const CHILD_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};
