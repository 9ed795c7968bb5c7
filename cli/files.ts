/** What a data directory holds. */
const OURS =
  /^(keyring\.json|replication(\..+)?|checkpoint(\..+)?|log|store|tls|config\.toml(\.new)?|server\.(pid|log)|\.s\.PGSQL\.\d+)$/;

/** Whether a file or directory in the data directory is part of a store. */
export function isOurs(name: string): boolean {
  return OURS.test(name);
}
