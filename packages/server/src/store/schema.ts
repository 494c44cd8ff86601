import type { ColumnType } from "kysely";

/** Milliseconds since the epoch. PostgreSQL's driver reads 64-bit integers as text. */
export type Milliseconds = ColumnType<number | string, number, number>;
/** {@link Milliseconds}, or NULL. */
export type OptionalMilliseconds = ColumnType<
  number | string | null,
  number | null | undefined,
  number | null
>;

/** Table `machines`: one row per machine. */
export interface MachinesTable {
  id: string;
  host_id: string;
  state: string;
  state_since: Milliseconds;
  revision: number;
  template_name: string;
  template_tag: string;
  snapshot_id: string;
  vcpus: number;
  memory_mb: number;
  disk_mb: number;
  /** JSON object, as it is shown; labels to search by are in `machine_labels`. */
  metadata: string;
  cwd: string;
  created_at: Milliseconds;
  started_at: OptionalMilliseconds;
  timeout_at: OptionalMilliseconds;
  on_timeout: string;
  ended_at: OptionalMilliseconds;
  failure: string;
  /** JSON, or NULL until the guest has confirmed. */
  receipt: string | null;
  idempotency_key: string | null;
  request_hash: string;
}

/** Table `machine_labels`: the metadata of machines, one row per label, to search by. Written once. */
export interface MachineLabelsTable {
  machine_id: string;
  name: string;
  value: string;
}

/** Table `api_keys`: one row per key, without the key. */
export interface ApiKeysTable {
  id: string;
  name: string;
  hash: string;
  created_at: Milliseconds;
  last_used_at: OptionalMilliseconds;
  revoked_at: OptionalMilliseconds;
}

/** All tables. */
export interface Schema {
  machines: MachinesTable;
  machine_labels: MachineLabelsTable;
  api_keys: ApiKeysTable;
}
