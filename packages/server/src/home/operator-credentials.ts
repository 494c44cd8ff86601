import { Fault } from "@nullspace/proto/fault";
import type { Keys } from "../domain/keys.js";
import { readOptionalFile, writePrivateFile } from "./files.js";

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
  const apiKey =
    former !== undefined && (await isGood(former, keys))
      ? former
      : (await keys.create("local operator")).secret;
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

async function isGood(apiKey: string, keys: Keys): Promise<boolean> {
  try {
    await keys.authenticate(`Bearer ${apiKey}`);
    return true;
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}
