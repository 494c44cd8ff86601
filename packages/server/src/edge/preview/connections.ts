import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** Connections of previews at once: for all, and to one machine, whose agent has to serve others too. */
const MOST_IN_ALL = 8000;
const MOST_OF_MACHINE = 2000;

/** Longest that a timer can wait, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Group {
  readonly cuts: Set<(why: Fault) => void>;
  readonly timer: NodeJS.Timeout;
}

/** What of previews is connected: bounded, and cut when the grant behind it ends. */
export class PreviewConnections {
  readonly #groups = new Map<string, Group>();
  readonly #ofMachines = new Map<string, number>();
  #count = 0;

  /**
   * Notes a connection until what this gives is disposed.
   *
   * @param cut Called at most once, when the grant expires or is revoked before.
   * @throws Fault TOO_MANY_PREVIEW_CONNECTIONS.
   */
  enter(
    grant: { readonly id: string; readonly machineId: string; readonly expiresAt: Date },
    cut: (why: Fault) => void,
  ): Disposable {
    const { id, machineId } = grant;
    const ofMachine = this.#ofMachines.get(machineId) ?? 0;
    if (this.#count >= MOST_IN_ALL || ofMachine >= MOST_OF_MACHINE) throw tooMany();
    this.#count++;
    this.#ofMachines.set(machineId, ofMachine + 1);
    const group = this.#group(id, grant.expiresAt);
    group.cuts.add(cut);
    return {
      [Symbol.dispose]: () => {
        if (!group.cuts.delete(cut)) return;
        this.#leave(machineId);
        if (group.cuts.size > 0) return;
        clearTimeout(group.timer);
        if (this.#groups.get(id) === group) this.#groups.delete(id);
      },
    };
  }

  /** Cuts everything that a grant has let in. */
  cut(grantId: string, why: Fault): void {
    const group = this.#groups.get(grantId);
    if (group === undefined) return;
    for (const cut of group.cuts) cut(why);
  }

  #group(id: string, expiresAt: Date): Group {
    const found = this.#groups.get(id);
    if (found !== undefined) return found;
    const leftMs = Math.min(expiresAt.getTime() - Date.now(), LONGEST_TIMER_MS);
    const expire = () =>
      this.cut(
        id,
        new Fault(ErrorReason.PREVIEW_TOKEN_EXPIRED, "this way into the preview has expired"),
      );
    const group = {
      cuts: new Set<(why: Fault) => void>(),
      timer: setTimeout(expire, leftMs).unref(),
    };
    this.#groups.set(id, group);
    return group;
  }

  #leave(machineId: string): void {
    this.#count--;
    const left = (this.#ofMachines.get(machineId) ?? 1) - 1;
    if (left === 0) this.#ofMachines.delete(machineId);
    else this.#ofMachines.set(machineId, left);
  }
}

function tooMany(): Fault {
  return new Fault(
    ErrorReason.TOO_MANY_PREVIEW_CONNECTIONS,
    "there are as many preview connections as there can be",
    { remedy: "Close some of them, or try again in a moment." },
  );
}
