import { createConnectTransport } from "@connectrpc/connect-web";
import type { ClosableTransport, TransportOptions } from "./transport.js";

/** Calls by `fetch`, for browsers and every other runtime. */
export function createTransport(options: TransportOptions): ClosableTransport {
  const transport = createConnectTransport({
    baseUrl: options.url,
    interceptors: options.interceptors,
    useBinaryFormat: true,
  });
  // The platform owns the connections behind fetch.
  return { transport, close: () => undefined };
}
