import { rm } from "node:fs/promises";
import type { SigningKey, SigningKeyStore } from "../domain/signing-keys.js";
import { FORMER_TRANSFER_KEY } from "../domain/transfer-urls.js";
import { StartError } from "../start-error.js";
import { readOptionalFile, writePrivateFile } from "./files.js";

const LEAST_SECRET_BYTES = 32;

/** Signing keys in a file that only its owner may read. */
export class SigningKeyFile implements SigningKeyStore {
  readonly #path: string;
  readonly #formerPath: string;

  /** @param formerPath File of the one key there was before; it becomes the first that is retired. */
  constructor(path: string, formerPath: string) {
    this.#path = path;
    this.#formerPath = formerPath;
  }

  /** @throws StartError when the file is broken: with new keys every token would end. */
  async load(): Promise<readonly SigningKey[]> {
    const text = await readOptionalFile(this.#path);
    if (text === undefined) return this.#loadFormer();
    try {
      const content: unknown = JSON.parse(text);
      if (!Array.isArray(content)) throw new TypeError("it is no list");
      return content.map((entry: unknown) => toKey(entry));
    } catch (cause) {
      throw new StartError(`${this.#path} cannot be read`, {
        remedy: "Restore it from a backup, or remove it: tokens and signed URLs then end at once.",
        // Not its cause, which would tell what stands in it.
        cause: new Error(cause instanceof Error ? cause.name : "unknown"),
      });
    }
  }

  async save(keys: readonly SigningKey[]): Promise<void> {
    const content = keys.map(({ id, secret, createdAt, retiredAt }) => ({
      id,
      secret: Buffer.from(secret).toString("base64url"),
      createdAt: createdAt.toISOString(),
      retiredAt: retiredAt?.toISOString() ?? null,
    }));
    await writePrivateFile(this.#path, `${JSON.stringify(content, undefined, 2)}\n`);
    await rm(this.#formerPath, { force: true });
  }

  async #loadFormer(): Promise<readonly SigningKey[]> {
    const secret = Buffer.from((await readOptionalFile(this.#formerPath)) ?? "", "base64url");
    if (secret.length < LEAST_SECRET_BYTES) return [];
    const now = new Date();
    return [{ id: FORMER_TRANSFER_KEY, secret, createdAt: now, retiredAt: now }];
  }
}

function toKey(entry: unknown): SigningKey {
  if (typeof entry !== "object" || entry === null) throw new TypeError("an entry is no key");
  const text = (name: string): string => {
    const value: unknown = Reflect.get(entry, name);
    if (typeof value !== "string" || value === "") throw new TypeError(`a key has no ${name}`);
    return value;
  };
  const secret = Buffer.from(text("secret"), "base64url");
  if (secret.length < LEAST_SECRET_BYTES) throw new TypeError("a key is too short");
  return {
    id: text("id"),
    secret,
    createdAt: new Date(text("createdAt")),
    retiredAt: Reflect.get(entry, "retiredAt") === null ? undefined : new Date(text("retiredAt")),
  };
}
