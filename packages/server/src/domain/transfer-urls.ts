import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { invalid, LIMITS } from "./limits.js";
import type { SigningKeys } from "./signing-keys.js";

/** Where every transfer URL begins. */
export const TRANSFER_PREFIX = "/v1/files/";

/** Id of the key that signed transfer URLs, and nothing else, before there was a ring of keys. */
export const FORMER_TRANSFER_KEY = "transfer";

/** First words of all that is signed here. */
const FORM = "nullspace-transfer-1";
const { prefix: PREFIX, longestSeconds } = TOKEN_FAMILIES["transfer-url"];

const SECONDS = { min: 60, max: longestSeconds, default: 3600 } as const;
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
  readonly #keys: SigningKeys;
  readonly #now: () => number;

  constructor(keys: SigningKeys, now: () => number = Date.now) {
    this.#keys = keys;
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
    query.set("signature", PREFIX + this.#keys.sign("transfer-url", textOf(grant)));
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
    if (!this.#isSigned(grant, query.get("signature") ?? "")) throw invalidUrl();
    if (grant.expiresAt.getTime() <= this.#now()) {
      throw new Fault(ErrorReason.TRANSFER_URL_EXPIRED, "this transfer URL has expired", {
        remedy: "Ask for a new one: uploadUrl() or downloadUrl().",
        details: { expired_at: grant.expiresAt.toISOString() },
      });
    }
    return grant;
  }

  #isSigned(grant: TransferGrant, signature: string): boolean {
    const text = textOf(grant);
    return signature.startsWith(PREFIX)
      ? this.#keys.verify("transfer-url", text, signature.slice(PREFIX.length))
      : this.#keys.verifyUnderived(FORMER_TRANSFER_KEY, text, signature);
  }
}

/** All that a URL says, in the one form that is signed. */
function textOf({ machineId, direction, path, user, expiresAt }: TransferGrant): string {
  return JSON.stringify([FORM, machineId, direction, path, user, expiresAt.getTime()]);
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
