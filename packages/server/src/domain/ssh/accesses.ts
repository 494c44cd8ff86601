import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { isKept } from "../kept-hash.js";
import { invalid, pageSize } from "../limits.js";
import type { Page } from "../machine-store.js";
import type { Machines } from "../machines.js";
import type { ProjectMachines } from "../project-machines.js";
import { randomAlphanumeric } from "../random.js";
import type { SshAccess, SshAccessQuery, SshAccessStore } from "./access.js";
import type { MachineSshds, SshAuthority } from "./authority.js";
import type { SshConnection, SshConnections } from "./connections.js";
import { accessNotFound, invalidToken } from "./faults.js";
import { parsePublicKey, PublicKeyError, type SshPublicKey } from "./public-key.js";
import { accessIn, newRelayToken } from "./token.js";

const MINUTES = { min: 1, max: 1440, default: 60 } as const;
const ID_LENGTH = 12;
/** A machine's clock may be behind ours by a part of this, in milliseconds. */
const BACKDATED_MS = 60_000;

/** What {@link SshAccesses} needs. */
export interface SshAccessesOptions {
  /** Of every project: for those whom a token lets in. */
  readonly machines: Machines;
  readonly machinesOf: (projectId: string) => ProjectMachines;
  readonly store: SshAccessStore;
  readonly authority: SshAuthority;
  readonly sshds: MachineSshds;
  readonly connections: SshConnections;
  /** Told when an event was written. */
  readonly onEvent: () => void;
  readonly now?: () => number;
}

/** What somebody wants access for. */
export interface SshAccessRequest {
  /** Whose machine it must be. */
  readonly projectId: string;
  readonly machineId: string;
  readonly publicKey: string;
  /** An hour when 0. */
  readonly expiresInMinutes: number;
}

/** An access that was just granted. */
export interface GrantedSshAccess {
  readonly access: SshAccess;
  readonly certificate: string;
  /** A line for known_hosts. */
  readonly knownHosts: string;
  /** It is nowhere else from now on. */
  readonly relayToken: string;
}

/** Access to machines by SSH. */
export class SshAccesses {
  readonly #options: SshAccessesOptions;
  readonly #now: () => number;

  constructor(options: SshAccessesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Signs a public key for one machine, whose sshd it gets ready.
   *
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING,
   * SSH_UNAVAILABLE, SSH_KEYGEN_MISSING.
   */
  async create(request: SshAccessRequest, signal: AbortSignal): Promise<GrantedSshAccess> {
    const { projectId, machineId } = request;
    const key = readKey(request.publicKey);
    const minutes = checkMinutes(request.expiresInMinutes);
    const { store, authority, machinesOf, onEvent } = this.#options;
    await machinesOf(projectId).getRunning(machineId);
    const hostKey = await this.#prepare(machineId, signal);
    const now = this.#now();
    const id = randomAlphanumeric(ID_LENGTH);
    const { token, hash } = newRelayToken(id);
    const access: SshAccess = {
      id,
      machineId,
      projectId,
      fingerprint: key.fingerprint,
      tokenHash: hash,
      createdAt: new Date(now),
      // Certificates count in seconds.
      expiresAt: new Date((Math.floor(now / 1000) + minutes * 60) * 1000),
      revokedAt: undefined,
      lastUsedAt: undefined,
      useCount: 0,
    };
    const certificate = await authority.sign({
      publicKey: key.text,
      principal: machineId,
      keyId: `${machineId}/${id}`,
      validFrom: new Date(now - BACKDATED_MS),
      validUntil: access.expiresAt,
    });
    await store.insert(access);
    onEvent();
    const knownHosts = `${machineId} ${hostKey.text}`;
    return { access, certificate, knownHosts, relayToken: token };
  }

  /**
   * Accesses to a machine of a project, newest first.
   *
   * @throws Fault MACHINE_NOT_FOUND, INVALID_ARGUMENT.
   */
  async list(projectId: string, query: SshAccessQuery): Promise<Page<SshAccess>> {
    await this.#options.machinesOf(projectId).get(query.machineId);
    return this.#options.store.list({ ...query, limit: pageSize(query.limit) });
  }

  /**
   * Ends an access to a machine of a project, and the connections that it was used for.
   *
   * @throws Fault SSH_ACCESS_NOT_FOUND.
   */
  async revoke(projectId: string, id: string): Promise<SshAccess> {
    const { store, connections, onEvent } = this.#options;
    const found = await store.find(id);
    if (found?.projectId !== projectId) throw accessNotFound(id);
    const access = await store.revoke(id, new Date(this.#now()));
    if (access === undefined) throw accessNotFound(id);
    connections.endAccess(id, "revoked");
    onEvent();
    return access;
  }

  /**
   * Lets a connection to a machine's sshd through, and gets the sshd ready for it.
   *
   * @throws Fault SSH_TOKEN_INVALID, TOO_MANY_SSH_CONNECTIONS, and what {@link create} throws.
   */
  async admit(
    token: string | undefined,
    machineId: string,
    signal: AbortSignal,
  ): Promise<SshConnection> {
    const { store, machines, connections } = this.#options;
    const id = token === undefined ? undefined : accessIn(token);
    if (token === undefined || id === undefined) throw invalidToken();
    const access = await store.find(id);
    const isGood = isKept(token, access?.tokenHash);
    if (!isGood || access === undefined || access.machineId !== machineId) throw invalidToken();
    if (access.revokedAt !== undefined || access.expiresAt.getTime() <= this.#now()) {
      throw invalidToken();
    }
    await machines.getRunning(machineId);
    await this.#prepare(machineId, signal);
    return await connections.begin(access);
  }

  async #prepare(machineId: string, signal: AbortSignal): Promise<SshPublicKey> {
    const { authority, sshds } = this.#options;
    const admission = { authority: await authority.publicKey(), principal: machineId };
    const told = await sshds.prepare(machineId, admission, signal);
    try {
      // The machine may be hostile, and this becomes a line of its user's known_hosts.
      return parsePublicKey(told);
    } catch (error) {
      if (!(error instanceof PublicKeyError)) throw error;
      throw new Fault(ErrorReason.SSH_UNAVAILABLE, `the machine's host key ${error.message}`, {
        remedy: "Look at /etc/ssh in the machine.",
        cause: error,
      });
    }
  }
}

function readKey(line: string): SshPublicKey {
  try {
    return parsePublicKey(line);
  } catch (error) {
    if (!(error instanceof PublicKeyError)) throw error;
    throw invalid(
      "public_key",
      error.message,
      "Give the one line of a file such as ~/.ssh/id_ed25519.pub; ssh-keygen -t ed25519 makes one.",
    );
  }
}

function checkMinutes(minutes: number): number {
  if (minutes === 0) return MINUTES.default;
  if (minutes >= MINUTES.min && minutes <= MINUTES.max) return minutes;
  throw invalid(
    "expires_in_minutes",
    `is ${minutes}`,
    `Give ${MINUTES.min} to ${MINUTES.max} minutes, or 0 for ${MINUTES.default}.`,
  );
}
