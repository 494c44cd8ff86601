import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@nullspace/proto";

/** A failure in words: what happened, and what can be done about it. */
export function explain(error: unknown): string {
  const failure = ConnectError.from(error);
  const [info] = failure.findDetails(ErrorInfoSchema);
  if (info !== undefined) {
    const sentence = /[.!?]$/.test(failure.rawMessage)
      ? failure.rawMessage
      : `${failure.rawMessage}.`;
    return info.remedy === "" ? capitalized(sentence) : `${capitalized(sentence)} ${info.remedy}`;
  }
  if (failure.cause instanceof TypeError) return "The server cannot be reached. Is it running?";
  return capitalized(failure.rawMessage);
}

/** Whether the key was refused. */
export function isUnauthenticated(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
