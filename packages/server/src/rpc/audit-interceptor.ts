import { isMessage, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { ErrorReason, isAudited, REQUEST_ID_HEADER } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Audit } from "../domain/audit.js";
import { callerOf } from "./caller-context.js";
import { rpcName } from "./rpc-name.js";

/**
 * Notes every call that changes something, when it is done and before its answer is sent: what a
 * caller was told has happened is in the trail.
 */
export function auditInterceptor(audit: Audit): Interceptor {
  return (next) => async (request) => {
    const { method, contextValues, header } = request;
    if (!isAudited(method)) return next(request);
    const note = async (objectId: string, outcome: string) =>
      audit.note(callerOf(contextValues), {
        rpc: rpcName(method),
        objectId,
        outcome,
        requestId: header.get(REQUEST_ID_HEADER) ?? "",
      });
    const asked = isMessage(request.message) ? objectIn(request.message) : "";
    let response: Awaited<ReturnType<typeof next>>;
    try {
      response = await next(request);
    } catch (error) {
      await note(asked, outcomeOf(error));
      throw error;
    }
    const made = isMessage(response.message) ? objectOf(response.message) : "";
    await note(made || asked, "ok");
    return response;
  };
}

/** What a request says that it is about. */
function objectIn(message: Message): string {
  for (const name of ["id", "machineId", "snapshotId"]) {
    const value: unknown = Reflect.get(message, name);
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

/** The id of the first thing that an answer tells of. */
function objectOf(message: Message): string {
  for (const value of Object.values(message)) {
    if (!isMessage(value)) continue;
    const id: unknown = Reflect.get(value, "id");
    if (typeof id === "string") return id;
  }
  return "";
}

function outcomeOf(error: unknown): string {
  if (error instanceof Fault) return ErrorReason[error.reason];
  if (error instanceof ConnectError) return Code[error.code];
  return ErrorReason[ErrorReason.INTERNAL];
}
