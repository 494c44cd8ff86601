import { createHash } from "node:crypto";
import { invalid, LIMITS } from "./limits.js";
import type { PreviewPolicy, TimeoutAction } from "./machine.js";
import { checkMaskedHost } from "./preview-address.js";
import type { EgressPolicy, WarmPoolMode } from "@nullspace/proto";

/** What the owner of a new machine asks for. Zero and empty stand for "the default". */
export interface MachineRequest {
  readonly projectId: string;
  readonly template: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  /** Seconds until the timeout action; 300 when `undefined`, none when 0. */
  readonly timeoutSeconds: number | undefined;
  readonly onTimeout: TimeoutAction | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly envs: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly idempotencyKey: string;
  /** A reusable snapshot to start from in place of a template; empty for none. */
  readonly snapshotId: string;
  readonly autoResume: boolean;
  readonly previews: Omit<PreviewPolicy, "trafficId">;
  readonly idleSeconds: number;
  readonly deletePausedAfterSeconds: number;
  readonly warmPool: WarmPoolMode;
  /** What it may reach; the default, or as the snapshot's machine, when `undefined`. */
  readonly egress: EgressPolicy | undefined;
}

/**
 * Refuses what no template could satisfy, before anything is done.
 *
 * @throws Fault INVALID_ARGUMENT that names the field and what it may be.
 */
export function checkMachineRequest(request: MachineRequest): void {
  checkTemplateName(request.template);
  if (request.snapshotId !== "" && request.template !== "") {
    throw invalid(
      "template",
      "and snapshot_id are both given",
      "Give one of them: a snapshot holds all of its template already.",
    );
  }
  checkRange("vcpus", request.vcpus, LIMITS.vcpus);
  checkRange("memory_mb", request.memoryMb, LIMITS.memoryMb);
  if (request.diskMb > LIMITS.maxDiskMb) {
    throw invalid("disk_mb", `is ${request.diskMb}`, `Ask for at most ${LIMITS.maxDiskMb} MiB.`);
  }
  if (request.timeoutSeconds !== undefined) checkTimeout("timeout_seconds", request.timeoutSeconds);
  checkTimeouts(request);
  checkMetadata(request.metadata);
  checkEnvs(request.envs);
  checkCwd(request.cwd);
  checkMaskedHost(request.previews.maskRequestHost);
  checkIdempotencyKey(request.idempotencyKey);
}

/** @throws Fault INVALID_ARGUMENT beyond 30 days. */
export function checkTimeout(field: string, seconds: number): void {
  if (seconds <= LIMITS.maxTimeoutSeconds) return;
  throw invalid(
    field,
    `is ${seconds}`,
    `Give at most ${LIMITS.maxTimeoutSeconds} seconds (30 days), or 0 for no deadline.`,
  );
}

/** What a request may say of the end of a machine. */
export interface TimeoutRequest {
  readonly onTimeout?: TimeoutAction | undefined;
  readonly autoResume?: boolean;
  readonly idleSeconds?: number | undefined;
  readonly deletePausedAfterSeconds?: number | undefined;
}

/** @throws Fault INVALID_ARGUMENT that names the field and what it may be. */
export function checkTimeouts(request: TimeoutRequest): void {
  if (request.autoResume === true && request.onTimeout !== "pause") {
    throw invalid(
      "auto_resume",
      "is set, and the machine would be killed at its timeout",
      "Set on_timeout to PAUSE too, or leave auto_resume out.",
    );
  }
  checkTimeout("idle_seconds", request.idleSeconds ?? 0);
  const { deletePausedAfterSeconds = 0 } = request;
  if (deletePausedAfterSeconds <= LIMITS.maxDeletePausedSeconds) return;
  throw invalid(
    "delete_paused_after_seconds",
    `is ${deletePausedAfterSeconds}`,
    `Give at most ${LIMITS.maxDeletePausedSeconds} seconds (a year), or 0 for never.`,
  );
}

/** Tells one request from another under the same idempotency key. */
export function hashMachineRequest(request: MachineRequest): string {
  const { projectId: _project, idempotencyKey: _key, metadata, envs, ...rest } = request;
  return hashOf([rest, sortedEntries(metadata), sortedEntries(envs)]);
}

/** A hash of a value that JSON can hold. */
export function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}

/** A record's entries in an order of their own. */
export function sortedEntries(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function checkRange(field: string, value: number, range: { min: number; max: number }): void {
  if (value === 0 || (value >= range.min && value <= range.max)) return;
  throw invalid(
    field,
    `is ${value}`,
    `Ask for ${range.min} to ${range.max}, or leave it out for the template's default.`,
  );
}

/** Names as they stand in image manifests: nothing that could be a path. */
const TEMPLATE = /^[a-z0-9][a-z0-9._-]*(?::[A-Za-z0-9][A-Za-z0-9._-]*)?$/;

function checkTemplateName(template: string): void {
  if (template === "") return;
  if (template.length <= LIMITS.maxTemplateLength && TEMPLATE.test(template)) return;
  throw invalid(
    "template",
    `${JSON.stringify(template.slice(0, 80))} is not a template's name`,
    'Give "name" or "name:tag" in letters, digits, dots, underscores and hyphens.',
  );
}

/** @throws Fault INVALID_ARGUMENT that names the label. */
export function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  const labels = Object.entries(metadata);
  if (labels.length > LIMITS.maxLabels) {
    throw invalid(
      "metadata",
      `has ${labels.length} labels`,
      `Use at most ${LIMITS.maxLabels} labels.`,
    );
  }
  for (const [name, value] of labels) {
    const shown = JSON.stringify(name.slice(0, 80));
    if (name === "") throw invalid("metadata", "has a label without a name", "Name every label.");
    if (name.includes("\0") || value.includes("\0")) {
      throw invalid(
        "metadata",
        `label ${shown} holds a NUL character`,
        "Leave NUL characters out.",
      );
    }
    const bytes = Buffer.byteLength(name) + Buffer.byteLength(value);
    if (bytes <= LIMITS.maxLabelBytes) continue;
    throw invalid(
      "metadata",
      `label ${shown} has ${bytes} bytes`,
      `Keep each name and value together within ${LIMITS.maxLabelBytes} bytes.`,
    );
  }
}

/** @throws Fault INVALID_ARGUMENT that names the variable. */
export function checkEnvs(envs: Readonly<Record<string, string>>): void {
  const entries = Object.entries(envs);
  if (entries.length > LIMITS.maxEnvs) {
    throw invalid("envs", `has ${entries.length} variables`, `Use at most ${LIMITS.maxEnvs}.`);
  }
  let bytes = 0;
  for (const [name, value] of entries) {
    // What execve can carry: any name without "=" and NUL, any value without NUL.
    if (name === "" || /[=\0]/.test(name) || value.includes("\0")) {
      throw invalid(
        "envs",
        `${JSON.stringify(name.slice(0, 80))} cannot be set in an environment`,
        'Use names that are not empty and hold no "=", and no NUL character anywhere.',
      );
    }
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (bytes <= LIMITS.maxEnvsBytes) return;
  throw invalid(
    "envs",
    `have ${bytes} bytes`,
    `Keep all names and values together within ${LIMITS.maxEnvsBytes} bytes; put larger data into files.`,
  );
}

function checkCwd(cwd: string): void {
  if (cwd === "") return;
  if (!cwd.startsWith("/") || cwd.includes("\0")) {
    throw invalid(
      "cwd",
      `${JSON.stringify(cwd.slice(0, 80))} is not an absolute path`,
      'Begin it with "/", as in "/workspace".',
    );
  }
  if (Buffer.byteLength(cwd) <= LIMITS.maxPathBytes) return;
  throw invalid("cwd", "is too long", `Keep it within ${LIMITS.maxPathBytes} bytes.`);
}

/** @throws Fault INVALID_ARGUMENT. */
export function checkIdempotencyKey(key: string): void {
  if (key.length <= LIMITS.maxIdempotencyKeyLength && !key.includes("\0")) return;
  throw invalid(
    "idempotency_key",
    "is too long or holds a NUL character",
    `Use at most ${LIMITS.maxIdempotencyKeyLength} characters, a UUID for example.`,
  );
}
