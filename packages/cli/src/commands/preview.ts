import type { PreviewGrant, PreviewTransport } from "@nullspace/sdk";
import { openClient } from "../client.js";
import { ExitCode } from "../exit-code.js";
import type { CommonOptions } from "../options.js";
import { withProgress } from "../progress.js";
import { printDone, toSeveral } from "../several.js";
import { ago, bytes, duration, fields, hint, print, printJson, table } from "../terminal.js";

/** Options of `nullspace preview url`. */
export interface UrlFlags extends CommonOptions {
  websocket?: boolean;
  expires?: number;
}

/** `nullspace preview url` */
export async function printUrl(id: string, port: number, flags: UrlFlags): Promise<void> {
  await using client = await openClient(flags);
  const signed = await client.machines.previews(id).sign(port, { expiresInSeconds: flags.expires });
  if (flags.json) return printJson(signed);
  print(`${flags.websocket ? signed.websocketUrl : signed.url}\n`);
  hint(
    `good until ${signed.expiresAt.toISOString()}; end it: nullspace preview revoke ${signed.grant.id}`,
  );
}

/** `nullspace preview address` */
export async function printAddress(id: string, port: number, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const address = await client.machines.previews(id).address(port);
  if (flags.json) return printJson(address);
  print(`${address.url}\n`);
}

/** Options of `nullspace preview list`. */
export interface ListPreviewsFlags extends CommonOptions {
  port?: number;
  limit?: number;
  cursor?: string;
}

/** `nullspace preview list` */
export async function listPreviews(id: string, flags: ListPreviewsFlags): Promise<void> {
  await using client = await openClient(flags);
  const { port, limit, cursor } = flags;
  const page = await client.machines.previews(id).list({ port, limit, cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  if (page.items.length === 0) return hint(`none; make one: nullspace preview url ${id} <port>`);
  const headings = [
    "GRANT",
    "PORT",
    "KIND",
    "STATE",
    "USES",
    "IN",
    "OUT",
    "LAST USED",
    "LAST ERROR",
  ];
  print(table(headings, page.items.map(rowOf)));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

/** `nullspace preview revoke` */
export async function revokePreviews(ids: string[], flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const revoked = await toSeveral(ids, (id) => client.machines.revokePreviewUrl(id));
  printDone("revoked", revoked, flags.json);
}

/** Options of `nullspace preview wait`. */
export interface WaitFlags extends CommonOptions {
  path?: string;
  timeout?: number;
}

/** `nullspace preview wait`: gives the exit code. */
export async function waitForPreview(id: string, port: number, flags: WaitFlags): Promise<number> {
  await using client = await openClient(flags);
  const { path, timeout, json } = flags;
  const options = { path, timeoutMs: timeout && timeout * 1000 };
  const waiting = client.machines.previews(id).wait(port, options);
  const readiness = await withProgress(`waiting for port ${port}`, waiting);
  if (json) printJson(readiness);
  else if (readiness.ready) print(`ready after ${Math.round(readiness.elapsedMs)} ms\n`);
  else process.stderr.write(`${readiness.message ?? "not ready"}\n${readiness.remedy ?? ""}\n`);
  return readiness.ready ? ExitCode.Ok : ExitCode.Runtime;
}

/** Options of `nullspace preview proxy-target`. */
export interface ProxyFlags extends CommonOptions {
  transport?: PreviewTransport[];
  expires?: number;
}

/** `nullspace preview proxy-target` */
export async function printProxyTarget(id: string, port: number, flags: ProxyFlags): Promise<void> {
  await using client = await openClient(flags);
  const { transport: transports, expires: expiresInSeconds } = flags;
  const target = await client.machines
    .previews(id)
    .proxyTarget(port, { transports, expiresInSeconds });
  if (flags.json) return printJson(target);
  print(
    fields([
      ["grant", target.grant.id],
      ["http", target.httpUrl],
      ["websocket", target.websocketUrl],
      ["header", target.tokenHeaderName],
      ["http token", target.httpToken],
      ["websocket token", target.websocketToken],
      ["forward", target.requiredForwardedHeaders.join(" ")],
      ["also needs", target.trafficAccessRequired ? target.trafficAccessHeaderName : undefined],
      ["expires", target.expiresAt.toISOString()],
    ]),
  );
}

function rowOf(grant: PreviewGrant): string[] {
  return [
    grant.id,
    String(grant.port),
    grant.kind,
    stateOf(grant),
    String(grant.useCount),
    bytes(grant.bytesIn),
    bytes(grant.bytesOut),
    grant.lastUsedAt ? ago(grant.lastUsedAt) : "never",
    grant.lastError ?? "",
  ];
}

function stateOf({ revokedAt, expiresAt }: PreviewGrant): string {
  if (revokedAt !== undefined) return "revoked";
  const left = expiresAt.getTime() - Date.now();
  return left <= 0 ? "expired" : `${duration(left)} left`;
}
