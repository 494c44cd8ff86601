import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import type { FileInfo } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { beginResponse, type EdgeRequest, type EdgeResponse } from "../exchange.js";
import type { AgentFiles } from "./agent-files.js";
import { checkConditions, rangeHolds } from "./conditions.js";
import { type ByteSpan, parseRange } from "./ranges.js";
import type { StallTimer } from "./stall-timer.js";

/** What every answer about a file says: a browser keeps it, and never shows it as a page of ours. */
const HEADERS = {
  "accept-ranges": "bytes",
  "cache-control": "private, no-cache",
  "content-security-policy": "default-src 'none'; sandbox",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A request for a file and its answer. */
export interface Download {
  request: EdgeRequest;
  response: EdgeResponse;
  /** Aborted when the caller has gone. */
  signal: AbortSignal;
  stall: StallTimer;
}

/** Answers GET and HEAD for a file. */
export async function download(
  files: AgentFiles,
  path: string,
  { request, response, signal, stall }: Download,
): Promise<void> {
  const info = await lookAt(files, path, signal);
  const size = Number(info.size);
  const validators = {
    etag: etagOf(info),
    modifiedAt: info.modifiedAt === undefined ? 0 : timestampMs(info.modifiedAt),
  };
  const headers = {
    ...HEADERS,
    etag: validators.etag,
    "last-modified": new Date(validators.modifiedAt).toUTCString(),
  };
  const verdict = checkConditions(request.headers, validators);
  if (verdict !== undefined) {
    beginResponse(response, verdict, headers);
    response.end();
    return;
  }
  // Only GET knows ranges, says RFC 9110.
  const wanted = request.method === "GET" && rangeHolds(request.headers, validators);
  const range = parseRange(wanted ? request.headers.range : undefined, size);
  if (range === "unsatisfiable") {
    beginResponse(response, 416, { ...headers, "content-range": `bytes */${size}` });
    response.end();
    return;
  }
  const span = range === "whole" ? { start: 0, end: size } : range;
  const begin = () =>
    beginResponse(response, range === "whole" ? 200 : 206, {
      ...headers,
      "content-type": "application/octet-stream",
      "content-disposition": disposition(path),
      "content-length": span.end - span.start,
      ...(range !== "whole" && { "content-range": `bytes ${span.start}-${span.end - 1}/${size}` }),
    });
  if (request.method === "HEAD" || span.start === span.end) {
    begin();
    response.end();
    return;
  }
  await send(files, { path, span, version: info.version, begin }, { response, signal, stall });
}

interface Sending {
  path: string;
  span: ByteSpan;
  version: string;
  /** Sends the headers. */
  begin: () => void;
}

/** Streams bytes of a file that must not change meanwhile: at the pace of the client. */
async function send(
  files: AgentFiles,
  { path, span, version, begin }: Sending,
  { response, signal, stall }: Omit<Download, "request">,
): Promise<void> {
  const body: Writable = response;
  const length = span.end - span.start;
  let sent = 0;
  const read = { path, offset: BigInt(span.start), length: BigInt(length), ifVersion: version };
  for await (const { part } of files.read(read, { signal })) {
    if (part.case === "info") begin();
    if (part.case !== "data") continue;
    sent += part.value.length;
    stall.refresh();
    if (!body.write(part.value)) await once(body, "drain", { signal });
  }
  if (sent === length) response.end();
  else throw new Fault(ErrorReason.FILE_CHANGED, `${path} became shorter while it was read`);
}

/** What a path names, at the end of all links. */
async function lookAt(files: AgentFiles, path: string, signal: AbortSignal): Promise<FileInfo> {
  for await (const { part } of files.read({ path, length: 0n }, { signal })) {
    if (part.case === "info") return part.value;
  }
  throw new Fault(ErrorReason.INTERNAL, "the agent did not tell what it reads");
}

/** The version of a file without the inode and times in it, which are nobody's business. */
function etagOf({ version }: FileInfo): string {
  return `"${createHash("sha256").update(version).digest("base64url").slice(0, 22)}"`;
}

/** Has browsers save the file by its name, whatever is in it. */
function disposition(path: string): string {
  const name = (path.split("/").at(-1) ?? "").toWellFormed();
  const plain = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, "_");
  const exact = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${exact}`;
}
