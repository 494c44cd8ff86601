import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@nullspace/proto";
import { NullspaceError } from "@nullspace/sdk";

const UNREACHABLE = "The server cannot be reached. Is it running?";

/** A failure in words: what happened, and what can be done about it. */
export function explain(error: unknown): string {
  if (error instanceof NullspaceError) {
    return error.reason === "CONNECTION_FAILED" ? UNREACHABLE : capitalized(error.message);
  }
  const failure = ConnectError.from(error);
  const [info] = failure.findDetails(ErrorInfoSchema);
  if (info !== undefined) {
    const sentence = /[.!?]$/.test(failure.rawMessage)
      ? failure.rawMessage
      : `${failure.rawMessage}.`;
    return info.remedy === "" ? capitalized(sentence) : `${capitalized(sentence)} ${info.remedy}`;
  }
  if (failure.cause instanceof TypeError) return UNREACHABLE;
  return capitalized(failure.rawMessage);
}

/** Whether the key was refused. */
export function isUnauthenticated(error: unknown): boolean {
  if (error instanceof NullspaceError) return error.code === "unauthenticated";
  return ConnectError.from(error).code === Code.Unauthenticated;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
