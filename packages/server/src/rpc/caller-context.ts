import { createContextKey, type ContextValues } from "@connectrpc/connect";
import type { Caller } from "../domain/caller.js";

const CALLER = createContextKey<Caller | undefined>(undefined, {
  description: "who makes the call",
});

/** Notes who makes a call, once it has been let in. */
export function setCaller(values: ContextValues, caller: Caller): void {
  values.set(CALLER, caller);
}

/** Who makes a call. */
export function callerOf(values: ContextValues): Caller {
  const caller = values.get(CALLER);
  if (caller === undefined) throw new Error("a call came past the gate");
  return caller;
}
