import type { Writable } from "node:stream";
import type { DescMethod } from "@bufbuild/protobuf";
import {
  type ConnectRouterOptions,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type ContextValues,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { FileService, GitService, ProcessService, PtyService } from "@nullspace/proto/agent";
import { ErrorReason } from "@nullspace/proto";
import { Fault, hoistRetryAfter, toConnectError } from "@nullspace/proto/fault";
import { beginResponse, type EdgeRequest, type EdgeResponse } from "./exchange.js";

const refusal = createContextKey(
  new Fault(ErrorReason.INTERNAL, "a call was refused without a reason"),
  { description: "why the edge refuses a call" },
);

/**
 * Answers calls to the agent's services that cannot be forwarded, in the
 * protocol that each caller speaks: Connect, gRPC or gRPC-Web. No body is read.
 */
export class Refusals {
  readonly #handlers = new Map<string, UniversalHandler>();

  constructor() {
    const options: ConnectRouterOptions = {
      // The gate runs before any body is read, so it does not matter how much of one is left.
      requestGate: ({ values, responseHeader }) => {
        const failure = toConnectError(values.get(refusal));
        hoistRetryAfter(failure, responseHeader);
        throw failure;
      },
    };
    const router = createConnectRouter(options)
      .service(ProcessService, {})
      .service(FileService, {})
      .service(PtyService, {})
      .service(GitService, {});
    for (const handler of router.handlers) this.#handlers.set(handler.requestPath, handler);
  }

  /** Whether a path is a method of one of the agent's services that users may call. */
  knows(path: string): boolean {
    return this.#handlers.has(path);
  }

  /** The method of a path that {@link knows}. */
  methodOf(path: string): DescMethod {
    return this.#handlerOf(path).method;
  }

  /** Answers a call to a path that {@link knows} with a fault. Headers must not have been sent. */
  async refuse(
    path: string,
    request: EdgeRequest,
    response: EdgeResponse,
    fault: Fault,
  ): Promise<void> {
    const handler = this.#handlerOf(path);
    const values: ContextValues = createContextValues().set(refusal, fault);
    const answer = await handler(
      universalRequestFromNodeRequest(request, response, undefined, values),
    );
    beginResponse(response, answer.status, Object.fromEntries(answer.header ?? []));
    const body: Writable = response;
    for await (const bytes of answer.body ?? []) body.write(bytes);
    response.addTrailers(Object.fromEntries(answer.trailer ?? []));
    response.end();
  }

  #handlerOf(path: string): UniversalHandler {
    const handler = this.#handlers.get(path);
    if (handler === undefined) throw new Error(`${path} is no method of the agent`);
    return handler;
  }
}
