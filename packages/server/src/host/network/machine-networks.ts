import { create } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema, ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type MachineNetwork, MachineNetworkSchema } from "@nullspace/proto/host";
import type { Cidr } from "../../domain/ipv4.js";
import type { Log } from "../../domain/log.js";
import type { Deadline } from "../deadline.js";
import { NetworkNames } from "./addresses.js";
import { Upstream } from "./dns/upstream.js";
import { findNetworkProblem, type NetworkProblem } from "./requirements.js";
import { hostRules, openedBy, openedRules } from "./rules.js";
import { nft, runScript } from "./run.js";
import { NetworkSlot } from "./slot.js";
import { type OpenSlot, SlotPool } from "./slot-pool.js";
import { TapAttacher } from "./tap-attacher.js";

/** How machines' networks are set up. */
export interface MachineNetworksOptions {
  /** The server's home: tells its networks from those of other servers on this computer. */
  readonly home: string;
  /** Resolvers to ask on behalf of machines; those of the host when empty. */
  readonly resolvers: readonly string[];
  readonly log: Log;
}

/** The QEMU whose network card is connected. */
export interface Card {
  readonly pid: number;
  /** Its working directory. */
  readonly directory: string;
}

/** The networks of this host's machines: who has which, and what passes in it. */
export class MachineNetworks implements AsyncDisposable {
  readonly #options: MachineNetworksOptions;
  readonly #names: NetworkNames;
  readonly #pool: SlotPool;
  readonly #attacher: TapAttacher;
  readonly #connected = new Map<string, OpenSlot>();
  /** Private ranges that policies name, by the link of the machine. */
  readonly #opened = new Map<string, readonly Cidr[]>();
  #host: Promise<void> | undefined;
  /** Why machines have no network here; undefined when they have. */
  readonly problem: NetworkProblem | undefined;

  private constructor(options: MachineNetworksOptions, problem: NetworkProblem | undefined) {
    const { home, resolvers, log } = options;
    this.#options = options;
    this.problem = problem;
    this.#names = new NetworkNames(home);
    const usual = create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL });
    const upstream = new Upstream(resolvers);
    this.#pool = new SlotPool({ names: this.#names, upstream, usual, log });
    this.#attacher = new TapAttacher(log);
  }

  /** Finds out whether this host can give machines a network, and logs what it lacks. */
  static async open(options: MachineNetworksOptions): Promise<MachineNetworks> {
    const problem = await findNetworkProblem();
    if (problem !== undefined) options.log.warn({ ...problem }, "machines have no network");
    return new MachineNetworks(options, problem);
  }

  /** Takes over the networks of machines that run, and removes all others of former servers. */
  async inherit(machines: ReadonlyMap<string, MachineNetwork>): Promise<void> {
    if (this.problem !== undefined) return;
    for (const [id, { slot: number, egress }] of machines) {
      const slot = new NetworkSlot(this.#names.of(number), egress);
      this.#noteOpened(slot, egress);
      try {
        this.#connected.set(id, await this.#pool.inherit(slot));
      } catch (err) {
        this.#options.log.error({ machineId: id, err }, "the network of a machine is gone");
      }
    }
    await this.#pool.reap();
    if (this.#connected.size > 0) await this.#setUpHost();
  }

  /** Makes networks for machines that will come. A failure is told to who asks for one. */
  prepare(): void {
    if (this.problem !== undefined) return;
    this.#setUpHost().then(
      () => {
        this.#pool.fill();
        this.#attacher.start();
      },
      (err: unknown) => this.#options.log.warn({ err }, "the host's rules could not be set"),
    );
  }

  /**
   * Gives a machine a network in which its policy holds. Nothing is connected to it yet.
   *
   * @returns What to note of it before it is connected.
   * @throws Fault NETWORK_UNAVAILABLE, NETWORK_SETUP_FAILED: then it has none.
   */
  async take(machineId: string, policy: EgressPolicy): Promise<MachineNetwork> {
    this.#checkAvailable();
    try {
      await this.#setUpHost();
      const open = await this.#pool.take();
      this.#connected.set(machineId, open);
      if (!isUsual(policy)) await this.#apply(open.slot, policy);
      return create(MachineNetworkSchema, { slot: open.slot.names.slot, egress: policy });
    } catch (error) {
      await this.disconnect(machineId);
      throw setupFailed(machineId, error);
    }
  }

  /**
   * Connects the network card of a machine's QEMU to the network that it was given.
   *
   * @throws Fault NETWORK_SETUP_FAILED, DeadlineError, or the reason of the signal.
   */
  async attach(machineId: string, card: Card, deadline: Deadline): Promise<void> {
    const open = this.#connected.get(machineId);
    if (open === undefined) throw new Error(`machine ${machineId} has no network to connect`);
    const { namespace } = open.slot.names;
    try {
      await this.#attacher.attach({ ...card, namespace }, deadline);
    } catch (error) {
      deadline.signal?.throwIfAborted();
      throw setupFailed(machineId, error);
    }
  }

  /** Whether a machine has a network, whatever passes in it. */
  has(machineId: string): boolean {
    return this.#connected.has(machineId);
  }

  /**
   * Puts another policy in force for a machine that has a network.
   *
   * @throws Fault EGRESS_NOT_APPLIED: then nothing passes.
   */
  async update(machineId: string, policy: EgressPolicy): Promise<void> {
    const open = this.#connected.get(machineId);
    if (open === undefined) throw new Error(`machine ${machineId} has no network`);
    try {
      await this.#apply(open.slot, policy);
    } catch (cause) {
      try {
        await open.slot.close();
      } catch (err) {
        // Its card loses its link as well.
        this.#options.log.error({ machineId, err }, "the network of a machine could not be closed");
      }
      throw egressNotApplied(machineId, cause);
    }
  }

  /** Removes a machine's network, if it has one. */
  async disconnect(machineId: string): Promise<void> {
    const open = this.#connected.get(machineId);
    if (open === undefined) return;
    this.#connected.delete(machineId);
    try {
      await this.#closeOpened(open.slot);
      await this.#pool.remove(open);
    } catch (err) {
      this.#options.log.warn({ machineId, err }, "a network is left to be removed later");
    }
  }

  /** Removes networks that nobody has, if there are any. */
  async reap(): Promise<void> {
    if (this.problem !== undefined) return;
    try {
      await this.#pool.reap();
    } catch (err) {
      this.#options.log.warn({ err }, "networks that nobody has are left to be removed later");
    }
  }

  /** Lets go of the networks of machines, which go on without answers to questions for names. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#attacher[Symbol.dispose]();
    await this.#host?.catch(() => undefined);
    await this.#pool[Symbol.asyncDispose]();
    const machines = [...this.#connected.values()];
    this.#connected.clear();
    await Promise.all(machines.map(({ dns }) => dns[Symbol.asyncDispose]()));
    if (this.#host === undefined || machines.length > 0) return;
    await runScript(nft(`delete table inet ${this.#names.table}`)).catch((err: unknown) => {
      this.#options.log.warn({ err }, "the host's rules are left");
    });
  }

  /** @throws Fault NETWORK_UNAVAILABLE */
  #checkAvailable(): void {
    if (this.problem === undefined) return;
    const { what, remedy } = this.problem;
    throw new Fault(
      ErrorReason.NETWORK_UNAVAILABLE,
      `this host gives machines no network: ${what}`,
      { remedy, details: { lacks: what } },
    );
  }

  /** Once, before the first machine needs it: a server whose machines have no network leaves the host alone. */
  async #setUpHost(): Promise<void> {
    const setUp = async () => {
      await runScript(nft(hostRules(this.#names, this.#opened)));
      // As every program does that gives machines or containers a network of their own.
      await runScript(
        "[ $(cat /proc/sys/net/ipv4/ip_forward) = 1 ] || echo 1 >/proc/sys/net/ipv4/ip_forward",
      );
    };
    this.#host ??= setUp();
    try {
      await this.#host;
    } catch (error) {
      this.#host = undefined;
      throw error;
    }
  }

  async #apply(slot: NetworkSlot, policy: EgressPolicy): Promise<void> {
    const { link } = slot.names;
    await slot.apply(policy);
    // The namespace is what holds machines back; the host only has to let through what that does.
    const from = this.#opened.get(link) ?? [];
    this.#noteOpened(slot, policy);
    const to = this.#opened.get(link) ?? [];
    const rules = openedRules(this.#names, link, from, to);
    if (rules !== "") await runScript(nft(rules));
  }

  #noteOpened({ names: { link } }: NetworkSlot, policy: EgressPolicy | undefined): void {
    const ranges = policy === undefined ? [] : openedBy(policy);
    if (ranges.length > 0) this.#opened.set(link, ranges);
    else this.#opened.delete(link);
  }

  async #closeOpened({ names: { link } }: NetworkSlot): Promise<void> {
    const ranges = this.#opened.get(link);
    if (ranges === undefined) return;
    this.#opened.delete(link);
    await runScript(nft(openedRules(this.#names, link, ranges, [])));
  }
}

function isUsual({ mode }: EgressPolicy): boolean {
  return mode === EgressMode.ALLOW_ALL;
}

function setupFailed(machineId: string, cause: unknown): unknown {
  if (cause instanceof Fault) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Fault(
    ErrorReason.NETWORK_SETUP_FAILED,
    `the network of machine ${machineId} could not be set up: ${why}`,
    { remedy: "Try again; nullspace doctor tells what the host lacks.", cause },
  );
}

function egressNotApplied(machineId: string, cause: unknown): Fault {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Fault(
    ErrorReason.EGRESS_NOT_APPLIED,
    `the policy of machine ${machineId} could not be applied: ${why}`,
    { remedy: "Make the call again; the machine reaches nothing until it succeeds.", cause },
  );
}
