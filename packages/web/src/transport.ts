import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

/** Calls to the server that served this page, with this key. */
export function createTransport(apiKey: string): Transport {
  return createConnectTransport({
    baseUrl: window.location.origin,
    useBinaryFormat: true,
    interceptors: [
      (next) => (request) => {
        request.header.set("Authorization", `Bearer ${apiKey}`);
        return next(request);
      },
    ],
  });
}
