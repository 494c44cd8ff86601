import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { hint, print, printJson, styled, table } from "../terminal.js";

/** Options of `nullspace audit`. */
export interface AuditFlags extends CommonOptions {
  project?: string;
  key?: string;
  object?: string;
  limit?: number;
  cursor?: string;
}

/** `nullspace audit` */
export async function showAudit(flags: AuditFlags): Promise<void> {
  await using client = await openClient(flags);
  const { project, key: keyId, object: objectId, limit, cursor } = flags;
  const page = await client.audit.list({ project, keyId, objectId, limit, cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  const rows = page.items.map((entry) => [
    entry.createdAt.toISOString(),
    entry.keyId,
    entry.rpc.split(".").at(-1) ?? "",
    entry.objectId ?? "",
    /^[a-z]/.test(entry.outcome) ? entry.outcome : styled("red", entry.outcome),
    entry.requestId,
  ]);
  print(table(["TIME", "KEY", "CALL", "OBJECT", "OUTCOME", "REQUEST"], rows));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}
