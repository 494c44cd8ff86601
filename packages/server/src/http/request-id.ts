import { REQUEST_ID_HEADER } from "@nullspace/proto";
import { randomAlphanumeric } from "../domain/random.js";
import type { EdgeRequest } from "../edge/exchange.js";

/** What a caller may choose: nothing that could forge a line of a log or a header. */
const ACCEPTABLE = /^[A-Za-z0-9._-]{1,128}$/;
/** 103 bits. */
const LENGTH = 20;

/** The id that a request goes by in logs and answers: the caller's own if it sent a good one. */
export function requestIdOf(request: EdgeRequest): string {
  const chosen = request.headers[REQUEST_ID_HEADER];
  if (typeof chosen === "string" && ACCEPTABLE.test(chosen)) return chosen;
  return randomAlphanumeric(LENGTH);
}
