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
  project_id: string;
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
  /** Behind the project and a space. */
  idempotency_key: string | null;
  request_hash: string;
  /** The state it was in before this one. */
  prior_state: ColumnType<string, never, string>;
  source_snapshot_id: string;
  parent_id: string;
  paused_snapshot_id: ColumnType<string, never, string>;
  resumed_as: ColumnType<string, never, string>;
  /** 0 or 1. */
  auto_resume: number;
  timeout_seconds: number;
  idle_seconds: number;
  delete_paused_after_seconds: number;
  delete_at: OptionalMilliseconds;
  /** 0 or 1. */
  from_warm_pool: ColumnType<number, never, number>;
  /** An EgressPolicy as Protobuf JSON. */
  egress: string;
  /** 0 or 1. */
  allow_public_traffic: number;
  mask_request_host: string;
  traffic_id: string;
}

/** Table `preview_grants`: one row per grant, without its tokens. */
export interface PreviewGrantsTable {
  id: string;
  machine_id: string;
  port: number;
  kind: string;
  /** Of "http" and "websocket", with a space between them. */
  transports: string;
  created_at: Milliseconds;
  expires_at: Milliseconds;
  revoked_at: OptionalMilliseconds;
  http_requests: ColumnType<number | string, number, number>;
  websockets: ColumnType<number | string, number, number>;
  bytes_in: ColumnType<number | string, number, number>;
  bytes_out: ColumnType<number | string, number, number>;
  first_used_at: OptionalMilliseconds;
  last_used_at: OptionalMilliseconds;
  last_error: string;
  last_error_at: OptionalMilliseconds;
}

/** Table `snapshots`: one row per snapshot of a machine. */
export interface SnapshotsTable {
  id: string;
  project_id: string;
  host_id: string;
  kind: string;
  state: string;
  machine_id: string;
  parent_id: string;
  name: string;
  metadata: string;
  template_name: string;
  template_tag: string;
  vcpus: number;
  memory_mb: number;
  disk_mb: number;
  cwd: string;
  size_bytes: ColumnType<number | string, number, number>;
  stopped_ms: number;
  /** As in `machines`. */
  egress: string;
  created_at: Milliseconds;
  idempotency_key: string | null;
  request_hash: string;
}

/** Table `snapshot_labels`: as `machine_labels`. */
export interface SnapshotLabelsTable {
  snapshot_id: string;
  name: string;
  value: string;
}

/** Table `events`: one row per event, written once. */
export interface EventsTable {
  id: ColumnType<number | string, number, never>;
  type: string;
  created_at: Milliseconds;
  project_id: string;
  machine_id: string;
  snapshot_id: string;
  source_machine_id: string;
  from_state: string | null;
  to_state: string | null;
  cause: string;
  /** JSON object. */
  timings: string;
  failure: string;
  ssh_access_id: ColumnType<string, string | undefined, never>;
}

/** Table `event_counter`: one row, with the id of the newest event. */
export interface EventCounterTable {
  id: number;
  last: ColumnType<number | string, never, number | string>;
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
  project_id: string;
  /** Names of scopes, with spaces between. */
  scopes: string;
  name: string;
  hash: string;
  created_at: Milliseconds;
  last_used_at: OptionalMilliseconds;
  revoked_at: OptionalMilliseconds;
}

/** Table `projects`: one row per project. */
export interface ProjectsTable {
  id: string;
  created_at: Milliseconds;
  /** JSON object of those limits that it has of its own. */
  limits: string;
}

/** Table `audit`: one row per call that is kept track of, written once. */
export interface AuditTable {
  id: string;
  created_at: Milliseconds;
  project_id: string;
  key_id: string;
  rpc: string;
  object_id: string;
  outcome: string;
  request_id: string;
}

/** Table `ssh_accesses`: one row per access by SSH, without its token. */
export interface SshAccessesTable {
  id: string;
  machine_id: string;
  project_id: string;
  fingerprint: string;
  token_hash: string;
  created_at: Milliseconds;
  expires_at: Milliseconds;
  revoked_at: OptionalMilliseconds;
  last_used_at: OptionalMilliseconds;
  use_count: ColumnType<number | string, number, number>;
}

/** Table `ssh_connections`: one row per connection by SSH that is open. */
export interface SshConnectionsTable {
  id: string;
  access_id: string;
  machine_id: string;
  project_id: string;
  /** Whose server carries it. */
  host_id: string;
  started_at: Milliseconds;
}

/** All tables. */
export interface Schema {
  projects: ProjectsTable;
  audit: AuditTable;
  machines: MachinesTable;
  machine_labels: MachineLabelsTable;
  api_keys: ApiKeysTable;
  snapshots: SnapshotsTable;
  snapshot_labels: SnapshotLabelsTable;
  events: EventsTable;
  event_counter: EventCounterTable;
  preview_grants: PreviewGrantsTable;
  ssh_accesses: SshAccessesTable;
  ssh_connections: SshConnectionsTable;
}
