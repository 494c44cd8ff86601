import { randomInt } from "node:crypto";
import { readdir } from "node:fs/promises";
import type { EgressPolicy } from "@nullspace/proto";
import type { Log } from "../../domain/log.js";
import { hasCode } from "../durable-files.js";
import { type NetworkNames, SLOTS } from "./addresses.js";
import { DnsServer } from "./dns/dns-server.js";
import type { Upstream } from "./dns/upstream.js";
import { NAMESPACES } from "./run.js";
import { NetworkSlot, SlotTakenError } from "./slot.js";

/** Networks that wait for a machine: making one takes longer than a machine should wait. */
const READY = 2;
/** How long after one is taken others are made, in milliseconds: its machine is starting, and wants the processor. */
const REFILL_MS = 1000;
/** Numbers that are tried before it is given up. */
const ATTEMPTS = 16;

/** A network with the server that answers its machine's questions for names. */
export interface OpenSlot {
  readonly slot: NetworkSlot;
  readonly dns: DnsServer;
}

/** What a pool works with. */
export interface SlotPoolOptions {
  readonly names: NetworkNames;
  readonly upstream: Upstream;
  /** What networks that wait let through already: what most machines ask for. */
  readonly usual: EgressPolicy;
  readonly log: Log;
}

/** Makes networks, some of them before anyone asks, and removes them. */
export class SlotPool implements AsyncDisposable {
  readonly #options: SlotPoolOptions;
  readonly #ready: OpenSlot[] = [];
  /** Numbers that are in use, or being made or removed. */
  readonly #known = new Set<number>();
  #filling: Promise<void> | undefined;
  #refill: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: SlotPoolOptions) {
    this.#options = options;
  }

  /** A network that nobody has. @throws ScriptError, or the system's error. */
  async take(): Promise<OpenSlot> {
    this.#refill ??= setTimeout(() => {
      this.#refill = undefined;
      this.fill();
    }, REFILL_MS).unref();
    return this.#ready.shift() ?? (await this.#make());
  }

  /** Makes networks for those who will ask. */
  fill(): void {
    if (this.#stopping || this.#filling !== undefined) return;
    this.#filling = this.#fill().finally(() => (this.#filling = undefined));
  }

  /** Takes over one that a machine has had from a former server. */
  async inherit(slot: NetworkSlot): Promise<OpenSlot> {
    this.#known.add(slot.names.slot);
    return { slot, dns: await this.#openDns(slot) };
  }

  /** Removes a network and all in it. @throws ScriptError: then {@link reap} tries again. */
  async remove({ slot, dns }: OpenSlot): Promise<void> {
    await dns[Symbol.asyncDispose]();
    await this.#destroy(slot);
  }

  /** Removes every network of this server that nobody has: those of servers that were killed. */
  async reap(): Promise<void> {
    const { names, log } = this.#options;
    const [namespaces, links] = await Promise.all([list(NAMESPACES), list("/sys/class/net")]);
    const found = new Set([
      ...namespaces.map((name) => names.slotOfNamespace(name)),
      ...links.map((name) => names.slotOfLink(name)),
    ]);
    const strays = [...found].filter((one) => one !== undefined && !this.#known.has(one));
    await Promise.all(
      strays.map(async (stray) => {
        if (stray === undefined) return;
        log.info({ slot: stray }, "removing a network that nobody has");
        await this.#destroy(new NetworkSlot(names.of(stray)));
      }),
    );
  }

  /** Removes the networks that wait. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#refill);
    await this.#filling;
    await Promise.all(this.#ready.splice(0).map((open) => this.remove(open)));
  }

  async #fill(): Promise<void> {
    try {
      while (this.#ready.length < READY && !this.#stopping) this.#ready.push(await this.#make());
    } catch (err) {
      // Who asks for one makes it, and tells.
      this.#options.log.warn({ err }, "a network could not be made beforehand");
    }
  }

  async #make(): Promise<OpenSlot> {
    const { names, usual } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const number = randomInt(SLOTS);
      if (this.#known.has(number)) continue;
      this.#known.add(number);
      const slot = new NetworkSlot(names.of(number));
      try {
        await slot.create(usual);
        return { slot, dns: await this.#openDns(slot) };
      } catch (error) {
        await this.#destroy(slot);
        if (!(error instanceof SlotTakenError) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async #openDns(slot: NetworkSlot): Promise<DnsServer> {
    const { upstream, log } = this.#options;
    return await DnsServer.open({
      address: slot.names.hostAddress,
      upstream,
      policy: () => slot.policy,
      pin: (domain, addresses, seconds) => slot.pin(domain, addresses, seconds),
      log,
    });
  }

  async #destroy(slot: NetworkSlot): Promise<void> {
    const { slot: number } = slot.names;
    this.#known.add(number);
    try {
      await slot.destroy();
    } finally {
      // One that could not be removed is a stray from now on.
      this.#known.delete(number);
    }
  }
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
