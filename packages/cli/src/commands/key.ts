import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { duration, hint, print, printJson, styled, table } from "../terminal.js";

/** `nullspace key create` */
export async function createKey(name: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const key = await client.keys.create(name);
  if (flags.json) return printJson(key);
  print(`${key.secret}\n`);
  hint(`Keep it now: it is not shown again. To end it: nullspace key revoke ${key.id}`);
}

/** Options of `nullspace key list`. */
export interface ListKeysFlags extends CommonOptions {
  limit?: number;
  cursor?: string;
}

/** `nullspace key list` */
export async function listKeys(flags: ListKeysFlags): Promise<void> {
  await using client = await openClient(flags);
  const page = await client.keys.list({ limit: flags.limit, cursor: flags.cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  const rows = page.items.map((key) => [
    key.id,
    key.name,
    ago(key.createdAt),
    key.lastUsedAt ? ago(key.lastUsedAt) : "never",
    key.revokedAt ? styled("red", "revoked") : styled("green", "good"),
  ]);
  print(table(["ID", "NAME", "CREATED", "LAST USED", "STATE"], rows));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

/** `nullspace key revoke` */
export async function revokeKey(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const key = await client.keys.revoke(id);
  if (flags.json) printJson(key);
  else print(`${key.id}\n`);
}

function ago(date: Date): string {
  return `${duration(Date.now() - date.getTime())} ago`;
}
