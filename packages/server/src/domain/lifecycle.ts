import { redactSecrets } from "@nullspace/proto/tokens";
import type { Log } from "./log.js";
import type { EventNote } from "./event.js";
import type { Machine } from "./machine.js";
import type { MachineChanges, MachineStore, NewMachine } from "./machine-store.js";
import type { Quotas } from "./quotas.js";
import { TRANSITIONS, type TransitionName } from "./transitions.js";

/** Hears of every change of a machine's record, after it is durable. */
export type MachineObserver = (machine: Machine) => void;

/** The one place where machines' records change: durable first, then told to all who care. */
export class Lifecycle {
  readonly #store: MachineStore;
  readonly #log: Log;
  readonly #observers: readonly MachineObserver[];

  readonly #quotas: Quotas;

  constructor(
    store: MachineStore,
    quotas: Quotas,
    log: Log,
    observers: readonly MachineObserver[],
  ) {
    this.#store = store;
    this.#quotas = quotas;
    this.#log = log;
    this.#observers = observers;
  }

  /**
   * Adds a machine in state `creating`.
   *
   * @returns `undefined`, and adds nothing, when its idempotency key is taken.
   * @throws Fault QUOTA_EXCEEDED.
   */
  async add(machine: NewMachine, cause: string): Promise<Machine | undefined> {
    const added = await this.#store.insert(machine, { cause }, this.#quotas.machines);
    if (added !== undefined) this.announce(added, "creating");
    return added;
  }

  /** Tells of a machine that was just changed in another way than by a transition. */
  announce(machine: Machine, cause: string): void {
    this.#log.info({ machineId: machine.id, state: machine.state, cause }, `machine ${cause}`);
    for (const observe of this.#observers) observe(machine);
  }

  /**
   * Moves a machine along the state machine.
   *
   * @param note Why, for its event and the log.
   * @returns `undefined` when the machine is in no state that the transition leaves.
   */
  async move(
    id: string,
    name: TransitionName,
    note: EventNote,
    changes: MachineChanges = {},
  ): Promise<Machine | undefined> {
    const edge = TRANSITIONS[name];
    const machine = await this.#store.transition(id, edge, new Date(), redacted(changes), note);
    if (machine === undefined) return undefined;
    const fields = { machineId: id, transition: name, state: edge.to, ...note };
    if (name === "fail") {
      this.#log.warn({ ...fields, failure: machine.failure }, `machine ${edge.to}`);
    } else this.#log.info(fields, `machine ${edge.to}`);
    for (const observe of this.#observers) observe(machine);
    return machine;
  }
}

/** A failure may end with what the guest wrote on its console. */
function redacted(changes: MachineChanges): MachineChanges {
  const { failure } = changes;
  return failure === undefined ? changes : { ...changes, failure: redactSecrets(failure) };
}
