import { readFile } from "node:fs/promises";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { printDone, toSeveral } from "../several.js";
import { duration, fields, hint, print, printJson, styled, table } from "../terminal.js";

/** Options of `nullspace ssh access`. */
export interface AccessFlags extends CommonOptions {
  expiresIn?: number;
}

/** `nullspace ssh access`: for those who bring a key, and another relay client, of their own. */
export async function createAccess(id: string, keyFile: string, flags: AccessFlags): Promise<void> {
  await using client = await openClient(flags);
  const publicKey = await readFile(keyFile, "utf8");
  const machine = await client.machines.connect(id);
  const access = await machine.createSshAccess({
    publicKey,
    expiresInMinutes: Math.ceil((flags.expiresIn ?? 0) / 60),
  });
  if (flags.json) return printJson(access);
  print(
    fields([
      ["access", access.id],
      ["machine", access.machineId],
      ["user", access.user],
      ["expires", access.expiresAt.toISOString()],
      ["relay", access.relayUrl],
      ["relay token", access.relayToken],
      ["known hosts", access.knownHosts],
      ["certificate", access.certificate],
    ]),
  );
  hint(`to end it: nullspace ssh revoke ${access.id}`);
}

/** Options of `nullspace ssh list`. */
export interface ListFlags extends CommonOptions {
  limit?: number;
  cursor?: string;
}

/** `nullspace ssh list` */
export async function listAccess(id: string, flags: ListFlags): Promise<void> {
  await using client = await openClient(flags);
  const { limit, cursor } = flags;
  const page = await client.machines.listSshAccess(id, { limit, cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  const rows = page.items.map((access) => [
    access.id,
    access.fingerprint,
    `${duration(Date.now() - access.createdAt.getTime())} ago`,
    String(access.useCount),
    stateOf(access),
  ]);
  print(table(["ID", "KEY", "CREATED", "USES", "STATE"], rows));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

function stateOf({
  revokedAt,
  expiresAt,
}: {
  revokedAt: Date | undefined;
  expiresAt: Date;
}): string {
  if (revokedAt !== undefined) return styled("red", "revoked");
  const left = expiresAt.getTime() - Date.now();
  return left > 0 ? styled("green", `good for ${duration(left)}`) : "expired";
}

/** `nullspace ssh revoke` */
export async function revokeAccess(ids: string[], flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const revoked = await toSeveral(ids, (id) => client.machines.revokeSshAccess(id));
  printDone("revoked", revoked, flags.json);
}
