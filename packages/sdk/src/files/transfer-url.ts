import { timestampDate } from "@bufbuild/protobuf/wkt";
import { TransferDirection } from "@nullspace/proto";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { InternalError } from "../errors.js";

/** What {@link Files.downloadUrl} takes. */
export interface TransferUrlOptions extends CallOptions {
  /** How long the URL is good, from 60 to 86400 seconds; 3600 when not given. */
  expiresInSeconds?: number | undefined;
}

/** What {@link Files.uploadUrl} takes. */
export interface UploadUrlOptions extends TransferUrlOptions {
  /** Owner of a new file and of parents that are made; `user` when not given. */
  user?: string | undefined;
}

/** A URL that carries one file. Treat it as a secret: whoever has it may use it. */
export interface TransferUrl {
  url: string;
  /** The method to use it with; an upload's takes `POST` of a form as well. */
  method: "GET" | "PUT";
  /** Headers that a request must have. */
  headers: Record<string, string>;
  expiresAt: Date;
}

/** Asks the server for a URL. */
export async function createTransferUrl(
  agent: AgentConnection,
  direction: "download" | "upload",
  path: string,
  options: UploadUrlOptions,
): Promise<TransferUrl> {
  const upload = direction === "upload";
  const request = {
    machineId: agent.machineId,
    direction: upload ? TransferDirection.UPLOAD : TransferDirection.DOWNLOAD,
    path,
    expiresInSeconds: options.expiresInSeconds ?? 0,
    user: options.user ?? "",
  };
  const { url, expiresAt } = await agent.unary(
    options,
    (attempt) => agent.transfers.createUrl(request, attempt),
    { idempotent: true },
  );
  if (!url.startsWith("/") || expiresAt === undefined) {
    throw new InternalError("the server's answer holds no URL");
  }
  return {
    url: `${agent.url}${url}`,
    method: upload ? "PUT" : "GET",
    headers: {},
    expiresAt: timestampDate(expiresAt),
  };
}
