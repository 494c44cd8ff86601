import { asArray, asObject, booleanOf, stringOf } from "./json.js";

/** Whether the guest runs, and why not. */
export interface Status {
  /** "running", "paused", "inmigrate", "shutdown", "guest-panicked", "io-error", ... */
  status: string;
  running: boolean;
}

/** A CPU model QEMU knows and what this host lacks for it. */
export interface CpuDefinition {
  name: string;
  /** Features of the model that the host cannot give; empty when it can run it. */
  unavailableFeatures: readonly string[];
}

type NoArguments = Record<string, never>;

/**
 * The commands that the host uses, of the several hundred there are. Names and
 * members are QEMU's own (qapi/*.json).
 */
export interface QmpCommands {
  qmp_capabilities: { arguments: NoArguments; return: void };
  "query-status": { arguments: NoArguments; return: Status };
  "query-cpu-definitions": { arguments: NoArguments; return: CpuDefinition[] };
  stop: { arguments: NoArguments; return: void };
  cont: { arguments: NoArguments; return: void };
  quit: { arguments: NoArguments; return: void };
  /** Loads a saved device state; only after `-incoming defer`. */
  "migrate-incoming": { arguments: { uri: string }; return: void };
  /** Saves the state of the devices, without memory and disks. Nothing in it is about Xen. */
  "xen-save-devices-state": { arguments: { filename: string; live: boolean }; return: void };
  /** Takes the link of a network card up or down. */
  set_link: { arguments: { name: string; up: boolean }; return: void };
  /** Sets the size of a block device, in bytes. */
  block_resize: { arguments: { "node-name": string; size: number }; return: void };
}

const nothing = (): void => undefined;

/**
 * Reads each command's answer.
 *
 * @throws ShapeError when it is not what QEMU documents.
 */
export const answerDecoders: {
  [Name in keyof QmpCommands]: (value: unknown) => QmpCommands[Name]["return"];
} = {
  qmp_capabilities: nothing,
  "query-status": (value) => {
    const status = asObject(value);
    return { status: stringOf(status, "status"), running: booleanOf(status, "running") };
  },
  "query-cpu-definitions": (value) => asArray(value).map(cpuDefinition),
  stop: nothing,
  cont: nothing,
  quit: nothing,
  "migrate-incoming": nothing,
  "xen-save-devices-state": nothing,
  set_link: nothing,
  block_resize: nothing,
};

function cpuDefinition(value: unknown): CpuDefinition {
  const definition = asObject(value);
  const missing = definition["unavailable-features"] ?? [];
  return { name: stringOf(definition, "name"), unavailableFeatures: asArray(missing).map(String) };
}
