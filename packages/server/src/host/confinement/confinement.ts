import type { Log } from "../../domain/log.js";
import { Cgroups } from "./cgroups.js";
import {
  type Confined,
  type ConfinedProgram,
  type ConfinementTools,
  confine,
  findConfinementTools,
} from "./program.js";
import { UserPool } from "./user-pool.js";

/** Everything that keeps QEMU from doing more than it must, as far as this host has it. */
export class Confinement {
  readonly users: UserPool;
  readonly cgroups: Cgroups;
  readonly #tools: ConfinementTools;

  private constructor(users: UserPool, cgroups: Cgroups, tools: ConfinementTools) {
    this.users = users;
    this.cgroups = cgroups;
    this.#tools = tools;
  }

  /** Finds out what this host has, and logs what it lacks. */
  static async open(home: string, log: Log): Promise<Confinement> {
    const [users, cgroups, tools] = await Promise.all([
      UserPool.open(home, log),
      Cgroups.open(home, log),
      findConfinementTools(),
    ]);
    if (!tools.ownView) log.warn({}, "QEMU sees this host's files and networks: no own namespaces");
    return new Confinement(users, cgroups, tools);
  }

  /** Whether QEMU leaves the host's files and networks behind. */
  get ownView(): boolean {
    return this.#tools.ownView;
  }

  /** Puts together the command that starts a program with fewer rights. */
  async confine(confined: Confined): Promise<ConfinedProgram> {
    return await confine(this.#tools, confined);
  }
}
