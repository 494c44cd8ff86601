import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromJsonString } from "@bufbuild/protobuf";
import { AdoptRequestSchema } from "@nullspace/proto/agent";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";

/** What the host has told about the machine that this guest is. */
export interface MachineState {
  /** Empty until the first adoption. */
  machineId: string;
  hostname: string;
  /** Environment of every command. */
  envs: Readonly<Record<string, string>>;
  /** Default working directory of commands and relative paths. */
  cwd: string;
  generation: bigint;
}

const FIRST: MachineState = {
  machineId: "",
  hostname: "",
  envs: {},
  cwd: "/workspace",
  generation: 0n,
};

/** The machine's state, kept in files so that an agent that is restarted knows it again. */
export class StateStore {
  readonly #folder: string;
  #machine: MachineState;
  #channelKey: Uint8Array;

  /** @param folder gone after a reboot, as `/run/nullspace`. */
  constructor(folder: string) {
    this.#folder = folder;
    // Users may read the generation in it; the files that are none of their business are 0600.
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    this.#channelKey = readIfThere(join(folder, "channel.key")) ?? BOOT_CHANNEL_KEY;
    const kept = readIfThere(join(folder, "machine.json"));
    this.#machine = kept === undefined ? FIRST : parse(kept.toString());
  }

  get machine(): MachineState {
    return this.#machine;
  }

  get channelKey(): Uint8Array {
    return this.#channelKey;
  }

  setMachine(machine: MachineState): void {
    const json = { ...machine, generation: String(machine.generation) };
    this.#replace("machine.json", JSON.stringify(json));
    this.#machine = machine;
    // Written in place, not replaced: programs of the guest watch this file to learn that they were restored.
    writeFileSync(join(this.#folder, "generation"), `${machine.generation}\n`, { mode: 0o644 });
  }

  /** Makes the machine one that was never adopted. */
  forgetMachine(): void {
    this.setMachine(FIRST);
  }

  setChannelKey(key: Uint8Array): void {
    this.#replace("channel.key", key);
    this.#channelKey = key;
  }

  #replace(name: string, data: string | Uint8Array): void {
    const path = join(this.#folder, name);
    writeFileSync(`${path}.tmp`, data, { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** What is kept has the form of the Protobuf JSON of the request that brought it. */
function parse(json: string): MachineState {
  const { machineId, hostname, envs, cwd, generation } = fromJsonString(AdoptRequestSchema, json);
  return { machineId, hostname, envs, cwd, generation };
}
