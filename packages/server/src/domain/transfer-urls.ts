import { createHmac, timingSafeEqual } from "node:crypto";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { invalid, LIMITS } from "./limits.js";

/** Where every transfer URL begins. */
export const TRANSFER_PREFIX = "/v1/files/";

/** First words of all that is signed here: no other family of tokens begins so. */
const FAMILY = "nullspace-transfer-1";

const SECONDS = { min: 60, max: 86_400, default: 3600 } as const;
const MOST_USER_BYTES = 256;

/** Which way a URL carries bytes. */
export type TransferDirection = "download" | "upload";

/** What a transfer URL lets its bearer do. */
export interface TransferGrant {
  readonly machineId: string;
  readonly direction: TransferDirection;
  readonly path: string;
  /** Owner of what an upload makes; the machine's usual user when empty. */
  readonly user: string;
  readonly expiresAt: Date;
}

/** What somebody wants a URL for. */
export interface TransferRequest extends Omit<TransferGrant, "expiresAt"> {
  /** An hour when 0. */
  readonly expiresInSeconds: number;
}

/** Signs transfer URLs and reads them again. Nothing is stored: the signature binds everything that a URL says. */
export class TransferUrls {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  /** @param key at least 32 secret bytes. */
  constructor(key: Uint8Array, now: () => number = Date.now) {
    this.#key = key;
    this.#now = now;
  }

  /**
   * Makes a URL, without scheme and host.
   *
   * @throws Fault INVALID_ARGUMENT.
   */
  sign({ expiresInSeconds, ...request }: TransferRequest): { url: string; expiresAt: Date } {
    check(request, expiresInSeconds);
    const seconds = expiresInSeconds || SECONDS.default;
    const expiresAt = new Date((Math.floor(this.#now() / 1000) + seconds) * 1000);
    const grant = { ...request, expiresAt };
    const { machineId, path, user, direction } = grant;
    const query = new URLSearchParams({ path, direction });
    if (user !== "") query.set("user", user);
    query.set("expires", String(expiresAt.getTime() / 1000));
    query.set("signature", this.#signature(grant));
    // The name is there for programs that call what they download as its URL does.
    const url = `${TRANSFER_PREFIX}${encodeURIComponent(machineId)}/${nameIn(path)}?${query.toString()}`;
    return { url, expiresAt };
  }

  /**
   * What a URL grants.
   *
   * @param url as a request names it: path and query.
   * @throws Fault TRANSFER_URL_INVALID, TRANSFER_URL_EXPIRED.
   */
  verify(url: string): TransferGrant {
    const { pathname, searchParams: query } = parse(url);
    const direction = query.get("direction");
    const expires = query.get("expires") ?? "";
    const path = query.get("path");
    if (
      (direction !== "download" && direction !== "upload") ||
      path === null ||
      !/^[1-9]\d{0,11}$/.test(expires)
    ) {
      throw invalidUrl();
    }
    const grant: TransferGrant = {
      machineId: machineIn(pathname),
      direction,
      path,
      user: query.get("user") ?? "",
      expiresAt: new Date(Number(expires) * 1000),
    };
    const given = Buffer.from(query.get("signature") ?? "");
    const expected = Buffer.from(this.#signature(grant));
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw invalidUrl();
    if (grant.expiresAt.getTime() <= this.#now()) {
      throw new Fault(ErrorReason.TRANSFER_URL_EXPIRED, "this transfer URL has expired", {
        remedy: "Ask for a new one: uploadUrl() or downloadUrl().",
        details: { expired_at: grant.expiresAt.toISOString() },
      });
    }
    return grant;
  }

  #signature({ machineId, direction, path, user, expiresAt }: TransferGrant): string {
    const signed = JSON.stringify([FAMILY, machineId, direction, path, user, expiresAt.getTime()]);
    return createHmac("sha256", this.#key).update(signed).digest("base64url");
  }
}

function check({ path, user }: Omit<TransferGrant, "expiresAt">, seconds: number): void {
  if (path === "" || path.includes("\0") || Buffer.byteLength(path) > LIMITS.maxPathBytes) {
    throw invalid(
      "path",
      "is empty, too long, or holds a NUL byte",
      `Name a file in 1 to ${LIMITS.maxPathBytes} bytes.`,
    );
  }
  if (user.includes("\0") || Buffer.byteLength(user) > MOST_USER_BYTES) {
    throw invalid("user", "is no name of a user", "Name a user of the machine, or none.");
  }
  if (seconds === 0 || (seconds >= SECONDS.min && seconds <= SECONDS.max)) return;
  throw invalid(
    "expires_in_seconds",
    `is ${seconds}`,
    `Give ${SECONDS.min} to ${SECONDS.max} seconds, or 0 for ${SECONDS.default}.`,
  );
}

/** The last part of a path as a part of a URL. */
function nameIn(path: string): string {
  const name = path.split("/").at(-1) ?? "";
  // Whatever reads a URL takes these away.
  return name === "" || name === "." || name === ".." ? "file" : encodeURIComponent(name);
}

function parse(url: string): URL {
  try {
    return new URL(url, "http://server");
  } catch {
    // What it says would hold the URL.
    throw invalidUrl();
  }
}

function machineIn(pathname: string): string {
  const [machineId = ""] = pathname.slice(TRANSFER_PREFIX.length).split("/");
  return machineId;
}

function invalidUrl(): Fault {
  return new Fault(
    ErrorReason.TRANSFER_URL_INVALID,
    "this is no transfer URL of this server, or not all of one",
    {
      remedy: "Use the URL as it was given, with the whole query; quote it in a shell.",
    },
  );
}
