import type { OutgoingHttpHeaders } from "node:http";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  ClientSessionRequestOptions,
} from "node:http2";
import { AgentTraffic } from "./agent-traffic.js";

/**
 * Begins a call to an agent: the one way on to its channel. An agent sends no headers before
 * those of its answer; one that does could send them without end, and its session is over.
 */
export function callAgent(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  options?: ClientSessionRequestOptions,
): ClientHttp2Stream {
  const call = session.request(headers, options);
  // A session that is over tells it a moment later, when whoever waits for the call may not listen yet.
  call.on("error", () => undefined);
  call.once("headers", () => session.destroy(new Error("the agent answers before its answer")));
  AgentTraffic.of(session)?.watch(call);
  return call;
}
