import { Scope } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Caller } from "../domain/caller.js";
import type { ApiKey } from "../domain/key-store.js";
import type { Keys } from "../domain/keys.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { readOptionalFile, writePrivateFile } from "./files.js";

/** Who runs the server makes its first key. */
const OPERATOR: Caller = { keyId: "", projectId: DEFAULT_PROJECT, scopes: [Scope.ADMIN] };

/**
 * Sees to it that the local operator has a key: `credentials.json`, readable by
 * its owner only, holds it in the clear for the tools on this machine. A key
 * that was revoked is replaced at the next start.
 *
 * @param url Where the server listens, for the same tools.
 * @returns The key.
 */
export async function ensureOperatorCredentials(
  file: string,
  keys: Keys,
  url: string,
): Promise<string> {
  const former = await readKey(file);
  const known = former === undefined ? undefined : await findKey(former, keys);
  if (known !== undefined) await keys.makeOperator(known);
  const apiKey =
    known !== undefined && former !== undefined
      ? former
      : (
          await keys.create(OPERATOR, {
            name: "local operator",
            projectId: "",
            scopes: [Scope.ADMIN],
          })
        ).secret;
  await writePrivateFile(file, `${JSON.stringify({ url, apiKey }, undefined, 2)}\n`);
  return apiKey;
}

async function readKey(file: string): Promise<string | undefined> {
  const text = await readOptionalFile(file);
  if (text === undefined) return undefined;
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content !== "object" || content === null || !("apiKey" in content)) return undefined;
    return typeof content.apiKey === "string" ? content.apiKey : undefined;
  } catch {
    // A file that somebody broke is replaced like one that is missing.
    return undefined;
  }
}

async function findKey(apiKey: string, keys: Keys): Promise<ApiKey | undefined> {
  try {
    return await keys.authenticate(`Bearer ${apiKey}`);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
