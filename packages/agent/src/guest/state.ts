import { mkdirSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import type { KeptAdoption } from "@nullspace/proto/adoption";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";
import { type GuestHelper, HelperError } from "../helper/guest-helper.js";

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

const MACHINE = "machine.json";
const CHANNEL_KEY = "channel.key";
/** Names the last adoption by the host; the helper writes it before it answers. */
const EPOCH = "epoch";
const EPOCH_BYTES = 64;

/** The machine's state, kept in files so that an agent that is restarted knows it again. The helper writes them. */
export class StateStore {
  readonly #folder: string;
  #machine: MachineState;
  #channelKey: Uint8Array;
  readonly #epochFile: number;
  /** Of the adoption that this knows. */
  #epoch: string;
  #applied = Promise.withResolvers<void>();

  /** @param folder gone after a reboot, as `/run/nullspace`. */
  constructor(folder: string) {
    this.#folder = folder;
    // Users may read the generation in it; the files that are none of their business are 0600.
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    this.#epochFile = openSync(this.#path(EPOCH), "a+", 0o600);
    this.#epoch = this.#readEpoch();
    this.#channelKey = this.#readKey();
    const kept = readIfThere(this.#path(MACHINE));
    this.#machine = kept === undefined ? FIRST : parse(kept, FIRST).machine;
  }

  get machine(): MachineState {
    return this.#machine;
  }

  get channelKey(): Uint8Array {
    return this.#channelKey;
  }

  /**
   * Resolves when what this knows is true: the host may have had the guest adopted a moment
   * ago, and its first user's call may get here before the helper's word of it.
   */
  async settled(): Promise<void> {
    while (this.#readEpoch() !== this.#epoch) await this.#applied.promise;
  }

  /**
   * Takes over what an adoption has written.
   *
   * @param kept - what is kept of it, as JSON.
   * @param epoch - names it; `undefined` for one that was not the host's.
   * @throws HelperError
   */
  async apply(
    helper: GuestHelper,
    kept: string,
    channelKey: Uint8Array,
    epoch?: string,
  ): Promise<void> {
    const { machine, isInFile } = parse(kept, this.#machine);
    this.#machine = machine;
    this.#channelKey = channelKey;
    // What it was merged with is in memory only.
    if (!isInFile) await this.#write(helper, MACHINE, JSON.stringify(keep(machine)));
    this.#epoch = epoch ?? this.#epoch;
    this.#applied.resolve();
    this.#applied = Promise.withResolvers();
  }

  /** Makes the machine what it was before. */
  async restore(helper: GuestHelper, machine: MachineState, channelKey: Uint8Array): Promise<void> {
    const isFirst = machine.machineId === "";
    await Promise.all([
      isFirst
        ? this.#remove(helper, MACHINE)
        : this.#write(helper, MACHINE, JSON.stringify(keep(machine))),
      isFirst
        ? this.#remove(helper, CHANNEL_KEY)
        : this.#write(helper, CHANNEL_KEY, Buffer.from(channelKey).toString("hex")),
    ]);
    this.#machine = machine;
    this.#channelKey = channelKey;
  }

  async #write(helper: GuestHelper, name: string, text: string): Promise<void> {
    await helper.request("replace", this.#path(name), text);
  }

  async #remove(helper: GuestHelper, name: string): Promise<void> {
    try {
      await helper.request("remove", this.#path(name));
    } catch (error) {
      if (!(error instanceof HelperError)) throw error;
    }
  }

  #readEpoch(): string {
    const buffer = Buffer.alloc(EPOCH_BYTES);
    return buffer.toString("latin1", 0, readSync(this.#epochFile, buffer, 0, EPOCH_BYTES, 0));
  }

  #readKey(): Uint8Array {
    const key = readIfThere(this.#path(CHANNEL_KEY));
    return key === undefined ? BOOT_CHANNEL_KEY : Buffer.from(key, "hex");
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** `isInFile`: an agent that reads the text, and knows nothing else, gets the same machine. */
function parse(text: string, former: MachineState): { machine: MachineState; isInFile: boolean } {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- It is what the host sent.
  const kept = JSON.parse(text) as KeptAdoption;
  const { machineId, hostname, envs, keepEnvironment } = kept;
  const machine = {
    machineId,
    hostname,
    envs: keepEnvironment ? { ...former.envs, ...envs } : envs,
    cwd: kept.cwd || former.cwd,
    generation: BigInt(kept.generation),
  };
  const hasAllEnvs = Object.keys(machine.envs).length === Object.keys(envs).length;
  return { machine, isInFile: hasAllEnvs && machine.cwd === (kept.cwd || FIRST.cwd) };
}

function keep({ machineId, hostname, envs, cwd, generation }: MachineState): KeptAdoption {
  const kept = { machineId, hostname, envs: { ...envs }, cwd, keepEnvironment: false };
  return { ...kept, generation: String(generation) };
}

function readIfThere(path: string): string | undefined {
  try {
    // The helper writes a line in place: what follows it is of a longer one before.
    return readFileSync(path, "utf8").split("\n", 1)[0];
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
