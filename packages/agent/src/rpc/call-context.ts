import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";

/** Why the signal of a call that has ended is aborted. One for all: making one takes as long as a call. */
const ENDED = new ConnectError("the call has ended", Code.Canceled);
/** Node calls back at once for a longer delay. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What the handler of a call is told of it. What few ask for is made when it is asked for. */
export class CallContext implements HandlerContext {
  readonly method: DescMethod;
  readonly service: HandlerContext["service"];
  readonly requestMethod = "POST";
  readonly protocolName = "connect";
  readonly #headers: IncomingHttpHeaders;
  readonly #values: () => ContextValues;
  readonly #deadline: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #end: { reason: unknown } | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #contextValues: ContextValues | undefined;

  constructor(
    method: DescMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    timeoutMs: number | undefined,
    values: () => ContextValues,
  ) {
    this.method = method;
    this.service = method.parent;
    this.#headers = headers;
    this.#values = values;
    stream.once("close", () => this.end(ENDED));
    if (timeoutMs === undefined) return;
    this.#deadline = Date.now() + timeoutMs;
    const expire = () =>
      this.end(new ConnectError("the deadline has passed", Code.DeadlineExceeded));
    if (timeoutMs <= LONGEST_TIMER_MS) this.#timer = setTimeout(expire, timeoutMs);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#end !== undefined) this.#controller.abort(this.#end.reason);
    }
    return this.#controller.signal;
  }

  /** Aborts the signal, unless it is already. */
  end(reason: unknown = ENDED): void {
    if (this.#end !== undefined) return;
    this.#end = { reason };
    clearTimeout(this.#timer);
    this.#controller?.abort(reason);
  }

  timeoutMs = (): number | undefined =>
    this.#deadline === undefined ? undefined : this.#deadline - Date.now();

  get url(): string {
    return `http://${this.#headers[":authority"] ?? "agent"}${this.#headers[":path"] ?? "/"}`;
  }

  get values(): ContextValues {
    return (this.#contextValues ??= this.#values());
  }

  get requestHeader(): Headers {
    if (this.#requestHeader !== undefined) return this.#requestHeader;
    const headers = new Headers();
    for (const [name, value] of Object.entries(this.#headers)) {
      if (name.startsWith(":")) continue;
      for (const one of [value ?? []].flat()) headers.append(name, one);
    }
    return (this.#requestHeader = headers);
  }

  get responseHeader(): Headers {
    return (this.#responseHeader ??= new Headers());
  }

  get responseTrailer(): Headers {
    return (this.#responseTrailer ??= new Headers());
  }

  /** What the handler wants to be said at the beginning, and at the end of a stream. */
  get answered(): { header: Headers | undefined; trailer: Headers | undefined } {
    return { header: this.#responseHeader, trailer: this.#responseTrailer };
  }
}
