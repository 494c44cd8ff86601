import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromJsonString } from "@bufbuild/protobuf";
import { AdoptRequestSchema } from "@nullspace/proto/agent";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";
import type { GuestHelper } from "../helper/guest-helper.js";
import { replaceFiles, writeFiles } from "./file-text.js";

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
    const key = readIfThere(join(folder, "channel.key"));
    this.#channelKey = key === undefined ? BOOT_CHANNEL_KEY : Buffer.from(key, "hex");
    const kept = readIfThere(join(folder, "machine.json"));
    this.#machine = kept === undefined ? FIRST : parse(kept);
  }

  get machine(): MachineState {
    return this.#machine;
  }

  get channelKey(): Uint8Array {
    return this.#channelKey;
  }

  /**
   * Notes which machine this is and what its channel listens for.
   *
   * @throws HelperError
   */
  async set(helper: GuestHelper, machine: MachineState, channelKey: Uint8Array): Promise<void> {
    const kept = { ...machine, generation: String(machine.generation) };
    const generation = `${machine.generation}\n`;
    await Promise.all([
      replaceFiles(helper, [
        { path: this.#path("machine.json"), text: JSON.stringify(kept), mode: 0o600 },
        {
          path: this.#path("channel.key"),
          text: Buffer.from(channelKey).toString("hex"),
          mode: 0o600,
        },
      ]),
      // Not replaced: programs of the guest watch this file to learn that they were restored.
      writeFiles(helper, [{ path: this.#path("generation"), text: generation, mode: 0o644 }]),
    ]);
    this.#machine = machine;
    this.#channelKey = channelKey;
  }

  /** Makes the machine one that was never adopted. */
  async forget(helper: GuestHelper): Promise<void> {
    await this.set(helper, FIRST, BOOT_CHANNEL_KEY);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
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
