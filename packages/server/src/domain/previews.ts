import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { machineElsewhere, machineNotFound, machineNotRunning } from "./faults.js";
import { invalid, pageSize } from "./limits.js";
import type { Log } from "./log.js";
import { hasEnded, type Machine } from "./machine.js";
import type { MachineStore, Page } from "./machine-store.js";
import { isPreviewPort, type PreviewPlace } from "./preview-address.js";
import type {
  PreviewGrant,
  PreviewKind,
  PreviewPass,
  PreviewQuery,
  PreviewStore,
  PreviewTransport,
} from "./preview-grant.js";
import {
  expired,
  type PreviewDoor,
  type PreviewTokenFamily,
  type PreviewTokens,
  secondsOf,
} from "./preview-tokens.js";
import { PreviewUsage } from "./preview-usage.js";
import { newPreviewGrantId } from "./random.js";

const SECONDS = { min: 60, max: 86_400, default: 3600 } as const;
/** Grants that are remembered, so that not each request asks the database. */
const MOST_REMEMBERED = 10_000;

/** What {@link Previews} needs. */
export interface PreviewsOptions {
  readonly hostId: string;
  readonly store: PreviewStore;
  readonly machineStore: MachineStore;
  readonly tokens: PreviewTokens;
  readonly log: Log;
}

/** What somebody wants a grant for. */
export interface PreviewRequest extends PreviewPlace {
  readonly kind: PreviewKind;
  /** Both when empty. */
  readonly transports: readonly PreviewTransport[];
  /** Clamped to a minute up to a day; an hour when 0. */
  readonly expiresInSeconds: number;
}

/** A token that opens a preview, and where it was found. */
export interface PreviewCredential {
  readonly family: PreviewTokenFamily;
  readonly token: string;
}

/** Grants: who may reach which port, until when, and how they have been used. */
export class Previews implements AsyncDisposable {
  readonly usage: PreviewUsage;
  readonly #options: PreviewsOptions;
  readonly #remembered = new Map<string, PreviewGrant>();
  readonly #watchers = new Set<(grantId: string) => void>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
    this.usage = new PreviewUsage(options.store, options.log);
  }

  /**
   * Makes a grant.
   *
   * @throws Fault PORT_REFUSED, INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING for
   * one that has ended, AGENT_UNREACHABLE for one of another host.
   */
  async create(request: PreviewRequest): Promise<{ pass: PreviewPass; machine: Machine }> {
    checkPreviewPort(request.port);
    const machine = await this.#living(request.machineId);
    const { kind, transports, expiresInSeconds } = request;
    const asked = expiresInSeconds || SECONDS.default;
    const seconds = Math.min(Math.max(asked, SECONDS.min), SECONDS.max);
    const createdAt = new Date();
    const pass: PreviewPass = {
      id: newPreviewGrantId(),
      machineId: machine.id,
      port: request.port,
      kind,
      transports: transports.length === 0 ? ["http", "websocket"] : [...new Set(transports)],
      createdAt,
      // A token says whole seconds.
      expiresAt: new Date((secondsOf(createdAt) + seconds) * 1000),
    };
    await this.#options.store.insert(pass);
    return { pass, machine };
  }

  /**
   * Finds a machine whose previews somebody asks about.
   *
   * @throws as {@link create}.
   */
  async find({ machineId, port }: PreviewPlace): Promise<Machine> {
    checkPreviewPort(port);
    return this.#living(machineId);
  }

  /**
   * A machine's grants, newest first, with their uses up to now.
   *
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND.
   */
  async list({ limit, ...query }: PreviewQuery): Promise<Page<PreviewGrant>> {
    const { machineStore, store } = this.#options;
    if ((await machineStore.find(query.machineId)) === undefined) {
      throw machineNotFound(query.machineId);
    }
    await this.usage.flush();
    return store.list({ ...query, limit: pageSize(limit) });
  }

  /**
   * Ends a grant, for whoever comes and whoever is there. Revoking it again changes nothing.
   *
   * @throws Fault PREVIEW_NOT_FOUND, AGENT_UNREACHABLE for one of another host: what is connected
   * is there.
   */
  async revoke(id: string): Promise<PreviewGrant> {
    const { store, machineStore, hostId } = this.#options;
    const found = await store.find(id);
    if (found === undefined) throw previewNotFound(id);
    const machine = await machineStore.find(found.machineId);
    if (machine !== undefined && machine.hostId !== hostId) throw machineElsewhere(machine);
    await this.usage.flush();
    const revoked = await store.revoke(id, new Date());
    if (revoked === undefined) throw previewNotFound(id);
    this.#remember(revoked);
    for (const tell of this.#watchers) tell(id);
    return revoked;
  }

  /** Calls back with each grant that is revoked, until it is disposed. */
  onRevoked(callback: (grantId: string) => void): Disposable {
    this.#watchers.add(callback);
    return { [Symbol.dispose]: () => void this.#watchers.delete(callback) };
  }

  /**
   * Finds out what a token opens.
   *
   * @throws Fault PORT_REFUSED, PREVIEW_TOKEN_INVALID, PREVIEW_TOKEN_EXPIRED, PREVIEW_REVOKED.
   */
  async admit(credential: PreviewCredential, door: PreviewDoor): Promise<PreviewGrant> {
    checkPreviewPort(door.port);
    const { tokens } = this.#options;
    const { grantId, expiresAt } = tokens.verify(credential.family, credential.token, door);
    const found = this.#remembered.get(grantId) ?? (await this.#options.store.find(grantId));
    // It may have been revoked while it was looked up.
    const grant = this.#remembered.get(grantId) ?? found;
    // Signed by us, and its record is gone: its time was over long ago.
    if (grant === undefined) throw expired(expiresAt);
    this.#remember(grant);
    if (grant.revokedAt === undefined) return grant;
    const refusal = new Fault(
      ErrorReason.PREVIEW_REVOKED,
      "this way into the preview was revoked",
      {
        remedy: "Ask for a new URL: createSignedPreviewUrl().",
      },
    );
    this.usage.fail(grantId, ErrorReason[refusal.reason]);
    throw refusal;
  }

  /** Whether a grant that was admitted a moment ago has been revoked since. */
  isRevoked(grantId: string): boolean {
    return this.#remembered.get(grantId)?.revokedAt !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.usage[Symbol.asyncDispose]();
  }

  async #living(id: string): Promise<Machine> {
    const { machineStore, hostId } = this.#options;
    const machine = await machineStore.find(id);
    if (machine === undefined) throw machineNotFound(id);
    if (hasEnded(machine.state) || machine.state === "killing") throw machineNotRunning(machine);
    if (machine.hostId !== hostId) throw machineElsewhere(machine);
    return machine;
  }

  #remember(grant: PreviewGrant): void {
    this.#remembered.delete(grant.id);
    this.#remembered.set(grant.id, grant);
    if (this.#remembered.size <= MOST_REMEMBERED) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      break;
    }
  }
}

/** @throws Fault INVALID_ARGUMENT, PORT_REFUSED. */
export function checkPreviewPort(port: number): void {
  if (isPreviewPort(port)) return;
  if (port < 1 || port > 65_535)
    throw invalid("port", `is ${port}`, "Give a port from 1 to 65535.");
  throw new Fault(ErrorReason.PORT_REFUSED, `previews do not reach port ${port}`, {
    remedy:
      port === 22
        ? "For SSH there is a way of its own: createSshAccess()."
        : "Let the service listen on another port: 5900 to 5999 are those of desktops.",
    details: { port: String(port) },
  });
}

/** There is no such grant. */
export function previewNotFound(id: string): Fault {
  return new Fault(
    ErrorReason.PREVIEW_NOT_FOUND,
    `no preview grant ${JSON.stringify(id.slice(0, 80))}`,
    {
      remedy: "List the grants of the machine: listPreviewUrls().",
      details: { grant_id: id.slice(0, 80) },
    },
  );
}
