import { createContextKey } from "@connectrpc/connect";

/**
 * Whether the connection a call came in on is gone, so that the end of the call
 * was nobody's wish. Read it when the call's signal aborts.
 */
export const connectionLost = createContextKey<() => boolean>(() => false, {
  description: "whether the call's connection is gone",
});
