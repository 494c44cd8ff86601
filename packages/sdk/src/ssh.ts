import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { SshAccess as SshAccessMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** What {@link Machine.createSshAccess} takes. */
export interface CreateSshAccessOptions extends CallOptions {
  /** The line of a file such as `~/.ssh/id_ed25519.pub`. The private key stays with you. */
  publicKey: string;
  /** How long the access is good, from 1 to 1440 minutes; 60 when not given. */
  expiresInMinutes?: number | undefined;
}

/** What {@link Machine.listSshAccess} takes. */
export interface ListSshAccessOptions extends CallOptions {
  /** Accesses on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** An access that was granted, without its secrets. */
export interface SshAccessInfo {
  /** For {@link Machine.revokeSshAccess}. */
  id: string;
  machineId: string;
  /** Of the public key, as `ssh-keygen -l` shows it. */
  fingerprint: string;
  createdAt: Date;
  /** Connections that are open then are cut. */
  expiresAt: Date;
  /** Undefined while it was not revoked. */
  revokedAt: Date | undefined;
  /** Undefined while it was never used. */
  lastUsedAt: Date | undefined;
  /** Connections that were opened with it. */
  useCount: number;
}

/** An access that was just granted: what OpenSSH needs besides your private key. */
export interface SshAccess extends SshAccessInfo {
  /** Whom to log in as, where you name nobody. Any user of the machine will do. */
  user: string;
  /** Certificate of your key, good for this machine only: beside the private key, as `<its name>-cert.pub`. */
  certificate: string;
  /** Line for `known_hosts`: the machine's host key under the machine's id. */
  knownHosts: string;
  /** The WebSocket that carries the connection. */
  relayUrl: string;
  /** For the WebSocket's header `Authorization: Bearer <token>`. A secret. */
  relayToken: string;
}

/** Calls about access by SSH. */
export class SshCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(machineId: string, options: CreateSshAccessOptions): Promise<SshAccess> {
    const { publicKey, expiresInMinutes = 0 } = options;
    const answer = await this.#connection.unary(
      options,
      (attempt) =>
        this.#connection.ssh.createAccess({ machineId, publicKey, expiresInMinutes }, attempt),
      // One that nobody has heard of expires.
      { idempotent: true },
    );
    const { certificate, knownHosts, relayToken, relayPath, user } = answer;
    return {
      ...fromMessage(answer.access),
      user,
      certificate,
      knownHosts,
      relayToken,
      relayUrl: `${this.#connection.url.replace(/^http/, "ws")}${relayPath}`,
    };
  }

  list(machineId: string, options: ListSshAccessOptions): PagePromise<SshAccessInfo> {
    return pagePromise(this.#page(machineId, options, options.cursor ?? ""));
  }

  async #page(
    machineId: string,
    options: ListSshAccessOptions,
    cursor: string,
  ): Promise<Page<SshAccessInfo>> {
    const request = { machineId, limit: options.limit ?? 0, cursor };
    const { access, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.ssh.listAccess(request, attempt),
      { idempotent: true },
    );
    const items = access.map(fromMessage);
    return new Page(items, nextCursor, (next) => this.#page(machineId, options, next));
  }

  async revoke(id: string, options: CallOptions): Promise<SshAccessInfo> {
    const { access } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.ssh.revokeAccess({ id }, attempt),
      { idempotent: true },
    );
    return fromMessage(access);
  }
}

function fromMessage(access: SshAccessMessage | undefined): SshAccessInfo {
  if (access?.createdAt === undefined || access.expiresAt === undefined) {
    throw new InternalError("the server's answer holds no access");
  }
  const { id, machineId, fingerprint, createdAt, expiresAt, revokedAt, lastUsedAt } = access;
  return {
    id,
    machineId,
    fingerprint,
    createdAt: timestampDate(createdAt),
    expiresAt: timestampDate(expiresAt),
    revokedAt: revokedAt && timestampDate(revokedAt),
    lastUsedAt: lastUsedAt && timestampDate(lastUsedAt),
    useCount: Number(access.useCount),
  };
}
