import { connectNodeAdapter } from "@connectrpc/connect-node";
import { MACHINE_ID_HEADER, REQUEST_ID_HEADER } from "@nullspace/proto";
import type { Log } from "../domain/log.js";
import { TRANSFER_PREFIX } from "../domain/transfer-urls.js";
import type { AgentProxy } from "../edge/agent-proxy.js";
import { applyCors, RPC_CORS, TRANSFER_CORS } from "../edge/cors.js";
import { type EdgeRequest, type EdgeResponse, resetResponse } from "../edge/exchange.js";
import type { PreviewEdge } from "../edge/preview/preview-edge.js";
import type { Transfers } from "../edge/transfer/transfers.js";
import { CONSOLE_PATH, type ConsoleFiles } from "./console-files.js";
import type { RequestHandler } from "./listener.js";
import { answerRedirect, answerText } from "./plain-answers.js";
import { isPrivate } from "./private-way.js";
import { requestIdOf } from "./request-id.js";

/** Every RPC's path begins so. */
const RPC_PREFIX = "/nullspace.";

/** What {@link createApp} needs. */
export interface AppOptions {
  /** The control plane's own services. */
  readonly api: Parameters<typeof connectNodeAdapter>[0];
  readonly proxy: AgentProxy;
  readonly transfers: Transfers;
  readonly previews: PreviewEdge;
  readonly console: ConsoleFiles;
  /** Whether only this computer may come without TLS. */
  readonly requireTls: boolean;
  /** Aborted when the server begins to stop. */
  readonly stopping: AbortSignal;
  readonly log: Log;
}

/** Everything that the port answers: previews, RPCs, transfers, the console and health. */
export function createApp(options: AppOptions): RequestHandler {
  const api = connectNodeAdapter({
    ...options.api,
    fallback: (_request, response) => {
      response.writeHead(404);
      response.end();
    },
  });
  return (request, response) => {
    logExchange(request, response, options.log);
    const onError = (error: unknown) => {
      options.log.error({ err: error, path: pathOf(request) }, "a request could not be handled");
      if (response.headersSent) resetResponse(response);
      else answerText(response, 400, "bad request\n");
    };
    if (options.requireTls && !isPrivate(request)) {
      answerText(response, 403, "this server speaks https here\n");
      return;
    }
    try {
      route(request, response, options, api)?.catch(onError);
    } catch (error) {
      // Connect throws at requests without a host, or with one that is no host.
      onError(error);
    }
  };
}

function route(
  request: EdgeRequest,
  response: EdgeResponse,
  { proxy, transfers, previews, console, stopping }: AppOptions,
  api: (request: EdgeRequest, response: EdgeResponse) => void,
): Promise<void> | undefined {
  const place = previews.placeOf(request);
  if (place !== undefined) return previews.serve(place, request, response);
  const path = pathOf(request);
  if (path.startsWith(RPC_PREFIX)) {
    if (applyCors(request, response, RPC_CORS)) return undefined;
    if (proxy.handles(path)) return proxy.forward(path, request, response);
    api(request, response);
    return undefined;
  }
  if (path.startsWith(TRANSFER_PREFIX)) {
    if (applyCors(request, response, TRANSFER_CORS)) return undefined;
    return transfers.serve(request, response);
  }
  if (path.startsWith(CONSOLE_PATH)) return console.serve(path, request, response);
  switch (path) {
    case "/":
    case CONSOLE_PATH.slice(0, -1):
      answerRedirect(response, CONSOLE_PATH);
      break;
    case "/healthz":
      answerText(response, 200, "ok\n");
      break;
    case "/readyz":
      if (stopping.aborted) answerText(response, 503, "stopping\n");
      else answerText(response, 200, "ok\n");
      break;
    default:
      answerNotFound(response);
  }
  return undefined;
}

function answerNotFound(response: EdgeResponse): void {
  answerText(response, 404, "there is nothing at this path\n");
}

function pathOf(request: EdgeRequest): string {
  const [path = "/"] = (request.url ?? "/").split("?", 1);
  return path;
}

/** One line per request when it is over. Neither headers nor the query are in it: both may hold secrets. */
function logExchange(request: EdgeRequest, response: EdgeResponse, log: Log): void {
  const requestId = requestIdOf(request);
  response.setHeader(REQUEST_ID_HEADER, requestId);
  const startedAt = performance.now();
  const path = pathOf(request);
  // Whatever is done for a call, it is done under the same id.
  if (path.startsWith(RPC_PREFIX)) request.headers[REQUEST_ID_HEADER] = requestId;
  response.once("close", () => {
    const fields = {
      requestId,
      method: request.method,
      path,
      http: request.httpVersion,
      status: response.statusCode,
      machineId: request.headers[MACHINE_ID_HEADER],
      durationMs: Math.round((performance.now() - startedAt) * 10) / 10,
      complete: response.writableEnded,
    };
    if (path.startsWith(RPC_PREFIX)) log.info(fields, "request");
    else log.debug(fields, "request");
  });
}
