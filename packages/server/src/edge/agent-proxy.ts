import type { IncomingHttpHeaders } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import { ErrorReason, MACHINE_ID_HEADER, REQUEST_ID_HEADER } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { callAgent } from "../channel/agent-call.js";
import { damagedAgent } from "../channel/agent-fault.js";
import { type ConnectAgent, connectInTime, unreachable } from "./connect-agent.js";
import {
  beginResponse,
  type Departure,
  type EdgeRequest,
  type EdgeResponse,
  isCutOff,
  onDeparture,
  resetResponse,
} from "./exchange.js";
import { headersForClient, headersForGuest, trailersForClient } from "./forwarded-headers.js";
import { Refusals } from "./refusal.js";

/** A call to a machine's agent. */
export interface AgentCall {
  readonly method: DescMethod;
  readonly machineId: string;
  readonly authorization: string | undefined;
  readonly requestId: string;
}

/** A call that may pass. */
export interface AdmittedCall {
  /** Notes that it was forwarded. Its caller is not told that it is done before this resolves. */
  readonly note: () => Promise<void>;
}

/** What {@link AgentProxy} needs of the rest of the server. */
export interface AgentProxyOptions {
  /**
   * Lets a call pass or throws the Fault that refuses it: the key is bad or not for this, or
   * the machine is not there or not running.
   */
  readonly admit: (call: AgentCall) => Promise<AdmittedCall>;
  /** Notes that a machine is in use until what it gives is disposed. */
  readonly use: (machineId: string) => Disposable;
  readonly connectAgent: ConnectAgent;
  /**
   * Aborted with a Fault when the server begins to stop. From then on no call is
   * cancelled in the guest: the agent sees the whole session go, and processes go on.
   */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
}

/**
 * Forwards calls to the agent inside a machine, byte by byte: it knows headers
 * and trailers but no messages. Back-pressure, cancellation and deadlines travel
 * through it in both directions.
 */
export class AgentProxy {
  readonly #options: AgentProxyOptions;
  readonly #refusals = new Refusals();

  constructor(options: AgentProxyOptions) {
    this.#options = options;
  }

  /** Whether calls to this path are forwarded. */
  handles(path: string): boolean {
    return this.#refusals.knows(path);
  }

  /** Forwards one call. Never throws: whatever happens is the answer. */
  async forward(path: string, request: EdgeRequest, response: EdgeResponse): Promise<void> {
    const gone = new AbortController();
    const exchange: { upstream?: ClientHttp2Stream } = {};
    onDeparture(response, (departure) => {
      gone.abort(new Fault(ErrorReason.CANCELLED, "the caller has gone"));
      if (!this.#options.stopping.aborted) exchange.upstream?.close(resetCode(departure));
    });
    try {
      const call = this.#callOf(path, request);
      const { session, note } = await this.#connect(call, gone.signal);
      using _ = this.#options.use(call.machineId);
      gone.signal.throwIfAborted();
      exchange.upstream = callAgent(session, {
        ...headersForGuest(request.headers),
        ":method": request.method ?? "POST",
        ":path": request.url ?? path,
      });
      // Written while the agent is at work.
      await relay(request, response, exchange.upstream, note());
    } catch (error) {
      if (gone.signal.aborted) return;
      await this.#answerFailure(path, request, response, error, exchange.upstream !== undefined);
    }
  }

  #callOf(path: string, { headers }: EdgeRequest): AgentCall {
    const requestId = headers[REQUEST_ID_HEADER];
    return {
      method: this.#refusals.methodOf(path),
      machineId: requireMachineId(headers),
      authorization: headers.authorization,
      requestId: typeof requestId === "string" ? requestId : "",
    };
  }

  async #connect(
    call: AgentCall,
    gone: AbortSignal,
  ): Promise<AdmittedCall & { readonly session: ClientHttp2Session }> {
    this.#options.stopping.throwIfAborted();
    const admitted = await this.#options.admit(call);
    const { connectAgent } = this.#options;
    return { ...admitted, session: await connectInTime(connectAgent, call.machineId, gone) };
  }

  async #answerFailure(
    path: string,
    request: EdgeRequest,
    response: EdgeResponse,
    error: unknown,
    forwarded: boolean,
  ): Promise<void> {
    if (response.headersSent) {
      resetResponse(response);
      return;
    }
    try {
      const fault = forwarded
        ? await this.#lostAgent(this.#callOf(path, request), error)
        : this.#toFault(error);
      await this.#refusals.refuse(path, request, response, fault);
    } catch (defect) {
      // The caller went away while it was told, or there is no telling it: end the exchange.
      if (!response.destroyed) this.#options.onDefect(defect);
      resetResponse(response);
    }
  }

  /** Why a call that had been forwarded got no answer: the machine has died, or just its agent. */
  async #lostAgent(call: AgentCall, cause: unknown): Promise<Fault> {
    try {
      await this.#options.admit(call);
    } catch (error) {
      return this.#toFault(error);
    }
    return unreachable("the connection to the machine's agent broke before it answered", cause, {
      // Whether the agent has done what was asked is unknown: a retry may do it twice.
      forwarded: "true",
    });
  }

  #toFault(error: unknown): Fault {
    if (error instanceof Fault) return error;
    this.#options.onDefect(error);
    return new Fault(ErrorReason.INTERNAL, "internal error", {
      remedy: "Look for this request's id in the server's log.",
      cause: error,
    });
  }
}

/** Passes request, response and trailers on until the response is complete. */
async function relay(
  request: EdgeRequest,
  response: EdgeResponse,
  upstream: ClientHttp2Stream,
  noted: Promise<void>,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let complete = false;
  const broken = () => {
    if (!complete) reject(new Error("the agent's stream ended before its response"));
  };
  const finish = async () => {
    try {
      await noted;
      response.end();
      resolve();
    } catch (error) {
      reject(error);
    }
  };
  noted.catch(reject);
  // What the agent says goes into our own answer, which does not take everything.
  const said = (pass: () => void) => {
    try {
      pass();
    } catch (error) {
      upstream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      reject(damagedAgent("its headers are none", error));
    }
  };
  upstream.on("response", ({ ":status": status = 0, ...headers }) =>
    said(() => {
      if (status < 200 || status > 599) throw new Error(`status ${status}`);
      beginResponse(response, status, headersForClient(headers));
      upstream.pipe(response, { end: false });
    }),
  );
  upstream.on("trailers", (trailers: IncomingHttpHeaders) =>
    said(() => response.addTrailers(trailersForClient(trailers))),
  );
  upstream.on("end", () => {
    if (!response.headersSent || upstream.rstCode !== constants.NGHTTP2_NO_ERROR) return broken();
    complete = true;
    // The stream may close before the last bytes have gone out to the client.
    void finish();
  });
  upstream.on("error", reject);
  upstream.on("close", broken);
  // A request that breaks off is a departure, which the response tells.
  request.on("error", () => undefined);
  request.pipe(upstream, { end: false });
  // For the agent the beginning of a message must not look like all of it.
  request.once("end", () => {
    if (!isCutOff(request)) upstream.end();
  });
  return promise;
}

function requireMachineId(headers: IncomingHttpHeaders): string {
  const machineId = headers[MACHINE_ID_HEADER];
  if (typeof machineId === "string" && machineId !== "") return machineId;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, `the call names no machine`, {
    remedy: `Send the machine's id in the header ${MACHINE_ID_HEADER}.`,
    details: { field: MACHINE_ID_HEADER },
  });
}

/** What the agent is told of a caller that went away: processes outlive a lost connection, not a cancellation. */
function resetCode(departure: Departure): number {
  return departure === "cancelled" ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_CONNECT_ERROR;
}
