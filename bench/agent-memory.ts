import type { Machine } from "@nullspace/sdk";

/** Memory of the agent in a machine, as the guest's kernel tells it. */
export class AgentMemory {
  readonly #machine: Machine;
  readonly #pid: number;

  private constructor(machine: Machine, pid: number) {
    this.#machine = machine;
    this.#pid = pid;
  }

  static async open(machine: Machine): Promise<AgentMemory> {
    const { stdout } = await machine.commands.run("pgrep -o -f /opt/nullspace/.*node", {
      user: "root",
    });
    return new AgentMemory(machine, Number(stdout));
  }

  /** Resident memory in bytes. */
  async current(): Promise<number> {
    return await this.#read("VmRSS");
  }

  /** Largest resident memory since {@link resetPeak}, in bytes. */
  async peak(): Promise<number> {
    return await this.#read("VmHWM");
  }

  async resetPeak(): Promise<void> {
    await this.#asRoot(`echo 5 > /proc/${this.#pid}/clear_refs`);
  }

  async #read(field: "VmRSS" | "VmHWM"): Promise<number> {
    const status = await this.#asRoot(`grep ${field} /proc/${this.#pid}/status`);
    return Number(status.replaceAll(/\D/g, "")) * 1024;
  }

  async #asRoot(command: string): Promise<string> {
    const result = await this.#machine.commands.run(command, { user: "root" });
    if (result.exitCode !== 0) throw new Error(`${command}: ${result.stderr}`);
    return result.stdout;
  }
}
