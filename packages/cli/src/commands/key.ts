import type { Scope } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { ago, hint, print, printJson, styled, table } from "../terminal.js";

/** Options of `nullspace key create`. */
export interface CreateKeyFlags extends CommonOptions {
  project?: string;
  scope?: Scope[];
}

/** `nullspace key create` */
export async function createKey(name: string, flags: CreateKeyFlags): Promise<void> {
  await using client = await openClient(flags);
  const { project, scope: scopes } = flags;
  const key = await client.keys.create(name, { project, scopes });
  if (flags.json) return printJson(key);
  print(`${key.secret}\n`);
  hint(`Keep it now: it is not shown again. To end it: nullspace key revoke ${key.id}`);
}

/** Options of `nullspace key list`. */
export interface ListKeysFlags extends CommonOptions {
  project?: string;
  limit?: number;
  cursor?: string;
}

/** `nullspace key list` */
export async function listKeys(flags: ListKeysFlags): Promise<void> {
  await using client = await openClient(flags);
  const { project, limit, cursor } = flags;
  const page = await client.keys.list({ project, limit, cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  const rows = page.items.map((key) => [
    key.id,
    key.name,
    key.scopes.join(" "),
    ago(key.createdAt),
    key.lastUsedAt ? ago(key.lastUsedAt) : "never",
    key.revokedAt ? styled("red", "revoked") : styled("green", "good"),
  ]);
  print(table(["ID", "NAME", "SCOPES", "CREATED", "LAST USED", "STATE"], rows));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

/** `nullspace key revoke` */
export async function revokeKey(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const key = await client.keys.revoke(id);
  if (flags.json) printJson(key);
  else print(`${key.id}\n`);
}

/** Options of `nullspace key rotate-signing`. */
export interface RotateSigningFlags extends CommonOptions {
  now?: boolean;
}

/** `nullspace key rotate-signing` */
export async function rotateSigning(flags: RotateSigningFlags): Promise<void> {
  await using client = await openClient(flags);
  const keys = await client.keys.rotateSigning({ immediately: flags.now });
  if (flags.json) return printJson({ items: keys });
  const rows = keys.map(({ id, createdAt, verifiesUntil }) => [
    id,
    ago(createdAt),
    verifiesUntil === undefined
      ? styled("green", "signs")
      : `verifies until ${verifiesUntil.toISOString()}`,
  ]);
  print(table(["SIGNING KEY", "CREATED", "STATE"], rows));
}
