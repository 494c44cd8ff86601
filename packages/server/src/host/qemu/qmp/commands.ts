import { asArray, asObject, booleanOf, isObject, stringOf } from "./json.js";

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

/** A block device of the guest. */
export interface BlockDevice {
  /** Path of the device in QEMU's tree of objects. */
  device: string;
  /** The topmost node of what is in it. */
  node: string;
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
  /** Makes a node of the block layer, with members as of -blockdev. */
  "blockdev-add": { arguments: { "node-name": string; driver: string }; return: void };
  "blockdev-del": { arguments: { "node-name": string }; return: void };
  /** Opens nodes again with other options, as another backing node. All that is to stay has to be said again. */
  "blockdev-reopen": { arguments: { options: readonly object[] }; return: void };
  /** Names of all nodes of the block layer. */
  "query-named-block-nodes": { arguments: { flat: true }; return: string[] };
  /** Puts an empty overlay on top of a node: what is written from now on goes there. */
  "blockdev-snapshot": { arguments: { node: string; overlay: string }; return: void };
  /** Runs a line of the monitor for people. Only measurements need what has no other way. */
  "human-monitor-command": { arguments: { "command-line": string }; return: string };
  migrate: { arguments: { uri: string }; return: void };
  "query-migrate": { arguments: NoArguments; return: { status: string } };
  "query-block": { arguments: NoArguments; return: BlockDevice[] };
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
  "blockdev-add": nothing,
  "blockdev-del": nothing,
  "blockdev-reopen": nothing,
  "query-named-block-nodes": (value) =>
    asArray(value).map((node) => stringOf(asObject(node), "node-name")),
  "blockdev-snapshot": nothing,
  "human-monitor-command": (value) => String(value),
  migrate: nothing,
  "query-migrate": (value) => ({ status: stringOf(asObject(value), "status") }),
  "query-block": (value) => asArray(value).map(blockDevice),
  block_resize: nothing,
};

function blockDevice(value: unknown): BlockDevice {
  const device = asObject(value);
  const inserted = device["inserted"];
  return {
    device: stringOf(device, "qdev"),
    node: isObject(inserted) ? stringOf(inserted, "node-name") : "",
  };
}

function cpuDefinition(value: unknown): CpuDefinition {
  const definition = asObject(value);
  const missing = definition["unavailable-features"] ?? [];
  return { name: stringOf(definition, "name"), unavailableFeatures: asArray(missing).map(String) };
}
